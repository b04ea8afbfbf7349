//! Descriptors of the forward pass.

use super::{ChannelScale, Contraction, Geometry, Path, Range, Shape, Steps, Weights};
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

    /// Passes the first channels of each pixel, as many as `kept` says, and makes the others real 0. In a step at a
    /// rate above 0, of those only some that are drawn: the first so many, which learn to do without the rest, or
    /// one part of several; such parts learn alone, and else give the mean of what each would give.
    Nest {
        /// int8 `[pixels][channels]`.
        input: Slot = Read,
        /// int8 `[pixels][channels]`.
        output: Slot = Write,
        /// Channels.
        channels: u16,
        /// Channels of a part; 0: the first so many of them are drawn, from 1.
        part: u16,
        /// Zero point of both.
        zero: i16,
        /// u32, state: channels to be kept; of 0 or too many, 1 or all.
        kept: Slot = Read,
        /// u32, state: what was drawn in the step under way, the number of channels or of the part, from 1.
        drawn: Slot = Update,
        /// u32 random state.
        random: Slot = Update,
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

    /// Rows of the sample, which the application puts there before the program goes on. Those of a
    /// program are its whole sample, in order.
    Receive {
        /// int8 rows.
        output: Slot = Write,
        /// First byte of the sample that they hold.
        first: u32,
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
}
