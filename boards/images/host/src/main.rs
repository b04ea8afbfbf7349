//! The training application as a desktop program, over standard input and output.

use offshoot_firmware::{serve, Board, Counter, Stack};
use offshoot_model::Model;
use static_cell::ConstStaticCell;
use std::io::{self, Read as _, Write as _};
use std::time::Instant;

static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());

struct Host {
    start: Instant,
}

impl Board for Host {
    fn name(&self) -> &str {
        "host"
    }

    fn counter(&self) -> Counter {
        Counter::Nanoseconds
    }

    fn count(&mut self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn stack(&mut self) -> Option<Stack> {
        None
    }
}

struct Stdio;

impl embedded_io::ErrorType for Stdio {
    type Error = io::Error;
}

impl embedded_io::Read for Stdio {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        io::stdin().read(buffer)
    }
}

impl embedded_io::Write for Stdio {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

fn main() -> io::Result<()> {
    serve(MODEL.take(), Host { start: Instant::now() }, Stdio)
}
