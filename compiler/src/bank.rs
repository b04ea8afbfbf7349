//! A bank of adapters beside a program: what it takes, and whether a board has room for it.

use offshoot_boards::Board;
use offshoot_firmware::bank::slot_bytes;
use offshoot_runtime::bank;
use offshoot_runtime::program::Program;
use serde::{Deserialize, Serialize};

/// What a bank takes: as the report has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banked {
    /// Adapters that there may be; 0 is no bank.
    pub adapters: u16,
    /// Bytes of SRAM.
    pub sram: u32,
    /// Bytes of an adapter.
    pub adapter_bytes: u32,
    /// Bytes of flash that the bank takes in all.
    pub flash: u64,
}

/// There can be no such bank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BankError {
    /// A program that does not learn.
    #[error("the program trains nothing that adapters could hold: give --classes or --update")]
    Untrained,
    /// A board without flash for it.
    #[error("{board} has no flash for a bank of adapters; take one of: {others}")]
    NoFlash {
        /// The board.
        board: String,
        /// Those that have some.
        others: String,
    },
    /// More than the board's flash holds.
    #[error(
        "{board} has {flash} bytes of flash for a bank, room for {room} adapters of {slot} bytes; write \
         --bank {room} or less"
    )]
    NoRoom {
        /// The board.
        board: String,
        /// Bytes of flash.
        flash: u64,
        /// Adapters that fit.
        room: u64,
        /// Bytes of flash that one takes.
        slot: u64,
    },
}

/// Bytes that flash for a bank is written in.
const UNIT: usize = 4;

impl Banked {
    /// A bank of so many adapters of what `program` learns, on `board`; 0 is none, which every board has.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn of(adapters: u16, program: &Program<'_>, board: &Board) -> Result<Banked, BankError> {
        if adapters == 0 {
            return Ok(Banked::default());
        }
        let adapter_bytes = program.learnt_bytes();
        if adapter_bytes == 0 {
            return Err(BankError::Untrained);
        }
        let flash = board.bank.ok_or_else(|| {
            let all = offshoot_boards::all().unwrap_or_default().into_iter();
            let others: Vec<String> = all.filter(|b| b.bank.is_some()).map(|b| b.name).collect();
            BankError::NoFlash { board: board.name.clone(), others: others.join(", ") }
        })?;
        let slot =
            u64::from(slot_bytes(adapter_bytes, UNIT, flash.page as usize).unwrap_or(u32::MAX));
        // One more, which a new version is written to.
        let taken = slot * (u64::from(adapters) + 1);
        if taken > flash.bytes {
            let room = (flash.bytes / slot).saturating_sub(1);
            let board = board.name.clone();
            return Err(BankError::NoRoom { board, flash: flash.bytes, room, slot });
        }
        Ok(Banked { adapters, sram: bank::bytes(adapters) as u32, adapter_bytes, flash: taken })
    }
}
