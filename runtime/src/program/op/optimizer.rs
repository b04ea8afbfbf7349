//! Descriptors of updates that keep more than the parameter: momentum, and sums over a batch.
//!
//! They stand beside the plain updates, so that a program without them holds none of their code.

use super::{BiasUpdate, ConvUpdate, DepthwiseUpdate, HeadUpdate};
use crate::{Access, Slot};

descriptors! {
    /// What an update keeps beside its parameter, all of it in state, one element a trained value:
    ///
    /// ```text
    /// a <- a + U / batch            U: the step of a sample, at its own rate, clipped as ever
    /// every `batch` samples:
    ///     u  = momentum v + a,  a <- 0
    ///     v <- u
    ///     p <- p - u
    /// ```
    ///
    /// In units of the int8 step, of a bias in its own units. What is stored is rounded up or down
    /// with the probability that makes it right in the mean, and saturates.
    Optimizer {
        /// Momentum in units of 2^-16; 0 where there is none.
        momentum: u16,
        /// Bits of an element of `velocity`: 8 (in units of 2^-7, reaching +-1) or 16 (2^-12, +-8);
        /// of biases 32 (2^-4 of the bias's unit). 0 without momentum.
        bits: u8,
        /// v; empty without momentum.
        velocity: Slot = Update,
        /// Samples of an update, at least 1.
        batch: u16,
        /// a: int16 in units of 2^-13, of biases int32 (2^-4); empty where `batch` is 1.
        sum: Slot = Update,
        /// u32, samples since the last update; empty where `batch` is 1.
        counter: Slot = Update,
        /// u32 random state, for rounding.
        random: Slot = Update,
    }

    /// As [`HeadUpdate`](super::HeadUpdate), by an optimizer.
    HeadOptimize {
        /// Where the steps come from.
        update: HeadUpdate = visits,
        /// How they are applied.
        optimizer: Optimizer = visits,
    }

    /// As [`BiasUpdate`](super::BiasUpdate), by an optimizer.
    BiasOptimize {
        /// Where the steps come from.
        update: BiasUpdate = visits,
        /// How they are applied.
        optimizer: Optimizer = visits,
    }

    /// As [`ConvUpdate`](super::ConvUpdate), by an optimizer.
    ConvOptimize {
        /// Where the steps come from; its `random` is empty.
        update: ConvUpdate = visits,
        /// How they are applied.
        optimizer: Optimizer = visits,
    }

    /// As [`DepthwiseUpdate`](super::DepthwiseUpdate), by an optimizer.
    DepthwiseOptimize {
        /// Where the steps come from; its `random` is empty.
        update: DepthwiseUpdate = visits,
        /// How they are applied.
        optimizer: Optimizer = visits,
    }
}

impl Optimizer {
    /// Samples of an update up to which rounding the sum of a batch stays below that of a weight.
    pub const MOST_BATCH: u16 = 256;

    /// Bits of the velocity of a bias.
    pub const BIAS_BITS: u8 = 32;

    /// The nearest momentum to `momentum`, which lies between 0 and 1, other than those.
    pub fn momentum_of(momentum: f32) -> u16 {
        (momentum * 65536.0 + 0.5).clamp(1.0, 65535.0) as u16
    }
}
