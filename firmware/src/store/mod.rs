//! Checkpoints: trainable state that survives a loss of power, in a log of slots in NOR flash.
//!
//! Flash is divided into as many slots as it holds, whole pages each, which are written in turn, so
//! that all wear alike. A slot holds a header, the state, a *mark* and a *seal*, each in units of its
//! own, written in this order; a checkpoint counts once its mark stands, and the newest that counts is
//! the one that is restored. The mark's checksum covers header and state, and what was written is read
//! back before the mark is.
//!
//! Invariants, whatever operation power fails in:
//! * the newest checkpoint that [`Store::save`] returned for is found again, or a newer one that is
//!   whole; and nothing else ever is;
//! * a slot is erased only while another holds the newest checkpoint. A mark that was torn may read as
//!   whole now and as nothing later: until the seal, written after the mark, shows that the mark was
//!   not torn, the checkpoint before it is kept too. With room for two slots only there is none to
//!   write to then: torn marks must read the same every time;
//! * a checkpoint of another model is left alone until it is overwritten on purpose.
//!
//! The crate `sequential-storage` keeps items within a page, and is asynchronous; state is many pages.

mod access;
mod flash;
mod layout;
pub(crate) mod record;

pub use flash::{Flash, Storage};

use crate::crc::Crc;
pub(crate) use layout::{Layout, Parts, Span};
use record::{Header, HEADER_BYTES};
use serde::{Deserialize, Serialize};

/// Bytes that are read or written at once, on the stack.
pub(crate) const CHUNK: usize = 256;

#[repr(align(4))]
pub(crate) struct Chunk(pub(crate) [u8; CHUNK]);

/// Why a checkpoint was neither written nor read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreError {
    /// The part's sizes do not suit: see [`Flash::unit`].
    Unsuited,
    /// Two checkpoints do not fit.
    NoRoom {
        /// Bytes of one.
        slot: u32,
        /// Bytes that there are.
        capacity: u32,
    },
    /// There is no checkpoint.
    Empty,
    /// The newest checkpoint belongs to the model with this hash.
    Foreign(u64),
    /// The part refused to read, write or erase.
    Flash,
    /// What was written reads back as something else: the slot is worn, or the part is broken.
    Damaged,
}

impl core::fmt::Display for StoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            StoreError::Unsuited => "the units of its flash are too large or do not divide a page",
            StoreError::NoRoom { slot, capacity } => {
                return write!(
                    f,
                    "its flash has {capacity} bytes for checkpoints, two take 2 x {slot}: train \
                     less, or give it more"
                );
            }
            StoreError::Empty => "it holds no checkpoint",
            StoreError::Foreign(model) => {
                return write!(
                    f,
                    "its checkpoint is of another model or update scheme ({model:016x}): compile \
                     that one, or overwrite it on purpose"
                );
            }
            StoreError::Flash => "its flash refused to read, write or erase",
            StoreError::Damaged => "its flash does not keep what is written to it",
        })
    }
}

/// A checkpoint that was written or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Greater than that of every checkpoint before it.
    pub sequence: u64,
    /// Training steps behind its state.
    pub steps: u32,
}

/// How flash fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wear {
    /// Sequence number of the newest checkpoint, whatever its model.
    pub newest: Option<u64>,
    /// Hash of that checkpoint's model, where it is another.
    pub foreign: Option<u64>,
    /// Checkpoints that there is room for.
    pub slots: u32,
    /// How often the page that was erased most has been. Off by one at most for each loss of power
    /// between an erasure and what is written next.
    pub erases: u32,
    /// How often a page may be; 0 where it does not matter.
    pub endurance: u32,
}

/// A checkpoint that counts.
#[derive(Clone, Copy, Debug)]
struct Found {
    span: Span,
    parts: Parts,
    header: Header,
    crc: u32,
}

/// What is known of a part's checkpoints; the part itself is given to each call, the same every time.
#[derive(Clone, Debug)]
pub struct Store {
    model_hash: u64,
    length: u32,
    layout: Layout,
    parts: Parts,
    newest: Option<Found>,
    /// A checkpoint that is sure to be found again, the newest or the one before it.
    safe: Option<Found>,
    /// Greatest sequence number of all headers, those without a mark included: each is used once.
    highest: u64,
    /// Most erasures of a slot.
    erases: u32,
    /// Writes that failed since the last that did not: the slots they were meant for are passed over.
    failures: u32,
}

