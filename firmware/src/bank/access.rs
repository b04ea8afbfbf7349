//! What a bank holds: found when it is opened, looked up by name, listed, told.

use super::message::{Active, Entry, Status};
use super::slots::{key, Slots, CLEAN, FREE, OTHERS};
use super::{Bank, BankError, Header, InPlace, Name, Place};
use offshoot_runtime::{learnt, Trainer};

impl Bank {
    /// Looks for adapters of the trainer's program, whose state is the first content if `base`, and makes the
    /// index. Erases those that a newer version of the same name has taken the place of, which only a loss of
    /// power leaves there.
    ///
    /// # Errors
    /// [`BankError::Untrained`], [`BankError::Unsuited`] or [`BankError::NoRoom`].
    pub fn open<T: Trainer + ?Sized>(
        place: &mut Place<'_>,
        trainer: &T,
        base: bool,
    ) -> Result<Bank, BankError> {
        let length = learnt::length(trainer);
        if length == 0 {
            return Err(BankError::Untrained);
        }
        let mut bank = Bank {
            model_hash: trainer.header().model_hash,
            length,
            highest: 0,
            last: 0,
            erases: 0,
            in_place: if base { InPlace::Base } else { InPlace::Unknown },
            changed: false,
            sent: None,
        };
        bank.scan(place)?;
        Ok(bank)
    }

    fn scan(&mut self, place: &mut Place<'_>) -> Result<(), BankError> {
        let slots = self.slots(place)?;
        place.index.fill(FREE);
        let mut at = 0;
        while at < slots.end() {
            let Some(slot) = at.checked_div(slots.parts.bytes) else { break };
            let first = slots.span(slot).at == at;
            if first {
                self.erases = slots.worn(place, at).unwrap_or(0).max(self.erases);
            }
            let found = slots.header(place, at);
            let own = found.map(|(header, _)| header).filter(|h| first && self.is_own(h));
            if let Some(header) = own.filter(|header| header.sequence > self.highest) {
                (self.highest, self.last) = (header.sequence, slot);
            }
            let Some(parts) = found.and_then(|found| slots.counts(place, at, found)) else {
                at = at.saturating_add(slots.layout.page.get());
                continue;
            };
            at = at.saturating_add(parts.bytes);
            if let Some(header) = own {
                self.admit(place, &slots, slot, &header);
                continue;
            }
            // Of another model, in as many slots as it touches.
            let mut slot = slot;
            while slot < slots.count && slots.span(slot).at < at {
                set(place, slot, OTHERS);
                slot += 1;
            }
        }
        Ok(())
    }

    /// Takes an adapter into the index, unless another version of it is what counts.
    fn admit(&mut self, place: &mut Place<'_>, slots: &Slots, slot: u32, header: &Header) {
        let key = key(&header.name);
        let mut kept = (slot, header.sequence, self.is_sealed(place, slots, slot));
        for other in 0..slot {
            let older = self.named(place, slots, other, key).flatten();
            let Some(older) = older.filter(|older| older.name == header.name) else { continue };
            let sealed = self.is_sealed(place, slots, other);
            let (wins, loser) = if (sealed, older.sequence) > (kept.2, kept.1) {
                ((other, older.sequence, sealed), kept.0)
            } else {
                (kept, other)
            };
            kept = wins;
            set(place, loser, key);
            // Where it stays, it is looked up beside the other.
            let _ = self.retire(place, slots, loser);
        }
        set(place, kept.0, key);
    }

    fn is_own(&self, header: &Header) -> bool {
        (header.model_hash, header.length) == (self.model_hash, self.length)
    }

    fn is_sealed(&self, place: &mut Place<'_>, slots: &Slots, slot: u32) -> bool {
        slots.layout.sealed(place.flash, slots.span(slot).at, &slots.parts)
    }

    /// What lies in a slot, where the index has `key` for it: none of what cannot be read.
    fn named(
        &self,
        place: &mut Place<'_>,
        slots: &Slots,
        slot: u32,
        key: u32,
    ) -> Option<Option<Header>> {
        if place.index.get(slot as usize) != Some(&key) {
            return None;
        }
        let header = slots.header(place, slots.span(slot).at).map(|(header, _)| header);
        Some(header.filter(|header| self.is_own(header)))
    }

    /// The next slot from `from` on that lies under this name, or is to be read no more and did once.
    pub(super) fn next(
        &self,
        place: &mut Place<'_>,
        slots: &Slots,
        name: &Name,
        from: u32,
    ) -> Option<(u32, Option<Header>)> {
        let key = key(name);
        let mut all = (from..slots.count).filter_map(|slot| {
            let header = self.named(place, slots, slot, key)?;
            Some((slot, header)).filter(|_| header.is_none_or(|header| header.name == *name))
        });
        all.next()
    }

    /// The newest adapter of a name.
    pub(super) fn find(
        &self,
        place: &mut Place<'_>,
        slots: &Slots,
        name: &Name,
    ) -> Result<(u32, Header), BankError> {
        let (mut found, mut from) = (None::<(u32, Header)>, 0);
        while let Some((slot, header)) = self.next(place, slots, name, from) {
            // What cannot be read might be the newest.
            let header = header.ok_or(BankError::Damaged)?;
            if found.is_none_or(|(_, newest)| newest.sequence < header.sequence) {
                found = Some((slot, header));
            }
            from = slot + 1;
        }
        found.ok_or(BankError::Unknown)
    }

