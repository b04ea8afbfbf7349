//! What is asked of the bank.

use super::device::Device;
use crate::bank::{Bank, BankError, Entry, Header, Name, Place, Request, Told, MOST_BLENDED};
use crate::board::Board;
use crate::link::{Answer, Refusal};
use offshoot_runtime::guard::GuardMemory;
use offshoot_runtime::Trainer;

impl From<BankError> for Refusal {
    fn from(error: BankError) -> Refusal {
        Refusal::Bank(error)
    }
}

/// What is to be answered.
enum Done {
    Nothing,
    Told(Told),
    /// So many bytes of what a host is told.
    Bytes(usize),
}

impl<T: Trainer + ?Sized, B: Board, G: GuardMemory> Device<'_, T, B, G> {
    /// The bank, where the board has one; nothing of it is linked where none has.
    fn bank(&mut self) -> Option<&mut Bank> {
        self.board.bank()?;
        self.bank.as_mut()?.as_mut().ok()
    }

    /// Looks for adapters; state is its first content.
    pub(super) fn open_bank(&mut self) {
        let opened = self.board.bank().map(|mut place| Bank::open(&mut place, self.trainer, true));
        if opened.is_some() {
            self.bank = opened;
        }
    }

    /// State came from elsewhere than the bank.
    pub(super) fn bank_replaced(&mut self, base: bool) {
        if let Some(bank) = self.bank() {
            bank.replaced(base);
        }
    }

    /// State was trained.
    pub(super) fn bank_changed(&mut self) {
        if let Some(bank) = self.bank() {
            bank.changed();
        }
    }

    /// Does what is asked of the bank.
    pub(super) fn adapter(&mut self, request: &[u8]) -> Result<Answer<'_>, Refusal> {
        if self.board.bank().is_none() {
            return Err(Refusal::NoBank);
        }
        let request: Request<'_> = postcard::from_bytes(request).map_err(|_| BankError::Request)?;
        let done = match request {
            Request::Activate(name) => {
                self.put_in_place(|bank, place, trainer| bank.activate(place, trainer, &name))?
            }
            Request::Blend(mut pairs) => self.put_in_place(|bank, place, trainer| {
                let (mut parts, mut count) = ([(Name::default(), 0); MOST_BLENDED], 0);
                while !pairs.is_empty() {
                    let part = parts.get_mut(count).ok_or(BankError::Blend)?;
                    (*part, pairs) =
                        postcard::take_from_bytes(pairs).map_err(|_| BankError::Request)?;
                    count += 1;
                }
                bank.blend(place, trainer, parts.get(..count).unwrap_or_default())
            })?,
            Request::Drop => {
                self.put_in_place(|bank, _, trainer| bank.drop(trainer).map(|()| 0))?
            }
            Request::Cut(rank) => {
                let steps = self.stats.steps;
                self.put_in_place(|bank, _, trainer| bank.cut(trainer, rank).map(|()| steps))?
            }
            _ => self.stored(request)?,
        };
        let place = self.board.bank().ok_or(Refusal::NoBank)?;
        Ok(match done {
            Done::Nothing => Answer::Done,
            Done::Bytes(length) => Answer::StateBytes(place.told.get(..length).unwrap_or_default()),
            Done::Told(told) => {
                let bytes = postcard::to_slice(&told, place.told);
                Answer::Adapter(bytes.map_err(|_| BankError::Request)?)
            }
        })
    }

    /// What leaves state as it is.
    fn stored(&mut self, request: Request<'_>) -> Result<Done, Refusal> {
        let steps = self.stats.steps;
        let Device { trainer, board, bank, .. } = self;
        let mut place = board.bank().ok_or(Refusal::NoBank)?;
        let bank = bank.as_mut().ok_or(Refusal::NoBank)?.as_mut().map_err(|error| *error)?;
        Ok(Done::Told(match request {
            Request::Status => Told::Status(bank.status(&mut place)?),
            Request::Next(from) => {
                let next = bank.entry(&mut place, from)?;
                next.map_or(Told::End, |(slot, entry)| Told::Entry(slot, entry))
            }
            Request::Find(name) => Told::Entry(0, bank.look(&mut place, &name)?),
            Request::Keep(name) => {
                let header = bank.keep(&mut place, &**trainer, &name, steps)?;
                log!(info, "kept {=str}", name.as_str());
                Told::Entry(0, Entry::of(&header))
            }
            Request::Remove(name) => {
                bank.remove(&mut place, &name)?;
                return Ok(Done::Nothing);
            }
            Request::RemoveOthers => Told::Removed(bank.remove_others(&mut place)?),
            Request::Export(name, offset) => {
                return Ok(Done::Bytes(bank.export(&mut place, &name, offset)?));
            }
            Request::Receive(incoming) => {
                let Entry { name, length, crc, steps } = incoming.entry;
                let model_hash = incoming.model_hash;
                let header = Header { name, model_hash, length, crc, steps, sequence: 0 };
                bank.receive_first(&mut place, &header)?;
                return Ok(Done::Nothing);
            }
            Request::Bytes(offset, bytes) => {
                bank.receive(&mut place, offset, bytes)?;
                return Ok(Done::Nothing);
            }
            Request::Activate(_) | Request::Blend(_) | Request::Drop | Request::Cut(_) => {
                return Err(Refusal::Unknown);
            }
        }))
    }

    /// Puts other state in place; how many steps are behind it, and what that took.
    fn put_in_place(
        &mut self,
        put: impl FnOnce(&mut Bank, &mut Place<'_>, &mut T) -> Result<u32, BankError>,
    ) -> Result<Done, Refusal> {
        let before = self.board.count();
        let Device { trainer, board, bank, .. } = self;
        let mut place = board.bank().ok_or(Refusal::NoBank)?;
        let bank = bank.as_mut().ok_or(Refusal::NoBank)?.as_mut().map_err(|error| *error)?;
        let put = put(bank, &mut place, trainer);
        let count = self.board.count().wrapping_sub(before);
        match put {
            Ok(steps) => self.came_from(None, steps),
            // The base network is in place.
            Err(BankError::Lost) => self.came_from(None, 0),
            Err(_) => {}
        }
        Ok(Done::Told(Told::InPlace { steps: put?, count }))
    }
}