impl Store {
    /// Looks for checkpoints of the model and update scheme with the hash `model_hash`, whose state
    /// has `length` bytes. Changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Unsuited`] or [`StoreError::NoRoom`] where flash cannot hold two.
    pub fn open(
        flash: &mut dyn Flash,
        model_hash: u64,
        length: usize,
    ) -> Result<Store, StoreError> {
        let layout = Layout::of(flash, HEADER_BYTES)?;
        let (length, capacity) = (u32::try_from(length).unwrap_or(u32::MAX), layout.capacity);
        let parts =
            layout.parts(HEADER_BYTES, length).filter(|parts| layout.slots(parts.bytes) >= 2);
        let Some(parts) = parts else {
            let slot = layout.parts(HEADER_BYTES, length).map_or(u32::MAX, |parts| parts.bytes);
            return Err(StoreError::NoRoom { slot, capacity });
        };
        let mut store = Store {
            model_hash,
            length,
            layout,
            parts,
            newest: None,
            safe: None,
            highest: 0,
            erases: 0,
            failures: 0,
        };
        store.newest = store.scan(flash, |best, found| {
            best.is_none_or(|best: Found| best.header.sequence < found.header.sequence)
        });
        if let Some(newest) = store.newest {
            let anchor = newest.header.anchor;
            let sealed = layout.sealed(flash, newest.span.at, &newest.parts);
            let before = (!sealed)
                .then(|| store.scan(flash, |_, found| found.header.sequence == anchor))
                .flatten();
            store.safe = before.or(store.newest);
        }
        Ok(store)
    }

    /// How flash fares.
    pub fn wear(&self, endurance: u32) -> Wear {
        let newest = self.newest.map(|found| found.header);
        Wear {
            newest: newest.map(|header| header.sequence),
            foreign: newest.map(|h| h.model_hash).filter(|_| self.is_foreign()),
            slots: self.layout.slots(self.parts.bytes),
            erases: self.erases,
            endurance,
        }
    }

    /// Writes a checkpoint of `state`, with `steps` training steps behind it. `overwrite` allows that
    /// the newest belongs to another model.
    ///
    /// # Errors
    /// [`StoreError::Foreign`], before anything is changed; [`StoreError::Flash`] or
    /// [`StoreError::Damaged`] where the part fails: the newest checkpoint is still there, and the next
    /// call takes another slot. [`StoreError::Unsuited`] for state of another length.
    pub fn save(
        &mut self,
        flash: &mut dyn Flash,
        state: &[u8],
        steps: u32,
        overwrite: bool,
    ) -> Result<Checkpoint, StoreError> {
        if let Some(newest) = self.newest.filter(|_| self.is_foreign() && !overwrite) {
            return Err(StoreError::Foreign(newest.header.model_hash));
        }
        if state.len() != self.length as usize {
            return Err(StoreError::Unsuited);
        }
        let span = self.free();
        let erased = self.header(flash, span.at).map_or(self.erases.max(1), |old| {
            self.erases = self.erases.max(old.erases);
            old.erases.saturating_add(1)
        });
        let sequence = self.highest.saturating_add(1);
        let header = Header {
            length: self.length,
            sequence,
            anchor: self.safe.map_or(sequence, |found| found.header.sequence),
            model_hash: self.model_hash,
            steps,
            erases: erased,
        };
        (self.highest, self.erases) = (sequence, self.erases.max(erased));
        self.failures = self.failures.wrapping_add(1);
        let crc = self.write(flash, span, &header, state)?;
        self.failures = 0;
        let found = Found { span, parts: self.parts, header, crc };
        (self.newest, self.safe) = (Some(found), Some(found));
        Ok(Checkpoint { sequence, steps })
    }

    /// Puts the newest checkpoint into `state`.
    ///
    /// # Errors
    /// Before anything is changed, [`StoreError::Empty`] or [`StoreError::Foreign`]. After
    /// [`StoreError::Flash`] or [`StoreError::Damaged`] `state` holds part of it.
    pub fn load(&self, flash: &mut dyn Flash, state: &mut [u8]) -> Result<Checkpoint, StoreError> {
        let found = self.newest.ok_or(StoreError::Empty)?;
        let Header { sequence, steps, model_hash, .. } = found.header;
        if self.is_foreign() || state.len() != self.length as usize {
            return Err(StoreError::Foreign(model_hash));
        }
        let mut rest = state;
        let crc = self.read(flash, &found.span, &found.parts, self.length, &mut |bytes| {
            if let Some((now, later)) = core::mem::take(&mut rest).split_at_mut_checked(bytes.len())
            {
                now.copy_from_slice(bytes);
                rest = later;
            }
        })?;
        (crc == found.crc).then_some(Checkpoint { sequence, steps }).ok_or(StoreError::Damaged)
    }

