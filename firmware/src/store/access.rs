//! How slots are read and written, in whole units.

use super::record::{mark, marked, MARK_BYTES};
use super::{Chunk, Flash, Layout, Parts, Span, StoreError, CHUNK};

impl Layout {
    /// Erases the pages of `span`, front to back.
    pub(crate) fn erase(&self, flash: &mut dyn Flash, span: &Span) -> Result<(), StoreError> {
        let mut pages = (span.at..span.end()).step_by(self.page.get() as usize);
        pages.try_for_each(|page| flash.erase(page))
    }

    /// Writes `bytes` from `at` on, filled up to whole units.
    pub(crate) fn put(
        &self,
        flash: &mut dyn Flash,
        at: u32,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let mut at = at;
        for part in bytes.chunks(CHUNK) {
            let mut chunk = Chunk([0xFF; CHUNK]);
            chunk.0.iter_mut().zip(part).for_each(|(to, &from)| *to = from);
            let whole = part.len().next_multiple_of(self.unit.get() as usize);
            flash.write(at, chunk.0.get(..whole).ok_or(StoreError::Unsuited)?)?;
            at = at.saturating_add(whole as u32);
        }
        Ok(())
    }

    /// Reads `length` bytes from `at` on, in parts that `take` is given.
    pub(crate) fn get(
        &self,
        flash: &mut dyn Flash,
        at: u32,
        length: u32,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<(), StoreError> {
        let mut done = 0;
        while done < length {
            let mut chunk = Chunk([0; CHUNK]);
            let now = (length - done).min(CHUNK as u32);
            let whole = now.next_multiple_of(self.unit.get()) as usize;
            let place = chunk.0.get_mut(..whole).ok_or(StoreError::Unsuited)?;
            flash.read(at.saturating_add(done), place)?;
            take(place.get(..now as usize).unwrap_or_default());
            done += now;
        }
        Ok(())
    }

    /// Reads `N` bytes from `at` on.
    pub(crate) fn bytes<const N: usize>(
        &self,
        flash: &mut dyn Flash,
        at: u32,
    ) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        // They are fewer than a chunk.
        let mut take = |part: &[u8]| bytes.iter_mut().zip(part).for_each(|(to, &from)| *to = from);
        self.get(flash, at, N as u32, &mut take)?;
        Ok(bytes)
    }

    /// Writes the mark of the slot at `at`, reads it back, and seals it.
    pub(crate) fn seal(
        &self,
        flash: &mut dyn Flash,
        at: u32,
        parts: &Parts,
        crc: u32,
    ) -> Result<(), StoreError> {
        self.put(flash, at + parts.mark, &mark(crc))?;
        if self.mark(flash, at, parts)? != Some(crc) {
            return Err(StoreError::Damaged);
        }
        self.put(flash, at + parts.seal, &[0])
    }

    /// The checksum that the mark of the slot at `at` names, if it is one.
    pub(crate) fn mark(
        &self,
        flash: &mut dyn Flash,
        at: u32,
        parts: &Parts,
    ) -> Result<Option<u32>, StoreError> {
        Ok(marked(&self.bytes::<MARK_BYTES>(flash, at.saturating_add(parts.mark))?))
    }

    /// Whether the seal was begun, torn or not: the mark before it was whole then.
    pub(crate) fn sealed(&self, flash: &mut dyn Flash, at: u32, parts: &Parts) -> bool {
        let mut begun = false;
        let mut take = |bytes: &[u8]| begun |= bytes.iter().any(|&byte| byte != 0xFF);
        let read = self.get(flash, at.saturating_add(parts.seal), self.unit.get(), &mut take);
        read.is_ok() && begun
    }
}
