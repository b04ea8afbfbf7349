//! How adapters come into a bank: from state, from a host, and from one slot to another.

use super::access::set;
use super::record::{wear, Header};
use super::slots::{key, Slots, CLEAN, FREE, OTHERS};
use super::{Bank, BankError, InPlace, Name, Place};
use crate::crc::Crc;
use crate::store::{Chunk, CHUNK};
use offshoot_runtime::learnt::Walk;
use offshoot_runtime::Trainer;

/// New versions after which an adapter is moved that would otherwise lie where it is for ever.
const STIR_EVERY: u64 = 16;

/// An adapter that is being written, of which `filled` bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writing {
    slot: u32,
    header: Header,
    filled: u32,
}

impl Bank {
    /// Keeps what was learnt as the adapter called `name`, in place of an older one of that name, with `steps`
    /// training steps behind it. It is what is in place then.
    ///
    /// # Errors
    /// [`BankError::Full`] before anything is changed; [`BankError::Flash`], after which an older version
    /// is still there, or the new one is: the next call takes another slot.
    pub fn keep<T: Trainer + ?Sized>(
        &mut self,
        place: &mut Place<'_>,
        trainer: &T,
        name: &Name,
        steps: u32,
    ) -> Result<Header, BankError> {
        let mut crc = Crc::new();
        each(trainer, &mut |bytes| {
            crc.extend(bytes);
            Ok(())
        })?;
        let mut writing = self.begin(place, name, steps, crc.value())?;
        each(trainer, &mut |bytes| self.push(place, &mut writing, bytes))?;
        let slot = writing.slot;
        let header = self.finish(place, writing)?;
        self.in_place = InPlace::Adapter { slot, sequence: header.sequence };
        self.changed = false;
        self.stir(place);
        Ok(header)
    }

    /// Begins to receive an adapter of this model, of `length` bytes with the checksum `crc`: its bytes follow
    /// by [`Bank::receive`].
    ///
    /// # Errors
    /// As [`Bank::keep`]; [`BankError::Foreign`].
    pub fn receive_first(
        &mut self,
        place: &mut Place<'_>,
        header: &Header,
    ) -> Result<(), BankError> {
        self.sent = None;
        if (header.model_hash, header.length) != (self.model_hash, self.length) {
            return Err(BankError::Foreign);
        }
        self.sent = Some(self.begin(place, &header.name, header.steps, header.crc)?);
        Ok(())
    }

    /// Receives bytes of an adapter, in order from offset 0, [`CHUNK`] of them at a time but for the last.
    /// With those it is kept.
    ///
    /// # Errors
    /// [`BankError::Sent`] where they do not follow, or are not what was announced: it is not kept.
    pub fn receive(
        &mut self,
        place: &mut Place<'_>,
        offset: u32,
        bytes: &[u8],
    ) -> Result<(), BankError> {
        let writing = self.sent.take().filter(|writing| writing.filled == offset);
        let mut writing = writing.ok_or(BankError::Sent)?;
        let end = offset.saturating_add(bytes.len() as u32);
        let whole = bytes.len() == CHUNK && end <= self.length;
        if !whole && end != self.length {
            return Err(BankError::Sent);
        }
        self.push(place, &mut writing, bytes)?;
        if end < self.length {
            self.sent = Some(writing);
            return Ok(());
        }
        let (slots, slot) = (self.slots(place)?, writing.slot);
        slots.check(place, slot, &writing.header).map_err(|_| BankError::Sent)?;
        self.finish(place, writing)?;
        self.stir(place);
        Ok(())
    }

    /// Puts bytes of the adapter called `name` from `offset` on into `told`, as many as fit; how many.
    ///
    /// # Errors
    /// [`BankError::Unknown`], [`BankError::Damaged`]; [`BankError::Sent`] where the offset is no multiple of a
    /// chunk's bytes.
    pub fn export(
        &self,
        place: &mut Place<'_>,
        name: &Name,
        offset: u32,
    ) -> Result<usize, BankError> {
        let slots = self.slots(place)?;
        let (slot, header) = self.find(place, &slots, name)?;
        if offset == 0 {
            slots.check(place, slot, &header)?;
        }
        let left = self.length.saturating_sub(offset).min(place.told.len() as u32);
        if !offset.is_multiple_of(CHUNK as u32) || left == 0 {
            return Err(BankError::Sent);
        }
        let at = slots.bytes_at(slot).saturating_add(offset);
        let Place { flash, told, .. } = place;
        let mut rest = told.iter_mut();
        slots.layout.get(*flash, at, left, &mut |bytes| {
            bytes.iter().zip(rest.by_ref()).for_each(|(&from, to)| *to = from);
        })?;
        Ok(left as usize)
    }

