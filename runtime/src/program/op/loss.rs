//! Descriptors of losses: what starts the backward pass.

use crate::fixed::Multiplier;
use crate::{Access, Slot};

descriptors! {
    /// Softmax cross-entropy: loss, prediction, gamma, and the normalised loss gradient.
    SoftmaxCrossEntropy {
        /// i32 logits `[classes]`.
        logits: Slot = Read,
        /// int8 `[classes]`: `round(127 (p - onehot) / max|p - onehot|)`.
        error: Slot = Write,
        /// Logit unit in sixteenths: `16 * scale`.
        sixteenths: Multiplier,
    }
}
