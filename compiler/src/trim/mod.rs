//! Orders a program and lowers its most live bytes by what ops need not keep.
//!
//! An op may write its output over an input that nobody reads any more (`in_place`). An activation that
//! a gradient reads much later may be forgotten and computed again when it is needed (`again`): that
//! costs multiply-accumulates, and is done where they free the most bytes. Both are done only where
//! they lower the peak; results are those of the program as it was, bit for bit.

mod again;
mod in_place;
#[cfg(test)]
mod tests;

use offshoot_runtime::program::Op;
use offshoot_runtime::{Access, Memory, Slot};

use crate::lower::{root, Buffer, Lowered};
use crate::schedule::live::peak;
use crate::schedule::{schedule_in, Order};

/// What may be done for fewer live bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trim {
    /// Whether ops may write over what they read.
    pub in_place: bool,
    /// Most multiply-accumulates that may be computed again, in percent of those of the forward pass.
    pub recompute: u8,
}

impl Trim {
    /// Nothing.
    pub const NONE: Trim = Trim { in_place: false, recompute: 0 };
}

impl Default for Trim {
    fn default() -> Self {
        Trim { in_place: true, recompute: 3 }
    }
}

/// `lowered` in the order that is asked for, trimmed where that lowers the most live bytes.
pub fn schedule_trimmed(lowered: &Lowered, order: Order, trim: Trim) -> Lowered {
    let start = schedule_in(lowered, order);
    let forward: u64 = lowered.macs.iter().take(lowered.header.forward as usize).sum();
    let most = forward.saturating_mul(trim.recompute.into()) / 100;
    let (mut least, mut best) = (peak(&start), None);
    let over = |lowered: &Lowered| match trim.in_place {
        true => in_place::in_place(lowered),
        false => lowered.clone(),
    };
    let given = over(&start);
    // Another order may need less of it: the least that does as well is enough.
    let mut tried: Vec<Lowered> = vec![start.clone()];
    for macs in [0, most / 32, most / 8, most / 2, most] {
        // What is forgotten early may be written over.
        let trimmed = over(&again::again(&given, macs));
        if tried.contains(&trimmed) {
            continue;
        }
        let ordered = schedule_in(&trimmed, order);
        tried.push(trimmed);
        if peak(&ordered) < least {
            (least, best) = (peak(&ordered), Some(ordered));
        }
    }
    best.unwrap_or(start)
}

/// A buffer that an op touches.
#[derive(Clone, Copy, Debug)]
struct Touch {
    buffer: usize,
    /// What has a place of its own for it.
    root: usize,
    access: Access,
}

impl Touch {
    fn writes(&self) -> bool {
        self.access != Access::Read
    }
}

/// The buffers that `op` touches.
fn touches(op: &Op, buffers: &[Buffer]) -> Vec<Touch> {
    let (mut op, mut touches) = (*op, Vec::new());
    op.visit(&mut |access, slot| {
        if is_buffer(slot) {
            let buffer = slot.start();
            touches.push(Touch { buffer, root: root(buffers, buffer).0, access });
        }
    });
    touches
}

fn is_buffer(slot: &Slot) -> bool {
    slot.memory == Memory::Arena && !slot.is_empty()
}
