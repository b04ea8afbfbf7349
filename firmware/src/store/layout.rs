//! Where slots lie, and the parts of one.

use super::record::MARK_BYTES;
use super::{Flash, StoreError, CHUNK};
use core::num::NonZero;

/// A run of bytes of the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub at: u32,
    pub bytes: u32,
}

impl Span {
    pub(crate) fn end(&self) -> u32 {
        self.at.saturating_add(self.bytes)
    }

    pub(crate) fn overlaps(&self, other: &Span) -> bool {
        self.at < other.end() && other.at < self.end()
    }
}

/// Offsets of the parts of a slot from its first byte; each begins a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts {
    pub state: u32,
    pub mark: u32,
    pub seal: u32,
    /// Bytes of the slot, whole pages.
    pub bytes: u32,
}

/// What the part's sizes allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub unit: NonZero<u32>,
    pub page: NonZero<u32>,
    /// Whole pages.
    pub capacity: u32,
}

impl Layout {
    /// For slots that begin with `head` bytes, which lie in one page.
    pub(crate) fn of(flash: &dyn Flash, head: usize) -> Result<Layout, StoreError> {
        let (unit, page) = (flash.unit(), flash.page());
        let suits = (1..=CHUNK).contains(&unit)
            && CHUNK.checked_rem(unit) == Some(0)
            && page.checked_rem(unit) == Some(0)
            && page >= head.next_multiple_of(unit);
        let pages = flash.capacity().checked_div(page).filter(|_| suits);
        let capacity = pages.and_then(|pages| u32::try_from(pages * page).ok());
        let sizes = NonZero::new(unit as u32).zip(NonZero::new(page as u32));
        let (capacity, (unit, page)) = capacity.zip(sizes).ok_or(StoreError::Unsuited)?;
        Ok(Layout { unit, page, capacity })
    }

    /// The parts of a slot for `length` bytes of state behind `head` others; none where that is more than
    /// flash can be.
    pub(crate) fn parts(&self, head: usize, length: u32) -> Option<Parts> {
        let up = |bytes: u32, to: NonZero<u32>| bytes.checked_next_multiple_of(to.get());
        let state = up(head as u32, self.unit)?;
        let mark = state.checked_add(up(length, self.unit)?)?;
        let seal = mark.checked_add(up(MARK_BYTES as u32, self.unit)?)?;
        let bytes = up(seal.checked_add(self.unit.get())?, self.page)?;
        Some(Parts { state, mark, seal, bytes })
    }

    /// How many slots of `bytes` there are.
    pub(crate) fn slots(&self, bytes: u32) -> u32 {
        self.capacity.checked_div(bytes).unwrap_or(0)
    }
}
