//! How much scratch each op needs, in bytes: the compiler reserves it, the verifier checks it.

use crate::program::op::{Geometry, Weights};

/// [`crate::program::op::Conv`]: one assembled row where weights are trained.
pub const fn conv(weights: &Weights, trained: bool) -> usize {
    if trained {
        weights.taps as usize * weights.channels as usize
    } else {
        0
    }
}

/// [`crate::program::op::Depthwise`]: all weights assembled where they are trained.
pub const fn depthwise(geometry: Geometry, trained: bool) -> usize {
    if trained {
        geometry.x.c as usize * geometry.window.taps()
    } else {
        0
    }
}

/// [`crate::program::op::DepthwiseInputGrad`]: i32 accumulators, then the weights as above.
pub const fn depthwise_input_grad(geometry: Geometry, trained: bool) -> usize {
    geometry.x.c as usize * 4 + depthwise(geometry, trained)
}

/// [`crate::program::op::ConvInputGrad`]: i32 accumulators of a pixel; where weights are trained,
/// those of 8 pixels and 8 assembled rows, or fewer where rows are long.
pub const fn conv_input_grad(weights: &Weights, trained: bool) -> usize {
    let channels = weights.channels as usize;
    match (trained, channels) {
        (false, _) => channels * 4,
        (true, 0..=96) => channels * 40,
        (true, _) => channels * 12,
    }
}
