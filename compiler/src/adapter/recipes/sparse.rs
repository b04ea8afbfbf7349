//! Single weights of a layer's own: `rank` for each of its outputs, those with the greatest gradient on the samples. What
//! two adapters of one network have learnt differs from it in the same few places, and adds up.
//! Ansell et al., "Composable Sparse Fine-Tuning for Cross-Lingual Transfer", 2022.
//!
//! The scales of the layer's rows stay, so that the network starts as it was: weights that lie at an end of int8
//! cannot grow. A weight takes 2 bytes, whatever the precision, and its place 4 bytes of flash.

use super::Recipe;
use crate::adapter::Attach;

/// The recipe.
#[derive(Debug)]
pub struct Sparse;

impl Recipe for Sparse {
    fn name(&self) -> &'static str {
        "sparse"
    }

    fn trains(&self) -> &'static str {
        "single weights of a layer"
    }

    fn needs_gradient(&self) -> bool {
        true
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let site = cx.site;
        let (rows, columns) = site.shape();
        let size = |at: usize| site.gradient[(at / columns, at % columns)].abs();
        let mut order: Vec<usize> = (0..rows * columns).collect();
        order.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
        order.truncate(cx.rank * rows);
        let mut places: Vec<u32> = order.into_iter().map(|at| at as u32).collect();
        places.sort_unstable();
        cx.train_picked(places);
    }
}
