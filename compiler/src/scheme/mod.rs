//! What a user may ask to train: the update scheme, as a TOML file or in short form.
//!
//! ```toml
//! precision = "residual"   # or "stochastic": 2 or 1 bytes a trained weight
//! biases = 20              # of the last 20 layers; or "all", or a list of names
//!
//! [[weights]]
//! layer = 24               # index among the convolutions, from 0; or a name
//! channels = 0.25          # share of the input channels, the largest by weight; default 1
//!
//! [loss]
//! smoothing = 0.1          # see `loss.rs`
//!
//! [optimizer]
//! momentum = 0.9           # see `optimizer.rs`
//! ```
//!
//! Recurrent weights, which the steps of an `LSTM` or a `GRU` share, are frozen and do not count.
//!
//! The short form of the same: `biases=20,24:1/4,smoothing=0.1`. The classifier is always trained;
//! the empty scheme, or `head`, trains nothing else.

mod loss;
mod optimizer;
mod print;

pub use loss::Loss;
pub use optimizer::Optimizer;

use loss::LossFile;
use offshoot_runtime::program::op::Precision;
pub(crate) use optimizer::OptimizerFile;
use serde::Deserialize;

/// A layer, by its index among the convolutions or by its node's name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a layer is the index of a convolution, such as 24, or the name of its node"
)]
pub enum Layer {
    /// Index among the convolutions, in execution order, from 0.
    Index(usize),
    /// Name of the node in the model.
    Name(String),
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Layer::Index(index) => write!(f, "{index}"),
            Layer::Name(name) => write!(f, "{name:?}"),
        }
    }
}

/// Some of the layers: those whose biases are trained, or that an adapter is put to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "write a number of layers, such as 20 for the last 20, \"all\", or a list of layers"
)]
pub enum Layers {
    /// The last n before the classifier.
    Last(usize),
    /// `"all"`.
    Word(String),
    /// The named layers.
    Named(Vec<Layer>),
}

impl Default for Layers {
    fn default() -> Self {
        Layers::Last(0)
    }
}

/// Weights of one layer that are trained.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightRule {
    /// The layer.
    pub layer: Layer,
    /// Share of its input channels, in (0, 1].
    #[serde(default = "whole")]
    pub channels: f64,
}

fn whole() -> f64 {
    1.0
}

/// How trained weights are held, in a file.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PrecisionName {
    #[default]
    Residual,
    Stochastic,
}

impl From<PrecisionName> for Precision {
    fn from(name: PrecisionName) -> Precision {
        match name {
            PrecisionName::Residual => Precision::Residual,
            PrecisionName::Stochastic => Precision::Stochastic,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    precision: PrecisionName,
    #[serde(default)]
    biases: Layers,
    #[serde(default)]
    weights: Vec<WeightRule>,
    #[serde(default)]
    loss: LossFile,
    #[serde(default)]
    optimizer: OptimizerFile,
}

/// An update scheme.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scheme {
    /// How trained weights are held.
    pub precision: Precision,
    /// Trained biases.
    pub biases: Layers,
    /// Trained weights.
    pub weights: Vec<WeightRule>,
    /// What is to become small.
    pub loss: Loss,
    /// How steps become updates.
    pub optimizer: Optimizer,
}

/// A scheme that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemeError {
    /// The TOML is wrong.
    #[error("the update scheme is not valid TOML for a scheme: {0}")]
    Toml(String),
    /// A part of the short form is wrong.
    #[error(
        "`{part}` is no part of an update scheme; write for example biases=20,24:1/4,stochastic"
    )]
    Short {
        /// The part.
        part: String,
    },
    /// A share is outside (0, 1].
    #[error("layer {layer}: a share of {share} of the input channels is outside 0..1; write for example 0.25 or 1/4")]
    Share {
        /// The layer.
        layer: String,
        /// The share.
        share: String,
    },
    /// `biases` is a word other than "all".
    #[error(
        "biases = {0:?} is not understood; write a number of layers, \"all\", or a list of names"
    )]
    Biases(String),
    /// Smoothing is outside [0, 1).
    #[error("a smoothing of {0} is outside 0..1; write for example 0.1")]
    Smoothing(String),
    /// A class weighs less than nothing, or too much.
    #[error("a class weight of {0} is outside 0..1000; write for example weights = [1.0, 2.5], one number a class")]
    ClassWeight(String),
    /// No class counts.
    #[error("all class weights are 0: nothing would be learnt; give one of them at least a positive weight")]
    NoWeight,
    /// A key of softmax beside another loss.
    #[error("`{0}` belongs to the loss \"softmax\" alone: leave it out, or change `kind`")]
    SoftmaxAlone(&'static str),
    /// Momentum is outside [0, 1).
    #[error("a momentum of {0} is outside 0..1; write for example 0.9, or 0 for none")]
    Momentum(String),
    /// No such width of a velocity.
    #[error("momentum-bits = {0} is not possible; velocities are held in 8 or 16 bits")]
    MomentumBits(i64),
    /// Bits of what is not there.
    #[error(
        "`momentum-bits` belongs to momentum: leave it out, or give a momentum, for example 0.9"
    )]
    NoMomentum,
    /// A batch that is empty or too large.
    #[error("a batch of {given} samples is not possible; write 1 to {most}, for example 8")]
    Batch {
        /// What was asked for.
        given: i64,
        /// Most samples.
        most: u16,
    },
}