    fn is_foreign(&self) -> bool {
        self.newest.is_some_and(|found| {
            (found.header.model_hash, found.header.length) != (self.model_hash, self.length)
        })
    }

    /// The slot whose turn it is: it shares no page with the newest checkpoint, nor, where there is
    /// room, with the one that is sure to be found. Where the newest is another model's and leaves room
    /// for none, it is overwritten, as was asked for: the first slot.
    fn free(&self) -> Span {
        let bytes = self.parts.bytes;
        let count = self.layout.slots(bytes).max(1);
        let last = self.newest.and_then(|found| found.span.at.checked_div(bytes));
        let last = last.unwrap_or(count - 1);
        let turns = (1..=count).map(|turn| {
            let index = last.wrapping_add(turn).wrapping_add(self.failures) % count;
            Span { at: index * bytes, bytes }
        });
        let is_free =
            |kept: Option<Found>, span: &Span| kept.is_none_or(|found| !found.span.overlaps(span));
        let after_newest = turns.clone().filter(|span| is_free(self.newest, span));
        let spare = after_newest.clone().find(|span| is_free(self.safe, span));
        spare.or_else(|| after_newest.clone().next()).unwrap_or(Span { at: 0, bytes })
    }

    /// Writes a slot and gives the checksum of its header and state.
    fn write(
        &self,
        flash: &mut dyn Flash,
        span: Span,
        header: &Header,
        state: &[u8],
    ) -> Result<u32, StoreError> {
        let parts = self.parts;
        self.layout.erase(flash, &span)?;
        let mut crc = Crc::new();
        let head = header.encode();
        crc.extend(&head);
        crc.extend(state);
        let crc = crc.value();
        self.layout.put(flash, span.at, &head)?;
        self.layout.put(flash, span.at + parts.state, state)?;
        if self.read(flash, &span, &parts, self.length, &mut |_| ())? != crc {
            return Err(StoreError::Damaged);
        }
        self.layout.seal(flash, span.at, &parts, crc)?;
        Ok(crc)
    }

    /// The checksum of a slot's header and state, of which `take` is given the state.
    fn read(
        &self,
        flash: &mut dyn Flash,
        span: &Span,
        parts: &Parts,
        length: u32,
        take: &mut dyn FnMut(&[u8]),
    ) -> Result<u32, StoreError> {
        let mut crc = Crc::new();
        crc.extend(&self.layout.bytes::<HEADER_BYTES>(flash, span.at)?);
        self.layout.get(flash, span.at + parts.state, length, &mut |bytes| {
            crc.extend(bytes);
            take(bytes);
        })?;
        Ok(crc.value())
    }

    fn header(&self, flash: &mut dyn Flash, at: u32) -> Option<Header> {
        Header::decode(&self.layout.bytes::<HEADER_BYTES>(flash, at).ok()?)
    }

    /// The checkpoint at a page, if one counts there, whatever its model.
    fn find(&mut self, flash: &mut dyn Flash, at: u32) -> Option<Found> {
        let header = self.header(flash, at)?;
        self.erases = self.erases.max(header.erases);
        self.highest = self.highest.max(header.sequence);
        let parts = self.layout.parts(HEADER_BYTES, header.length)?;
        let span = Span { at, bytes: parts.bytes };
        if at.checked_add(parts.bytes)? > self.layout.capacity {
            return None;
        }
        let crc = self.layout.mark(flash, at, &parts).ok()??;
        let sum = self.read(flash, &span, &parts, header.length, &mut |_| ()).ok()?;
        (sum == crc).then_some(Found { span, parts, header, crc })
    }

    /// The last of all checkpoints for which `better` says, beside the last such before it, that it is.
    fn scan(
        &mut self,
        flash: &mut dyn Flash,
        better: impl Fn(Option<Found>, &Found) -> bool,
    ) -> Option<Found> {
        let (mut best, mut at) = (None, 0);
        while at < self.layout.capacity {
            let found = self.find(flash, at);
            at = at.saturating_add(found.map_or(self.layout.page.get(), |found| found.span.bytes));
            best = found.filter(|found| better(best, found)).or(best);
        }
        best
    }
}