    /// The adapter in the first slot from `from` on that holds one, and the slot.
    ///
    /// # Errors
    /// [`BankError::Unsuited`] or [`BankError::NoRoom`] in another place than the bank was opened in.
    pub fn entry(
        &self,
        place: &mut Place<'_>,
        from: u32,
    ) -> Result<Option<(u32, Entry)>, BankError> {
        let slots = self.slots(place)?;
        let mut all = (from..slots.count).filter_map(|slot| {
            let word = *place.index.get(slot as usize)?;
            let header = self.named(place, &slots, slot, word).filter(|_| word > OTHERS)??;
            Some((slot, Entry::of(&header)))
        });
        Ok(all.next())
    }

    /// The adapter called `name`.
    ///
    /// # Errors
    /// [`BankError::Unknown`] or [`BankError::Damaged`].
    pub fn look(&self, place: &mut Place<'_>, name: &Name) -> Result<Entry, BankError> {
        let slots = self.slots(place)?;
        self.find(place, &slots, name).map(|(_, header)| Entry::of(&header))
    }

    /// How the bank fares, and what is in place.
    ///
    /// # Errors
    /// As [`Bank::entry`].
    pub fn status(&self, place: &mut Place<'_>) -> Result<Status, BankError> {
        let slots = self.slots(place)?;
        let count = |which: fn(u32) -> bool| {
            let index = place.index.iter().take(slots.count as usize);
            index.filter(|word| which(**word)).count() as u32
        };
        let (stored, others) = (count(|word| word > OTHERS), count(|word| word == OTHERS));
        let active = match self.in_place {
            InPlace::Base => Active::Base,
            InPlace::Blend(of) => Active::Blend(of),
            InPlace::Unknown => Active::Unknown,
            InPlace::Adapter { slot, sequence } => {
                let header = slots.header(place, slots.span(slot).at).map(|(header, _)| header);
                let same = header.filter(|h| self.is_own(h) && h.sequence == sequence);
                same.map_or(Active::Unknown, |header| Active::Adapter(Entry::of(&header)))
            }
        };
        Ok(Status {
            active,
            changed: self.changed,
            stored,
            capacity: slots.count - 1,
            others,
            adapter_bytes: self.length,
            slot_bytes: slots.parts.bytes,
            erases: self.erases,
            endurance: place.endurance,
        })
    }

    /// Removes an adapter.
    ///
    /// # Errors
    /// [`BankError::Unknown`]; [`BankError::Flash`], after which it may be there or not.
    pub fn remove(&mut self, place: &mut Place<'_>, name: &Name) -> Result<(), BankError> {
        let slots = self.slots(place)?;
        // What is older first, so that no old version is the newest at any time.
        let newest = self.find(place, &slots, name).ok().map(|(slot, _)| slot);
        let (mut from, mut found, mut gone) = (0, newest.is_some(), true);
        while let Some((slot, _)) = self.next(place, &slots, name, from) {
            if Some(slot) != newest {
                gone &= self.retire(place, &slots, slot)?;
                found = true;
            }
            from = slot + 1;
        }
        if let Some(slot) = newest {
            gone &= self.retire(place, &slots, slot)?;
        }
        match (found, gone) {
            (false, _) => Err(BankError::Unknown),
            (true, false) => Err(BankError::Flash),
            (true, true) => Ok(()),
        }
    }

    /// Removes the adapters of other models, so far as slots of this one's reach; how many.
    ///
    /// # Errors
    /// [`BankError::Flash`].
    pub fn remove_others(&mut self, place: &mut Place<'_>) -> Result<u32, BankError> {
        let slots = self.slots(place)?;
        let (mut at, mut removed) = (0, 0);
        while at < slots.end() {
            let page = slots.layout.page.get();
            let slot = at.checked_div(slots.parts.bytes).unwrap_or(0);
            let others = place.index.get(slot as usize) == Some(&OTHERS);
            let found = slots.header(place, at).filter(|_| others);
            let found = found.and_then(|found| slots.counts(place, at, found));
            if found.is_some() {
                place.flash.erase(at)?;
                removed += 1;
            }
            at = at.saturating_add(found.map_or(page, |parts| parts.bytes));
        }
        self.scan(place)?;
        Ok(removed)
    }

    /// Erases what lies in a slot, which is free then; not where a worn page keeps it.
    pub(super) fn retire(
        &mut self,
        place: &mut Place<'_>,
        slots: &Slots,
        slot: u32,
    ) -> Result<bool, BankError> {
        self.clean(place, slots, slot)?;
        if slots.header(place, slots.span(slot).at).is_some() {
            return Ok(false);
        }
        set(place, slot, CLEAN);
        if matches!(self.in_place, InPlace::Adapter { slot: active, .. } if active == slot) {
            self.in_place = InPlace::Unknown;
        }
        Ok(true)
    }
}

/// Notes what a slot holds.
pub(super) fn set(place: &mut Place<'_>, slot: u32, word: u32) {
    if let Some(place) = place.index.get_mut(slot as usize) {
        *place = word;
    }
}
