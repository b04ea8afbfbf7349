//! Single weights of a layer's own: `rank` for each of its outputs, those with the greatest gradient on the samples. What
//! two adapters of one network have learnt differs from it in the same few places, and adds up.
//! Ansell et al., "Composable Sparse Fine-Tuning for Cross-Lingual Transfer", 2022.
//!
//! Where the gradient is great the input is, so that steps would be too long: they are as long as those of weights
//! picked at random. The scales of the layer's rows stay, so that the network starts as it was: weights that lie at
//! an end of int8 cannot grow. A weight takes 2 bytes, whatever the precision, and its place 4 bytes of flash.

use super::core::pace;
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
        let energies: Vec<f64> = site.seen.column_iter().map(|x| x.norm_squared()).collect();
        let size = |at: usize| site.gradient[(at / columns, at % columns)].abs();
        let of_row = |row: usize| {
            let mut order: Vec<usize> = (row * columns..(row + 1) * columns).collect();
            order.sort_by(|&a, &b| size(b).total_cmp(&size(a)));
            order.truncate(cx.rank);
            order.sort_unstable();
            order
        };
        let places: Vec<usize> = (0..rows).flat_map(of_row).collect();
        let met = places.iter().map(|at| energies[at % columns]).sum();
        let all = energies.iter().sum::<f64>() * rows as f64;
        let pace = pace(places.len() as f64 / (rows * columns) as f64, all, met);
        cx.train_picked(places.into_iter().map(|at| at as u32).collect(), pace);
    }
}
