//! What would fit in place of what does not, as data and in words.

use std::fmt::{Display, Formatter, Result};

use super::Sizes;
use crate::adapter::Adapter;
use crate::report::grouped;
use crate::scheme::Scheme;

/// What would fit. All of it has been compiled, none of it is an estimate.
#[derive(Clone, Debug, PartialEq)]
pub struct Advice {
    /// A scheme that trains less, for the same board.
    pub scheme: Option<Lesser<Scheme>>,
    /// An adapter that trains less, for the same board and scheme.
    pub adapter: Option<Lesser<Adapter>>,
    /// A board with more memory, for the same scheme.
    pub board: Option<Larger>,
    /// What the same scheme needs on the same board if samples come in rows, where that fits and they
    /// were to come as a whole.
    pub rows: Option<Sizes>,
    /// Where neither fits: what the least of those that were tried needs.
    pub least: Option<Sizes>,
}

/// An update scheme or an adapter that trains less than was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesser<T> {
    /// It.
    pub instead: T,
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
        let update = |l: &Lesser<Scheme>| l.line("--update", l.instead.short(), l.instead.toml());
        let adapter =
            |l: &Lesser<Adapter>| l.line("--adapter", l.instead.short(), l.instead.toml());
        let lesser = [self.scheme.as_ref().map(update), self.adapter.as_ref().map(adapter)];
        let lesser: Vec<String> = lesser.into_iter().flatten().collect();
        match self.least {
            _ if !lesser.is_empty() => write!(f, "\n  {}", lesser.join("\n  or "))?,
            Some(least) => write!(
                f,
                "\n  no update scheme: the least that was tried needs {} B of SRAM and {} B of flash without code",
                grouped(least.sram),
                grouped(least.flash)
            )?,
            None => f.write_str("\n  no update scheme: nothing less can be trained")?,
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

impl<T> Lesser<T> {
    /// The option that asks for it, in short form where there is one.
    fn line(&self, option: &str, short: Option<String>, toml: String) -> String {
        let needs = format!(
            "{} B of SRAM, {} B of flash without code; trains {} of {} parameters",
            grouped(self.sizes.sram),
            grouped(self.sizes.flash),
            grouped(self.trained as u64),
            grouped(self.of as u64)
        );
        match short {
            Some(short) => format!("{option} '{short}' ({needs})"),
            None => format!("{option} FILE.toml ({needs}) with\n\n{toml}"),
        }
    }
}

impl Display for Larger {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let (sram, flash) = (grouped(self.sram), grouped(self.flash));
        write!(f, "--board {} ({sram} B of SRAM beside the stack, {flash} B of flash)", self.name)
    }
}
