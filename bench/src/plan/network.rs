//! Networks of a plan: where they come from, what of them is trained, and how.

use anyhow::{ensure, Context, Result};
use offshoot::adapter::Adapter;
use offshoot::scheme::Scheme;
use serde::{Deserialize, Serialize};

use super::{root, Data};

/// A network.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Its name in cells.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// Heading under which it is held against float, apart from the others.
    pub section: Option<String>,
    /// The ONNX file.
    pub model: String,
    /// Mean and deviation that a float model's values are normalised by; it is quantised by the
    /// samples that it knew before it was deployed, else by the training samples.
    pub values: Option<[f32; 2]>,
    /// How it learns, at a desk and in float, what it knows before it is deployed; without, it is
    /// deployed as the file has it.
    pub base: Option<Base>,
    /// Names of data sets.
    pub data: Vec<String>,
    /// Update schemes.
    pub schemes: Vec<Update>,
}

/// A round before a network is deployed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// What is trained, in the short form.
    pub update: String,
    /// Times that every sample is seen.
    pub epochs: usize,
    /// Learning rate at the start.
    pub rate: f32,
}

/// An update scheme by name.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Update {
    /// Its name in cells.
    pub name: String,
    /// A TOML file, or the short form.
    pub update: String,
    /// An adapter, in short form, that starts from the training samples.
    pub adapter: Option<String>,
}

/// How a network learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// The same graph, order and rates in f32.
    Float,
    /// int8 with a residual of 8 bits.
    Residual,
    /// int8 with stochastic rounding.
    Stochastic,
    /// int8, the result truncated toward zero, wrapping.
    Truncating,
    /// int8, rounded to nearest, nothing kept.
    Nearest,
    /// Residual without quantization-aware scaling.
    Unscaled,
    /// Float, but activations are rounded to int8.
    Rounded,
}

impl Method {
    /// All of them.
    pub const ALL: [Method; 7] = [
        Method::Float,
        Method::Residual,
        Method::Stochastic,
        Method::Truncating,
        Method::Nearest,
        Method::Unscaled,
        Method::Rounded,
    ];

    /// Those that differ in nothing but how the weights of layers step.
    pub const RULES: [Method; 4] =
        [Method::Residual, Method::Stochastic, Method::Truncating, Method::Nearest];

    /// Whether it is in f32, and no program.
    pub fn is_float(self) -> bool {
        matches!(self, Method::Float | Method::Rounded)
    }

    /// Whether it updates weights as the product does not.
    pub fn is_study(self) -> bool {
        matches!(self, Method::Truncating | Method::Nearest | Method::Unscaled)
    }

    /// Its name in cells.
    pub fn name(self) -> &'static str {
        match self {
            Method::Float => "float",
            Method::Residual => "residual",
            Method::Stochastic => "stochastic",
            Method::Truncating => "truncating",
            Method::Nearest => "nearest",
            Method::Unscaled => "unscaled",
            Method::Rounded => "rounded",
        }
    }
}

impl Update {
    /// The scheme.
    pub fn scheme(&self) -> Result<Scheme> {
        if !self.update.ends_with(".toml") {
            return Ok(Scheme::from_short(&self.update)?);
        }
        let path = root().join(&self.update);
        let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        Ok(Scheme::from_toml(&text)?)
    }

    /// The adapter, where there is one.
    pub fn adapter(&self) -> Result<Option<Adapter>> {
        self.adapter.as_deref().map(Adapter::from_short).transpose().map_err(Into::into)
    }
}

impl Network {
    /// Whether it goes with `data`.
    pub(super) fn check(&self, data: &Data) -> Result<()> {
        data.check().with_context(|| data.name.clone())?;
        let Some(base) = &self.base else {
            let own = data.deployed.is_none() || data.classes.is_none();
            ensure!(own, "{}: a network without a base is deployed with its own head", data.name);
            return Ok(());
        };
        Scheme::from_short(&base.update).context("base")?;
        let learns = base.epochs > 0 && base.rate > 0.0;
        ensure!(learns, "its base learns nothing: its length or rate is 0");
        let known = data.deployed.is_some() && data.classes.is_some();
        ensure!(known, "{}: a network with a base needs classes, and to be deployed", data.name);
        Ok(())
    }
}
