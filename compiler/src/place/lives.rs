//! Checks that a program's buffers are sound and finds from which op to which each one lives.

use offshoot_runtime::{Access, Memory, Slot};

use super::{Life, PlaceError};
use crate::lower::Lowered;
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

/// Every slot is a whole buffer, written once, before it is read.
fn sound(lowered: &Lowered) -> Result<(), PlaceError> {
    let header = &lowered.header;
    let mut written = vec![false; lowered.buffers.len()];
    let buffer = |slot: &Slot| {
        let found = lowered.buffers.get(slot.start()).filter(|b| b.bytes == slot.bytes);
        found.map(|b| (slot.start(), b.name.clone()))
    };
    let in_arena = |slot: &Slot| slot.memory == Memory::Arena && !slot.is_empty();
    let unknown = |index: usize, op: &str, slot: &Slot| PlaceError::NoSuchBuffer {
        index,
        op: op.into(),
        buffer: slot.offset,
        bytes: slot.bytes,
    };
    if in_arena(&header.input) {
        let found = buffer(&header.input).ok_or_else(|| unknown(0, "input", &header.input))?;
        written[found.0] = true;
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
            let (at, buffer) = buffer(&slot).ok_or_else(|| unknown(index, name, &slot))?;
            match access {
                Access::Read | Access::Update if !written[at] => {
                    return Err(PlaceError::ReadBeforeWrite { index, op: name.into(), buffer });
                }
                Access::Write if written[at] => {
                    return Err(PlaceError::WrittenTwice { index, op: name.into(), buffer });
                }
                _ => written[at] = true,
            }
        }
    }
    has_output(lowered, &written)
}

/// The output is a buffer that has been written.
fn has_output(lowered: &Lowered, written: &[bool]) -> Result<(), PlaceError> {
    let output = &lowered.header.output;
    if output.is_empty() || written.get(output.start()) == Some(&true) {
        return Ok(());
    }
    let name = lowered.buffers.get(output.start()).map_or("(no buffer)", |b| &b.name);
    Err(PlaceError::NoOutput { buffer: name.into() })
}
