//! Descriptors of what changes trainable state.

use super::{Error, Geometry, Weights};
use crate::{Access, Slot};

descriptors! {
    /// Updates the weights of [`Head`](super::Head), as [`ConvUpdate`] does with residual precision.
    HeadUpdate {
        /// Error of the logits.
        error: Error = reads,
        /// int16 `[features]`.
        input: Slot = Read,
        /// int16 latent `[classes][features]`, state.
        latent: Slot = Update,
        /// `s_feature / s_w`.
        factor: f32,
    }

    /// `b -= rate gamma 2^exponent factor sum_p e`.
    BiasUpdate {
        /// Error of y.
        error: Error = reads,
        /// i32 `[O]`, state.
        bias: Slot = Update,
        /// f32 `[O]`, constant: `1 / (s_x s_w)`.
        factor: Slot = Read,
        /// i32 `[O]`.
        scratch: Slot = Scratch,
    }

    /// Updates convolution weights, one output row at a time: the int32 gradient row
    /// `G = sum_p e (x - x_zero)` exists only until it is applied.
    ConvUpdate {
        /// Error of y.
        error: Error = reads,
        /// int8 `[pixels][selected]` saved input channels.
        saved: Slot = Read,
        /// Shapes and window of the forward op.
        geometry: Geometry,
        /// Channel groups; where above 1 every channel is trained and `saved` is all of x.
        groups: u16,
        /// Weights as in the forward op; the trained part is updated in place.
        weights: Weights = updates,
        /// f32 `[O]`, constant: `s_x / s_w`, 0 for a degenerate channel.
        factor: Slot = Read,
        /// u32 random state, for stochastic precision; else empty.
        random: Slot = Update,
        /// Zero point of x.
        x_zero: i16,
        /// i32 `[taps * selected]`.
        scratch: Slot = Scratch,
    }

    /// Updates depthwise weights, one kernel position at a time.
    DepthwiseUpdate {
        /// Error of y.
        error: Error = reads,
        /// int8 `[pixels][selected]` saved input channels.
        saved: Slot = Read,
        /// Shapes and window of the forward op.
        geometry: Geometry,
        /// Weights as in the forward op; the trained part is updated in place.
        weights: Weights = updates,
        /// f32 `[C]`, constant: `s_x / s_w`, 0 for a degenerate channel.
        factor: Slot = Read,
        /// u32 random state, for stochastic precision; else empty.
        random: Slot = Update,
        /// Zero point of x.
        x_zero: i16,
        /// i32 `[selected]`.
        scratch: Slot = Scratch,
    }
}
