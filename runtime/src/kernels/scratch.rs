//! How much scratch the compiler reserves for ops that lay trained weights over frozen ones, in
//! bytes. The verifier asks for what a kernel cannot do without, which may be less.

use crate::program::op::Weights;

/// [`crate::program::op::Conv`]: one assembled row where weights are trained.
pub const fn conv(weights: &Weights) -> usize {
    if weights.latent.is_empty() {
        0
    } else {
        weights.taps as usize * weights.channels as usize
    }
}

/// [`crate::program::op::Depthwise`]: all weights assembled where they are trained.
pub const fn depthwise(weights: &Weights) -> usize {
    if weights.latent.is_empty() {
        0
    } else {
        weights.frozen.len()
    }
}

/// [`crate::program::op::DepthwiseInputGrad`]: i32 accumulators, then the weights as above.
pub const fn depthwise_input_grad(weights: &Weights) -> usize {
    weights.channels as usize * 4 + depthwise(weights)
}

/// [`crate::program::op::ConvInputGrad`]: i32 accumulators of a pixel; where weights are trained,
/// those of 8 pixels and 8 assembled rows, or fewer where rows are long.
pub const fn conv_input_grad(weights: &Weights) -> usize {
    let channels = weights.channels as usize;
    match (weights.latent.is_empty(), channels) {
        (true, _) => channels * 4,
        (false, 0..=96) => channels * 40,
        (false, _) => channels * 12,
    }
}
