//! The training application as a desktop program, over standard input and output.

use offshoot_firmware::store::Storage;
use offshoot_firmware::{serve, Board, Counter, Stack};
use offshoot_model::{Guard, Model};
use offshoot_support_host::FlashFile;
use static_cell::ConstStaticCell;
use std::io::{self, Read as _, Write as _};
use std::time::Instant;

static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static GUARD: ConstStaticCell<Guard> = ConstStaticCell::new(Guard::new());

struct Host {
    start: Instant,
    flash: Option<FlashFile>,
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

    fn flash(&mut self) -> Option<Storage<'_>> {
        Some(Storage { flash: self.flash.as_mut()?, endurance: 0 })
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
    // Beside the program, as a board's is on the board.
    let flash = std::env::current_exe().ok().map(|program| program.with_extension("flash"));
    let board = Host { start: Instant::now(), flash: flash.map(FlashFile::new) };
    serve(MODEL.take(), GUARD.take(), board, Stdio)
}
