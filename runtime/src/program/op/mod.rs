//! What one step of a program does: plain descriptors that carry everything a kernel needs.
//!
//! Every descriptor has a `run` method (beside its kernel, under `crate::kernels`) and a `visit`
//! method that shows each memory slot with the way it is used. Planner, checker, verifier and
//! simulator learn what an op touches from `visit` alone.
//!
//! Conventions shared by all ops:
//! * activations are NHWC with batch 1, int8; convolution weights `[O][kh][kw][I/groups]`,
//!   depthwise weights `[kh][kw][C]`;
//! * tables indexed by output channel lie in constant memory, aligned to 4 bytes;
//! * an empty slot (0 bytes) means "not there";
//! * an error tensor holds `e` in int8 with `dL/dy = gamma * 2^exponent * e`, y in real units
//!   and gamma the step's loss-gradient scale; the exponent lies in its tracker, or is
//!   [`LOSS_EXPONENT`] where the tracker is empty (the loss gradient itself).

#[macro_use]
mod macros;
mod limits;
mod parts;
mod state;

pub use parts::{
    ChannelScale, Contraction, Error, Geometry, Path, Precision, Range, Shape, Steps, Strides,
    Weights, Window, FEATURE_BITS, LOSS_EXPONENT,
};
pub use state::Init;

use crate::fixed::Multiplier;
use crate::{Access, Slot};

