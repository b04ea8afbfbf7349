//! The loss that a scheme names: how far an output is from what it should be.
//!
//! ```toml
//! [loss]
//! kind = "softmax"         # the default; "sigmoid": classes that are independent of each other;
//!                          # "mean-square": a network that reproduces its input
//! smoothing = 0.1          # softmax: part of each target that is spread over all classes; default 0
//! weights = [1.0, 2.5]     # softmax: what the samples of each class count; default 1
//! ```

use serde::Deserialize;

use super::SchemeError;

/// A loss.
#[derive(Clone, Debug, PartialEq)]
pub enum Loss {
    /// Softmax cross-entropy: each sample belongs to one class.
    Softmax {
        /// Part of the target that is spread over all classes, in [0, 1).
        smoothing: f32,
        /// What the loss of a sample of each class counts; empty: 1.
        weights: Vec<f32>,
    },
    /// Sigmoid cross-entropy, summed over the classes: each is there or not, whatever the others.
    Sigmoid,
    /// Mean square error of a network that is to reproduce its input; needs no labels.
    MeanSquare,
}

impl Default for Loss {
    fn default() -> Self {
        Loss::Softmax { smoothing: 0.0, weights: Vec::new() }
    }
}

impl Loss {
    /// Its name in a scheme.
    pub fn name(&self) -> &'static str {
        match self {
            Loss::Softmax { .. } => "softmax",
            Loss::Sigmoid => "sigmoid",
            Loss::MeanSquare => "mean-square",
        }
    }

    /// Whether a network that learns by it has a head that classifies.
    pub fn is_headed(&self) -> bool {
        *self != Loss::MeanSquare
    }
}

/// Most that one class may weigh: more would drown the others in any case.
const MOST_WEIGHT: f32 = 1000.0;

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    #[default]
    Softmax,
    Sigmoid,
    MeanSquare,
}

impl Kind {
    /// The kind of that name.
    fn named(name: &str) -> Option<Kind> {
        match name {
            "softmax" => Some(Kind::Softmax),
            "sigmoid" => Some(Kind::Sigmoid),
            "mean-square" => Some(Kind::MeanSquare),
            _ => None,
        }
    }
}

/// `[loss]` in a file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LossFile {
    #[serde(default)]
    kind: Kind,
    smoothing: Option<f32>,
    weights: Option<Vec<f32>>,
}

impl LossFile {
    /// Reads one part of the short form, `key=value`; `None` where it is not about the loss.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "loss" => self.kind = Kind::named(value)?,
            "smoothing" => self.smoothing = Some(super::fraction(value)? as f32),
            _ => return None,
        }
        Some(())
    }

    /// The loss that it describes.
    ///
    /// # Errors
    /// What is out of range, or does not belong to its kind.
    pub(super) fn loss(self) -> Result<Loss, SchemeError> {
        let other = match self.kind {
            Kind::Softmax => return self.softmax(),
            Kind::Sigmoid => Loss::Sigmoid,
            Kind::MeanSquare => Loss::MeanSquare,
        };
        let key = self.smoothing.map(|_| "smoothing").or(self.weights.map(|_| "weights"));
        key.map_or(Ok(other), |key| Err(SchemeError::SoftmaxAlone(key)))
    }

    fn softmax(self) -> Result<Loss, SchemeError> {
        let smoothing = self.smoothing.unwrap_or(0.0);
        if !(0.0..1.0).contains(&smoothing) {
            return Err(SchemeError::Smoothing(smoothing.to_string()));
        }
        let weights = self.weights.unwrap_or_default();
        if let Some(weight) = weights.iter().find(|w| !(0.0..=MOST_WEIGHT).contains(*w)) {
            return Err(SchemeError::ClassWeight(weight.to_string()));
        }
        if !weights.is_empty() && weights.iter().all(|&w| w == 0.0) {
            return Err(SchemeError::NoWeight);
        }
        Ok(Loss::Softmax { smoothing, weights })
    }
}
