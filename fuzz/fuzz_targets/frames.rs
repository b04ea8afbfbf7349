//! No requests make a device panic or hang, whatever they hold: each gets the number that comes next and
//! a right checksum, so that the search reaches what lies behind those.
//!
//! ```sh
//! cargo +nightly fuzz run frames -- -timeout=10 -max_len=8000
//! ```

#![no_main]

use std::cell::Cell;
use std::sync::OnceLock;

use offshoot::pipeline::Compiled;
use offshoot_firmware::link::{Command, Request, PROTOCOL};
use offshoot_firmware::App;
use offshoot_runtime::Interpreter;
use offshoot_simulator::AlignedBytes;
use offshoot_tests::cases::DEMO;
use offshoot_tests::chip::Shelf;
use offshoot_tests::frames::framed;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    static PROGRAM: OnceLock<Compiled> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| DEMO.compile(None)).program.program();
    let memory = |bytes: u32| AlignedBytes::zeroed(bytes as usize);
    let h = program.header;
    let [mut arena, mut state, mut scratch] = [h.arena, h.state, h.scratch].map(memory);
    let mut trainer =
        Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut()).unwrap();
    let changes = Cell::new(0);
    let mut app = App::new(&mut trainer, Shelf::new(&changes));
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
