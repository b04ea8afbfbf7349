//! The training application: one answer to each request, whatever arrives.

use crate::board::Board;
use crate::link::{
    encode, Answer, Command, Decoder, Event, Refusal, Reply, Stats, Stepped, Welcome, CHUNK_BYTES,
    FRAME_BYTES, PROTOCOL,
};
use embedded_io::{Read, Write};
use offshoot_runtime::{hash, Fault, Trainer};

#[cfg(feature = "defmt")]
macro_rules! log { ($level:ident, $($args:tt)*) => { defmt::$level!($($args)*) }; }
#[cfg(not(feature = "defmt"))]
macro_rules! log {
    ($($args:tt)*) => {};
}

/// Serves requests until the link ends: on a device, for ever.
///
/// # Errors
/// Those of the link.
pub fn serve<T, B, L>(trainer: &mut T, board: B, mut link: L) -> Result<(), L::Error>
where
    T: Trainer + ?Sized,
    B: Board,
    L: Read + Write,
{
    let mut app = App::new(trainer, board);
    let mut bytes = [0; 64];
    loop {
        let n = link.read(&mut bytes)?;
        if n == 0 {
            return Ok(());
        }
        for &byte in bytes.iter().take(n) {
            if let Some(frame) = app.feed(byte) {
                link.write_all(frame)?;
                link.flush()?;
            }
        }
    }
}

/// The application without its link: bytes in, frames out.
#[derive(Debug)]
pub struct App<'t, T: ?Sized, B> {
    decoder: Decoder,
    /// The last answer, kept to be sent again.
    answer: Frame<FRAME_BYTES>,
    /// Answers that do not replace the last one.
    aside: Frame<48>,
    /// Number of the request that `answer` answers; none before a session.
    last: Option<u16>,
    device: Device<'t, T, B>,
}

#[derive(Debug)]
struct Frame<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Frame<N> {
    const EMPTY: Self = Frame { bytes: [0; N], len: 0 };

    fn set(&mut self, sequence: u16, answer: Answer<'_>) -> Option<&[u8]> {
        // An answer that does not fit is left out; the host asks again and gives up in the end.
        self.len = encode(&Reply { sequence, answer }, &mut self.bytes).unwrap_or(0);
        self.get()
    }

    fn get(&self) -> Option<&[u8]> {
        self.bytes.get(..self.len).filter(|frame| !frame.is_empty())
    }
}

impl<'t, T: Trainer + ?Sized, B: Board> App<'t, T, B> {
    /// An application before its first request. Sets the trainer's state to its first content.
    pub fn new(trainer: &'t mut T, board: B) -> Self {
        let broken = trainer.reset().err();
        App {
            decoder: Decoder::new(),
            answer: Frame::EMPTY,
            aside: Frame::EMPTY,
            last: None,
            device: Device {
                trainer,
                board,
                broken,
                filled: 0,
                part: 0,
                spent: 0,
                stats: Stats::default(),
            },
        }
    }

    /// Takes one byte of the link; gives the frame to be sent, where one is due.
    pub fn feed(&mut self, byte: u8) -> Option<&[u8]> {
        let App { decoder, answer, aside, last, device } = self;
        let message = match decoder.feed(byte) {
            Event::Pending => return None,
            Event::Damaged => {
                device.stats.damaged = device.stats.damaged.wrapping_add(1);
                return aside.set(0, Answer::Damaged);
            }
            Event::Message(message) => message,
        };
        let Ok((sequence, command)) = postcard::take_from_bytes::<u16>(message) else {
            return aside.set(0, Answer::Damaged);
        };
        let Ok(command) = postcard::from_bytes::<Command<'_>>(command) else {
            return aside.set(sequence, Answer::Refused(Refusal::Unknown));
        };
        if let Command::Hello { protocol } = command {
            *last = (protocol == PROTOCOL).then_some(sequence);
            return answer.set(sequence, device.welcome(protocol));
        }
        match *last {
            None => return aside.set(sequence, Answer::Refused(Refusal::NoSession)),
            Some(n) if n == sequence => {
                device.stats.repeated = device.stats.repeated.wrapping_add(1);
                return answer.get();
            }
            Some(n) if n.wrapping_add(1) != sequence => {
                return aside.set(sequence, Answer::Refused(Refusal::OutOfOrder));
            }
            Some(_) => *last = Some(sequence),
        }
        let result = device.run(command).unwrap_or_else(|refusal| {
            log!(warn, "refused request {=u16}", sequence);
            Answer::Refused(refusal)
        });
        answer.set(sequence, result)
    }
}

/// What requests act on.
#[derive(Debug)]
struct Device<'t, T: ?Sized, B> {
    trainer: &'t mut T,
    board: B,
    /// Why the program cannot run at all.
    broken: Option<Fault>,
    /// Bytes of the next sample that have come, and of the part of it that the program waits for.
    filled: usize,
    part: usize,
    /// What the program has done of the sample took, in the board's counter.
    spent: u64,
    stats: Stats,
}

