//! Runs parts of the forward pass in horizontal bands, where whole activations would need the most
//! memory.
//!
//! A *segment* is a run of ops of the forward pass. In bands, each of its ops becomes several of the
//! same kind, each for some rows of its output; what lives only inside the segment is there a few
//! rows at a time (`stream`). Nothing is computed twice and no kernel knows of it: results are those
//! of the whole ops, bit for bit. Which segments, and how many rows a band has, is chosen by the live
//! bytes of the program that comes out (`search`).
//!
//! What holds of a segment: its ops compute row by row (`rows`) and their weights are frozen; what is
//! read after it, by the backward pass too, is written as a whole, row by row.

mod rows;
mod search;
mod stream;
#[cfg(test)]
mod tests;

use std::ops::Range;

use offshoot_runtime::{Memory, Slot};

use crate::lower::{Banded, Buffer, Lowered};
use rows::Network;
use stream::Stream;

pub(crate) use search::{FLASH_FOR_SRAM, OP_FLASH};

/// A run of ops, and how it is banded.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    ops: Range<usize>,
    /// Rows of the last op's output in a band.
    rows: u32,
    /// Whether rows are parked between bands: fewer live bytes for more moves.
    park: bool,
    /// Whether the output grows in the place of an input whose rows have been read, and is moved to
    /// its own place at last.
    in_place: bool,
}

/// `lowered` with those parts of its forward pass in bands that need the most memory. It stays as
/// it is where that would not lower the most live bytes of a step.
pub fn band(lowered: &Lowered) -> Lowered {
    let network = Network::of(lowered);
    let segments = search::segments(&lowered.bare(), &network);
    match apply(lowered, &network, &segments) {
        Some(banded) if !segments.is_empty() => without_unused(banded.lowered),
        _ => lowered.clone(),
    }
}

/// A program in bands.
#[derive(Clone, Debug)]
struct Applied {
    lowered: Lowered,
    /// The op that each op was a part of.
    origin: Vec<usize>,
}

/// `lowered` with `segments`, which ascend and share no op, in bands; none where one cannot be.
fn apply(lowered: &Lowered, network: &Network, segments: &[Segment]) -> Option<Applied> {
    let (mut out, mut origin) = (lowered.clone(), Vec::new());
    out.ops.clear();
    out.names.clear();
    out.macs.clear();
    let mut at = 0;
    for segment in segments {
        whole(lowered, &mut out, at..segment.ops.start);
        origin.extend(at..segment.ops.start);
        let start = out.ops.len();
        let stream = Stream::new(lowered, network, segment, &mut out)?;
        let last = stream.last_height();
        origin.extend(stream.write()?.into_iter().map(|at| segment.ops.start + at));
        let name = |at: usize| lowered.names.get(at).cloned().unwrap_or_default();
        out.bands.push(Banded {
            first: name(segment.ops.start),
            last: name(segment.ops.end - 1),
            whole_ops: segment.ops.len(),
            ops: out.ops.len() - start,
            bands: last.div_ceil(segment.rows) as usize,
            rows: segment.rows,
        });
        at = segment.ops.end;
    }
    whole(lowered, &mut out, at..lowered.ops.len());
    origin.extend(at..lowered.ops.len());
    let forward = origin.iter().filter(|&&op| op < lowered.header.forward as usize).count();
    out.header.forward = forward as u32;
    Some(Applied { lowered: out, origin })
}

/// Adds ops of `lowered` as they are.
fn whole(lowered: &Lowered, out: &mut Lowered, ops: Range<usize>) {
    out.ops.extend_from_slice(&lowered.ops[ops.clone()]);
    out.names.extend_from_slice(&lowered.names[ops.clone()]);
    out.macs.extend_from_slice(&lowered.macs[ops]);
}

/// Leaves out buffers that nothing touches any more.
fn without_unused(mut lowered: Lowered) -> Lowered {
    let in_arena = |slot: &Slot| slot.memory == Memory::Arena && !slot.is_empty();
    let mut used = vec![false; lowered.buffers.len()];
    let mut slots: Vec<Slot> = vec![lowered.header.input, lowered.header.output];
    lowered.ops.iter_mut().for_each(|op| op.visit(&mut |_, slot| slots.push(*slot)));
    slots.iter().filter(|slot| in_arena(slot)).for_each(|slot| used[slot.start()] = true);
    // What lies within another buffer comes after it.
    for index in (0..used.len()).rev() {
        if let (true, Some(within)) = (used[index], lowered.buffers[index].within) {
            used[within.buffer as usize] = true;
        }
    }
    let mut next = 0;
    let renamed: Vec<u32> = used
        .iter()
        .map(|&used| {
            next += u32::from(used);
            next.wrapping_sub(1)
        })
        .collect();
    let rename = |slot: &mut Slot| {
        if in_arena(slot) {
            slot.offset = renamed[slot.start()];
        }
    };
    lowered.ops.iter_mut().for_each(|op| op.visit(&mut |_, slot| rename(slot)));
    rename(&mut lowered.header.input);
    rename(&mut lowered.header.output);
    let buffers = lowered.buffers.iter().zip(&used).filter(|(_, &used)| used);
    lowered.buffers = buffers
        .map(|(buffer, _)| {
            let mut buffer: Buffer = buffer.clone();
            if let Some(within) = &mut buffer.within {
                within.buffer = renamed[within.buffer as usize];
            }
            buffer
        })
        .collect();
    lowered
}
