//! Holds a placed program against the memory of a board.

use super::{PlaceError, Placed};

/// Tensors that the message names.
const NAMED: usize = 4;

/// Whether arena, state and scratch fit `sram_bytes`. The stack is not counted: give what is left
/// for the program's data.
///
/// # Errors
/// [`PlaceError::Budget`], which names the biggest tensors where the arena is fullest.
pub fn check_budget(placed: &Placed, sram_bytes: u64) -> Result<(), PlaceError> {
    let header = &placed.header;
    let needed = [header.arena, header.state, header.scratch].map(u64::from).iter().sum();
    if needed <= sram_bytes {
        return Ok(());
    }
    let index = fullest_op(placed);
    Err(PlaceError::Budget {
        needed,
        available: sram_bytes,
        arena: header.arena,
        state: header.state,
        scratch: header.scratch,
        index,
        op: placed.names.get(index).cloned().unwrap_or_default(),
        biggest: biggest_at(placed, index),
    })
}

/// The first op with the most live bytes.
pub(super) fn fullest_op(placed: &Placed) -> usize {
    let profile = &placed.plan.profile;
    let most = profile.iter().max();
    profile.iter().position(|bytes| Some(bytes) == most).unwrap_or(0)
}

/// The biggest tensors that live at op `index`, as text.
fn biggest_at(placed: &Placed, index: usize) -> String {
    let at = index as u32;
    let mut live: Vec<(u32, &str)> = placed
        .plan
        .live
        .iter()
        .zip(&placed.buffers)
        .filter(|(life, _)| life.is_some_and(|l| l.first <= at && at <= l.last))
        .map(|(_, buffer)| (buffer.bytes, buffer.name.as_str()))
        .collect();
    live.sort_by_key(|&(bytes, _)| std::cmp::Reverse(bytes));
    let named: Vec<String> =
        live.iter().take(NAMED).map(|(bytes, name)| format!("{name:?} ({bytes} bytes)")).collect();
    let others = match live.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} smaller"),
    };
    named.join(", ") + &others
}
