//! Ops that compute row by row: which rows of their input a run of rows of their output needs, and
//! the op that computes that run alone.

use offshoot_runtime::program::op::{Geometry, Window};
use offshoot_runtime::program::Op;
use offshoot_runtime::{Access, Memory, Slot};

use crate::lower::Lowered;

/// A run of rows, the last excluded.
pub(super) type Rows = std::ops::Range<u32>;

/// An op of the forward pass whose arena slots are tensors of rows, all it reads of one height and
/// all it writes of another.
#[derive(Clone, Debug)]
pub(super) struct RowOp {
    /// Tensors that it reads.
    pub(super) reads: Vec<u32>,
    /// Tensors that it writes: its output, then what it notes of it.
    pub(super) writes: Vec<u32>,
    /// Rows of its input.
    height: u32,
    window: Option<Window>,
}

/// A window over one row at a time.
const ROW: Window = Window { kernel: [1; 2], stride: [1; 2], pad: [0; 2], dilation: [1; 2] };

impl RowOp {
    /// First row of the input that output row `row` or any later one needs.
    pub(super) fn first_needed(&self, row: u32) -> u32 {
        let Window { stride, pad, .. } = self.window.unwrap_or(ROW);
        (row * u32::from(stride[0])).saturating_sub(pad[0].into()).min(self.height)
    }

    /// Rows of the input that output rows `rows`, of which there is at least one, need.
    pub(super) fn needed(&self, rows: &Rows) -> Rows {
        let Window { kernel, stride, pad, .. } = self.window.unwrap_or(ROW);
        let end = (rows.end - 1) * u32::from(stride[0]) + u32::from(kernel[0]);
        self.first_needed(rows.start)..end.saturating_sub(pad[0].into()).min(self.height)
    }

    /// The op that computes output rows `rows`, its slots to be named by `part`.
    pub(super) fn run(
        &self,
        op: &Op,
        rows: &Rows,
        mut part: impl FnMut(Slot, &Rows) -> Slot,
    ) -> Op {
        let (mut op, needed) = (*op, self.needed(rows));
        if let Some(geometry) = geometry(&mut op) {
            let above = rows.start * u32::from(geometry.window.stride[0]);
            let pad = u32::from(geometry.window.pad[0]);
            geometry.window.pad[0] = pad.saturating_sub(above) as u16;
            geometry.x.h = (needed.end - needed.start) as u16;
            geometry.y.h = (rows.end - rows.start) as u16;
        }
        op.visit(&mut |access, slot| match access {
            _ if slot.memory != Memory::Arena || slot.is_empty() => {}
            Access::Read => *slot = part(*slot, &needed),
            Access::Write | Access::Update => *slot = part(*slot, rows),
            Access::Scratch => {}
        });
        if let Op::Receive(received) = &mut op {
            received.first = rows.start * (received.output.bytes / (rows.end - rows.start));
        }
        op
    }
}

/// The shapes of an op that looks through windows.
fn geometry(op: &mut Op) -> Option<&mut Geometry> {
    match op {
        Op::Conv(op) => Some(&mut op.geometry),
        Op::Depthwise(op) => Some(&mut op.geometry),
        Op::AvgPool(op) => Some(&mut op.geometry),
        Op::MaxPool(op) => Some(&mut op.geometry),
        _ => None,
    }
}

/// Whether an op overlays its weights with trained ones.
fn is_trained(op: &Op) -> bool {
    match op {
        Op::Conv(op) => !op.weights.latent.is_empty(),
        Op::Depthwise(op) => !op.weights.latent.is_empty(),
        _ => false,
    }
}

/// Whether an op computes every element or pixel from its own alone.
fn is_local(op: &Op) -> bool {
    match op {
        Op::Add(_) | Op::Table(_) | Op::Requantize(_) | Op::SaveChannels(_) | Op::Receive(_) => {
            true
        }
        Op::Mul(op) => op.a.bytes == op.b.bytes,
        _ => false,
    }
}

/// The ops of a program's forward pass that can be computed in bands; none of the others.
#[derive(Clone, Debug)]
pub(super) struct Network {
    /// One entry for each op of the forward pass.
    pub(super) ops: Vec<Option<RowOp>>,
    /// Rows of each buffer; 0 where it is no tensor of rows.
    pub(super) heights: Vec<u32>,
    /// First and last op that reads each buffer, of the whole program.
    readers: Vec<Option<(usize, usize)>>,
}

