//! What updates by an optimizer ask of their operands, beside what the plain ones do.

use super::rules::{ensure, Check, Rules};
use crate::program::op::{
    BiasOptimize, ConvOptimize, DepthwiseOptimize, HeadOptimize, Optimizer, Precision,
};
use crate::program::{Memory, Slot};

impl Rules<'_> {
    pub(super) fn head_optimize(&self, op: &HeadOptimize) -> Check {
        self.head_update(&op.update)?;
        self.weight_optimizer(&op.optimizer, op.update.latent, Precision::Residual)
    }

    pub(super) fn bias_optimize(&self, op: &BiasOptimize) -> Check {
        self.bias_update(&op.update)?;
        let bits = [Optimizer::BIAS_BITS];
        self.optimizer(&op.optimizer, u64::from(op.update.bias.bytes) / 4, &bits, 4)
    }

    pub(super) fn conv_optimize(&self, op: &ConvOptimize) -> Check {
        self.conv_gradient(&op.update)?;
        self.slot("random state", op.update.random, Memory::State, 4, 0)?;
        let weights = &op.update.weights;
        self.weight_optimizer(&op.optimizer, weights.latent, weights.precision)
    }

    pub(super) fn depthwise_optimize(&self, op: &DepthwiseOptimize) -> Check {
        self.depthwise_gradient(&op.update)?;
        self.slot("random state", op.update.random, Memory::State, 4, 0)?;
        let weights = &op.update.weights;
        self.weight_optimizer(&op.optimizer, weights.latent, weights.precision)
    }

    /// The optimizer of the weights in `latent`, whose size has been checked.
    fn weight_optimizer(&self, o: &Optimizer, latent: Slot, precision: Precision) -> Check {
        self.optimizer(o, u64::from(latent.bytes) / precision.bytes() as u64, &[8, 16], 2)
    }

    /// The optimizer of `count` values, with a velocity of one of `bits` and sums of `sum` bytes.
    fn optimizer(&self, o: &Optimizer, count: u64, bits: &[u8], sum: u32) -> Check {
        let moves = o.momentum > 0;
        ensure(if moves { bits.contains(&o.bits) } else { o.bits == 0 }, "momentum")?;
        let velocities = if moves { count } else { 0 };
        self.slot("velocity", o.velocity, Memory::State, u32::from(o.bits / 8).max(1), velocities)?;
        ensure((1..=Optimizer::MOST_BATCH).contains(&o.batch), "batch")?;
        let batches = o.batch > 1;
        self.slot("sum of a batch", o.sum, Memory::State, sum, if batches { count } else { 0 })?;
        self.slot("counter", o.counter, Memory::State, 4, batches.into())?;
        self.random(o.random, Precision::Stochastic)
    }
}
