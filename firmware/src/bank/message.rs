//! What a host may ask of a bank, and what it is told. Both travel as bytes within a message of the link
//! ([`crate::link`]), so that a device without a bank holds no code for them.

use super::{Header, Name};
use serde::{de, Deserialize, Deserializer, Serialize, Serializer};

/// Asked of a bank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// How it fares, and what is in place.
    Status,
    /// The adapter in the first slot from this one on that holds one.
    Next(u32),
    /// The adapter of this name.
    Find(Name),
    /// To keep what was learnt.
    Keep(Name),
    /// To put an adapter in place.
    Activate(Name),
    /// To put a blend in place: pairs in postcard, one after the other, of a [`Name`] and its weight, an `i32`
    /// in units of `2^-`[`WEIGHT_BITS`](offshoot_runtime::learnt::WEIGHT_BITS).
    Blend(&'a [u8]),
    /// To put the base network in place.
    Drop,
    /// To remove an adapter.
    Remove(Name),
    /// To remove those of other models.
    RemoveOthers,
    /// Bytes of an adapter from an offset on, a multiple of
    /// [`TOLD_BYTES`](offshoot_runtime::bank::TOLD_BYTES).
    Export(Name, u32),
    /// To receive an adapter, whose bytes follow.
    Receive(Incoming),
    /// Bytes of it from an offset on, in order, [`TOLD_BYTES`](offshoot_runtime::bank::TOLD_BYTES) of them
    /// but for the last.
    Bytes(u32, &'a [u8]),
    /// To let only so many of the channels count, where the adapter's first can do without the rest.
    Cut(u16),
}

/// An adapter that is to be received.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Incoming {
    /// Hash of the model and update scheme that it belongs to.
    pub model_hash: u64,
    /// What it is.
    pub entry: Entry,
}

/// An adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: Name,
    /// Bytes of it.
    pub length: u32,
    /// CRC-32 of those.
    pub crc: u32,
    /// Training steps behind it.
    pub steps: u32,
}

impl Entry {
    pub(crate) fn of(header: &Header) -> Entry {
        let Header { name, length, crc, steps, .. } = *header;
        Entry { name, length, crc, steps }
    }
}

/// What state is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Active {
    /// The base network.
    Base,
    /// An adapter.
    Adapter(Entry),
    /// A blend of so many.
    Blend(u8),
    /// Nothing that the bank knows of: a checkpoint, state that was sent, or an adapter that it no longer has.
    Unknown,
}

/// How a bank fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What was put in place last.
    pub active: Active,
    /// Whether training has changed that since.
    pub changed: bool,
    /// Adapters that it has.
    pub stored: u32,
    /// Adapters that it has room for, where none is another model's.
    pub capacity: u32,
    /// Slots that adapters of other models take.
    pub others: u32,
    /// Bytes of an adapter.
    pub adapter_bytes: u32,
    /// Bytes of flash that it takes.
    pub slot_bytes: u32,
    /// How often the page that was erased most has been, as far as is known.
    pub erases: u32,
    /// How often a page may be; 0 where it does not matter.
    pub endurance: u32,
}

/// Told by a bank.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Told {
    /// To [`Request::Status`].
    Status(Status),
    /// To [`Request::Next`], [`Request::Find`] and [`Request::Keep`]: a slot, and what it holds.
    Entry(u32, Entry),
    /// To [`Request::Next`]: there are no more.
    End,
    /// What is in place was put there.
    InPlace {
        /// Training steps behind it.
        steps: u32,
        /// What that took, in the board's [`Counter`](crate::Counter).
        count: u64,
    },
    /// To [`Request::RemoveOthers`]: so many.
    Removed(u32),
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Name, D::Error> {
        Name::new(<&str>::deserialize(deserializer)?).map_err(|_| de::Error::custom("no name"))
    }
}
