//! What would fit in place of what does not, as data and in words.

use std::fmt::{Display, Formatter, Result};

use super::Sizes;
use crate::report::grouped;
use crate::scheme::Scheme;

/// What would fit. All of it has been compiled, none of it is an estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// A scheme that trains less, for the same board.
    pub scheme: Option<Lesser>,
    /// A board with more memory, for the same scheme.
    pub board: Option<Larger>,
    /// What the same scheme needs on the same board if samples come in rows, where that fits and they
    /// were to come as a whole.
    pub rows: Option<Sizes>,
    /// Where no scheme fits: what the least of those that were tried needs.
    pub least: Option<Sizes>,
}

/// An update scheme that trains less than was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesser {
    /// The scheme.
    pub scheme: Scheme,
    /// What it needs.
    pub sizes: Sizes,
    /// Parameters that it trains.
    pub trained: usize,
    /// Parameters that were to be trained.
    pub of: usize,
}

/// A board.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Larger {
    /// Its name.
    pub name: String,
    /// Bytes of SRAM that it has for a program.
    pub sram: u64,
    /// Bytes of flash that it has.
    pub flash: u64,
}

impl Display for Advice {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str("what would fit:")?;
        match (&self.scheme, self.least) {
            (Some(lesser), _) => write!(f, "\n  {lesser}")?,
            (None, Some(least)) => write!(
                f,
                "\n  no update scheme: the least that was tried needs {} B of SRAM and {} B of flash without code",
                grouped(least.sram),
                grouped(least.flash)
            )?,
            (None, None) => f.write_str("\n  no update scheme: nothing less can be trained")?,
        }
        if let Some(Sizes { sram, .. }) = self.rows {
            let sram = grouped(sram);
            write!(
                f,
                "\n  or as it is, if samples can come in rows: --input-rows ({sram} B of SRAM)"
            )?;
        }
        match &self.board {
            Some(board) => write!(f, "\n  or as it is: {board}"),
            None => f.write_str("\n  no other board of those that are known"),
        }
    }
}

impl Display for Lesser {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let needs = format!(
            "{} B of SRAM, {} B of flash without code; trains {} of {} parameters",
            grouped(self.sizes.sram),
            grouped(self.sizes.flash),
            grouped(self.trained as u64),
            grouped(self.of as u64)
        );
        match self.scheme.short() {
            Some(short) => write!(f, "--update '{short}' ({needs})"),
            None => {
                write!(f, "--update FILE.toml ({needs}) with\n\n{}", self.scheme.toml())
            }
        }
    }
}

impl Display for Larger {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (sram, flash) = (grouped(self.sram), grouped(self.flash));
        write!(f, "--board {} ({sram} B of SRAM beside the stack, {flash} B of flash)", self.name)
    }
}
