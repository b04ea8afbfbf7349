//! The training application as a desktop program, over standard input and output.

use offshoot_firmware::bank::Place;
use offshoot_firmware::store::Storage;
use offshoot_firmware::{serve, Board, Counter, Stack};
use offshoot_model::{Bank, Guard, Model};
use offshoot_support_host::FlashFile;
use static_cell::ConstStaticCell;
use std::io::{self, Read as _, Write as _};
use std::time::Instant;

static MODEL: ConstStaticCell<Model> = ConstStaticCell::new(Model::new());
static BESIDE: ConstStaticCell<(Guard, Bank)> = ConstStaticCell::new((Guard::new(), Bank::new()));

/// Bytes of checkpoints: more than the state of any network takes twice that trains on a microcontroller.
const CHECKPOINTS: usize = 4 << 20;

struct Host {
    start: Instant,
    flash: Option<FlashFile>,
    bank: Option<FlashFile>,
    adapters: &'static mut Bank,
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

    fn bank(&mut self) -> Option<Place<'_>> {
        Place::of(self.adapters, self.bank.as_mut()?, @BANK_ENDURANCE@)
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
    let program = std::env::current_exe().ok();
    let file = |extension, bytes| {
        program.as_ref().map(|program| FlashFile::new(program.with_extension(extension), bytes))
    };
    let (guard, adapters) = BESIDE.take();
    let board = Host {
        start: Instant::now(),
        flash: file("flash", CHECKPOINTS),
        bank: file("bank", @BANK_BYTES@),
        adapters,
    };
    serve(MODEL.take(), guard, board, Stdio)
}
