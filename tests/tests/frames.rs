//! Whatever a peer sends, a device neither panics nor learns from what is damaged: in this process, and
//! on an emulated core.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use offshoot::device::Device;
use offshoot::pipeline::Compiled;
use offshoot_firmware::client::{Client, InProcess, Patience, Transport};
use offshoot_firmware::link::{Answer, Command, Decoder, Event, Reply, Request, PROTOCOL};
use offshoot_firmware::App;
use offshoot_runtime::{hash, Interpreter, Trainer};
use offshoot_simulator::AlignedBytes;
use offshoot_tests::boards::build;
use offshoot_tests::cases::DEMO;
use offshoot_tests::chip::Shelf;
use offshoot_tests::frames::{framed, Line, Peer};
use offshoot_tests::trace::{round, simulated, Samples};

/// Spoiled frames, where `OFFSHOOT_FRAMES` names no other number.
const FRAMES: usize = 200_000;
const FRAMES_EMULATED: usize = 10_000;
const STEPS: usize = 20;

#[test]
fn no_frame_breaks_a_device() {
    let frames = std::env::var("OFFSHOOT_FRAMES").ok().and_then(|text| text.parse().ok());
    let frames: usize = frames.unwrap_or(FRAMES);
    let compiled = DEMO.compile(None);
    let program = compiled.program.program();
    let header = program.header;
    let memory = |bytes: u32| AlignedBytes::zeroed(bytes as usize);
    let [mut arena, mut state, mut scratch] =
        [memory(header.arena), memory(header.state), memory(header.scratch)];
    let mut trainer =
        Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut()).unwrap();
    let changes = Cell::new(0);
    let mut app = App::new(&mut trainer, Shelf::new(&changes));
    let (mut peer, mut line) = (Peer::new(5, header), Line::default());
    let mut known = app.trainer().state().to_vec();
    let (mut frame, mut spoiled) = (0, 0);
    let (mut sound, mut answers, mut moved, mut kept) = (0, 0, 0, 0);
    let start = Instant::now();
    while spoiled < frames {
        let (bytes, is_spoiled) = peer.frame();
        (frame, spoiled) = (frame + 1, spoiled + usize::from(is_spoiled));
        let before = changes.get();
        let mut decoder = Decoder::new();
        for &byte in &bytes {
            for &byte in app.feed(byte).unwrap_or_default() {
                if let Event::Message(message) = decoder.feed(byte) {
                    peer.hear(&postcard::from_bytes(message).unwrap());
                    answers += 1;
                }
            }
        }
        let same = app.trainer().state() == known;
        if line.is_sound(&bytes) {
            sound += 1;
            kept += usize::from(changes.get() != before);
            if !same {
                moved += 1;
                known.copy_from_slice(app.trainer().state());
            }
        } else {
            assert!(same && changes.get() == before, "frame {frame} has no right checksum");
        }
    }
    println!(
        "{frame} frames, {spoiled} of them spoiled, in {:?}: {sound} with a right checksum, {answers} \
         answers, {moved} that changed the state and {kept} that wrote flash, all of them among those \
         with a right checksum",
        start.elapsed()
    );
    assert!(sound > frame / 2 && sound < frame * 9 / 10 && answers > frame / 2);
    assert!(moved > frame / 200 && kept > frame / 1000, "{moved} moved, {kept} kept");
    let mut client = Client::connect(InProcess::new(app), Patience::default()).unwrap();
    client.restore().unwrap();
    client.reset().unwrap();
    learns(&mut client, &compiled);
}

/// After all of it, it learns as ever.
fn learns(client: &mut Client<impl Transport>, compiled: &Compiled) {
    let data = DEMO.samples(compiled).train;
    let expected = simulated(compiled, &data, STEPS, |_, _| {});
    for ((index, rate), (_, hash)) in round(&data, STEPS).steps().zip(expected) {
        let (sample, label) = data.sample(index);
        assert_eq!(client.train(sample, label, rate).unwrap().state_hash, hash);
    }
}

/// Ends what is not ended, and waits until all of it has been answered: what is asked last is.
fn settle(transport: &mut impl Transport, sequence: u16) {
    let hello = Request { sequence, command: Command::Hello { protocol: PROTOCOL } };
    let hello = framed(&postcard::to_stdvec(&hello).unwrap());
    transport.send(&[&[0], hello.as_slice()].concat()).unwrap();
    let (mut decoder, mut buffer, start) = (Decoder::new(), [0; 4096], Instant::now());
    while start.elapsed() < Duration::from_secs(60) {
        let n = transport.receive(&mut buffer, Duration::from_secs(1)).unwrap();
        for &byte in &buffer[..n] {
            let Event::Message(message) = decoder.feed(byte) else { continue };
            let reply: Reply<'_> = postcard::from_bytes(message).unwrap();
            if reply.sequence == sequence && matches!(reply.answer, Answer::Welcome(_)) {
                return;
            }
        }
    }
    panic!("no answer to what was asked last");
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn no_frame_breaks_an_emulated_core() {
    let compiled = DEMO.compile(None);
    let board = offshoot_boards::find("qemu-mps2-an386").unwrap();
    let temporary = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let built = build(&compiled, &board, &temporary, "frames").unwrap_or_else(|e| panic!("{e}"));
    let device = Device::start(&board, &built, None, false).unwrap_or_else(|e| panic!("{e}"));
    let (mut client, mut emulator) = device.apart();
    let mut peer = Peer::new(6, compiled.program.header);
    let (mut damaged, mut moved) = (0, 0);
    let start = Instant::now();
    const BATCH: usize = 100;
    for batch in 0..FRAMES_EMULATED / BATCH {
        // Of a state that came in part there is no hash.
        client.reset().unwrap();
        let before = client.state_hash().unwrap();
        let mut transport = client.into_transport();
        let only_damaged = batch % 2 == 0;
        for _ in 0..BATCH {
            let frame = if only_damaged { peer.damaged() } else { peer.frame().0 };
            transport.send(&frame).unwrap();
        }
        settle(&mut transport, batch as u16);
        let connected = Client::connect(transport, Patience::default());
        client = connected.unwrap_or_else(|e| panic!("batch {batch}: {e}; {:?}", emulator.ended()));
        if only_damaged {
            damaged += BATCH;
            assert_eq!(client.state_hash().unwrap(), before, "batch {batch}");
            assert_eq!(client.stats().unwrap().steps, 0);
        } else {
            moved += usize::from(client.state_hash().map_or(true, |hash| hash != before));
        }
    }
    let stats = client.stats().unwrap();
    println!(
        "{FRAMES_EMULATED} frames on {} in {:?}: {damaged} damaged ones changed nothing, {moved} of \
         {} batches of others did; {stats:?}",
        board.name,
        start.elapsed(),
        FRAMES_EMULATED / BATCH / 2
    );
    assert!(moved > 5 && stats.damaged > FRAMES_EMULATED as u32 / 2);
    client.reset().unwrap();
    learns(&mut client, &compiled);
    let state = client.state().unwrap();
    assert_eq!(hash::fnv1a(hash::EMPTY, &state), client.state_hash().unwrap());
}
