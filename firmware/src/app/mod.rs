//! The training application: one answer to each request, whatever arrives.

use crate::board::Board;
use crate::link::{encode, Answer, Command, Decoder, Event, Refusal, Reply, FRAME_BYTES, PROTOCOL};
use device::Device;
use embedded_io::{Read, Write};
use offshoot_runtime::guard::{GuardMemory, Unguarded};
use offshoot_runtime::Trainer;

#[cfg(feature = "defmt")]
macro_rules! log { ($level:ident, $($args:tt)*) => { defmt::$level!($($args)*) }; }
#[cfg(not(feature = "defmt"))]
macro_rules! log {
    ($($args:tt)*) => {};
}

mod bank;
mod device;
mod keep;

/// Serves requests until the link ends: on a device, for ever. `guard` is the memory of guards.
///
/// # Errors
/// Those of the link.
pub fn serve<T, G, B, L>(
    trainer: &mut T,
    guard: &mut G,
    board: B,
    mut link: L,
) -> Result<(), L::Error>
where
    T: Trainer + ?Sized,
    G: GuardMemory,
    B: Board,
    L: Read + Write,
{
    let mut app = App::guarded(trainer, guard, board);
    let mut bytes = [0; 64];
    loop {
        let n = link.read(&mut bytes)?;
        if n == 0 {
            return Ok(());
        }
        for &byte in bytes.iter().take(n) {
            if let Some(frame) = app.feed(byte) {
                send(&mut link, frame)?;
            }
        }
    }
}

/// Sends a frame, as far as the link takes it: one that is cut short is asked for again.
fn send<L: Write>(link: &mut L, mut frame: &[u8]) -> Result<(), L::Error> {
    while !frame.is_empty() {
        match link.write(frame)? {
            0 => break,
            n => frame = frame.get(n..).unwrap_or_default(),
        }
    }
    link.flush()
}

/// The application without its link: bytes in, frames out.
#[derive(Debug)]
pub struct App<'t, T: ?Sized, B, G = Unguarded> {
    decoder: Decoder,
    /// The last answer, kept to be sent again.
    answer: Frame<FRAME_BYTES>,
    /// Answers that do not replace the last one.
    aside: Frame<48>,
    /// Number of the request that `answer` answers; none before a session.
    last: Option<u16>,
    device: Device<'t, T, B, G>,
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
    /// An application that watches nothing, before its first request. The trainer's state is that of the
    /// newest checkpoint, or its first content where there is none.
    pub fn new(trainer: &'t mut T, board: B) -> Self {
        App::over(trainer, &mut [], board)
    }
}

impl<'t, T: Trainer + ?Sized, B: Board, G: GuardMemory> App<'t, T, B, G> {
    /// As [`App::new`], with guards, whose memory `guard` is.
    pub fn guarded(trainer: &'t mut T, guard: &'t mut G, board: B) -> Self {
        App::over(trainer, guard.memory(), board)
    }

    fn over(trainer: &'t mut T, memory: &'t mut [i8], board: B) -> Self {
        App {
            decoder: Decoder::new(),
            answer: Frame::EMPTY,
            aside: Frame::EMPTY,
            last: None,
            device: Device::new(trainer, memory, board),
        }
    }

    /// What it trains.
    pub fn trainer(&self) -> &T {
        self.device.trainer
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
