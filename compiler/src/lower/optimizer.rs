//! What state holds beside parameters: what an optimizer keeps, random numbers, ranks.

use offshoot_runtime::program::op as rt;
use offshoot_runtime::program::op::Init;
use offshoot_runtime::Slot;

use super::Lowering;
use crate::ir::TensorId;
use crate::scheme::Optimizer;

/// Bytes of an element of the sum of a batch, of a weight and of a bias.
const SUM_BYTES: [usize; 2] = [2, 4];

impl Lowering<'_> {
    /// The state of `optimizer` for so many trained weights; none where it keeps none.
    pub fn weight_optimizer(
        &mut self,
        optimizer: &Optimizer,
        elements: usize,
    ) -> Option<rt::Optimizer> {
        self.optimizer(optimizer, elements, optimizer.momentum_bits, SUM_BYTES[0])
    }

    /// The same for so many biases.
    pub fn bias_optimizer(
        &mut self,
        optimizer: &Optimizer,
        elements: usize,
    ) -> Option<rt::Optimizer> {
        self.optimizer(optimizer, elements, rt::Optimizer::BIAS_BITS, SUM_BYTES[1])
    }

    fn optimizer(
        &mut self,
        optimizer: &Optimizer,
        elements: usize,
        bits: u8,
        sum: usize,
    ) -> Option<rt::Optimizer> {
        if optimizer.is_plain() {
            return None;
        }
        let mut lowered = rt::Optimizer { batch: optimizer.batch, ..rt::Optimizer::default() };
        if optimizer.momentum > 0.0 {
            lowered.momentum = rt::Optimizer::momentum_of(optimizer.momentum);
            lowered.bits = bits;
            lowered.velocity = self.state.reserve(elements * usize::from(bits / 8));
            self.momentum += lowered.velocity.bytes;
        }
        if optimizer.batch > 1 {
            lowered.sum = self.state.reserve(elements * sum);
            lowered.counter = self.state.reserve(4);
            self.accumulation += lowered.sum.bytes + lowered.counter.bytes;
        }
        lowered.random = self.random();
        Some(lowered)
    }

    /// The words of state that say how many channels of `y` pass: those to be kept, `first` of them to begin with, and
    /// those of the step under way.
    pub fn ranks(&mut self, y: TensorId, first: usize) -> [Slot; 2] {
        if let Some(&ranks) = self.ranks.get(&y) {
            return ranks;
        }
        let from = self.constants.add(&(first as u32).to_le_bytes());
        let ranks = [self.state.reserve(4), self.state.reserve(4)];
        self.state.init(Init::Copy { from, to: ranks[0] });
        self.ranks.insert(y, ranks);
        ranks
    }

    /// The state of the random numbers that stochastic rounding draws.
    pub fn random(&mut self) -> Slot {
        *self.random.get_or_insert_with(|| self.state.reserve(4))
    }
}
