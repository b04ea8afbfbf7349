//! Where slots lie, and how they are read.

use super::record::{worn, Header, HEADER_BYTES, WEAR_BYTES};
use super::{BankError, Name, Place};
use crate::crc::Crc;
use crate::store::{Layout, Parts, Span};
use core::num::NonZero;
use offshoot_runtime::hash;

/// Bytes of adapters that are blended at once; any unit divides it or is a multiple of it.
pub(super) const WINDOW: usize = 64;

/// A slot that holds nothing that counts, to be erased before it is written.
pub(super) const FREE: u32 = 0;
/// A slot that was erased since [`super::Bank::open`], with its record of wear.
pub(super) const CLEAN: u32 = 1;
/// A slot that an adapter of another model lies in.
pub(super) const OTHERS: u32 = 2;

/// What stands in the index for an adapter of this name.
pub(super) fn key(name: &Name) -> u32 {
    let hash = hash::fnv1a(hash::EMPTY, name.as_str().as_bytes());
    let word = (hash ^ (hash >> 32)) as u32;
    if word > OTHERS {
        word
    } else {
        !word
    }
}

/// Bytes before an adapter's, in units of `unit`.
fn head(unit: usize) -> usize {
    let wear = WEAR_BYTES.checked_next_multiple_of(unit).unwrap_or(usize::MAX);
    wear.saturating_add(HEADER_BYTES)
}

/// Bytes of flash that an adapter of `length` bytes takes, in units of `unit` and pages of `page` bytes.
pub fn slot_bytes(length: u32, unit: usize, page: usize) -> Option<u32> {
    let [unit, page] = [unit, page].map(|n| u32::try_from(n).ok().and_then(NonZero::new));
    let layout = Layout { unit: unit?, page: page?, capacity: u32::MAX };
    Some(layout.parts(head(layout.unit.get() as usize), length)?.bytes)
}

/// What the part's sizes allow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slots {
    pub layout: Layout,
    pub parts: Parts,
    /// How many there are.
    pub count: u32,
}

impl Slots {
    /// For adapters of `length` bytes.
    pub(super) fn of(place: &Place<'_>, length: u32) -> Result<Slots, BankError> {
        let head = head(place.flash.unit());
        let layout = Layout::of(place.flash, head)?;
        let parts = layout.parts(head, length).ok_or(BankError::NoRoom)?;
        let count = layout.slots(parts.bytes).min(place.index.len() as u32);
        (count >= 2).then_some(Slots { layout, parts, count }).ok_or(BankError::NoRoom)
    }

    /// The pages of a slot.
    pub(super) fn span(&self, slot: u32) -> Span {
        Span { at: slot.saturating_mul(self.parts.bytes), bytes: self.parts.bytes }
    }

    /// The bytes that there are slots in.
    pub(super) fn end(&self) -> u32 {
        self.count.saturating_mul(self.parts.bytes)
    }

    /// Where the adapter's bytes begin.
    pub(super) fn bytes_at(&self, slot: u32) -> u32 {
        self.span(slot).at.saturating_add(self.parts.state)
    }

    /// Where the header of the slot at `at` begins.
    pub(super) fn header_at(&self, at: u32) -> u32 {
        let unit = self.layout.unit;
        at.saturating_add((WEAR_BYTES as u32).checked_next_multiple_of(unit.get()).unwrap_or(0))
    }

    /// The header of the slot at `at`, whatever its model, and its checksum.
    pub(super) fn header(&self, place: &mut Place<'_>, at: u32) -> Option<(Header, u32)> {
        let at = self.header_at(at);
        Header::decode(&self.layout.bytes::<HEADER_BYTES>(place.flash, at).ok()?)
    }

    /// How often the slot at `at` has been erased, where that is known.
    pub(super) fn worn(&self, place: &mut Place<'_>, at: u32) -> Option<u32> {
        worn(&self.layout.bytes::<WEAR_BYTES>(place.flash, at).ok()?)
    }

    /// The parts of the slot at `at`, if the adapter with this header and checksum counts there, whatever
    /// its model.
    pub(super) fn counts(
        &self,
        place: &mut Place<'_>,
        at: u32,
        (header, sum): (Header, u32),
    ) -> Option<Parts> {
        let head = head(self.layout.unit.get() as usize);
        let parts = self.layout.parts(head, header.length)?;
        let inside = at.checked_add(parts.bytes)? <= self.layout.capacity;
        let marked = self.layout.mark(place.flash, at, &parts).ok()?;
        (inside && marked == Some(sum)).then_some(parts)
    }

    /// Reads `length` bytes from `at` on, in parts that `take` is given; their checksum.
    pub(super) fn read(
        &self,
        place: &mut Place<'_>,
        at: u32,
        length: u32,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<u32, BankError> {
        let mut crc = Crc::new();
        self.layout.get(place.flash, at, length, &mut |bytes| {
            crc.extend(bytes);
            take(bytes);
        })?;
        Ok(crc.value())
    }

    /// That the bytes in a slot are those that its header names.
    pub(super) fn check(
        &self,
        place: &mut Place<'_>,
        slot: u32,
        header: &Header,
    ) -> Result<(), BankError> {
        let crc = self.read(place, self.bytes_at(slot), header.length, &mut |_| ())?;
        (crc == header.crc).then_some(()).ok_or(BankError::Damaged)
    }

    /// Fills `window` with the bytes that begin `offset`, a multiple of 4, behind `from`, wherever units
    /// begin.
    pub(super) fn window(
        &self,
        place: &mut Place<'_>,
        from: u32,
        offset: u32,
        window: &mut [u8],
    ) -> Result<(), BankError> {
        let before = offset % self.layout.unit;
        let (mut skip, mut rest) = (before as usize, window);
        let length = before.saturating_add(rest.len() as u32);
        let at = from.saturating_add(offset - before);
        self.layout.get(place.flash, at, length, &mut |bytes| {
            let bytes = bytes.get(skip..).unwrap_or_default();
            skip = 0;
            if let Some((now, later)) = core::mem::take(&mut rest).split_at_mut_checked(bytes.len())
            {
                now.copy_from_slice(bytes);
                rest = later;
            }
        })?;
        Ok(())
    }
}