impl Scheme {
    /// Reads the TOML form.
    ///
    /// # Errors
    /// What does not parse, or a share outside (0, 1].
    pub fn from_toml(text: &str) -> Result<Scheme, SchemeError> {
        let file: File = toml::from_str(text).map_err(|e| SchemeError::Toml(e.to_string()))?;
        let precision = file.precision.into();
        let (loss, optimizer) = (file.loss.loss()?, file.optimizer.optimizer()?);
        Scheme { precision, biases: file.biases, weights: file.weights, loss, optimizer }.checked()
    }

    /// Reads the short form: `head`, `biases=N`, `biases=all`, `LAYER:SHARE`, `stochastic`,
    /// `residual`, `loss=KIND`, `smoothing=S`, `momentum=M`, `momentum-bits=B`, `batch=N`, separated by
    /// commas.
    ///
    /// # Errors
    /// The part that does not parse.
    pub fn from_short(text: &str) -> Result<Scheme, SchemeError> {
        let mut scheme = Scheme::default();
        let (mut loss, mut optimizer) = (LossFile::default(), OptimizerFile::default());
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let wrong = || SchemeError::Short { part: part.to_string() };
            match part.split_once('=') {
                Some(("biases", count)) => {
                    let last = |_| Layers::Word(count.to_string());
                    scheme.biases = count.parse().map_or_else(last, Layers::Last);
                    continue;
                }
                Some((key, value)) => {
                    let set = loss.set(key, value).or_else(|| optimizer.set(key, value));
                    set.ok_or_else(wrong)?;
                    continue;
                }
                None => {}
            }
            match part {
                "head" => {}
                "residual" => scheme.precision = Precision::Residual,
                "stochastic" => scheme.precision = Precision::Stochastic,
                _ => {
                    let (layer, share) = part.rsplit_once(':').ok_or_else(wrong)?;
                    let name = |_| Layer::Name(layer.to_string());
                    let layer = layer.parse().map_or_else(name, Layer::Index);
                    let channels = fraction(share).ok_or_else(wrong)?;
                    scheme.weights.push(WeightRule { layer, channels });
                }
            }
        }
        scheme.loss = loss.loss()?;
        scheme.optimizer = optimizer.optimizer()?;
        scheme.checked()
    }

    fn checked(self) -> Result<Scheme, SchemeError> {
        if let Layers::Word(word) = &self.biases {
            if word != "all" {
                return Err(SchemeError::Biases(word.clone()));
            }
        }
        match self.weights.iter().find(|w| !(w.channels > 0.0 && w.channels <= 1.0)) {
            Some(w) => Err(SchemeError::Share {
                layer: w.layer.to_string(),
                share: w.channels.to_string(),
            }),
            None => Ok(self),
        }
    }
}

