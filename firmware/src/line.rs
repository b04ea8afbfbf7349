//! A line that may garble and lose bytes, but does not end.

use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};

/// A link whose errors cost bytes and nothing else: a frame that lacks some is asked for again.
#[derive(Debug)]
pub struct Line<L>(pub L);

impl<L> ErrorType for Line<L> {
    type Error = Infallible;
}

impl<L: Read> Read for Line<L> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        loop {
            // What came before an error is lost with it.
            if let Ok(n) = self.0.read(buffer) {
                return Ok(n);
            }
        }
    }
}

impl<L: Write> Write for Line<L> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, Infallible> {
        // What cannot be sent is as good as lost on the way.
        Ok(self.0.write(bytes).unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        let _lost = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embedded_io::ErrorKind;

    /// Fails every second time.
    struct Noisy {
        calls: u8,
        sent: Vec<u8>,
    }

    impl Noisy {
        fn call(&mut self) -> Result<u8, ErrorKind> {
            self.calls += 1;
            if self.calls % 2 == 1 {
                Err(ErrorKind::Other)
            } else {
                Ok(self.calls)
            }
        }
    }

    impl ErrorType for Noisy {
        type Error = ErrorKind;
    }

    impl Read for Noisy {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
            buffer[0] = self.call()?;
            Ok(1)
        }
    }

    impl Write for Noisy {
        fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
            self.call()?;
            self.sent.extend(&bytes[..1]);
            Ok(1)
        }

        fn flush(&mut self) -> Result<(), ErrorKind> {
            Err(ErrorKind::Other)
        }
    }

    #[test]
    fn errors_cost_bytes_and_do_not_end_the_line() {
        let mut line = Line(Noisy { calls: 0, sent: Vec::new() });
        let mut buffer = [0; 4];
        for expected in [2, 4, 6] {
            assert_eq!(line.read(&mut buffer), Ok(1));
            assert_eq!(buffer[0], expected);
        }
        line.write_all(&[1, 2, 3]).unwrap();
        line.write_all(&[4, 5]).unwrap();
        line.flush().unwrap();
        assert_eq!(line.0.sent, [4]);
    }
}
