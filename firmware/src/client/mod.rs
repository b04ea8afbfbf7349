//! The host's half of the link: asks, waits, asks again, and explains what went wrong.

mod bank;
mod told;
mod transport;

pub use bank::InPlace;
pub use told::{DeviceInfo, LinkError, Predicted, Used};
pub use transport::{InProcess, Piped, Transport};

use crate::board::Counter;
use crate::guard::Watched;
use crate::link::{
    encode, Answer, Command, Decoder, Event, Reply, Request, Stats, Stepped, CHUNK_BYTES,
    FRAME_BYTES, PROTOCOL,
};
use crate::store::Checkpoint;
use offshoot_runtime::hash;
use std::time::{Duration, Instant};

/// How long to wait for an answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Before the request is sent again for the first time; doubles each time.
    pub first: Duration,
    /// In all, before giving up: longer than a training step takes.
    pub total: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { first: Duration::from_secs(1), total: Duration::from_secs(120) }
    }
}

/// A device at the other end of `T`.
#[derive(Debug)]
pub struct Client<T> {
    transport: T,
    patience: Patience,
    decoder: Decoder,
    sequence: u16,
    device: DeviceInfo,
    resent: u64,
}

impl<T: Transport> Client<T> {
    /// Begins a session.
    ///
    /// # Errors
    /// A [`LinkError`], whose text says what to do.
    pub fn connect(transport: T, patience: Patience) -> Result<Self, LinkError> {
        let device = DeviceInfo {
            model_hash: 0,
            board: String::new(),
            counter: Counter::Instructions,
            input_bytes: 0,
            classes: 0,
            state_bytes: 0,
            steps: 0,
            restored: None,
        };
        let decoder = Decoder::new();
        // Begin where an earlier session on the same line is unlikely to have been.
        let sequence = std::process::id() as u16;
        let mut client = Client { transport, patience, decoder, sequence, device, resent: 0 };
        client.device =
            client.ask(Command::Hello { protocol: PROTOCOL }, &mut |answer| match answer {
                Answer::Welcome(w) => Some(DeviceInfo {
                    model_hash: w.model_hash,
                    board: w.board.to_string(),
                    counter: w.counter,
                    input_bytes: w.input_bytes as usize,
                    classes: w.classes,
                    state_bytes: w.state_bytes as usize,
                    steps: w.steps,
                    restored: w.restored,
                }),
                _ => None,
            })?;
        Ok(client)
    }

    /// Who the device is.
    pub fn device(&self) -> &DeviceInfo {
        &self.device
    }

    /// Requests that had to be sent again so far.
    pub fn resent(&self) -> u64 {
        self.resent
    }

    /// Gives the transport back.
    pub fn into_transport(self) -> T {
        self.transport
    }

