//! Writes a segment of a program in bands.
//!
//! Each band computes some rows of the segment's last op, and of every op before it the rows that
//! these need and no band before has computed: no row is computed twice. A tensor that lives only in
//! the segment is never whole. Of it there is, in each band, a *window*: a buffer with the rows that
//! bands before have computed and this one needs, moved there from the window before, and after them
//! the rows that are new. Between two bands, the rows that are needed again are *parked* in a buffer
//! just as large, so that the window's bytes are free.
//!
//! The segment's output may grow *in place*: in rows of an input that nobody reads any more. It is
//! moved to a place of its own at last, so that the rest of the input's bytes are free.

use std::collections::HashMap;

use offshoot_runtime::program::{op as rt, Op};
use offshoot_runtime::{Memory, Slot};

use super::rows::{Network, RowOp, Rows};
use super::Segment;
use crate::lower::{macs, Buffer, Holds, Lowered, Within};

/// The buffer that holds some rows of a tensor, and which.
#[derive(Clone, Debug)]
struct Held {
    buffer: u32,
    rows: Rows,
}

/// A tensor that the segment computes.
#[derive(Clone, Debug)]
struct Tensor {
    /// Whether it is read after the segment, or by nobody: it is there as a whole.
    whole: bool,
    /// Ops of the segment that read it.
    readers: Vec<usize>,
    held: Option<Held>,
}

/// A segment while it is written.
pub(super) struct Stream<'a> {
    lowered: &'a Lowered,
    network: &'a Network,
    segment: &'a Segment,
    /// What is written so far.
    out: &'a mut Lowered,
    tensors: HashMap<u32, Tensor>,
    /// Parts that have been made, by buffer, first byte and size.
    parts: HashMap<(u32, u32, u32), u32>,
    /// For each op, rows of its output that have been computed, and will have been after this band.
    done: Vec<u32>,
    aim: Vec<u32>,
    /// For each op that is written, the op of the segment that it is a part of or moves rows for.
    origin: Vec<usize>,
}

