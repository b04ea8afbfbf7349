//! No requests make a device panic or hang, whatever they hold: each gets the number that comes next and
//! a right checksum, so that the search reaches what lies behind those.
//!
//! ```sh
//! cargo +nightly fuzz run frames -- -timeout=10 -max_len=8000
//! ```

#![no_main]

use std::sync::OnceLock;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use offshoot::pipeline::Compiled;
use offshoot_firmware::link::{Command, Request, PROTOCOL};
use offshoot_firmware::store::Storage;
use offshoot_firmware::{App, Board, Counter, Stack};
use offshoot_runtime::Interpreter;
use offshoot_simulator::AlignedBytes;
use offshoot_tests::cases::DEMO;
use offshoot_tests::frames::framed;

/// A board of memory.
struct Memory(Vec<u8>);

impl ErrorType for Memory {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Memory {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(&self.0[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Memory {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.0[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0[offset as usize..].iter_mut().zip(bytes).for_each(|(to, from)| *to &= from);
        Ok(())
    }
}

impl Board for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    fn counter(&self) -> Counter {
        Counter::Cycles
    }

    fn count(&mut self) -> u64 {
        0
    }

    fn stack(&mut self) -> Option<Stack> {
        None
    }

    fn flash(&mut self) -> Option<Storage<'_>> {
        Some(Storage { flash: self, endurance: 0 })
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static PROGRAM: OnceLock<Compiled> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| DEMO.compile(None)).program.program();
    let memory = |bytes: u32| AlignedBytes::zeroed(bytes as usize);
    let h = program.header;
    let [mut arena, mut state, mut scratch] = [h.arena, h.state, h.scratch].map(memory);
    let mut trainer =
        Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut()).unwrap();
    let mut app = App::new(&mut trainer, Memory(vec![0; 64 << 10]));
    let hello = Request { sequence: 0, command: Command::Hello { protocol: PROTOCOL } };
    let mut messages = vec![postcard::to_stdvec(&hello).unwrap()];
    // Two bytes of length, then a command, again and again.
    let mut rest = data;
    while let Some((&[low, high], later)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes([low, high % 4])).min(later.len());
        let (command, later) = later.split_at(length);
        let mut message = postcard::to_stdvec(&(messages.len() as u16)).unwrap();
        message.extend(command);
        messages.push(message);
        rest = later;
    }
    for message in messages {
        for byte in framed(&message) {
            app.feed(byte);
        }
    }
});
