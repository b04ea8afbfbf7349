//! Some input channels of a layer's own weights, as one dense matrix: those `rank` channels whose
//! contribution to the result is greatest, by the size of what they hold on the samples and of their weights.
//! Yang et al., "S2FT: Efficient, Scalable and Generalizable LLM Fine-tuning by Structured Sparsity", 2024.
//!
//! Unlike a share in an update scheme it leaves the scales of the layer's rows alone, so that the network starts
//! as it was: weights that lie at an end of int8 cannot grow.

use super::Recipe;
use crate::adapter::Attach;

/// The recipe.
#[derive(Debug)]
pub struct S2ft;

impl Recipe for S2ft {
    fn name(&self) -> &'static str {
        "s2ft"
    }

    fn trains(&self) -> &'static str {
        "the weights of a few input channels"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let site = cx.site;
        let [taps, channels] = site.taps_and_channels();
        let energy = |at: usize| {
            site.seen.column(at).norm_squared() * site.weights.column(at).norm_squared()
        };
        let of_channel = |c: usize| (0..taps).map(|tap| energy(tap * channels + c)).sum::<f64>();
        let mut order: Vec<usize> = (0..channels).collect();
        let energies: Vec<f64> = (0..channels).map(of_channel).collect();
        order.sort_by(|&a, &b| energies[b].total_cmp(&energies[a]));
        order.truncate(cx.rank);
        cx.train_channels(&order);
    }
}
