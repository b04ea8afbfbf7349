//! A bank of adapters: many learnt states, each of a user, a machine or a season, kept by name in NOR flash,
//! put in place, blended, dropped, sent and received.
//!
//! An adapter is what was learnt ([`offshoot_runtime::learnt`]), whatever was trained, without the course of
//! training: at a switch error trackers and random state stay as they are, and what an optimizer keeps is
//! zeroed. Flash is divided into slots of whole pages, one an adapter:
//!
//! ```text
//! wear | header | bytes | mark | seal      each in units of its own
//! ```
//!
//! *wear* counts the slot's erasures and is written right after one; the rest is written from front to
//! back, as of a checkpoint ([`crate::store`]). An adapter counts once its mark stands, which names the
//! header's checksum; the header has the name, the model, and the checksum of the bytes. A new version goes to
//! another slot; then the old one is erased. In SRAM there is a word a slot, made by [`Bank::open`]: free,
//! taken by another model's adapter, or a hash of the name.
//!
//! Invariants, whatever operation power fails in:
//! * an adapter that [`Bank::keep`] returned for is found again, or a newer version of it, until
//!   [`Bank::remove`] was called for it; one that `remove` returned for is not;
//! * what is put in place has the name that was asked for, this model's hash, and the checksum that its header
//!   names. It is read twice: a wrong checksum changes nothing, and one that is wrong only the second time
//!   puts the base network in place, and says so;
//! * no slot is lost: what was torn, or is older than what is sealed, is free after the next [`Bank::open`];
//! * adapters of another model are left alone until [`Bank::remove_others`].

mod access;
mod message;
mod record;
mod slots;
mod write;

pub use message::{Active, Entry, Incoming, Request, Status, Told};
pub use record::{Header, Name, NAME_BYTES};

use crate::store::{Flash, StoreError};
use offshoot_runtime::bank::BankMemory;
use offshoot_runtime::learnt::{self, Walk, WEIGHT_BITS};
use offshoot_runtime::{Fault, Trainer};
use serde::{Deserialize, Serialize};
pub use slots::slot_bytes;
use slots::Slots;
use write::Writing;

/// Most adapters of a blend.
pub const MOST_BLENDED: usize = 8;
/// Most that a weight of a blend is off 0, in units of `2^-WEIGHT_BITS`.
pub const MOST_WEIGHT: i32 = 8 << WEIGHT_BITS;

/// Flash that a board gives to a bank, and the bank's memory.
pub struct Place<'b> {
    /// The part, none of which is anybody else's.
    pub flash: &'b mut dyn Flash,
    /// How often a page may be erased, as the part's data sheet has it; 0 where it does not matter.
    pub endurance: u32,
    /// A word a slot.
    pub index: &'b mut [u32],
    /// What a host is told.
    pub told: &'b mut [u8],
}

impl<'b> Place<'b> {
    /// `None` where the program was compiled without a bank: nothing is linked of it then.
    pub fn of<const SLOTS: usize, const TOLD: usize>(
        memory: &'b mut BankMemory<SLOTS, TOLD>,
        flash: &'b mut dyn Flash,
        endurance: u32,
    ) -> Option<Place<'b>> {
        let BankMemory { index, told } = memory;
        (SLOTS > 0).then_some(Place { flash, endurance, index, told })
    }
}

/// Why a bank did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BankError {
    /// The part's sizes do not suit: see [`Flash::unit`].
    Unsuited,
    /// Two slots do not fit.
    NoRoom,
    /// The program learns nothing.
    Untrained,
    /// No name: see [`Name`].
    Name,
    /// No adapter has that name.
    Unknown,
    /// There is no room for another adapter.
    Full,
    /// The adapter's bytes are not what they were: it was not put in place.
    Damaged,
    /// The adapter read as something else the second time: the base network is in place.
    Lost,
    /// The part refused to read, write or erase, or does not keep what is written to it.
    Flash,
    /// A blend of no adapters or too many, or a weight that is too large.
    Blend,
    /// An adapter of another model or update scheme.
    Foreign,
    /// Parts of an adapter that is sent do not follow each other, or are not what was announced.
    Sent,
    /// The program could not run.
    Fault,
    /// Not a request of this protocol.
    Request,
    /// No adapter whose rank can be cut, or a rank of 0.
    Rank,
}

