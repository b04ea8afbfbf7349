//! Descriptors of error tensors: the backward pass but for its updates.

use super::{ChannelScale, Contraction, Error, Geometry, Path, Steps, Weights};
use crate::fixed::Multiplier;
use crate::{Access, Slot};

descriptors! {
    /// Input gradient of [`Head`](super::Head).
    HeadInputGrad {
        /// Error of the logits.
        error: Error = reads,
        /// int16 latent `[classes][features]`, state.
        latent: Slot = Read,
        /// Error of the features.
        output: Error = writes,
        /// Weight scale is 2 to this power.
        weight_exponent: i8,
    }

    /// Input gradient of [`Conv`](super::Conv): `g_i = sum_o w_oi q_o` with `q = round(e s_w 2^fraction)`,
    /// plus `skip`, where a residual branch meets, rounded once into the output's exponent.
    ConvInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of x.
        output: Error = writes,
        /// Error of x by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of x: elements whose bit is 0 get no gradient. Empty: all pass.
        mask: Slot = Read,
        /// Shapes and window of the forward op.
        geometry: Geometry,
        /// Channel groups.
        groups: u16,
        /// Weights, as in the forward op.
        weights: Weights = reads,
        /// `s_w[o] * 2^fraction`: |q| stays within 32767 and the sum within 31 bits.
        scale: ChannelScale = reads,
        /// Fraction bits of q.
        fraction: i8,
        /// i32 `[I / groups]`; where weights are trained, sums of a block of pixels and assembled
        /// rows: more scratch, down to `5 * I / groups` bytes, changes only speed.
        scratch: Slot = Scratch,
    }

    /// Input gradient of [`Depthwise`](super::Depthwise): `g_c = s_w[c] 2^fraction sum w e`.
    DepthwiseInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of x.
        output: Error = writes,
        /// Error of x by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of x.
        mask: Slot = Read,
        /// Shapes and window of the forward op.
        geometry: Geometry,
        /// Weights, as in the forward op.
        weights: Weights = reads,
        /// `s_w[c] * 2^fraction`.
        scale: ChannelScale = reads,
        /// Fraction bits of the scaled sum.
        fraction: i8,
        /// i32 `[C]` accumulators, then int8 `[kh * kw][C]` where weights are trained.
        scratch: Slot = Scratch,
    }

    /// Input gradient of [`AvgPool`](super::AvgPool) and [`PoolMean`](super::PoolMean) (window = whole map):
    /// each window's error, divided by its count, goes to its pixels.
    PoolInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of x.
        output: Error = writes,
        /// Error of x by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of x.
        mask: Slot = Read,
        /// Shapes and window of the forward op.
        geometry: Geometry,
        /// Fraction bits: a window's error counts `e * round(2^fraction / count)`.
        fraction: i8,
    }

    /// Input gradient of [`MaxPool`](super::MaxPool): each window's error goes to the pixel that won it.
    MaxPoolInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of x.
        output: Error = writes,
        /// Error of x by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of x.
        mask: Slot = Read,
        /// u8 kernel positions that the forward op kept.
        index: Slot = Read,
        /// Shapes and window of the forward op.
        geometry: Geometry,
    }

    /// Input gradient of [`Table`](super::Table): `e * slope[x + 128]`.
    TableInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of x.
        output: Error = writes,
        /// Error of x by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of x.
        mask: Slot = Read,
        /// int8 x.
        input: Slot = Read,
        /// int16 `[256]`, constant: the derivative in real units, times `2^fraction`.
        slope: Slot = Read,
        /// Fraction bits of the slopes.
        fraction: i8,
    }

    /// Input gradient of [`Nest`](super::Nest): e where it passed.
    NestInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of x.
        output: Error = writes,
        /// Error of x by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of x.
        mask: Slot = Read,
        /// Channels.
        channels: u16,
        /// Channels of a part, as in the forward op.
        part: u16,
        /// u32, state, as in the forward op.
        kept: Slot = Read,
        /// u32, state, as in the forward op.
        drawn: Slot = Read,
    }

    /// Input gradient of [`Mul`](super::Mul) for one factor, `sum e * other`: over what it was broadcast to.
    MulInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of the factor.
        output: Error = writes,
        /// Error of the factor by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of the factor.
        mask: Slot = Read,
        /// int8, the other factor.
        other: Slot = Read,
        /// Channels of y.
        channels: u16,
        /// How the factor is laid over y.
        steps: Steps,
        /// How the other factor is laid over y.
        other_steps: Steps,
        /// Zero point of the other factor.
        other_zero: i16,
        /// Scale of the other factor times `2^fraction`.
        scale: Multiplier,
        /// Fraction bits of the scaled sum.
        fraction: i8,
    }

    /// Input gradient of [`MatMul`](super::MatMul) for one factor: `sum e (other - zero)` over the loops by which
    /// the factor is not indexed.
    MatMulInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of the factor; elements that no loop meets get none.
        output: Error = writes,
        /// Error of the factor by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of the factor.
        mask: Slot = Read,
        /// int8, the other factor.
        other: Slot = Read,
        /// Loops of the forward op; a: error of y, b: other factor, y: the factor.
        loops: Contraction,
        /// Zero point of the other factor.
        other_zero: i16,
        /// Scale of the other factor times `2^fraction`.
        scale: Multiplier,
        /// Fraction bits of the scaled sum.
        fraction: i8,
    }

    /// Input gradient of [`Normalize`](super::Normalize): `r / D (D e - sum e - y sum(e y))` over the D channels of
    /// each pixel, y in real units and r the reciprocal deviation.
    NormalizeInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of x.
        output: Error = writes,
        /// Error of x by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of x.
        mask: Slot = Read,
        /// int8 y.
        normal: Slot = Read,
        /// f32 r, one a pixel, that the forward op kept.
        reciprocal: Slot = Read,
        /// Channels a pixel has.
        depth: u16,
        /// Zero point of y.
        y_zero: i16,
        /// Scale of y.
        y_scale: f32,
        /// Fraction bits of the accumulators.
        fraction: i8,
    }

    /// Input gradient of [`Softmax`](super::Softmax): `p (e - sum e p)` over the channels of each pixel.
    SoftmaxInputGrad {
        /// Error of the probabilities.
        error: Error = reads,
        /// Error of the logits.
        output: Error = writes,
        /// Error of the logits by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of the logits.
        mask: Slot = Read,
        /// int8 probabilities p, scale 1/256, zero point -128.
        probability: Slot = Read,
        /// Channels a row has.
        depth: u16,
    }

    /// Input gradient of [`Copy`](super::Copy): errors go back where their elements came from, and add up where
    /// one was moved to several places.
    CopyInputGrad {
        /// Error of y.
        error: Error = reads,
        /// Error of x.
        output: Error = writes,
        /// Error of x by another path, to be added; empty data: none.
        skip: Error = reads,
        /// Clamp mask of x.
        mask: Slot = Read,
        /// Which elements went where.
        path: Path,
    }

    /// Sum of error tensors where branches meet (`skip` may be empty), through a clamp mask.
    SumGrad {
        /// First term.
        error: Error = reads,
        /// Second term; empty data: none.
        skip: Error = reads,
        /// Clamp mask of x.
        mask: Slot = Read,
        /// The sum.
        output: Error = writes,
    }
}
