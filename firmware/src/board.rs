//! What the application asks of a board, beside bytes.

use crate::bank::Place;
use crate::store::Storage;
use serde::{Deserialize, Serialize};

/// What a board's counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Counter {
    /// Instructions executed: an emulator that counts them.
    Instructions,
    /// Cycles of the core.
    Cycles,
    /// Time: a desktop.
    Nanoseconds,
}

/// How much stack was ever used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Bytes that were written since the start.
    pub used: u32,
    /// Bytes that there are.
    pub size: u32,
}

/// A board, as far as the application cares.
pub trait Board {
    /// Its name, as `board.toml` spells it.
    fn name(&self) -> &str;

    /// What [`Board::count`] counts.
    fn counter(&self) -> Counter;

    /// Instructions, cycles or nanoseconds since some moment; never falls.
    fn count(&mut self) -> u64;

    /// How deep the stack has been; `None` where that is not measured.
    fn stack(&mut self) -> Option<Stack>;

    /// Flash for checkpoints, the same each time; `None` where it has none.
    fn flash(&mut self) -> Option<Storage<'_>> {
        None
    }

    /// Flash and memory of a bank of adapters, the same each time; `None` where it has none.
    fn bank(&mut self) -> Option<Place<'_>> {
        None
    }
}