impl From<StoreError> for BankError {
    fn from(error: StoreError) -> BankError {
        match error {
            StoreError::Unsuited => BankError::Unsuited,
            _ => BankError::Flash,
        }
    }
}

impl From<Fault> for BankError {
    fn from(_: Fault) -> BankError {
        BankError::Fault
    }
}

impl core::fmt::Display for BankError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            BankError::Unsuited => "the units of its bank's flash are too large or do not divide a page",
            BankError::NoRoom => {
                "its bank's flash has no room for two adapters: train less, or give it more"
            }
            BankError::Untrained => "its program learns nothing: compile it with --classes or --update",
            BankError::Name => "an adapter's name has 1 to 24 bytes, no control characters among them",
            BankError::Unknown => "its bank has no adapter of that name: list those that it has",
            BankError::Full => {
                "its bank is full: remove adapters, or those of other models, or compile it with a \
                 larger --bank"
            }
            BankError::Damaged => {
                "the adapter is damaged in flash and was not put in place: import or keep it anew, or \
                 remove it"
            }
            BankError::Lost => {
                "the adapter did not read the same twice: the base network is in place instead; check \
                 the flash"
            }
            BankError::Flash => "its bank's flash refuses, or does not keep what is written to it",
            BankError::Rank => {
                "it has no adapter whose rank can be cut, or the rank is 0: compile with `--adapter dylora`"
            }
            BankError::Blend => {
                "a blend takes 1 to 8 adapters, each with a weight from -8 to 8"
            }
            BankError::Foreign => {
                "the adapter belongs to another model or update scheme: compile that one, or export it \
                 anew from this one"
            }
            BankError::Sent => "the adapter did not come as it was announced: send it again",
            BankError::Fault => "its program could not run: compile it again",
            BankError::Request => "it does not know the request to its bank: rebuild its image",
        })
    }
}

impl core::error::Error for BankError {}

/// What state is, as far as the bank knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum InPlace {
    /// The first content.
    Base,
    /// The adapter with this sequence number, in this slot.
    Adapter { slot: u32, sequence: u64 },
    /// A blend of so many.
    Blend(u8),
    /// Something else.
    Unknown,
}

/// What is known of a part's adapters; the part itself is given to each call, the same every time, with the
/// index that [`Bank::open`] made.
#[derive(Clone, Debug)]
pub struct Bank {
    model_hash: u64,
    /// Bytes of an adapter.
    length: u32,
    /// Greatest sequence number of all headers: each is used once.
    highest: u64,
    /// The slot that was written last.
    last: u32,
    /// Most erasures of a slot that are known of.
    erases: u32,
    in_place: InPlace,
    changed: bool,
    /// An adapter that is being sent.
    sent: Option<Writing>,
}

impl Bank {
    /// Puts the adapter called `name` in place; how many training steps are behind it.
    ///
    /// # Errors
    /// [`BankError::Unknown`], [`BankError::Damaged`] or [`BankError::Flash`] before anything is changed;
    /// [`BankError::Lost`] with the base network in place.
    pub fn activate<T: Trainer + ?Sized>(
        &mut self,
        place: &mut Place<'_>,
        trainer: &mut T,
        name: &Name,
    ) -> Result<u32, BankError> {
        let slots = self.slots(place)?;
        let (slot, header) = self.find(place, &slots, name)?;
        slots.check(place, slot, &header)?;
        let (mut walk, at) = (Walk::default(), slots.bytes_at(slot));
        let crc = slots.read(place, at, self.length, &mut |bytes| walk.put(trainer, bytes));
        if crc != Ok(header.crc) {
            return self.lost(trainer);
        }
        learnt::clear_course(trainer);
        self.put(InPlace::Adapter { slot, sequence: header.sequence });
        Ok(header.steps)
    }

