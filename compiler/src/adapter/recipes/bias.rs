//! Biases alone: a layer's own, from what they are.
//! Ben Zaken et al., "BitFit: Simple Parameter-efficient Fine-tuning", 2021.

use super::Recipe;
use crate::adapter::{Attach, Site};

/// The recipe.
#[derive(Debug)]
pub struct Bias;

impl Recipe for Bias {
    fn name(&self) -> &'static str {
        "bias"
    }

    fn trains(&self) -> &'static str {
        "the biases of layers"
    }

    fn suits(&self, _site: &Site) -> bool {
        true
    }

    fn for_layers(&self) -> &'static str {
        "of any kind"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        cx.train_bias();
    }
}