descriptors! {
    /// Convolution, grouped or dense; a fully connected layer is a 1x1 convolution of one pixel.
    /// `y = clamp(zero + requant(bias + sum w (x - x_zero)))`.
    Conv {
        /// int8 x.
        input: Slot = Read,
        /// int8 y.
        output: Slot = Write,
        /// One bit an element of y, lowest bit first: pre-clamp value in range. Empty: not kept.
        mask: Slot = Write,
        /// Shapes and window.
        geometry: Geometry,
        /// Channel groups; 1 for a dense convolution.
        groups: u16,
        /// `rows = O`, `taps = kh * kw`, `channels = I / groups`.
        weights: Weights = reads,
        /// i32 `[O]`, constant or state.
        bias: Slot = Read,
        /// `s_x * s_w[o] / s_y`.
        scale: ChannelScale = reads,
        /// Zero point of x.
        x_zero: i16,
        /// Zero point and clamp of y.
        range: Range,
        /// Needs `taps * channels` bytes where weights are trained.
        scratch: Slot = Scratch,
    }

    /// Depthwise convolution, one output channel an input channel.
    Depthwise {
        /// int8 x.
        input: Slot = Read,
        /// int8 y.
        output: Slot = Write,
        /// Clamp mask of y, as in [`Conv`].
        mask: Slot = Write,
        /// Shapes and window.
        geometry: Geometry,
        /// `rows = kh * kw`, `taps = 1`, `channels = C`.
        weights: Weights = reads,
        /// i32 `[C]`, constant or state.
        bias: Slot = Read,
        /// `s_x * s_w[c] / s_y`.
        scale: ChannelScale = reads,
        /// Zero point of x.
        x_zero: i16,
        /// Zero point and clamp of y.
        range: Range,
        /// int8 `[kh * kw][C]` where weights are trained.
        scratch: Slot = Scratch,
    }

    /// Elementwise sum of two tensors, as TensorFlow Lite's int8 ADD (inputs shifted left by 20).
    Add {
        /// int8 first term.
        a: Slot = Read,
        /// int8 second term.
        b: Slot = Read,
        /// int8 sum.
        output: Slot = Write,
        /// Clamp mask of the sum, as in [`Conv`].
        mask: Slot = Write,
        /// Zero points of the terms.
        zeros: [i16; 2],
        /// `s_a / (2 max)`, `s_b / (2 max)`.
        scales: [Multiplier; 2],
        /// `2 max / (2^20 s_y)`.
        y_scale: Multiplier,
        /// Zero point and clamp of the sum.
        range: Range,
    }

    /// Average over windows; padding is not counted.
    AvgPool {
        /// int8 x.
        input: Slot = Read,
        /// int8 y.
        output: Slot = Write,
        /// Shapes and window; channels are equal.
        geometry: Geometry,
        /// Zero point of x.
        x_zero: i16,
        /// `s_x / (s_y * taps)` where scales differ (then nothing is padded); value 0 where x and
        /// y share scale and zero point: the mean is then rounded half away from zero, as in
        /// TensorFlow Lite.
        scale: Multiplier,
        /// Zero point and clamp of y.
        range: Range,
    }

    /// Largest value of each window; padding never wins, scale and zero point stay.
    MaxPool {
        /// int8 x.
        input: Slot = Read,
        /// int8 y.
        output: Slot = Write,
        /// u8 kernel position of the first largest value, an element of y each; empty: not kept.
        index: Slot = Write,
        /// Shapes and window; channels are equal.
        geometry: Geometry,
    }

    /// Any function of one int8 value: `y = table[x + 128]`.
    Table {
        /// int8 x.
        input: Slot = Read,
        /// int8 y.
        output: Slot = Write,
        /// int8 `[256]`, constant.
        table: Slot = Read,
    }

    /// Product of two tensors, as TensorFlow Lite's int8 MUL; the second may be broadcast.
    Mul {
        /// int8 `[pixels][channels]`.
        a: Slot = Read,
        /// int8, read in `steps`.
        b: Slot = Read,
        /// int8, shaped as `a`.
        output: Slot = Write,
        /// Channels of `a`.
        channels: u16,
        /// How `b` is laid over `a`.
        steps: Steps,
        /// Zero points of the factors.
        zeros: [i16; 2],
        /// `s_a s_b / s_y`.
        scale: Multiplier,
        /// Zero point and clamp of the product.
        range: Range,
    }

    /// Product of two activations, summed over the loops by which y is not indexed:
    /// `y = clamp(zero + requant(sum (a - a_zero) (b - b_zero)))`.
    MatMul {
        /// int8 a.
        a: Slot = Read,
        /// int8 b.
        b: Slot = Read,
        /// int8 y, every element of which is one sum.
        output: Slot = Write,
        /// Which elements are multiplied.
        loops: Contraction,
        /// Zero points of the factors.
        zeros: [i16; 2],
        /// `s_a s_b / s_y`.
        scale: Multiplier,
        /// Zero point and clamp of y.
        range: Range,
    }

    /// `(x - mean) / sqrt(variance + epsilon)` over the channels of each pixel: the core of
    /// LayerNorm, without its scale and shift.
    Normalize {
        /// int8 x.
        input: Slot = Read,
        /// int8 y.
        output: Slot = Write,
        /// f32 `1 / sqrt(variance + epsilon)`, one a pixel, in real units; empty: not kept.
        reciprocal: Slot = Write,
        /// Channels a pixel has.
        depth: u16,
        /// Scale of x.
        x_scale: f32,
        /// Scale of y.
        y_scale: f32,
        /// In squared real units.
        epsilon: f32,
        /// Zero point and clamp of y.
        range: Range,
    }

    /// Moves elements: slices, padding, transposes, repetitions, parts of a concatenation, constants.
    Copy {
        /// int8 x, arena or constant.
        input: Slot = Read,
        /// int8 y, all of it written: what is not moved becomes `fill`. Empty where `part` is not.
        output: Slot = Write,
        /// int8 y, of which only what is moved is written.
        part: Slot = Update,
        /// Which elements go where.
        path: Path,
        /// What `output` holds where nothing is moved to.
        fill: i8,
        /// Zero point of x.
        x_zero: i16,
        /// `s_x / s_y`; value 0 where x and y share scale and zero point.
        scale: Multiplier,
        /// Zero point of y.
        y_zero: i16,
    }

    /// Mean over all pixels, kept in 8.7 fixed point: `round(128 * sum(x - x_zero) / pixels)`.
    PoolMean {
        /// int8 x.
        input: Slot = Read,
        /// int16 `[C]`.
        output: Slot = Write,
        /// Shape of x.
        x: Shape,
        /// Zero point of x.
        x_zero: i16,
        /// i32 sums: of as many channels at once as there is room for, at least one.
        scratch: Slot = Scratch,
    }

    /// Rescales int8 to another scale and zero point, and clamps.
    Requantize {
        /// int8 x.
        input: Slot = Read,
        /// int8 y.
        output: Slot = Write,
        /// Clamp mask of y, as in [`Conv`].
        mask: Slot = Write,
        /// Zero point of x.
        x_zero: i16,
        /// `s_x / s_y`.
        scale: Multiplier,
        /// Zero point and clamp of y.
        range: Range,
    }

    /// int8 softmax over the channels of each pixel, as TensorFlow Lite's reference kernel.
    Softmax {
        /// int8 logits.
        input: Slot = Read,
        /// int8 probabilities, scale 1/256, zero point -128.
        output: Slot = Write,
        /// Channels a row has.
        depth: u16,
        /// `min(s_x * 2^26, 2^31 - 1)` as multiplier and left shift.
        scale: Multiplier,
        /// Differences below this count as probability 0.
        diff_min: i32,
    }

    /// Classifier that is trained: int32 logits from int16 features and 8.8 latent weights.
    Head {
        /// int16 `[features]`.
        input: Slot = Read,
        /// int16 latent `[classes][features]`, state.
        latent: Slot = Read,
        /// i32 `[classes]`, state.
        bias: Slot = Read,
        /// i32 `[classes]`.
        output: Slot = Write,
    }

    /// Keeps the channels of a tensor that a weight update will read.
    SaveChannels {
        /// int8 x.
        input: Slot = Read,
        /// int8 `[pixels][selected]`.
        output: Slot = Write,
        /// u16 indices, constant.
        selected: Slot = Read,
        /// Channels of x.
        channels: u16,
    }

    /// Softmax cross-entropy: loss, prediction, gamma, and the normalised loss gradient.
    SoftmaxCrossEntropy {
        /// i32 logits `[classes]`.
        logits: Slot = Read,
        /// int8 `[classes]`: `round(127 (p - onehot) / max|p - onehot|)`.
        error: Slot = Write,
        /// Logit unit in sixteenths: `16 * scale`.
        sixteenths: Multiplier,
    }

    /// Input gradient of [`Head`].
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

    /// Updates the weights of [`Head`], as [`ConvUpdate`] does with residual precision.
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

    /// Input gradient of [`Conv`]: `g_i = sum_o w_oi q_o` with `q = round(e s_w 2^fraction)`,
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

    /// Input gradient of [`Depthwise`]: `g_c = s_w[c] 2^fraction sum w e`.
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

    /// Input gradient of [`AvgPool`] and [`PoolMean`] (window = whole map):
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

    /// Input gradient of [`MaxPool`]: each window's error goes to the pixel that won it.
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

    /// Input gradient of [`Table`]: `e * slope[x + 128]`.
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

    /// Input gradient of [`Mul`] for one factor, `sum e * other`: over what it was broadcast to.
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

    /// Input gradient of [`MatMul`] for one factor: `sum e (other - zero)` over the loops by which
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

    /// Input gradient of [`Normalize`]: `r / D (D e - sum e - y sum(e y))` over the D channels of
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

    /// Input gradient of [`Softmax`]: `p (e - sum e p)` over the channels of each pixel.
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

    /// Input gradient of [`Copy`]: errors go back where their elements came from, and add up where
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

    /// `b -= rate gamma 2^exponent factor sum_p e`.
    BiasUpdate {
        /// Error of y.
        error: Error = reads,
        /// i32 `[O]`, state.
        bias: Slot = Update,
        /// f32 `[O]`, constant: `1 / (s_x s_w)`, 0 for a degenerate channel.
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