impl Network {
    /// Looks through `lowered`. Ops whose weights are trained are left whole: they put them together
    /// anew each time they run.
    pub(super) fn of(lowered: &Lowered) -> Network {
        let heights = heights(lowered);
        let forward = (lowered.header.forward as usize).min(lowered.ops.len());
        let ops = lowered.ops[..forward].iter().map(|op| row_op(lowered, op, &heights)).collect();
        let mut readers: Vec<Option<(usize, usize)>> = vec![None; lowered.buffers.len()];
        let mut read = |slot: &Slot, at: usize| {
            if let Some(known) = readers.get_mut(slot.start()).filter(|_| !slot.is_empty()) {
                *known =
                    Some(known.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
            }
        };
        for (at, op) in lowered.ops.iter().enumerate() {
            let mut op = *op;
            op.visit(&mut |access, slot| {
                if slot.memory == Memory::Arena && access != Access::Write {
                    read(slot, at);
                }
            });
        }
        read(&lowered.header.output, lowered.ops.len());
        Network { ops, heights, readers }
    }

    /// Whether an op that is none of `ops` reads `buffer`, or a prediction is read from it.
    pub(super) fn is_read_outside(&self, buffer: u32, ops: &std::ops::Range<usize>) -> bool {
        let readers = self.readers.get(buffer as usize).copied().flatten();
        readers.is_some_and(|(first, last)| first < ops.start || last >= ops.end)
    }
}

fn row_op(lowered: &Lowered, op: &Op, heights: &[u32]) -> Option<RowOp> {
    let mut op = *op;
    let window = geometry(&mut op).map(|geometry| geometry.window);
    let dilated = window.is_some_and(|window| window.dilation[0] != 1);
    if is_trained(&op) || dilated || (window.is_none() && !is_local(&op)) {
        return None;
    }
    let (mut reads, mut writes, mut sound) = (Vec::new(), Vec::new(), true);
    op.visit(&mut |access, slot| match access {
        _ if slot.memory != Memory::Arena || slot.is_empty() => {}
        Access::Read => reads.push(slot.offset),
        Access::Write => writes.push(slot.offset),
        Access::Update | Access::Scratch => sound = false,
    });
    let bytes = |&b: &u32| lowered.buffers.get(b as usize).map_or(0, |b| b.bytes);
    let height = |&b: &u32| heights.get(b as usize).copied().unwrap_or(0);
    let y = *writes.first()?;
    let x = match &op {
        // The sample's rows come from outside.
        Op::Receive(_) => y,
        _ => *reads.first()?,
    };
    // Rows must be whole bytes of everything: a mask holds eight elements in one.
    let whole = |b: &u32| height(b) > 0 && bytes(b).is_multiple_of(height(b));
    let notes = |b: &u32| bytes(b) == bytes(&y) || bytes(b) * 8 == bytes(&y);
    sound &= reads.iter().all(|b| whole(b) && height(b) == height(&x));
    sound &= writes.iter().all(|b| whole(b) && height(b) == height(&y));
    sound &= writes[1..].iter().all(notes);
    sound.then(|| RowOp { reads, writes, height: height(&x), window })
}

/// Rows of each buffer, as the ops of the forward pass see them; 0 where they do not agree or do
/// not say.
fn heights(lowered: &Lowered) -> Vec<u32> {
    let mut heights: Vec<Option<u32>> = vec![None; lowered.buffers.len()];
    let header = &lowered.header;
    let input = match lowered.ops.first() {
        Some(Op::Receive(rows)) => rows.output,
        _ => header.input,
    };
    note(&mut heights, &input, header.input_shape.h.into());
    let forward = (header.forward as usize).min(lowered.ops.len());
    // What one op says of a tensor, those before it that compute elements from elements learn on a
    // second walk.
    for op in lowered.ops[..forward].iter().chain(&lowered.ops[..forward]) {
        let (mut op, mut slots) = (*op, Vec::new());
        op.visit(&mut |access, slot| {
            if slot.memory == Memory::Arena && !slot.is_empty() {
                slots.push((access, *slot));
            }
        });
        let known = |(_, slot): &(Access, Slot)| heights.get(slot.start()).copied().flatten();
        let local = if is_local(&op) { slots.iter().find_map(known) } else { None };
        let shapes = geometry(&mut op).map(|g| (u32::from(g.x.h), u32::from(g.y.h)));
        let Some((x, y)) = shapes.or(local.map(|height| (height, height))) else { continue };
        for (access, slot) in slots {
            note(&mut heights, &slot, if access == Access::Read { x } else { y });
        }
    }
    heights.into_iter().map(Option::unwrap_or_default).collect()
}

fn note(heights: &mut [Option<u32>], slot: &Slot, height: u32) {
    let known = heights.get_mut(slot.start()).filter(|_| !slot.is_empty());
    if let Some(known) = known {
        *known = Some(if known.is_none_or(|other| other == height) { height } else { 0 });
    }
}
