//! A bank of adapters is the same on an emulated core, in the emitted crate on this computer, and around the
//! interpreter: what is kept, put in place, blended, dropped, sent and received.

use std::cell::Cell;
use std::path::Path;

use offshoot::bank::Banked;
use offshoot::device::Device;
use offshoot::emit::Beside;
use offshoot::pipeline::Compiled;
use offshoot_firmware::bank::{Active, BankError, Name};
use offshoot_firmware::client::{Client, InProcess, LinkError, Patience, Transport};
use offshoot_firmware::link::Refusal;
use offshoot_firmware::App;
use offshoot_runtime::guard::Guard;
use offshoot_runtime::learnt::{Kind, Part, WEIGHT_BITS};
use offshoot_runtime::Interpreter;
use offshoot_simulator::{AdapterFile, AlignedBytes};
use offshoot_tests::boards::build_with;
use offshoot_tests::cases::DEMO;
use offshoot_tests::chip::Shelf;
use offshoot_tests::trace::{round, Samples};

/// Some 2 KB of what is learnt.
const SCHEME: &str = "biases=4,block1_dw:1,stochastic";
const STEPS: usize = 4;
const ONE: i32 = 1 << WEIGHT_BITS;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What of `state` was learnt.
fn learnt(compiled: &Compiled, state: &[u8]) -> Vec<u8> {
    let (program, mut from, mut bytes) = (compiled.program.program(), 0, Vec::new());
    while let Some(Part { kind, slot }) = program.part(from) {
        if kind != Kind::Course {
            bytes.extend(&state[slot.start()..slot.end()]);
        }
        from = slot.end() as u32;
    }
    bytes
}