    /// Puts trainable state back to what the compiler gave it.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn reset(&mut self) -> Result<(), LinkError> {
        self.ask(Command::Reset, &mut done)
    }

    /// Asks what the network makes of `sample`.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn infer(&mut self, sample: &[i8]) -> Result<Predicted, LinkError> {
        self.send_sample(sample)?;
        self.ask(Command::Infer, &mut |answer| match answer {
            Answer::Predicted { prediction, count } => Some(Predicted { prediction, count }),
            _ => None,
        })
    }

    /// Trains on `sample`, once.
    ///
    /// # Errors
    /// A [`LinkError`]: [`LinkError::Kept`] where the device's guards have another use for it. After
    /// [`LinkError::Silent`] or [`LinkError::Closed`] it is unknown whether the step was made.
    pub fn train(&mut self, sample: &[i8], label: u16, rate: f32) -> Result<Stepped, LinkError> {
        match self.offer(sample, label, rate)? {
            Used::Stepped(stepped) => Ok(stepped),
            Used::Kept { admission, .. } => Err(LinkError::Kept(admission)),
        }
    }

    /// Offers a labelled sample to a device, whose guards may have another use for it than training.
    ///
    /// # Errors
    /// As [`Client::train`].
    pub fn offer(&mut self, sample: &[i8], label: u16, rate: f32) -> Result<Used, LinkError> {
        self.send_sample(sample)?;
        self.ask(Command::Train { label, rate }, &mut |answer| match answer {
            Answer::Stepped(stepped) => Some(Used::Stepped(stepped)),
            Answer::Admitted { admission, count } => Some(Used::Kept { admission, count }),
            _ => None,
        })
    }

    /// How the guards fare.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn watched(&mut self) -> Result<Watched, LinkError> {
        self.ask(Command::Watched, &mut |answer| match answer {
            Answer::Watched(watched) => Some(watched),
            _ => None,
        })
    }

    /// Tells the device that samples are usual as they come from now on.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn rebase(&mut self) -> Result<(), LinkError> {
        self.ask(Command::Rebase, &mut done)
    }

    /// FNV-1a hash of trainable state.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn state_hash(&mut self) -> Result<u64, LinkError> {
        self.ask(Command::StateHash, &mut |answer| match answer {
            Answer::StateHash(hash) => Some(hash),
            _ => None,
        })
    }

    /// Trainable state itself.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn state(&mut self) -> Result<Vec<u8>, LinkError> {
        let mut state = Vec::with_capacity(self.device.state_bytes);
        while state.len() < self.device.state_bytes {
            let length = (self.device.state_bytes - state.len()).min(CHUNK_BYTES);
            let command = Command::StateRead { offset: state.len() as u32, length: length as u16 };
            let part = self.ask(command, &mut |answer| match answer {
                Answer::StateBytes(bytes) if bytes.len() == length => Some(bytes.to_vec()),
                _ => None,
            })?;
            state.extend(part);
        }
        Ok(state)
    }

    /// Puts `state` in place of the device's: that of the model with the hash `model_hash`, after
    /// `steps` training steps.
    ///
    /// # Errors
    /// A [`LinkError`]: [`crate::link::Refusal::OtherModel`] before anything is changed.
    pub fn import(&mut self, model_hash: u64, state: &[u8], steps: u32) -> Result<(), LinkError> {
        let (given, wanted) = (state.len(), self.device.state_bytes);
        if given != wanted {
            return Err(LinkError::StateSize { given, wanted });
        }
        let state_hash = hash::fnv1a(hash::EMPTY, state);
        self.ask(Command::StateBegin { model_hash, state_hash, steps }, &mut done)?;
        for (i, bytes) in state.chunks(CHUNK_BYTES).enumerate() {
            let offset = (i * CHUNK_BYTES) as u32;
            self.ask(Command::StateWrite { offset, bytes }, &mut done)?;
        }
        Ok(())
    }

    /// Keeps trainable state in the device's flash; `overwrite` allows that a checkpoint of another
    /// model is lost.
    ///
    /// # Errors
    /// A [`LinkError`]; after [`LinkError::Silent`] or [`LinkError::Closed`] it is unknown whether the
    /// checkpoint was written.
    pub fn checkpoint(&mut self, overwrite: bool) -> Result<Checkpoint, LinkError> {
        self.ask(Command::Checkpoint { overwrite }, &mut checkpoint)
    }

    /// Puts trainable state back to the newest checkpoint.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn restore(&mut self) -> Result<Checkpoint, LinkError> {
        self.ask(Command::Restore, &mut checkpoint)
    }

    /// How the device fares.
    ///
    /// # Errors
    /// A [`LinkError`].
    pub fn stats(&mut self) -> Result<Stats, LinkError> {
        self.ask(Command::Stats, &mut |answer| match answer {
            Answer::Stats(stats) => Some(stats),
            _ => None,
        })
    }

    fn send_sample(&mut self, sample: &[i8]) -> Result<(), LinkError> {
        let (given, wanted) = (sample.len(), self.device.input_bytes);
        if given != wanted {
            return Err(LinkError::SampleSize { given, wanted });
        }
        for (i, part) in sample.chunks(CHUNK_BYTES).enumerate() {
            let mut bytes = [0; CHUNK_BYTES];
            bytes.iter_mut().zip(part).for_each(|(to, &from)| *to = from as u8);
            let offset = (i * CHUNK_BYTES) as u32;
            self.ask(Command::Sample { offset, bytes: &bytes[..part.len()] }, &mut done)?;
        }
        Ok(())
    }

    /// Sends `command` until its answer comes; `take` picks what was asked for.
    fn ask<R>(
        &mut self,
        command: Command<'_>,
        take: &mut dyn FnMut(Answer<'_>) -> Option<R>,
    ) -> Result<R, LinkError> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut frame = [0; FRAME_BYTES];
        let length = encode(&Request { sequence: self.sequence, command }, &mut frame)
            .map_err(|_| LinkError::Unexpected)?;
        let start = Instant::now();
        let mut wait = self.patience.first;
        self.transport.send(&frame[..length])?;
        while start.elapsed() < self.patience.total {
            let sent = Instant::now();
            let mut damaged = false;
            while !damaged && sent.elapsed() < wait {
                let left = wait.saturating_sub(sent.elapsed());
                match self.receive(left, take)? {
                    Heard::Answer(answer) => return answer,
                    Heard::Damage => damaged = true,
                    Heard::Nothing => {}
                }
            }
            if !damaged {
                wait = (wait * 2).min(Duration::from_secs(16));
            }
            self.resent += 1;
            self.transport.send(&frame[..length])?;
        }
        Err(LinkError::Silent(self.patience.total))
    }

    fn receive<R>(
        &mut self,
        timeout: Duration,
        take: &mut dyn FnMut(Answer<'_>) -> Option<R>,
    ) -> Result<Heard<R>, LinkError> {
        let mut bytes = [0; FRAME_BYTES];
        let n = self.transport.receive(&mut bytes, timeout)?;
        let mut heard = Heard::Nothing;
        for &byte in &bytes[..n] {
            let message = match self.decoder.feed(byte) {
                Event::Pending => continue,
                Event::Damaged => Err(()),
                Event::Message(message) => postcard::from_bytes::<Reply<'_>>(message).map_err(drop),
            };
            match message {
                _ if matches!(heard, Heard::Answer(_)) => {}
                Err(()) | Ok(Reply { answer: Answer::Damaged, .. }) => heard = Heard::Damage,
                Ok(Reply { sequence, answer }) if sequence == self.sequence => {
                    heard = Heard::Answer(match answer {
                        Answer::Refused(refusal) => Err(LinkError::Refused(refusal)),
                        answer => take(answer).ok_or(LinkError::Unexpected),
                    });
                }
                // An answer to a request that was sent more than once.
                Ok(_) => {}
            }
        }
        Ok(heard)
    }
}

enum Heard<R> {
    Nothing,
    Damage,
    Answer(Result<R, LinkError>),
}

fn checkpoint(answer: Answer<'_>) -> Option<Checkpoint> {
    match answer {
        Answer::Checkpoint { sequence, steps } => Some(Checkpoint { sequence, steps }),
        _ => None,
    }
}

fn done(answer: Answer<'_>) -> Option<()> {
    matches!(answer, Answer::Done).then_some(())
}
