//! Whether a program fits the memories of a board, and where it does not, what would ([`advise`],
//! [`advise_adapter`]).
//!
//! SRAM is all that the board's stack leaves. Of flash, constants and ops are known when a program is
//! compiled; code is known once an image is linked, until then [`Sizes::code`] is allowed for it.

mod adapters;
mod advice;
mod schemes;

use std::collections::HashSet;

use offshoot_boards::Board;

use crate::pipeline::{CompileError, Compiled};
use crate::place::{check_budget, PlaceError};

pub use adapters::{advise_adapter, Asked};
pub use advice::{Advice, Larger, Lesser};
pub use schemes::advise;
pub(crate) use schemes::{first_that_fits, sizes_of};

/// Bytes of flash that are allowed for the code of an image, for each kind of op that it has kernels
/// of, and for each op above what it takes in [`Sizes::flash`]. They give 9 to 37 % more than the code
/// of the images that were measured, which `boards/README.md` lists.
const CODE: [u64; 3] = [16 * 1024, 3 * 1024, 16];

/// Memory that a program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of SRAM, without the stack.
    pub sram: u64,
    /// Bytes of flash.
    pub flash: u64,
}

impl Limits {
    /// What a board has for a program; the desktop has no limits.
    pub fn of(board: &Board) -> Limits {
        let stack = board.stack_bytes;
        Limits {
            sram: board.sram_bytes().map_or(u64::MAX, |sram| sram.saturating_sub(stack)),
            flash: board.flash_bytes().unwrap_or(u64::MAX),
        }
    }

    /// What is left of it beside so many bytes of SRAM for something else.
    pub fn beside(&self, bytes: u64) -> Limits {
        Limits { sram: self.sram.saturating_sub(bytes), ..*self }
    }

    /// Whether a program of these sizes fits.
    pub fn hold(&self, sizes: Sizes) -> bool {
        sizes.sram <= self.sram && sizes.flash.saturating_add(sizes.code) <= self.flash
    }
}

/// Memory that a program needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Bytes of SRAM, without the stack.
    pub sram: u64,
    /// Bytes of flash, without code.
    pub flash: u64,
    /// Bytes of flash that are allowed for the code of an image.
    pub code: u64,
}

impl Sizes {
    /// Those of `compiled`.
    ///
    /// # Errors
    /// Where the program does not encode.
    pub fn of(compiled: &Compiled) -> Result<Sizes, CompileError> {
        let header = &compiled.placed.header;
        let sram = [header.arena, header.state, header.scratch].map(u64::from).iter().sum();
        let ops = &compiled.program.ops;
        let kinds: HashSet<&str> = ops.iter().map(|op| op.name()).collect();
        let code = CODE[0] + CODE[1] * kinds.len() as u64 + CODE[2] * ops.len() as u64;
        Ok(Sizes { sram, flash: compiled.program.encode()?.len() as u64, code })
    }
}

/// Which memory is too small.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// SRAM.
    #[error(transparent)]
    Sram(#[from] PlaceError),
    /// Flash.
    #[error("the program needs about {needed} bytes of flash (constants {constants}, ops {ops}, code about {code}), but {available} are available: train fewer layers in the update scheme, choose a smaller network, or a board with more flash")]
    Flash {
        /// Bytes needed in all.
        needed: u64,
        /// Bytes of the board.
        available: u64,
        /// Bytes of weights and tables.
        constants: u64,
        /// Bytes of the list of ops.
        ops: u64,
        /// Bytes that are allowed for code.
        code: u64,
    },
}

/// A program that does not fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Unfit {
    /// What is too small.
    pub over: Over,
    /// What would fit, where that was asked for.
    pub advice: Option<Advice>,
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.over)?;
        match &self.advice {
            Some(advice) => write!(f, "\n{advice}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Unfit {}

/// Whether `compiled`, which needs `sizes`, fits.
///
/// # Errors
/// [`Unfit`], without advice.
pub fn check(compiled: &Compiled, sizes: Sizes, limits: Limits) -> Result<(), Box<Unfit>> {
    if let Err(over) = check_budget(&compiled.placed, limits.sram) {
        return Err(Box::new(Unfit { over: over.into(), advice: None }));
    }
    if limits.hold(sizes) {
        return Ok(());
    }
    let constants = compiled.placed.constants.len() as u64;
    let over = Over::Flash {
        needed: sizes.flash.saturating_add(sizes.code),
        available: limits.flash,
        constants,
        ops: sizes.flash.saturating_sub(constants),
        code: sizes.code,
    };
    Err(Box::new(Unfit { over, advice: None }))
}
