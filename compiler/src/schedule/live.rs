//! From which op to which op a tensor must be kept: the one definition, for order and placing.
//!
//! A tensor lives from the op that first touches it (in a sound program the one that writes it) to
//! the op that last does. The input is there before the first op; the output stays at least until
//! the forward pass ends, because a prediction is read from it then. What lies within another buffer
//! is kept by keeping that.

use offshoot_runtime::{Memory, Slot};

use crate::lower::{root, Buffer, Lowered};

/// Every tensor starts at a multiple of this, in bytes, and takes a multiple of it.
pub const ALIGNMENT: u32 = 8;

/// First and last op of a tensor's life, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The op that writes it; 0 for the input.
    pub first: u32,
    /// The op that last touches it.
    pub last: u32,
}

impl Life {
    /// Whether two lives share an op.
    pub fn meets(&self, other: &Life) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

/// Who touches which buffer: all that live bytes depend on, besides the order.
#[derive(Clone, Debug)]
pub(crate) struct Uses {
    /// Bytes each buffer takes; those within another one take none and are touched by no op.
    pub(crate) bytes: Vec<u64>,
    /// Ops that touch each buffer.
    pub(crate) ops_of: Vec<Vec<u32>>,
    /// Buffers that each op touches, each once.
    pub(crate) buffers_of: Vec<Vec<u32>>,
    pub(crate) input: Option<u32>,
    pub(crate) output: Option<u32>,
    /// The op after which a prediction is read.
    pub(crate) last_forward: u32,
}

/// What an order costs: most live bytes, then live bytes summed over the ops.
pub(crate) type Cost = (u64, u64);

impl Uses {
    /// Those of `lowered`. Slots of buffers that do not exist are left out.
    pub(crate) fn of(lowered: &Lowered) -> Uses {
        let count = lowered.buffers.len();
        let buffer = |slot: &Slot| {
            let held = slot.memory == Memory::Arena && !slot.is_empty();
            let root = || root(&lowered.buffers, slot.start()).0 as u32;
            (held && slot.start() < count).then(root)
        };
        let mut ops_of = vec![Vec::new(); count];
        let mut buffers_of = vec![Vec::new(); lowered.ops.len()];
        for (index, op) in lowered.ops.iter().enumerate() {
            let mut op = *op;
            let touched: &mut Vec<u32> = &mut buffers_of[index];
            op.visit(&mut |_, slot| touched.extend(buffer(slot)));
            touched.sort_unstable();
            touched.dedup();
            touched.iter().for_each(|&b| ops_of[b as usize].push(index as u32));
        }
        let size = |buffer: &Buffer| match buffer.within {
            None => u64::from(buffer.bytes).next_multiple_of(ALIGNMENT.into()),
            Some(_) => 0,
        };
        Uses {
            bytes: lowered.buffers.iter().map(size).collect(),
            ops_of,
            buffers_of,
            input: buffer(&lowered.header.input),
            output: buffer(&lowered.header.output),
            last_forward: lowered.header.forward.saturating_sub(1),
        }
    }

    /// Life of each buffer where op `i` runs as number `position[i]`; none where no op touches it.
    pub(crate) fn lives<'a>(
        &'a self,
        position: &'a [u32],
    ) -> impl Iterator<Item = Option<Life>> + 'a {
        (0u32..).zip(&self.ops_of).map(|(buffer, ops)| {
            let life = ops.iter().map(|&op| position[op as usize]).fold(None, |life, at| {
                let Life { first, last } = life.unwrap_or(Life { first: at, last: at });
                Some(Life { first: first.min(at), last: last.max(at) })
            });
            let life = match life {
                None if self.input == Some(buffer) => Some(Life { first: 0, last: 0 }),
                life => life,
            };
            life.map(|mut life| {
                if self.input == Some(buffer) {
                    life.first = 0;
                }
                if self.output == Some(buffer) {
                    life.last = life.last.max(self.last_forward);
                }
                life
            })
        })
    }

    /// What an order costs; `profile` is room for one number an op, and holds the live bytes then.
    pub(crate) fn cost(&self, position: &[u32], profile: &mut Vec<u64>) -> Cost {
        profile.clear();
        profile.resize(position.len() + 1, 0);
        for (life, &bytes) in self.lives(position).zip(&self.bytes) {
            let Some(Life { first, last }) = life else { continue };
            // Differences first, summed up below; a decrease wraps.
            profile[first as usize] = profile[first as usize].wrapping_add(bytes);
            let after = (last as usize + 1).min(position.len());
            profile[after] = profile[after].wrapping_sub(bytes);
        }
        profile.pop();
        let (mut live, mut peak, mut sum) = (0u64, 0, 0);
        for at in profile.iter_mut() {
            live = live.wrapping_add(*at);
            *at = live;
            peak = peak.max(live);
            sum += live;
        }
        (peak, sum)
    }
}

/// Live bytes at each op of `lowered` in its order.
pub(crate) fn profile(lowered: &Lowered) -> Vec<u64> {
    let mut profile = Vec::new();
    Uses::of(lowered).cost(&as_given(lowered.ops.len()), &mut profile);
    profile
}

/// Most live bytes of `lowered` in its order.
pub(crate) fn peak(lowered: &Lowered) -> u64 {
    Uses::of(lowered).cost(&as_given(lowered.ops.len()), &mut Vec::new()).0
}

/// The order in which ops are given.
pub(crate) fn as_given(ops: usize) -> Vec<u32> {
    (0..ops as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::testing::Builder;

    #[test]
    fn input_output_and_unread_tensors_live_as_long_as_they_must() {
        let mut b = Builder::new();
        let x = b.input(10);
        let [y, dead, z, unused] = [16, 24, 32, 40].map(|bytes| b.buffer(bytes));
        b.op(&[x], y);
        b.op(&[x], dead);
        b.op(&[x], z);
        b.output(y);
        let lowered = b.finish();
        let uses = Uses::of(&lowered);
        let order = as_given(3);
        let lives: Vec<Option<Life>> = uses.lives(&order).collect();
        let life = |first, last| Some(Life { first, last });
        assert_eq!(lives[x as usize], life(0, 2));
        assert_eq!(lives[y as usize], life(0, 2));
        assert_eq!(lives[dead as usize], life(1, 1));
        assert_eq!(lives[z as usize], life(2, 2));
        assert_eq!(lives[unused as usize], None);
        let mut profile = Vec::new();
        assert_eq!(uses.cost(&order, &mut profile), (64, 32 + 56 + 64));
        assert_eq!(profile, [32, 56, 64]);
    }
}
