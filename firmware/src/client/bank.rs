//! What a host asks of a device's bank.

use super::{done, Client, LinkError, Transport};
use crate::bank::{BankError, Entry, Incoming, Name, Request, Status, Told};
use crate::link::{crc32, Answer, Command, PAYLOAD_BYTES};
use offshoot_runtime::bank::TOLD_BYTES;

/// What was put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// Training steps behind it.
    pub steps: u32,
    /// What that took, in the board's [`Counter`](crate::Counter).
    pub count: u64,
}

impl<T: Transport> Client<T> {
    /// How the bank fares, and what is in place.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn adapters(&mut self) -> Result<Status, LinkError> {
        self.ask_bank(&Request::Status, |told| match told {
            Told::Status(status) => Some(status),
            _ => None,
        })
    }

    /// All adapters that there are, in no order.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn list_adapters(&mut self) -> Result<Vec<Entry>, LinkError> {
        let (mut entries, mut from) = (Vec::new(), Some(0));
        while let Some(slot) = from {
            let next = self.ask_bank(&Request::Next(slot), |told| match told {
                Told::Entry(slot, entry) => Some(Some((slot, entry))),
                Told::End => Some(None),
                _ => None,
            })?;
            entries.extend(next.map(|(_, entry)| entry));
            from = next.and_then(|(slot, _)| slot.checked_add(1));
        }
        Ok(entries)
    }

    /// Keeps what was learnt as the adapter called `name`, in place of an older one of that name.
    ///
    /// # Errors
    /// A [`LinkError`]; after [`LinkError::Silent`] or [`LinkError::Closed`] it is unknown whether it was kept.
    pub fn keep_adapter(&mut self, name: &Name) -> Result<Entry, LinkError> {
        self.ask_bank(&Request::Keep(*name), entry)
    }

    /// Puts an adapter in place.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn activate_adapter(&mut self, name: &Name) -> Result<InPlace, LinkError> {
        self.ask_bank(&Request::Activate(*name), in_place)
    }

    /// Puts a blend in place, of adapters and their weights in units of
    /// `2^-`[`WEIGHT_BITS`](offshoot_runtime::learnt::WEIGHT_BITS).
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn blend_adapters(&mut self, parts: &[(Name, i32)]) -> Result<InPlace, LinkError> {
        let (mut pairs, mut length) = ([0; PAYLOAD_BYTES], 0);
        for part in parts {
            // Too many for a message are too many for a blend.
            let place = pairs.get_mut(length..).unwrap_or_default();
            let pair = postcard::to_slice(part, place);
            length += pair.map_err(|_| LinkError::Refused(BankError::Blend.into()))?.len();
        }
        self.ask_bank(&Request::Blend(&pairs[..length]), in_place)
    }

    /// Puts the base network in place: the first content of what is learnt.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn drop_adapter(&mut self) -> Result<InPlace, LinkError> {
        self.ask_bank(&Request::Drop, in_place)
    }

    /// Lets only the first `rank` channels count of the adapter in place.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn cut_adapter(&mut self, rank: u16) -> Result<InPlace, LinkError> {
        self.ask_bank(&Request::Cut(rank), in_place)
    }

    /// Removes an adapter.
    ///
    /// # Errors
    /// A [`LinkError`]; after [`LinkError::Silent`] or [`LinkError::Closed`] it is unknown whether it is gone.
    pub fn remove_adapter(&mut self, name: &Name) -> Result<(), LinkError> {
        self.command(&Request::Remove(*name))
    }

    /// Removes the adapters of other models; how many.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn remove_other_adapters(&mut self) -> Result<u32, LinkError> {
        self.ask_bank(&Request::RemoveOthers, |told| match told {
            Told::Removed(count) => Some(count),
            _ => None,
        })
    }

    /// An adapter and its bytes.
    ///
    /// # Errors
    /// A [`LinkError`]; [`LinkError::Unexpected`] where it was kept anew meanwhile.
    pub fn export_adapter(&mut self, name: &Name) -> Result<(Entry, Vec<u8>), LinkError> {
        let entry = self.ask_bank(&Request::Find(*name), entry)?;
        let mut bytes = Vec::new();
        while bytes.len() < entry.length as usize {
            let mut message = [0; PAYLOAD_BYTES];
            let message = encoded(&Request::Export(*name, bytes.len() as u32), &mut message)?;
            let length = TOLD_BYTES.min(entry.length as usize - bytes.len());
            let part = self.ask(Command::Adapter(message), &mut |answer| match answer {
                Answer::StateBytes(bytes) if bytes.len() == length => Some(bytes.to_vec()),
                _ => None,
            })?;
            bytes.extend(part);
        }
        if crc32(&bytes) != entry.crc {
            return Err(LinkError::Unexpected);
        }
        Ok((entry, bytes))
    }

    /// Sends an adapter of the model with the hash `model_hash`, to be kept in place of an older one of that
    /// name.
    ///
    /// # Errors
    /// A [`LinkError`]: [`BankError::Foreign`] before anything is changed.
    pub fn import_adapter(
        &mut self,
        model_hash: u64,
        name: &Name,
        steps: u32,
        bytes: &[u8],
    ) -> Result<(), LinkError> {
        let entry = Entry { name: *name, length: bytes.len() as u32, crc: crc32(bytes), steps };
        self.command(&Request::Receive(Incoming { model_hash, entry }))?;
        for (i, part) in bytes.chunks(TOLD_BYTES).enumerate() {
            self.command(&Request::Bytes((i * TOLD_BYTES) as u32, part))?;
        }
        Ok(())
    }

    fn command(&mut self, request: &Request<'_>) -> Result<(), LinkError> {
        let mut message = [0; PAYLOAD_BYTES];
        self.ask(Command::Adapter(encoded(request, &mut message)?), &mut done)
    }

    fn ask_bank<R>(
        &mut self,
        request: &Request<'_>,
        take: impl Fn(Told) -> Option<R>,
    ) -> Result<R, LinkError> {
        let mut message = [0; PAYLOAD_BYTES];
        let message = encoded(request, &mut message)?;
        self.ask(Command::Adapter(message), &mut |answer| match answer {
            Answer::Adapter(told) => take(postcard::from_bytes(told).ok()?),
            _ => None,
        })
    }
}

fn encoded<'m>(request: &Request<'_>, message: &'m mut [u8]) -> Result<&'m [u8], LinkError> {
    postcard::to_slice(request, message).map(|bytes| &*bytes).map_err(|_| LinkError::Unexpected)
}

fn entry(told: Told) -> Option<Entry> {
    match told {
        Told::Entry(_, entry) => Some(entry),
        _ => None,
    }
}

fn in_place(told: Told) -> Option<InPlace> {
    match told {
        Told::InPlace { steps, count } => Some(InPlace { steps, count }),
        _ => None,
    }
}
