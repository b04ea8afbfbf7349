//! Writes adapters as [`Adapter::from_short`] and [`Adapter::from_toml`] read them.

use offshoot_runtime::program::op::Precision;

use super::Adapter;
use crate::scheme::Layers;

impl Adapter {
    /// The short form; none of a list of layers.
    pub fn short(&self) -> Option<String> {
        let layers = match &self.layers {
            Layers::Last(count) => count.to_string(),
            Layers::Word(word) => word.clone(),
            Layers::Named(_) => return None,
        };
        let mut text = format!("{},layers={layers},rank={}", self.recipe, self.rank);
        if self.linear {
            text += ",linear";
        }
        if self.gain != 1.0 {
            text += &format!(",gain={}", self.gain);
        }
        if self.precision == Precision::Stochastic {
            text += ",stochastic";
        }
        Some(text)
    }

    /// The file's form, of which every adapter has one.
    pub fn toml(&self) -> String {
        let precision = match self.precision {
            Precision::Stochastic => "stochastic",
            // Recipes choose the others.
            Precision::Residual | Precision::Sign | Precision::Picked => "residual",
        };
        let Adapter { recipe, linear, rank, gain, .. } = self;
        let layers = self.layers.toml();
        format!(
            "recipe = {recipe:?}\nlayers = {layers}\nlinear = {linear}\nrank = {rank}\ngain = {gain:?}\n\
             precision = \"{precision}\"\n"
        )
    }
}
