//! Ways for bytes to travel: pipes of a child process or a serial port, or none at all.

use crate::app::App;
use crate::board::Board;
use offshoot_runtime::guard::{GuardMemory, Unguarded};
use offshoot_runtime::Trainer;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

/// Carries bytes to a device and back. It may lose or damage them: the client copes.
pub trait Transport {
    /// Sends all of `bytes`.
    ///
    /// # Errors
    /// Those of the operating system.
    fn send(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Waits up to `timeout` for bytes and returns how many came, 0 when time is up.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] when the other end is gone.
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize>;
}

/// A device behind two pipes, such as those of an emulator.
#[derive(Debug)]
pub struct Piped<W> {
    writer: W,
    parts: Receiver<io::Result<Vec<u8>>>,
    rest: VecDeque<u8>,
}

impl<W: Write> Piped<W> {
    /// Reads from `reader` on a thread of its own, which ends with the pipe.
    pub fn new(mut reader: impl Read + Send + 'static, writer: W) -> Self {
        let (sender, parts) = mpsc::channel();
        std::thread::spawn(move || loop {
            let mut bytes = vec![0; 4096];
            let part = match reader.read(&mut bytes) {
                Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => {
                    bytes.truncate(n);
                    Ok(bytes)
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
            let ended = part.is_err();
            if sender.send(part).is_err() || ended {
                break;
            }
        });
        Piped { writer, parts, rest: VecDeque::new() }
    }
}

impl<W: Write> Transport for Piped<W> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        self.writer.flush()
    }

    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        if self.rest.is_empty() {
            match self.parts.recv_timeout(timeout) {
                Ok(part) => self.rest.extend(part?),
                Err(RecvTimeoutError::Timeout) => return Ok(0),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        self.rest.read(buffer)
    }
}

/// A device in this very process: the same application, no emulator.
#[derive(Debug)]
pub struct InProcess<'t, T: ?Sized, B, G = Unguarded> {
    app: App<'t, T, B, G>,
    sent: VecDeque<u8>,
}

impl<'t, T: Trainer + ?Sized, B: Board, G: GuardMemory> InProcess<'t, T, B, G> {
    /// Wraps an application.
    pub fn new(app: App<'t, T, B, G>) -> Self {
        InProcess { app, sent: VecDeque::new() }
    }
}

impl<T: Trainer + ?Sized, B: Board, G: GuardMemory> Transport for InProcess<'_, T, B, G> {
    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for &byte in bytes {
            self.sent.extend(self.app.feed(byte).unwrap_or_default());
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        self.sent.read(buffer)
    }
}
