//! Checks that a program's buffers are sound and finds from which op to which each one lives.

use offshoot_runtime::{Access, Memory, Slot};

use super::{Life, PlaceError};
use crate::lower::{tensor, Lowered};
use crate::schedule::live::{as_given, Uses};

/// What there is to be placed.
#[derive(Clone, Debug)]
pub(super) struct Lives {
    /// Bytes that each buffer takes, alignment included.
    pub(super) bytes: Vec<u32>,
    pub(super) live: Vec<Option<Life>>,
    pub(super) profile: Vec<u32>,
    pub(super) lower_bound: u32,
}

/// The lives of a program's buffers.
pub(super) fn of(lowered: &Lowered) -> Result<Lives, PlaceError> {
    sound(lowered)?;
    let uses = Uses::of(lowered);
    let total: u64 = uses.bytes.iter().sum();
    if total > u32::MAX.into() {
        return Err(PlaceError::TooLarge { bytes: total });
    }
    let order = as_given(lowered.ops.len());
    let mut profile = Vec::new();
    let (peak, _) = uses.cost(&order, &mut profile);
    let live = uses.lives(&order).collect();
    let narrow = |wide: &u64| *wide as u32;
    Ok(Lives {
        bytes: uses.bytes.iter().map(narrow).collect(),
        live,
        profile: profile.iter().map(narrow).collect(),
        lower_bound: narrow(&peak),
    })
}

/// Bytes of a tensor that have been written: runs that neither touch nor overlap.
#[derive(Clone, Debug, Default)]
struct Written(Vec<(u32, u32)>);

impl Written {
    fn meets(&self, from: u32, to: u32) -> bool {
        self.0.iter().any(|run| run.0 < to && from < run.1)
    }

    fn covers(&self, from: u32, to: u32) -> bool {
        self.0.iter().any(|run| run.0 <= from && to <= run.1)
    }

    fn add(&mut self, mut from: u32, mut to: u32) {
        self.0.retain(|run| {
            let joins = run.0 <= to && from <= run.1;
            if joins {
                (from, to) = (from.min(run.0), to.max(run.1));
            }
            !joins
        });
        self.0.push((from, to));
    }
}

/// Every slot is a whole buffer, every byte written once, before it is read.
fn sound(lowered: &Lowered) -> Result<(), PlaceError> {
    let header = &lowered.header;
    parts_are_inside(lowered)?;
    let mut written = vec![Written::default(); lowered.buffers.len()];
    let extent = |slot: &Slot| {
        let (tensor, from) = tensor(&lowered.buffers, slot.start());
        (tensor, from, from + slot.bytes)
    };
    let buffer = |slot: &Slot| {
        let found = lowered.buffers.get(slot.start()).filter(|b| b.bytes == slot.bytes);
        found.map(|b| b.name.clone())
    };
    let in_arena = |slot: &Slot| slot.memory == Memory::Arena && !slot.is_empty();
    let unknown = |index: usize, op: &str, slot: &Slot| PlaceError::NoSuchBuffer {
        index,
        op: op.into(),
        buffer: slot.offset,
        bytes: slot.bytes,
    };
    if in_arena(&header.input) {
        buffer(&header.input).ok_or_else(|| unknown(0, "input", &header.input))?;
        let (at, from, to) = extent(&header.input);
        written[at].add(from, to);
    }
    let forward = (header.forward as usize).min(lowered.ops.len());
    for (index, op) in lowered.ops.iter().enumerate() {
        if index == forward {
            has_output(lowered, &written)?;
        }
        let name = lowered.names.get(index).map_or(op.name(), String::as_str);
        let (mut op, mut slots) = (*op, Vec::new());
        op.visit(&mut |access, slot| slots.push((access, *slot)));
        slots.retain(|(_, slot)| in_arena(slot));
        // An op reads all it reads before it has written anything.
        slots.sort_by_key(|(access, _)| *access == Access::Write);
        for (access, slot) in slots {
            let buffer = buffer(&slot).ok_or_else(|| unknown(index, name, &slot))?;
            let (at, from, to) = extent(&slot);
            match access {
                Access::Read | Access::Update if !written[at].covers(from, to) => {
                    return Err(PlaceError::ReadBeforeWrite { index, op: name.into(), buffer });
                }
                Access::Write if written[at].meets(from, to) => {
                    return Err(PlaceError::WrittenTwice { index, op: name.into(), buffer });
                }
                _ => written[at].add(from, to),
            }
        }
    }
    has_output(lowered, &written)
}

/// What lies within another buffer comes after it, and ends where that does or before.
fn parts_are_inside(lowered: &Lowered) -> Result<(), PlaceError> {
    for (index, buffer) in lowered.buffers.iter().enumerate() {
        let Some(within) = buffer.within else { continue };
        let other = lowered.buffers.get(within.buffer as usize);
        let end = u64::from(within.at) + u64::from(buffer.bytes);
        let fits = other.is_some_and(|other| end <= other.bytes.into());
        if !fits || within.buffer as usize >= index {
            let other = other.map_or("(no buffer)", |b| &b.name).into();
            return Err(PlaceError::NotInside { buffer: buffer.name.clone(), other });
        }
    }
    Ok(())
}

/// The output is a buffer that has been written.
fn has_output(lowered: &Lowered, written: &[Written]) -> Result<(), PlaceError> {
    let output = &lowered.header.output;
    let (tensor, from) = tensor(&lowered.buffers, output.start());
    let whole = || written.get(tensor).is_some_and(|w| w.covers(from, from + output.bytes));
    if output.is_empty() || whole() {
        return Ok(());
    }
    let name = lowered.buffers.get(output.start()).map_or("(no buffer)", |b| &b.name);
    Err(PlaceError::NoOutput { buffer: name.into() })
}
