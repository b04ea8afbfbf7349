//! Cuts a program into slices: what an emitted program runs at once, between which its caller may do
//! what is due.
//!
//! An op is never cut, so that the longest of them bounds how short slices can be; ops that are shorter
//! share one, as far as that adds nothing to the bound. A slice begins where rows of the sample are
//! awaited, and where the backward pass does.

use std::ops::Range;

use offshoot_runtime::program::op::Op;
use offshoot_runtime::Memory;

use crate::lower::macs;

/// The ops of each slice of a program whose forward pass has `forward` ops.
pub(crate) fn slices(ops: &[Op], forward: usize) -> Vec<Range<usize>> {
    let most = ops.iter().map(work).max().unwrap_or(0);
    let (mut slices, mut start, mut done) = (Vec::new(), 0, 0);
    for (at, op) in ops.iter().enumerate() {
        let must = at == forward || matches!(op, Op::Receive(_));
        if at > start && (must || done + work(op) > most) {
            slices.push(start..at);
            (start, done) = (at, 0);
        }
        done += work(op);
    }
    if start < ops.len() {
        slices.push(start..ops.len());
    }
    slices
}

/// What an op takes, about: multiply-accumulates, and the bytes of tensors that it goes through.
fn work(op: &Op) -> u64 {
    let mut bytes = 0;
    let mut op = *op;
    op.visit(&mut |_, slot| {
        if slot.memory == Memory::Arena {
            bytes += u64::from(slot.bytes);
        }
    });
    macs(&op) + bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use offshoot_runtime::program::op::{Add, Receive};
    use offshoot_runtime::Slot;

    fn add(bytes: u32) -> Op {
        Add { a: Slot::new(Memory::Arena, 0, bytes), ..Add::default() }.into()
    }

    fn rows() -> Op {
        Receive { output: Slot::new(Memory::Arena, 0, 8), first: 0 }.into()
    }

    #[test]
    fn no_slice_is_longer_than_the_longest_op() {
        let ops = [add(30), add(70), add(1), add(100), add(20), add(80), add(10)];
        assert_eq!(slices(&ops, 7), [0..2, 2..3, 3..4, 4..6, 6..7]);
        for forward in 0..=7 {
            let cut = slices(&ops, forward);
            assert!(cut.iter().all(|s| ops[s.clone()].iter().map(work).sum::<u64>() <= 100));
            let all: Vec<usize> = cut.iter().cloned().flatten().collect();
            assert_eq!(all, (0..7).collect::<Vec<_>>());
            assert!(forward == 7 || cut.iter().any(|s| s.start == forward), "{forward}");
        }
        assert_eq!(slices(&[], 0), []);
    }

    #[test]
    fn a_slice_begins_where_rows_are_awaited() {
        let ops = [rows(), add(1), rows(), rows(), add(100)];
        assert_eq!(slices(&ops, 5), [0..2, 2..3, 3..4, 4..5]);
        let together = [rows(), add(1), add(2), rows(), add(100)];
        assert_eq!(slices(&together, 5), [0..3, 3..4, 4..5]);
    }
}
