//! A station learns the demo's network from stored samples without a host, and does the same to the last
//! bit in the simulator and on an emulated Cortex-M4.

use std::cell::Cell;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::{fs, io};

use offshoot::pipeline::Compiled;
use offshoot_boards::build::build;
use offshoot_boards::emulator::{self, Options};
use offshoot_firmware::station::{
    Clock, Event, Rules, State, Station, Stored, StoredLabels, Surroundings,
};
use offshoot_runtime::guard::GuardMemory;
use offshoot_runtime::{hash, Interpreter, Trainer};
use offshoot_simulator::AlignedBytes;
use offshoot_tests::boards::{copy_image, emit_model};
use offshoot_tests::cases::{root, DEMO};
use offshoot_tests::chip::Chip;
use offshoot_tests::guarded::Judged;

const STEPS: u32 = 120;
const RULES: Rules = Rules { rate: 0.01, keep_every: 0, label_ms: 1_000, rest_ms: 1_000 };

/// What the station learns from.
struct Given {
    samples: Vec<i8>,
    labels: Vec<u16>,
}

fn given(compiled: &Compiled) -> Given {
    let data = DEMO.samples(compiled);
    let chosen = data.train.spread(100);
    let samples = chosen.iter().flat_map(|&i| data.train.input(i)).copied().collect();
    Given { samples, labels: chosen.iter().map(|&i| data.train.label(i)).collect() }
}

struct Still;

impl Clock for Still {
    fn now(&mut self) -> u32 {
        0
    }
}

/// What a station in this process tells, line by line, and the state that it ends with.
fn simulated(compiled: &Compiled, given: &Given) -> (Vec<Event>, u64) {
    let program = compiled.program.program();
    let h = &program.header;
    let [mut arena, mut state, mut scratch] =
        [h.arena, h.state, h.scratch].map(|bytes| AlignedBytes::zeroed(bytes as usize));
    let mut sample = vec![0; h.input_shape.elements()];
    let mut trainer =
        Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut()).unwrap();
    let changes = Cell::new(0);
    let mut flash = Chip::new(&changes);
    let around = Surroundings {
        source: &mut Stored::new(&given.samples),
        labels: &mut StoredLabels(&given.labels),
        indicator: &mut (),
        clock: &mut Still,
        flash: Some(&mut flash),
    };
    let mut guard = Judged::of(h);
    let mut station = Station::new(&mut trainer, &mut guard, &mut sample, around, RULES);
    let mut events = Vec::new();
    while station.steps() < STEPS || station.state() != State::Collect {
        events.extend(station.poll());
        assert!(events.len() < 10_000, "{station:?}");
    }
    let hash = hash::fnv1a(hash::EMPTY, station.trainer().state());
    (events, hash)
}

#[test]
fn a_station_learns_and_keeps_what_is_good() {
    let compiled = DEMO.compile(None);
    let given = given(&compiled);
    let (events, hash) = simulated(&compiled, &given);
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|e| wanted(e)).count();
    let failed = count(|event| matches!(event, Event::Failed(_)));
    let kept = count(|event| matches!(event, Event::Kept(_)));
    let good = count(|event| matches!(event, Event::Judged(verdict) if verdict.kept));
    // The state that the first round begins with is kept too.
    assert_eq!((failed, kept), (0, good + 1));
    assert!(kept >= 3, "{kept}");
    let losses: Vec<f32> = events
        .iter()
        .filter_map(|event| match event {
            Event::Stepped(report) => Some(report.loss),
            _ => None,
        })
        .collect();
    let mean = |losses: &[f32]| losses.iter().sum::<f32>() / losses.len() as f32;
    let (first, last) = (mean(&losses[..40]), mean(&losses[losses.len() - 40..]));
    println!("loss {first:.3} to {last:.3}, {kept} rounds kept, state {hash:016x}");
    assert!(last < first);
}

/// The samples, as the image's source.
fn source(given: &Given) -> String {
    let mut text = format!(
        "//! What is learnt; written by the test.\n\npub const STEPS: u32 = {STEPS};\n\
         pub const RATE: f32 = {:?};\n",
        RULES.rate
    );
    let mut list = |name: &str, of: &str, count: usize, values: String| {
        let _ = writeln!(text, "pub static {name}: [{of}; {count}] = {values};");
    };
    let Given { samples, labels } = given;
    list("SAMPLES", "i8", samples.len(), format!("{samples:?}"));
    list("LABELS", "u16", labels.len(), format!("{labels:?}"));
    text
}

/// Files of the image, beside the samples.
const FILES: [&str; 6] =
    ["Cargo.toml", "Cargo.lock", "build.rs", "memory.x", "src/main.rs", ".cargo/config.toml"];

#[test]
#[ignore = "needs an emulator and a cross compiler: cargo xtask test"]
fn a_station_on_a_cortex_m4_does_the_same() {
    let compiled = DEMO.compile(None);
    let given = given(&compiled);
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("station");
    let (model, folder) = (out.join("model"), out.join("image"));
    emit_model(&compiled, Judged::GUARD, "demo", &model);
    copy_image("station", &FILES, &model, &folder);
    fs::write(folder.join("src/samples.rs"), source(&given)).unwrap();
    let mut board = offshoot_boards::find("qemu-mps2-an386").unwrap();
    // The name of the image's package follows from the board's.
    board.name = "station".into();
    let built = build(&board, &folder, root()).unwrap_or_else(|e| panic!("{e}"));
    println!("image: {:?}", built.sizes);
    let options = Options { log: None, count_instructions: true };
    // What an earlier run kept.
    match fs::remove_file(built.elf.with_extension("flash")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => panic!("{error}"),
        _ => {}
    }
    let mut device = emulator::start(&board, &built.elf, &options).unwrap();
    let (from, _to) = device.link().unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(from).lines() {
        let line = line.unwrap();
        if line == "end" {
            break;
        }
        lines.push(line);
    }
    let (events, hash) = simulated(&compiled, &given);
    let events: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
    assert!(lines.len() > events.len(), "{lines:?}: {:?}", device.ended());
    let (told, measured) = lines.split_at(events.len());
    assert_eq!(told, events);
    assert!(measured.contains(&format!("state {hash:016x}")), "{measured:?}");
    println!("{} events equal; instructions of the longest poll:", events.len());
    measured.iter().for_each(|line| println!("  {line}"));
}
