//! The optimizer that a scheme names: how the steps of samples become updates.
//!
//! ```toml
//! [optimizer]
//! momentum = 0.9       # mu, from 0 to below 1; default 0: none
//! momentum-bits = 8    # of a velocity, 8 or 16; default 16
//! batch = 8            # samples of an update, 1 to 256; default 1
//! ```

use offshoot_runtime::program::op;
use serde::Deserialize;

use super::SchemeError;

/// How the steps of samples become updates, of all that is trained: `a <- a + U / batch` every sample,
/// with U its step at its own rate, and every `batch` samples `v <- mu v + a`, `w <- w - v`, `a <- 0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// mu, in [0, 1); 0: no momentum.
    pub momentum: f32,
    /// Bits of the velocity of a weight: 8 or 16. That of a bias has 32.
    pub momentum_bits: u8,
    /// Samples of an update, at least 1.
    pub batch: u16,
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer { momentum: 0.0, momentum_bits: 16, batch: 1 }
    }
}

impl Optimizer {
    /// Whether every step is applied at once and forgotten.
    pub fn is_plain(&self) -> bool {
        self.momentum == 0.0 && self.batch == 1
    }
}

/// `[optimizer]` in a file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct OptimizerFile {
    pub(crate) momentum: Option<f64>,
    pub(crate) momentum_bits: Option<i64>,
    pub(crate) batch: Option<i64>,
}

impl OptimizerFile {
    /// Reads one part of the short form, `key=value`; `None` where it is not about the optimizer.
    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "momentum" => self.momentum = Some(super::fraction(value)?),
            "momentum-bits" => self.momentum_bits = Some(value.parse().ok()?),
            "batch" => self.batch = Some(value.parse().ok()?),
            _ => return None,
        }
        Some(())
    }

    /// The optimizer that it describes.
    ///
    /// # Errors
    /// What is out of range.
    pub(crate) fn optimizer(self) -> Result<Optimizer, SchemeError> {
        let plain = Optimizer::default();
        let momentum = self.momentum.unwrap_or(0.0) as f32;
        if !(0.0..1.0).contains(&momentum) {
            let given = self.momentum.unwrap_or_default();
            return Err(SchemeError::Momentum(given.to_string()));
        }
        let momentum_bits = match self.momentum_bits {
            None => plain.momentum_bits,
            Some(bits @ (8 | 16)) if momentum > 0.0 => bits as u8,
            Some(8 | 16) => return Err(SchemeError::NoMomentum),
            Some(bits) => return Err(SchemeError::MomentumBits(bits)),
        };
        let most = op::Optimizer::MOST_BATCH;
        let batch = match self.batch {
            None => plain.batch,
            Some(batch) => u16::try_from(batch)
                .ok()
                .filter(|batch| (1..=most).contains(batch))
                .ok_or(SchemeError::Batch { given: batch, most })?,
        };
        Ok(Optimizer { momentum, momentum_bits, batch })
    }
}
