//! Writes a plan's offsets into a program.

use offshoot_runtime::program::{Header, Init, Op};
use offshoot_runtime::{Memory, Slot};

use super::MemoryPlan;
use crate::lower::{root, Banded, Buffer, Lowered, Recomputed};

/// A program whose every slot is at its place: all that is emitted, simulated or sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// What the program is and needs.
    pub header: Header,
    /// First content of state memory.
    pub init: Vec<Init>,
    /// The step, in order.
    pub ops: Vec<Op>,
    /// Name of the node that each op comes from.
    pub names: Vec<String>,
    /// Multiply-accumulates of each op.
    pub macs: Vec<u64>,
    /// Constant memory.
    pub constants: Vec<u8>,
    /// Bytes of state that hold trained weights and biases.
    pub trainable: u32,
    /// Bytes of state that hold velocities.
    pub momentum: u32,
    /// Bytes of state that hold sums over a batch and count its samples.
    pub accumulation: u32,
    /// Which parts of the forward pass run in bands.
    pub bands: Vec<Banded>,
    /// Ops of the forward pass that run again in the backward pass.
    pub again: Vec<Recomputed>,
    /// Tensors of the arena.
    pub buffers: Vec<Buffer>,
    /// Which buffer each arena slot is meant to hold.
    pub tensors: Tensors,
    /// Where the buffers lie, and when.
    pub plan: MemoryPlan,
}

/// Which buffer each arena slot is meant to hold. Offsets alone do not tell: two tensors may have
/// the same place, one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tensors {
    /// That of the header's input; none where it has none.
    pub input: Option<u32>,
    /// That of the header's output.
    pub output: Option<u32>,
    /// Those of each op, in the order of its `visit`, empty slots left out.
    pub of_op: Vec<Vec<u32>>,
}

/// `lowered` with the offsets of `plan`, which [`super::place`] made for it.
pub fn apply(lowered: &Lowered, plan: &MemoryPlan) -> Placed {
    let mut header = Header { arena: plan.peak.next_multiple_of(8), ..lowered.header };
    let mut ops = lowered.ops.clone();
    let move_slot = |slot: &mut Slot| {
        if slot.memory != Memory::Arena || slot.is_empty() {
            return None;
        }
        let buffer = slot.offset;
        let (root, at) = root(&lowered.buffers, slot.start());
        // A buffer that the plan does not know lies outside, where the checker finds it.
        slot.offset = plan.offsets.get(root).map_or(u32::MAX, |start| start + at);
        Some(buffer)
    };
    let tensors = Tensors {
        input: move_slot(&mut header.input),
        output: move_slot(&mut header.output),
        of_op: ops
            .iter_mut()
            .map(|op| {
                let mut buffers = Vec::new();
                op.visit(&mut |_, slot| buffers.extend(move_slot(slot)));
                buffers
            })
            .collect(),
    };
    Placed {
        header,
        init: lowered.init.clone(),
        ops,
        names: lowered.names.clone(),
        macs: lowered.macs.clone(),
        constants: lowered.constants.clone(),
        trainable: lowered.trainable,
        momentum: lowered.momentum,
        accumulation: lowered.accumulation,
        bands: lowered.bands.clone(),
        again: lowered.again.clone(),
        buffers: lowered.buffers.clone(),
        tensors,
        plan: plan.clone(),
    }
}