    /// Readies a slot for an adapter and writes its header.
    fn begin(
        &mut self,
        place: &mut Place<'_>,
        name: &Name,
        steps: u32,
        crc: u32,
    ) -> Result<Writing, BankError> {
        // A slot that an adapter is being sent to is free again.
        self.sent = None;
        let slots = self.slots(place)?;
        let is_new = self.next(place, &slots, name, 0).is_none();
        let is_free = |word: &u32| *word < OTHERS;
        let free = place.index.iter().take(slots.count as usize).filter(|word| is_free(word));
        if free.count() < 1 + usize::from(is_new) {
            return Err(BankError::Full);
        }
        let turns = (1..=slots.count).filter_map(|turn| {
            let slot = self.last.saturating_add(turn).checked_rem(slots.count)?;
            place.index.get(slot as usize).filter(|word| is_free(word)).map(|word| (slot, *word))
        });
        let (slot, word) = { turns }.next().ok_or(BankError::Full)?;
        self.last = slot;
        if word != CLEAN {
            self.clean(place, &slots, slot)?;
        }
        set(place, slot, FREE);
        self.highest = self.highest.saturating_add(1);
        let header = Header {
            name: *name,
            model_hash: self.model_hash,
            length: self.length,
            crc,
            steps,
            sequence: self.highest,
        };
        let at = slots.header_at(slots.span(slot).at);
        slots.layout.put(place.flash, at, &header.encode().0)?;
        Ok(Writing { slot, header, filled: 0 })
    }

    /// Erases a slot and notes how often that was done.
    pub(super) fn clean(
        &mut self,
        place: &mut Place<'_>,
        slots: &Slots,
        slot: u32,
    ) -> Result<(), BankError> {
        let span = slots.span(slot);
        let worn = slots.worn(place, span.at);
        let erases = worn.map_or(self.erases.max(1), |erases| erases.saturating_add(1));
        self.erases = self.erases.max(erases);
        slots.layout.erase(place.flash, &span)?;
        slots.layout.put(place.flash, span.at, &wear(erases))?;
        Ok(())
    }

    /// Writes the next bytes, whole units but for the last.
    fn push(
        &self,
        place: &mut Place<'_>,
        writing: &mut Writing,
        bytes: &[u8],
    ) -> Result<(), BankError> {
        let slots = self.slots(place)?;
        let at = slots.bytes_at(writing.slot).saturating_add(writing.filled);
        slots.layout.put(place.flash, at, bytes)?;
        writing.filled = writing.filled.saturating_add(bytes.len() as u32);
        Ok(())
    }

    /// Lets an adapter count, once all of it reads as it should, and erases older versions of it.
    fn finish(&mut self, place: &mut Place<'_>, writing: Writing) -> Result<Header, BankError> {
        let (slots, Writing { slot, header, filled }) = (self.slots(place)?, writing);
        let at = slots.span(slot).at;
        let (_, sum) = header.encode();
        let written = slots.header(place, at) == Some((header, sum));
        if filled != self.length || !written {
            return Err(BankError::Flash);
        }
        slots.check(place, slot, &header).map_err(|_| BankError::Flash)?;
        slots.layout.seal(place.flash, at, &slots.parts, sum)?;
        set(place, slot, key(&header.name));
        let mut from = 0;
        while let Some((older, _)) = self.next(place, &slots, &header.name, from) {
            if older != slot {
                // What a worn page keeps is looked up beside the new one, which is newer.
                self.retire(place, &slots, older)?;
            }
            from = older + 1;
        }
        Ok(header)
    }

    /// Now and then moves an adapter to a free slot, another one each time, so that slots of adapters that
    /// nobody keeps anew wear as others do. It is there before and after, whatever fails.
    fn stir(&mut self, place: &mut Place<'_>) {
        let Ok(slots) = self.slots(place) else { return };
        if !self.highest.is_multiple_of(STIR_EVERY) {
            return;
        }
        let first = self.highest / STIR_EVERY % u64::from(slots.count.max(1));
        let order = (first as u32..slots.count).chain(0..first as u32);
        let is_taken = |slot: &u32| place.index.get(*slot as usize).is_some_and(|w| *w > OTHERS);
        let Some(from) = { order }.find(is_taken) else { return };
        let Some((header, _)) = slots.header(place, slots.span(from).at) else { return };
        // An old version on a worn page stays what it is.
        if self.find(place, &slots, &header.name) != Ok((from, header)) {
            return;
        }
        let was_active = matches!(self.in_place, InPlace::Adapter { slot, .. } if slot == from);
        let Ok((slot, sequence)) = self.moved(place, &slots, from, &header) else { return };
        if was_active {
            self.in_place = InPlace::Adapter { slot, sequence };
        }
    }

    fn moved(
        &mut self,
        place: &mut Place<'_>,
        slots: &Slots,
        from: u32,
        header: &Header,
    ) -> Result<(u32, u64), BankError> {
        slots.check(place, from, header)?;
        let mut writing = self.begin(place, &header.name, header.steps, header.crc)?;
        let mut offset = 0;
        while offset < self.length {
            let mut chunk = Chunk([0; CHUNK]);
            let bytes = (self.length - offset).min(CHUNK as u32);
            let part = chunk.0.get_mut(..bytes as usize).unwrap_or_default();
            slots.window(place, slots.bytes_at(from), offset, part)?;
            self.push(place, &mut writing, part)?;
            offset += bytes;
        }
        let slot = writing.slot;
        let header = self.finish(place, writing)?;
        Ok((slot, header.sequence))
    }
}

/// Gives what was learnt to `take`, a chunk at a time.
fn each<T: Trainer + ?Sized>(
    trainer: &T,
    take: &mut dyn FnMut(&[u8]) -> Result<(), BankError>,
) -> Result<(), BankError> {
    let (mut walk, mut chunk) = (Walk::default(), Chunk([0; CHUNK]));
    loop {
        let taken = walk.take(trainer, &mut chunk.0);
        match chunk.0.get(..taken) {
            None | Some([]) => return Ok(()),
            Some(bytes) => take(bytes)?,
        }
    }
}
