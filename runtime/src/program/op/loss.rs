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
}