    /// Puts `theta_0 + sum w_i (theta_i - theta_0)` in place, theta_0 being the first content and w_i in
    /// units of `2^-WEIGHT_BITS`; the greatest number of training steps behind one of them. Each element is
    /// rounded once, up where it is between two, and saturates. A single adapter of weight 1 is that adapter,
    /// and weights of 0 are the base network, bit for bit.
    ///
    /// # Errors
    /// As [`Bank::activate`], and [`BankError::Blend`].
    pub fn blend<T: Trainer + ?Sized>(
        &mut self,
        place: &mut Place<'_>,
        trainer: &mut T,
        parts: &[(Name, i32)],
    ) -> Result<u32, BankError> {
        let mut found = [(0, 0, 0, crate::crc::Crc::new()); MOST_BLENDED];
        let found = found.get_mut(..parts.len()).filter(|found| !found.is_empty());
        let found = found.ok_or(BankError::Blend)?;
        let (slots, mut steps) = (self.slots(place)?, 0);
        for ((name, weight), found) in parts.iter().zip(found.iter_mut()) {
            if weight.unsigned_abs() > MOST_WEIGHT.unsigned_abs() {
                return Err(BankError::Blend);
            }
            let (slot, header) = self.find(place, &slots, name)?;
            slots.check(place, slot, &header)?;
            steps = header.steps.max(steps);
            (found.0, found.1, found.2) = (slots.bytes_at(slot), *weight, header.crc);
        }
        learnt::forget(trainer)?;
        let (mut walk, mut at) = (Walk::default(), 0);
        while at < self.length {
            let mut window = [0; slots::WINDOW];
            let most = walk.span(trainer, slots::WINDOW).min(slots::WINDOW) as u32;
            let bytes = (self.length - at).min(most);
            if bytes == 0 {
                return self.lost(trainer);
            }
            let window = window.get_mut(..bytes as usize).unwrap_or_default();
            let mut sums = [0; slots::WINDOW];
            for (from, weight, _, crc) in found.iter_mut() {
                if slots.window(place, *from, at, window).is_err() {
                    return self.lost(trainer);
                }
                crc.extend(window);
                walk.add(trainer, window, *weight, &mut sums);
            }
            walk.settle(trainer, bytes as usize, &sums);
            at += bytes;
        }
        if found.iter().any(|(_, _, wanted, crc)| crc.value() != *wanted) {
            return self.lost(trainer);
        }
        self.put(InPlace::Blend(parts.len() as u8));
        Ok(steps)
    }

    /// Puts the base network in place.
    ///
    /// # Errors
    /// [`BankError::Fault`] only if the program was not verified.
    pub fn drop<T: Trainer + ?Sized>(&mut self, trainer: &mut T) -> Result<(), BankError> {
        learnt::forget(trainer)?;
        self.put(InPlace::Base);
        Ok(())
    }

    /// Lets only the first `rank` channels count of what is in place, where its first can do without the rest: it is
    /// another adapter then, until it is kept.
    ///
    /// # Errors
    /// [`BankError::Rank`] where it cannot be cut, or to a rank of 0.
    pub fn cut<T: Trainer + ?Sized>(
        &mut self,
        trainer: &mut T,
        rank: u16,
    ) -> Result<(), BankError> {
        if rank == 0 || !learnt::cut(trainer, rank) {
            return Err(BankError::Rank);
        }
        self.changed();
        Ok(())
    }

    /// Notes that state was trained, or is what no adapter is.
    pub fn changed(&mut self) {
        self.changed = true;
    }

    /// Notes that state came from elsewhere: `base` if it is the first content.
    pub fn replaced(&mut self, base: bool) {
        self.put(if base { InPlace::Base } else { InPlace::Unknown });
    }

    fn put(&mut self, what: InPlace) {
        (self.in_place, self.changed) = (what, false);
    }

    /// What was put in place is not what was asked for.
    fn lost<T: Trainer + ?Sized>(&mut self, trainer: &mut T) -> Result<u32, BankError> {
        self.drop(trainer)?;
        Err(BankError::Lost)
    }

    fn slots(&self, place: &Place<'_>) -> Result<Slots, BankError> {
        Slots::of(place, self.length)
    }
}