impl<T: Trainer + ?Sized, B: Board> Device<'_, T, B> {
    fn welcome(&mut self, protocol: u16) -> Answer<'_> {
        self.filled = 0;
        if protocol != PROTOCOL {
            return Answer::Refused(Refusal::Protocol(PROTOCOL));
        }
        if let Some(fault) = self.broken {
            return Answer::Refused(Refusal::Fault(fault));
        }
        log!(info, "session begins; model {=u64:x}", self.trainer.header().model_hash);
        let header = self.trainer.header();
        Answer::Welcome(Welcome {
            protocol: PROTOCOL,
            model_hash: header.model_hash,
            board: self.board.name(),
            counter: self.board.counter(),
            input_bytes: header.input_shape.elements() as u32,
            classes: header.classes,
            state_bytes: self.trainer.state().len() as u32,
        })
    }

    fn run(&mut self, command: Command<'_>) -> Result<Answer<'_>, Refusal> {
        Ok(match command {
            Command::Hello { .. } => return Err(Refusal::Unknown),
            Command::Reset => {
                self.filled = 0;
                self.trainer.reset().map_err(Refusal::Fault)?;
                Answer::Done
            }
            Command::Sample { offset, bytes } => {
                self.fill(offset as usize, bytes)?;
                Answer::Done
            }
            Command::Infer => {
                let spent = self.take_sample()?;
                let before = self.board.count();
                let prediction = self.trainer.infer().map_err(Refusal::Fault)?;
                let count = self.board.count().wrapping_sub(before).wrapping_add(spent);
                Answer::Predicted { prediction, count }
            }
            Command::Train { label, rate } => Answer::Stepped(self.train(label, rate)?),
            Command::StateHash => Answer::StateHash(self.state_hash()),
            Command::StateRead { offset, length } => {
                let (start, length) = (offset as usize, length as usize);
                let end = start.checked_add(length).ok_or(Refusal::Range)?;
                let bytes = self.trainer.state().get(start..end).ok_or(Refusal::Range)?;
                if length > CHUNK_BYTES {
                    return Err(Refusal::Range);
                }
                Answer::StateBytes(bytes)
            }
            Command::Stats => Answer::Stats(Stats { stack: self.board.stack(), ..self.stats }),
        })
    }

    /// Puts bytes of a sample where the program reads them, which goes on as far as they allow.
    fn fill(&mut self, offset: usize, mut bytes: &[u8]) -> Result<(), Refusal> {
        let size = self.trainer.header().input_shape.elements();
        let end = offset.checked_add(bytes.len()).filter(|&end| end <= size);
        let end = end.filter(|_| offset == 0 || offset == self.filled).ok_or(Refusal::Offset)?;
        if offset == 0 {
            self.trainer.restart();
            (self.part, self.spent) = (0, 0);
        }
        self.filled = offset;
        while !bytes.is_empty() {
            let place = self.trainer.input().get_mut(self.part..).unwrap_or_default();
            let now = place.len().min(bytes.len());
            place.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from as i8);
            self.part += now;
            bytes = bytes.get(now..).unwrap_or_default();
            if now == place.len() && !self.advance()? && !bytes.is_empty() {
                return Err(Refusal::Offset);
            }
        }
        self.filled = end;
        Ok(())
    }

    /// Goes on with the part of a sample that is complete; whether another is to come.
    fn advance(&mut self) -> Result<bool, Refusal> {
        let before = self.board.count();
        let more = self.trainer.advance().map_err(Refusal::Fault)?;
        if more {
            self.part = 0;
            self.spent = self.board.count().wrapping_sub(before).wrapping_add(self.spent);
        }
        Ok(more)
    }

    /// A step overwrites the sample: it serves once. What was spent on it so far.
    fn take_sample(&mut self) -> Result<u64, Refusal> {
        let whole = self.filled == self.trainer.header().input_shape.elements();
        whole.then(|| self.filled = 0).ok_or(Refusal::NoSample)?;
        Ok(core::mem::take(&mut self.spent))
    }

    fn train(&mut self, label: u16, rate: f32) -> Result<Stepped, Refusal> {
        if !(rate.is_finite() && rate >= 0.0) {
            return Err(Refusal::Rate);
        }
        let spent = self.take_sample()?;
        let before = self.board.count();
        let report = self.trainer.train(label, rate).map_err(Refusal::Fault)?;
        let count = self.board.count().wrapping_sub(before).wrapping_add(spent);
        self.stats.steps = self.stats.steps.wrapping_add(1);
        let state_hash = self.state_hash();
        Ok(Stepped { loss: report.loss, class: report.class, state_hash, count })
    }

    fn state_hash(&self) -> u64 {
        hash::fnv1a(hash::EMPTY, self.trainer.state())
    }
}
