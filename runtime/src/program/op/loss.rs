//! Descriptors of losses: what starts the backward pass.

use crate::fixed::Multiplier;
use crate::{Access, Slot};

descriptors! {
    /// Softmax cross-entropy of the label: loss, prediction, gamma, and the normalised loss gradient.
    SoftmaxCrossEntropy {
        /// i32 logits `[classes]`.
        logits: Slot = Read,
        /// int8 `[classes]`: `round(127 d / max|d|)`, where `d = p - t` and the target is
        /// `t = (1 - smoothing) onehot + smoothing / classes`.
        error: Slot = Write,
        /// f32 `[classes]`, constant: what loss and gamma of a sample of the class are multiplied
        /// by. Empty: 1.
        weights: Slot = Read,
        /// Logit unit in sixteenths: `16 * scale`.
        sixteenths: Multiplier,
        /// Part of the target that is spread over all classes, in 65536ths.
        smoothing: u16,
    }

    /// Sigmoid cross-entropy of classes that are independent of each other, summed over them: loss,
    /// prediction, gamma, and the normalised loss gradient.
    SigmoidCrossEntropy {
        /// i32 logits `[classes]`.
        logits: Slot = Read,
        /// int8 `[classes]`: `round(127 d / max|d|)`, where `d = sigmoid(x) - onehot`.
        error: Slot = Write,
        /// Logit unit in sixteenths: `16 * scale`.
        sixteenths: Multiplier,
    }

    /// Mean square error of a network that is to reproduce its input, `mean (y - x)^2` in real
    /// units: loss, gamma, and the normalised loss gradient. Part of inference, whose result it is.
    MeanSquare {
        /// int8 x, the input.
        x: Slot = Read,
        /// int8 y, the output.
        y: Slot = Read,
        /// int8: `round(127 d / max|d|)`, where `d = y - x` in real units.
        error: Slot = Write,
        /// Zero points of x and y.
        zeros: [i16; 2],
        /// `s_x / unit`, `s_y / unit`.
        scales: [Multiplier; 2],
        /// `max(s_x, s_y)`.
        unit: f32,
    }
}