impl<'a> Stream<'a> {
    /// A segment of `lowered` to be written to `out`; none where it cannot be banded: an op of it
    /// has to be whole, or is not needed by its last op.
    pub(super) fn new(
        lowered: &'a Lowered,
        network: &'a Network,
        segment: &'a Segment,
        out: &'a mut Lowered,
    ) -> Option<Stream<'a>> {
        let ops: Option<Vec<&RowOp>> =
            network.ops.get(segment.ops.clone())?.iter().map(Option::as_ref).collect();
        let ops = ops?;
        let mut tensors = HashMap::new();
        for (at, op) in ops.iter().enumerate() {
            for (which, &tensor) in op.writes.iter().enumerate() {
                let reads = |op: &&&RowOp| op.reads.contains(&tensor);
                let readers: Vec<usize> =
                    (at + 1..ops.len()).filter(|&k| reads(&&ops[k])).collect();
                if which == 0 && readers.is_empty() && at + 1 < ops.len() {
                    return None;
                }
                let row = lowered.buffers[tensor as usize].bytes / network.heights[tensor as usize];
                if row > u16::MAX.into() {
                    return None;
                }
                let whole = readers.is_empty() || network.is_read_outside(tensor, &segment.ops);
                tensors.insert(tensor, Tensor { whole, readers, held: None });
            }
        }
        let count = ops.len();
        let (parts, done, aim) = (HashMap::new(), vec![0; count], vec![0; count]);
        let origin = Vec::new();
        Some(Stream { lowered, network, segment, out, tensors, parts, done, aim, origin })
    }

    fn op(&self, at: usize) -> Option<&'a RowOp> {
        self.network.ops.get(self.segment.ops.start + at).and_then(Option::as_ref)
    }

    fn height(&self, buffer: u32) -> u32 {
        self.network.heights[buffer as usize]
    }

    fn row_bytes(&self, buffer: u32) -> u32 {
        self.lowered.buffers[buffer as usize].bytes / self.height(buffer).max(1)
    }

    /// Rows of the last op's output.
    pub(super) fn last_height(&self) -> u32 {
        let last = self.segment.ops.len().checked_sub(1).and_then(|at| self.op(at));
        last.map_or(0, |last| self.height(last.writes[0]))
    }

    /// Writes all bands; for each op that is written, the op of the segment that it is a part of or
    /// moves rows for.
    ///
    /// None where the output cannot grow in place, but should.
    pub(super) fn write(mut self) -> Option<Vec<usize>> {
        let (count, height) = (self.segment.ops.len(), self.last_height());
        let output = *self.op(count.checked_sub(1)?)?.writes.first()?;
        let place = if self.segment.in_place { Some(self.grow(output)?) } else { None };
        let mut end = 0;
        while end < height {
            end = (end + self.segment.rows).min(height);
            self.aim_at(end, end == height);
            if place.is_some_and(|input| !self.fits_in_place(input, output, end)) {
                return None;
            }
            for at in 0..count {
                self.run(at);
                if self.segment.park {
                    self.park(at);
                }
            }
            self.done.clone_from(&self.aim);
        }
        if place.is_some() {
            let whole = Held { buffer: output, rows: 0..height };
            self.carry(output, count - 1, &whole, 0..height);
        }
        Some(self.origin)
    }

    /// Lets `output` grow in the place of an input of the segment, which it gives, that is read
    /// nowhere else and is large enough.
    fn grow(&mut self, output: u32) -> Option<u32> {
        let bytes = |buffer: u32| self.lowered.buffers[buffer as usize].bytes;
        let inputs =
            (0..self.segment.ops.len()).filter_map(|at| self.op(at)).flat_map(|op| &op.reads);
        let is_free = |&&input: &&u32| {
            let own = !self.tensors.contains_key(&input);
            own && !self.network.is_read_outside(input, &self.segment.ops)
        };
        let input = *inputs.filter(is_free).max_by_key(|&&input| bytes(input))?;
        if bytes(input) < bytes(output) {
            return None;
        }
        let place = self.buffer(output, 0..self.last_height());
        let within = Within { buffer: input, at: 0, holds: Holds::Own };
        self.out.buffers.last_mut()?.within = Some(within);
        self.tensors.get_mut(&output)?.held = Some(place);
        Some(input)
    }

    /// Whether rows of `output` up to `end`, which this band computes last, reach into no rows of
    /// `input` that are read then or by bands to come.
    fn fits_in_place(&self, input: u32, output: u32, end: u32) -> bool {
        let (count, mut from) = (self.segment.ops.len(), self.height(input));
        for (at, op) in (0..count).filter_map(|at| Some((at, self.op(at)?))) {
            // The last op reads while it writes; the others have read then.
            let read = if at + 1 == count { self.done[at] } else { self.aim[at] };
            if op.reads.contains(&input) && read < self.height(op.writes[0]) {
                from = from.min(op.first_needed(read));
            }
        }
        end * self.row_bytes(output) <= from * self.row_bytes(input)
    }

    /// Sets how many rows each op will have computed after a band that ends at row `end` of the
    /// last op.
    fn aim_at(&mut self, end: u32, is_last: bool) {
        for at in (0..self.segment.ops.len()).rev() {
            let Some(op) = self.op(at) else { continue };
            let mut aim = if at + 1 == self.segment.ops.len() { end } else { self.done[at] };
            for tensor in op.writes.iter().filter_map(|t| self.tensors.get(t)) {
                for &reader in &tensor.readers {
                    let rows = self.done[reader]..self.aim[reader];
                    if let (Some(reader), false) = (self.op(reader), rows.is_empty()) {
                        aim = aim.max(reader.needed(&rows).end);
                    }
                }
                let index = self.segment.ops.start + at;
                let received = matches!(self.lowered.ops[index], Op::Receive(_));
                if is_last && (tensor.whole || received) {
                    aim = self.height(op.writes[0]);
                }
            }
            self.aim[at] = aim;
        }
    }

    /// Runs op `at` of the segment for the rows of this band, if there are any.
    fn run(&mut self, at: usize) {
        let (Some(op), rows) = (self.op(at), self.done[at]..self.aim[at]) else { return };
        if rows.is_empty() {
            return;
        }
        for &tensor in &op.writes {
            if self.tensors.get(&tensor).is_some_and(|t| !t.whole) {
                self.open(tensor, at, &rows);
            }
        }
        let index = self.segment.ops.start + at;
        let banded = op.run(&self.lowered.ops[index], &rows, |slot, rows| {
            let held = self.tensors.get(&slot.offset).and_then(|t| t.held.clone());
            let whole = 0..self.height(slot.offset);
            let held = held.unwrap_or(Held { buffer: slot.offset, rows: whole });
            self.part(slot.offset, &held, rows)
        });
        self.push(at, banded);
    }

    /// Writes an op for op `at` of the segment.
    fn push(&mut self, at: usize, op: Op) {
        self.out.macs.push(macs(&op));
        self.out.ops.push(op);
        self.out.names.push(self.lowered.names[self.segment.ops.start + at].clone());
        self.origin.push(at);
    }

    /// A slot for `rows` of `tensor` in what holds them.
    fn part(&mut self, tensor: u32, held: &Held, rows: &Rows) -> Slot {
        let row = self.row_bytes(tensor);
        let (at, bytes) = ((rows.start - held.rows.start) * row, (rows.end - rows.start) * row);
        let buffer = if *rows == held.rows {
            held.buffer
        } else {
            let name = self.name(tensor, rows);
            let within = Some(Within { buffer: held.buffer, at, holds: Holds::Part });
            let buffers = &mut self.out.buffers;
            *self.parts.entry((held.buffer, at, bytes)).or_insert_with(|| {
                buffers.push(Buffer { name, bytes, within });
                buffers.len() as u32 - 1
            })
        };
        Slot::new(Memory::Arena, buffer, bytes)
    }

    /// What `rows` of `tensor` are called; nothing where it has no name itself.
    fn name(&self, tensor: u32, rows: &Rows) -> String {
        match self.lowered.buffers[tensor as usize].name.as_str() {
            "" => String::new(),
            name => format!("{name} {}..{}", rows.start, rows.end),
        }
    }

    /// A new buffer for `rows` of `tensor`.
    fn buffer(&mut self, tensor: u32, rows: Rows) -> Held {
        let name = self.name(tensor, &rows);
        let bytes = (rows.end - rows.start) * self.row_bytes(tensor);
        self.out.buffers.push(Buffer::new(name, bytes));
        Held { buffer: self.out.buffers.len() as u32 - 1, rows }
    }

    /// First row of a tensor that its readers need, now or later, of those below `end`.
    fn needed_from(&self, tensor: u32, end: u32, computed: impl Fn(usize) -> u32) -> u32 {
        let readers = self.tensors.get(&tensor).map_or(&[][..], |t| &t.readers);
        let first = |&at: &usize| {
            let op = self.op(at)?;
            let left = computed(at) < self.height(op.writes[0]);
            left.then(|| op.first_needed(computed(at)))
        };
        readers.iter().filter_map(first).fold(end, u32::min)
    }

    /// Opens the window of `tensor` into which op `at` writes `rows`.
    fn open(&mut self, tensor: u32, at: usize, rows: &Rows) {
        let from = self.needed_from(tensor, rows.start, |reader| self.done[reader]);
        let window = self.buffer(tensor, from..rows.end);
        if from < rows.start {
            self.carry(tensor, at, &window, from..rows.start);
        }
        if let Some(tensor) = self.tensors.get_mut(&tensor) {
            tensor.held = Some(window);
        }
    }

    /// Parks what bands to come need of the tensors that op `at` has been the last to read.
    fn park(&mut self, at: usize) {
        let Some(op) = self.op(at).filter(|_| self.done[at] < self.aim[at]) else { return };
        for &tensor in &op.reads {
            let Some(Tensor { whole: false, readers, held: Some(held) }) =
                self.tensors.get(&tensor)
            else {
                continue;
            };
            let (held, runs) = (held.clone(), |&k: &usize| k > at && self.done[k] < self.aim[k]);
            let from = self.needed_from(tensor, held.rows.end, |reader| self.aim[reader]);
            if readers.iter().any(runs) || from == held.rows.start || from == held.rows.end {
                continue;
            }
            let parked = self.buffer(tensor, from..held.rows.end);
            self.carry(tensor, at, &parked, parked.rows.clone());
            if let Some(tensor) = self.tensors.get_mut(&tensor) {
                tensor.held = Some(parked);
            }
        }
    }

    /// Moves `rows` of `tensor` from what holds it to `to`, for op `at`.
    fn carry(&mut self, tensor: u32, at: usize, to: &Held, rows: Rows) {
        let Some(from) = self.tensors.get(&tensor).and_then(|t| t.held.clone()) else { return };
        let (input, output) = (self.part(tensor, &from, &rows), self.part(tensor, to, &rows));
        let row = self.row_bytes(tensor);
        let steps = [0, 0, 0, row as i32, 1];
        let size = [1, 1, 1, (rows.end - rows.start) as u16, row as u16];
        let path = rt::Path { size, from: steps, to: steps, ..rt::Path::default() };
        self.push(at, rt::Copy { input, output, path, ..rt::Copy::default() }.into());
    }
}
