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
        /// f32 `[O]`, constant: `1 / (s_x s_w)` times a pace.
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
        /// f32 `[O]`, constant: `s_x / s_w` times a pace, 0 for a degenerate channel.
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
        /// f32 `[C]`, constant: `s_x / s_w` times a pace, 0 for a degenerate channel.
        factor: Slot = Read,
        /// u32 random state, for stochastic precision; else empty.
        random: Slot = Update,
        /// Zero point of x.
        x_zero: i16,
        /// i32 `[selected]`.
        scratch: Slot = Scratch,
    }

    /// Updates single weights of a convolution of one group, as [`ConvUpdate`] does with residual precision.
    PickUpdate {
        /// Error of y.
        error: Error = reads,
        /// int8 `[pixels][channels]` of x.
        saved: Slot = Read,
        /// u16 channels of x that are in `saved`, ascending, constant; empty where all are.
        channels: Slot = Read,
        /// Shapes and window of the forward op.
        geometry: Geometry,
        /// Weights as in the forward op, of which some are picked; those are updated in place.
        weights: Weights = updates,
        /// f32 `[O]`, constant: `s_x / s_w` times a pace, 0 for a degenerate channel.
        factor: Slot = Read,
        /// Zero point of x.
        x_zero: i16,
    }

    /// As [`ConvUpdate`], row o at the rate `rate / sqrt(unit_o ||w_o - start_o|| + damping)`: fast as it
    /// starts, and the slower the farther it has gone. All channels are trained.
    ConvNormed {
        /// Where the steps come from.
        update: ConvUpdate = visits,
        /// int8 `[O][taps * channels]`, constant: what the weights began as, those that lie frozen.
        start: Slot = Read,
        /// f32 `[O]`, constant: an int8 step over the norm that counts as 1.
        unit: Slot = Read,
        /// One over the square of the factor of the rate of a row that is as it began.
        damping: f32,
    }

    /// Turns the rows of a matrix, or its columns, towards orthonormal ones of some size: a step down
    /// `strength / 4 ||G - I||^2`, with G their scalar products over the square of that size. All
    /// channels are trained, and one scale serves all rows.
    Orthonormalize {
        /// Weights as in the forward op; the trained part is updated in place.
        weights: Weights = updates,
        /// int8 `[rows][taps * channels]`, constant: those that lie frozen.
        start: Slot = Read,
        /// Whether columns are turned.
        columns: bool,
        /// An int8 step over the size that the vectors are to have.
        unit: f32,
        /// How strong it is.
        strength: f32,
        /// u32 random state, for stochastic precision; else empty.
        random: Slot = Update,
        /// i32 `[vectors][vectors]`, then i32 `[taps * channels]`.
        scratch: Slot = Scratch,
    }
}

impl Orthonormalize {
    /// Most vectors that are turned together: their products are kept in scratch.
    pub const MOST_VECTORS: usize = 64;

    /// How many vectors there are.
    pub const fn vectors(&self) -> usize {
        match self.columns {
            true => self.weights.taps as usize * self.weights.channels as usize,
            false => self.weights.rows as usize,
        }
    }
}