/// `1/4`, `0.25` or `1`.
pub(crate) fn fraction(text: &str) -> Option<f64> {
    match text.split_once('/') {
        Some((a, b)) => Some(a.parse::<f64>().ok()? / b.parse::<f64>().ok()?),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let toml = "biases = 20\n[[weights]]\nlayer = 24\nchannels = 0.25\n[[weights]]\nlayer = \"last\"\n";
        let short = "biases=20, 24:1/4, last:1";
        assert_eq!(Scheme::from_toml(toml).unwrap(), Scheme::from_short(short).unwrap());
        assert_eq!(Scheme::from_short("head").unwrap(), Scheme::default());
        let toml = "[loss]\nkind = \"softmax\"\nsmoothing = 0.125\nweights = []";
        assert_eq!(Scheme::from_toml(toml), Scheme::from_short("smoothing=1/8"));
        let reconstruction = Scheme::from_short("loss=mean-square").unwrap();
        let toml = "[loss]\nkind = \"mean-square\"";
        assert_eq!(Scheme::from_toml(toml).unwrap(), reconstruction);
        let sigmoid = Scheme::from_short("loss=sigmoid").unwrap();
        assert_eq!(Scheme::from_toml("[loss]\nkind = \"sigmoid\"").unwrap(), sigmoid);
        let toml = "[optimizer]\nmomentum = 0.9\nmomentum-bits = 8\nbatch = 4";
        let momentum = Scheme::from_short("momentum=0.9,momentum-bits=8,batch=4").unwrap();
        assert_eq!(Scheme::from_toml(toml).unwrap(), momentum);
        let expected = Optimizer { momentum: 0.9, momentum_bits: 8, batch: 4 };
        assert_eq!(momentum.optimizer, expected);
        assert!(Scheme::from_short("momentum=0,batch=1").unwrap().optimizer.is_plain());
        assert!(!Scheme::from_short("momentum=0.5").unwrap().optimizer.is_plain());
        let stochastic = Scheme::from_short("stochastic").unwrap();
        assert_eq!(Scheme::from_toml("precision = \"stochastic\"").unwrap(), stochastic);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let message = |r: Result<Scheme, SchemeError>| r.unwrap_err().to_string();
        assert!(message(Scheme::from_short("24")).contains("`24`"));
        assert!(message(Scheme::from_short("24:2")).contains("share of 2"));
        assert!(message(Scheme::from_short("24:0/0")).contains("share of NaN"));
        assert!(message(Scheme::from_short("biases=some")).contains("some"));
        assert!(message(Scheme::from_toml("bias = 3")).contains("bias"));
        for smoothing in ["1", "-0.1", "0/0"] {
            let short = format!("smoothing={smoothing}");
            assert!(message(Scheme::from_short(&short)).contains("outside 0..1"), "{short}");
        }
        assert!(message(Scheme::from_short("smoothing=much")).contains("`smoothing=much`"));
        let weights = |list: &str| message(Scheme::from_toml(&format!("[loss]\nweights = {list}")));
        assert!(weights("[1.0, -2.0]").contains("-2"));
        assert!(weights("[nan]").contains("NaN"));
        assert!(weights("[0.0, 0.0]").contains("positive"));
        assert!(message(Scheme::from_toml("[loss]\nkind = \"hinge\"")).contains("`softmax`"));
        assert!(message(Scheme::from_short("loss=hinge")).contains("`loss=hinge`"));
        let both = message(Scheme::from_short("loss=sigmoid,smoothing=0.1"));
        assert!(both.contains("`smoothing` belongs to"));
        assert!(
            message(Scheme::from_toml("[[weights]]\nlayer = 1\nchannels = -1.0")).contains("-1")
        );
    }

    #[test]
    fn wrong_optimizers_are_named() {
        for (short, says) in [
            ("momentum=1", "a momentum of 1 is outside"),
            ("momentum=-0.5", "a momentum of -0.5 is outside"),
            ("momentum=0/0", "a momentum of NaN is outside"),
            ("momentum=0.9,momentum-bits=12", "momentum-bits = 12"),
            ("momentum-bits=8", "belongs to momentum"),
            ("batch=0", "a batch of 0 samples is not possible; write 1 to 256"),
            ("batch=-3", "a batch of -3"),
            ("batch=257", "a batch of 257"),
            ("batch=many", "`batch=many`"),
            ("momentum=some", "`momentum=some`"),
        ] {
            let message = Scheme::from_short(short).unwrap_err().to_string();
            assert!(message.contains(says), "{short}: {message}");
        }
        let toml = |keys: &str| Scheme::from_toml(&format!("[optimizer]\n{keys}")).unwrap_err();
        assert!(toml("momentum = 1.5").to_string().contains("1.5"));
        assert!(toml("momentum_bits = 8").to_string().contains("momentum-bits"));
        assert!(toml("batch = 0").to_string().contains("a batch of 0"));
    }
}