fn refused<R: std::fmt::Debug>(result: Result<R, LinkError>) -> Refusal {
    match result {
        Err(LinkError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

/// Asks all that there is of a device with an empty bank; the states that it was in, and what a switch took.
fn session<T: Transport>(device: &mut Client<T>, compiled: &Compiled) -> (Vec<Vec<u8>>, u64) {
    let data = DEMO.samples(compiled).train;
    let header = &compiled.program.header;
    let mut states = Vec::new();
    device.reset().unwrap();
    let base = learnt(compiled, &device.state().unwrap());
    assert_eq!(device.adapters().unwrap().active, Active::Base);
    // What was trained, three times.
    let names = ["anna", "berta", "cilly"];
    let mut steps = round(&data, 3 * STEPS).steps();
    let mut kept = Vec::new();
    for (i, text) in names.into_iter().enumerate() {
        for (index, rate) in steps.by_ref().take(STEPS) {
            let (sample, label) = data.sample(index);
            device.train(sample, label, rate).unwrap();
        }
        assert!(device.adapters().unwrap().changed);
        let entry = device.keep_adapter(&name(text)).unwrap();
        assert_eq!(entry.length, compiled.program.program().learnt_bytes());
        assert_eq!(entry.steps as usize, (i + 1) * STEPS);
        kept.push(learnt(compiled, &device.state().unwrap()));
    }
    assert!(kept[0] != base && kept[0] != kept[1] && kept[1] != kept[2]);
    let mut count = 0;
    for (text, kept) in names.iter().zip(&kept) {
        let done = device.activate_adapter(&name(text)).unwrap();
        count = done.count;
        let state = device.state().unwrap();
        assert_eq!(learnt(compiled, &state), *kept);
        assert_eq!(device.stats().unwrap().steps, done.steps);
        let status = device.adapters().unwrap();
        assert!(matches!(status.active, Active::Adapter(a) if a.name == name(text)));
        assert!(!status.changed);
        states.push(state);
        device.blend_adapters(&[(name(text), ONE)]).unwrap();
        states.push(device.state().unwrap());
        assert_eq!(states[states.len() - 1], states[states.len() - 2], "a blend of one");
    }
    device.blend_adapters(&[(name("anna"), ONE / 2), (name("cilly"), ONE / 4)]).unwrap();
    states.push(device.state().unwrap());
    device.drop_adapter().unwrap();
    states.push(device.state().unwrap());
    assert_eq!(learnt(compiled, &states[states.len() - 1]), base);
    device.blend_adapters(&[(name("anna"), 0), (name("berta"), 0)]).unwrap();
    assert_eq!(device.state().unwrap(), states[states.len() - 1], "a blend of nothing");
    // It learns on from there.
    device.activate_adapter(&name("berta")).unwrap();
    for (index, rate) in round(&data, STEPS).steps() {
        let (sample, label) = data.sample(index);
        device.train(sample, label, rate).unwrap();
    }
    states.push(device.state().unwrap());
    // To a file, and from it under another name.
    let (entry, bytes) = device.export_adapter(&name("anna")).unwrap();
    let file = AdapterFile {
        model_hash: header.model_hash,
        steps: entry.steps,
        name: "anna".into(),
        learnt: bytes,
    };
    let file = AdapterFile::decode(&file.encode(), &compiled.program.program()).unwrap();
    device.import_adapter(file.model_hash, &name("dora"), file.steps, &file.learnt).unwrap();
    device.activate_adapter(&name("dora")).unwrap();
    assert_eq!(learnt(compiled, &device.state().unwrap()), kept[0]);
    let foreign = device.import_adapter(1, &name("dora"), 1, &file.learnt);
    assert_eq!(refused(foreign), Refusal::Bank(BankError::Foreign));
    device.remove_adapter(&name("anna")).unwrap();
    assert_eq!(refused(device.activate_adapter(&name("anna"))), Refusal::Bank(BankError::Unknown));
    let mut list: Vec<String> =
        device.list_adapters().unwrap().iter().map(|e| e.name.as_str().into()).collect();
    list.sort();
    assert_eq!(list, ["berta", "cilly", "dora"]);
    device.restore().unwrap_err();
    device.checkpoint(true).unwrap();
    device.restore().unwrap();
    assert_eq!(device.adapters().unwrap().active, Active::Unknown);
    (states, count)
}

/// The same around the interpreter.
fn here(compiled: &Compiled) -> Vec<Vec<u8>> {
    let program = compiled.program.program();
    let bytes = |bytes: u32| AlignedBytes::zeroed(bytes as usize);
    let header = program.header;
    let [mut arena, mut state, mut scratch] =
        [bytes(header.arena), bytes(header.state), bytes(header.scratch)];
    let mut trainer =
        Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut()).unwrap();
    let changes = Cell::new(0);
    let app = App::new(&mut trainer, Shelf::new(&changes));
    session(&mut Client::connect(InProcess::new(app), Patience::default()).unwrap(), compiled).0
}

/// With this update scheme, on this board.
fn same(scheme: &str, board: &str, folder: &str) {
    const ADAPTERS: u16 = 1000;
    let compiled = DEMO.compile(Some(scheme));
    let board = offshoot_boards::find(board).unwrap();
    let banked = Banked::of(ADAPTERS, &compiled.program.program(), &board).unwrap();
    let beside = Beside { guard: Guard::NONE, adapters: ADAPTERS };
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let built = build_with(&compiled, beside, &board, temporary, folder).unwrap();
    for kept in ["flash", "bank"] {
        // Those of an earlier run of this test.
        let _ = std::fs::remove_file(built.elf.with_extension(kept));
    }
    let mut device = Device::start(&board, &built, None, true).unwrap_or_else(|e| panic!("{e}"));
    let (states, count) = session(&mut device.client, &compiled);
    let status = device.client.adapters().unwrap();
    println!(
        "{}: {banked:?}; a switch to an adapter of {} bytes took {count} ({:?}); {status:?}",
        board.name,
        status.adapter_bytes,
        device.client.device().counter
    );
    assert_eq!(status.capacity, u32::from(ADAPTERS));
    assert!(states == here(&compiled), "another state on {}", board.name);
    // What it keeps outlives it.
    let list = device.client.list_adapters().unwrap();
    drop(device);
    let mut device = Device::start(&board, &built, None, true).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(device.client.list_adapters().unwrap(), list);
    let stack = device.client.stats().unwrap().stack;
    println!("{}: image {:?}, stack {stack:?}", board.name, device.sizes);
}

#[test]
fn a_process_keeps_adapters_as_the_interpreter_does() {
    same(SCHEME, "host", "bank");
    same("biases=all,block2_project:1/2,momentum=0.9,batch=4", "host", "bank-momentum");
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn an_emulated_core_keeps_adapters_as_the_interpreter_does() {
    same(SCHEME, "qemu-mps2-an386", "bank");
}

#[test]
fn a_program_without_a_bank_says_so() {
    let compiled = DEMO.compile(Some(SCHEME));
    let board = offshoot_boards::find("host").unwrap();
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let built = build_with(&compiled, Beside::default(), &board, temporary, "no-bank").unwrap();
    let mut device = Device::start(&board, &built, None, true).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(refused(device.client.adapters()), Refusal::NoBank);
    assert_eq!(refused(device.client.keep_adapter(&name("anna"))), Refusal::NoBank);
}
