//! What a user may ask of an adapter, as a TOML file or in short form.
//!
//! ```toml
//! recipe = "lora"          # docs/adapters.md lists them
//! layers = 20              # of the last 20 layers that it suits; or "all", or a list of names
//! linear = true            # of those without an activation alone; default false
//! rank = 4                 # width of what lies between its two factors
//! gain = 1.0               # its steps, against those that its layers' own weights would take
//! precision = "residual"   # or "stochastic": 2 or 1 bytes a trained weight
//! ```
//!
//! The short form of the same: `lora,layers=20,linear,rank=4,gain=1,residual`.

use offshoot_runtime::program::op::Precision;
use serde::Deserialize;

use super::recipes::{self, Recipe};
use super::AdapterError;
use crate::scheme::{fraction, Layers, PrecisionName};

/// Most columns of a factor.
const MOST_RANK: usize = 256;

/// An adapter that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// Name of its recipe.
    pub recipe: String,
    /// The layers that it is put to.
    pub layers: Layers,
    /// Whether layers with an activation are left out.
    pub linear: bool,
    /// Width of what lies between its two factors.
    pub rank: usize,
    /// Scale of its first factor: its weights step as those of a layer would, times its square.
    pub gain: f64,
    /// How its trained weights are held.
    pub precision: Precision,
}

/// An adapter in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    recipe: String,
    layers: Option<Layers>,
    #[serde(default)]
    linear: bool,
    rank: Option<i64>,
    gain: Option<f64>,
    #[serde(default)]
    precision: PrecisionName,
}

impl Adapter {
    /// Reads the TOML form.
    ///
    /// # Errors
    /// What does not parse, or is out of range.
    pub fn from_toml(text: &str) -> Result<Adapter, AdapterError> {
        let file: File = toml::from_str(text).map_err(|e| AdapterError::Toml(e.to_string()))?;
        file.checked()
    }

    /// Reads the short form: the recipe, then `layers=N`, `layers=all`, `linear`, `rank=R`, `gain=G`, `residual`,
    /// `stochastic`, separated by commas.
    ///
    /// # Errors
    /// The part that does not parse, or what is out of range.
    pub fn from_short(text: &str) -> Result<Adapter, AdapterError> {
        let mut parts = text.split(',').map(str::trim).filter(|p| !p.is_empty());
        let recipe = parts.next().unwrap_or_default().to_string();
        let precision = PrecisionName::default();
        let mut file =
            File { recipe, layers: None, linear: false, rank: None, gain: None, precision };
        for part in parts {
            let wrong = || AdapterError::Short { part: part.to_string() };
            match part.split_once('=') {
                Some(("layers", count)) => {
                    let word = |_| Layers::Word(count.to_string());
                    file.layers = Some(count.parse().map_or_else(word, Layers::Last));
                }
                Some(("rank", rank)) => file.rank = Some(rank.parse().map_err(|_| wrong())?),
                Some(("gain", gain)) => file.gain = Some(fraction(gain).ok_or_else(wrong)?),
                None if part == "linear" => file.linear = true,
                None if part == "residual" => file.precision = PrecisionName::Residual,
                None if part == "stochastic" => file.precision = PrecisionName::Stochastic,
                _ => return Err(wrong()),
            }
        }
        file.checked()
    }

    /// Its recipe.
    ///
    /// # Errors
    /// Where there is none of that name.
    pub fn recipe(&self) -> Result<&'static dyn Recipe, AdapterError> {
        recipes::find(&self.recipe).ok_or_else(|| AdapterError::Recipe {
            name: self.recipe.clone(),
            known: recipes::ALL.iter().map(|r| r.name()).collect::<Vec<_>>().join(", "),
        })
    }
}

impl File {
    fn checked(self) -> Result<Adapter, AdapterError> {
        let rank = self.rank.unwrap_or(4);
        let gain = self.gain.unwrap_or(1.0);
        let in_range = usize::try_from(rank).ok().filter(|r| (1..=MOST_RANK).contains(r));
        let adapter = Adapter {
            recipe: self.recipe,
            layers: self.layers.unwrap_or(Layers::Word("all".into())),
            linear: self.linear,
            rank: in_range.ok_or(AdapterError::Rank { given: rank, most: MOST_RANK })?,
            gain,
            precision: self.precision.into(),
        };
        if !(gain.is_finite() && (0.01..=100.0).contains(&gain)) {
            return Err(AdapterError::Gain(gain.to_string()));
        }
        if let Layers::Word(word) = &adapter.layers {
            if word != "all" {
                return Err(AdapterError::Layers(word.clone()));
            }
        }
        adapter.recipe()?;
        Ok(adapter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_say_the_same() {
        let toml =
            "recipe = \"lora\"\nlayers = 20\nlinear = true\nrank = 8\ngain = 2.0\nprecision = \"stochastic\"";
        let short = "lora, layers=20, linear, rank=8, gain=2, stochastic";
        assert_eq!(Adapter::from_toml(toml), Adapter::from_short(short));
        let plain = Adapter::from_short("lora").unwrap();
        assert_eq!(Adapter::from_toml("recipe = \"lora\"").unwrap(), plain);
        assert_eq!((plain.rank, plain.layers), (4, Layers::Word("all".into())));
    }

    #[test]
    fn what_is_printed_reads_back() {
        for short in
            ["lora", "sparse,layers=3,rank=1", "clr,layers=all,linear,gain=0.25,stochastic"]
        {
            let adapter = Adapter::from_short(short).unwrap();
            assert_eq!(Adapter::from_short(&adapter.short().unwrap()), Ok(adapter.clone()));
            assert_eq!(Adapter::from_toml(&adapter.toml()), Ok(adapter));
        }
        let named = Adapter::from_toml("recipe = \"lora\"\nlayers = [\"a \\\" b\", 3]").unwrap();
        assert_eq!(named.short(), None);
        assert_eq!(Adapter::from_toml(&named.toml()), Ok(named));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let says = |short: &str| Adapter::from_short(short).unwrap_err().to_string();
        assert!(says("").contains("lora"));
        assert!(says("lara").contains("\"lara\""));
        assert!(says("lora,rank=0").contains("a rank of 0"));
        assert!(says("lora,rank=many").contains("`rank=many`"));
        assert!(says("lora,gain=0/0").contains("NaN"));
        assert!(says("lora,layers=some").contains("some"));
        assert!(says("lora,tiny").contains("`tiny`"));
        assert!(Adapter::from_toml("recipe = \"lora\"\nranks = 3").is_err());
    }
}
