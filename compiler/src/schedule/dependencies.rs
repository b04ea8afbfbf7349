//! Which ops must stay in order, learnt from what they read and write.
//!
//! Two ops keep their order where they touch overlapping parts of a buffer or of state and at least
//! one of the two writes there. Scratch holds nothing between ops and constants never change.
//!
//! The first op after the forward pass (the loss) keeps its place: the forward pass stays whole
//! before it, and what follows may use the step's scalars, which no slot shows. Rows of the sample
//! come in their order, the first of them before anything else.

use offshoot_runtime::program::Op;
use offshoot_runtime::{Access, Memory, Slot};

use super::random::Random;
use crate::lower::{root, Buffer, Lowered};

/// The order that a program's ops must keep: one bit a pair.
#[derive(Clone, Debug)]
pub(super) struct Dependencies {
    ops: usize,
    /// Words of a row.
    words: usize,
    /// Row `i`: ops that must come after op `i`.
    after: Vec<u64>,
}

/// A touched part of a buffer or of state.
struct Touch {
    /// None for state.
    buffer: Option<usize>,
    slot: Slot,
    writes: bool,
}

impl Touch {
    fn conflicts(&self, other: &Touch) -> bool {
        (self.writes || other.writes)
            && self.buffer == other.buffer
            && self.slot.overlaps(&other.slot)
    }
}

fn touches(op: &Op, buffers: &[Buffer]) -> Vec<Touch> {
    let (mut op, mut touches) = (*op, Vec::new());
    op.visit(&mut |access, slot| {
        let (buffer, offset) = match slot.memory {
            _ if slot.is_empty() || access == Access::Scratch => return,
            Memory::Arena => {
                let (root, at) = root(buffers, slot.start());
                (Some(root), at)
            }
            Memory::State => (None, slot.offset),
            Memory::Constant | Memory::Scratch => return,
        };
        let slot = Slot { offset, ..*slot };
        touches.push(Touch { buffer, slot, writes: access != Access::Read });
    });
    touches
}

impl Dependencies {
    /// Those of `lowered`, in its order.
    pub(super) fn of(lowered: &Lowered) -> Dependencies {
        let touches: Vec<Vec<Touch>> =
            lowered.ops.iter().map(|op| touches(op, &lowered.buffers)).collect();
        let (ops, words) = (touches.len(), touches.len().div_ceil(64));
        let mut dependencies = Dependencies { ops, words, after: vec![0; ops * words] };
        let pinned = lowered.header.forward as usize;
        let receives = |at: usize| matches!(lowered.ops[at], Op::Receive(_));
        for (j, later) in touches.iter().enumerate() {
            for (i, earlier) in touches.iter().enumerate().take(j) {
                let conflict = || earlier.iter().any(|a| later.iter().any(|b| a.conflicts(b)));
                let rows = receives(i) && (i == 0 || receives(j));
                if i == pinned || j == pinned || rows || conflict() {
                    dependencies.after[i * words + j / 64] |= 1 << (j % 64);
                }
            }
        }
        dependencies
    }

    /// Number of ops.
    pub(super) fn ops(&self) -> usize {
        self.ops
    }

    /// Whether `later` must come after `earlier`.
    pub(super) fn keeps(&self, earlier: u32, later: u32) -> bool {
        let word = self.after[earlier as usize * self.words + later as usize / 64];
        word >> (later % 64) & 1 == 1
    }

    /// Whether two neighbouring runs of an order may change places.
    pub(super) fn may_exchange(&self, first: &[u32], second: &[u32]) -> bool {
        !first.iter().any(|&a| second.iter().any(|&b| self.keeps(a, b)))
    }

    /// An order that keeps what must be kept: of the ops that may come next, any.
    pub(super) fn drawn(&self, random: &mut Random) -> Vec<u32> {
        let mut waits_for = self.counts();
        let mut open: Vec<u32> = (0..self.ops as u32).collect();
        let mut order = Vec::with_capacity(self.ops);
        loop {
            let ready: Vec<u32> =
                open.iter().copied().filter(|&op| waits_for[op as usize] == 0).collect();
            let Some(&next) = ready.get(random.below(ready.len())) else { return order };
            open.retain(|&op| op != next);
            for &op in open.iter().filter(|&&op| self.keeps(next, op)) {
                waits_for[op as usize] -= 1;
            }
            order.push(next);
        }
    }

    /// How many ops must come before each op, directly.
    pub(super) fn counts(&self) -> Vec<u32> {
        let ops = self.ops as u32;
        (0..ops).map(|j| (0..ops).filter(|&i| self.keeps(i, j)).count() as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::testing::Builder;

    #[test]
    fn data_state_and_the_loss_keep_their_order_and_nothing_else_does() {
        let mut b = Builder::new();
        let x = b.input(64);
        let a = b.buffer(8);
        let c = b.buffer(8);
        let y = b.buffer(8);
        let e = b.buffer(8);
        b.op(&[x], a); // 0
        b.op(&[x], c); // 1
        b.op(&[a, c], y); // 2
        b.output(y);
        b.loss(y, e); // 3
        let (latent, other) = (b.state(16), b.state(16));
        b.update(e, a, latent); // 4
        b.update(e, a, other); // 5
        b.update(e, c, latent); // 6
        let d = Dependencies::of(&b.finish());
        let pairs: Vec<(u32, u32)> = (0..7)
            .flat_map(|i| (0..7).map(move |j| (i, j)))
            .filter(|&(i, j)| d.keeps(i, j))
            .collect();
        let expected = [(0, 2), (0, 3), (0, 4), (0, 5), (1, 2), (1, 3), (1, 6), (2, 3)];
        let rest = [(3, 4), (3, 5), (3, 6), (4, 6)];
        assert_eq!(pairs, [&expected[..], &rest[..]].concat());
        assert_eq!(d.counts(), [0, 0, 2, 3, 2, 2, 3]);
    }
}
