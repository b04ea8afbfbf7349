//! Damaged copies of real models: read or refused, never a panic, in bounded time and memory. The
//! unbounded search is the cargo-fuzz target in `fuzz/`.

#[allow(dead_code)]
#[path = "../onnx_nodes/case.rs"]
mod case;
mod mutate;

use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use case::{Batch, Case};
use mutate::{Bytes, Draws, Structure};
use offshoot::import::import_bytes;
use offshoot::ir::Graph;
use offshoot::pipeline::compile_inference;
use offshoot::quantize::{is_real, quantize, Samples, LEAST};
use offshoot_tests::data_dir;

/// Copies of each model, damaged by the byte and by the message.
const COPIES: usize = 500;
/// Copies of the demo's model, which is small.
const COPIES_OF_DEMO: usize = 4000;
/// Copies of each network made of a node case of the `onnx` package: every operator there is.
const COPIES_OF_CASES: usize = 24;
/// No file may take longer.
const LONGEST: Duration = Duration::from_secs(10);
/// Nor the process more memory, KiB.
const MOST_MEMORY: usize = 1 << 20;

/// The demo's model, those that the tests record, and those of the data folder.
fn models() -> Vec<PathBuf> {
    let mut all = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo/digits_int8qdq.onnx")];
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors");
    let files = std::fs::read_dir(vectors).into_iter().flatten().flatten().map(|e| e.path());
    all.extend(files.filter(|f| f.extension().is_some_and(|e| e == "onnx")));
    let folders = ["mcunetv3", "mlperf_tiny", "others"];
    for folder in data_dir().iter().flat_map(|d| folders.map(|f| d.join("models").join(f))) {
        let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
        all.extend(files.filter(|f| f.extension().is_some_and(|e| e == "onnx")));
    }
    all.sort();
    all
}

/// What became of copies.
#[derive(Default)]
struct Count {
    read: usize,
    refused: usize,
    compiled: usize,
    longest: Duration,
}

impl Count {
    fn add(&mut self, other: &Count) {
        self.read += other.read;
        self.refused += other.refused;
        self.compiled += other.compiled;
        self.longest = self.longest.max(other.longest);
    }
}

impl std::fmt::Display for Count {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Count { read, compiled, refused, longest } = self;
        write!(
            f,
            "{read} read, {compiled} of them compiled, {refused} refused, {longest:?} at most"
        )
    }
}

/// Tries damaged copies of a sound file.
fn damage(name: &str, sound: &[u8], copies: usize, count: &mut Count) {
    let structure = Structure::of(sound);
    for round in 0..copies {
        let draws = Draws::new(round as u32);
        let bytes = match round % 2 {
            0 => Bytes(sound).damaged(draws),
            _ => structure.damaged(draws),
        };
        try_import(&format!("{name}-{round}"), &bytes, count);
    }
}

fn is_small(graph: &Graph) -> bool {
    graph.tensors().map(|(_, tensor)| tensor.elements()).sum::<usize>() < 3000
}

fn try_import(name: &str, bytes: &[u8], count: &mut Count) {
    let start = Instant::now();
    let outcome = catch_unwind(|| match import_bytes(name, bytes) {
        // What is read of real numbers is quantised, where that takes no time.
        Ok(graph) if is_real(&graph) && is_small(&graph) => {
            let elements = graph.tensor(graph.input.unwrap()).elements();
            let value = |s: usize, i: usize| ((s + i * 7) % 13) as f32 / 6.0 - 1.0;
            let sample = |s| (0..elements).map(|i| value(s, i)).collect();
            let samples = Samples { values: (0..LEAST).map(sample).collect(), input: None };
            Ok(quantize(&graph, &samples).is_ok())
        }
        Ok(graph) if is_real(&graph) => Ok(false),
        // What is read is sound enough to be compiled, or refused there.
        Ok(graph) => Ok(compile_inference(&graph).is_ok()),
        Err(error) => Err(error.to_string()),
    });
    let spent = start.elapsed();
    count.longest = count.longest.max(spent);
    assert!(spent < LONGEST, "{name}: took {spent:?}");
    match outcome {
        Ok(Ok(compiled)) => {
            count.read += 1;
            count.compiled += usize::from(compiled);
        }
        Ok(Err(message)) => {
            assert!(message.contains(name), "{message}");
            count.refused += 1;
        }
        Err(_) => {
            let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.onnx"));
            std::fs::write(&kept, bytes).unwrap();
            panic!("{name}: panicked; the file is kept as {}", kept.display());
        }
    }
}

#[test]
fn damaged_files_are_read_or_refused() {
    let mut total = Count::default();
    for path in models() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let sound = std::fs::read(&path).unwrap();
        let copies = if stem == "digits_int8qdq" { COPIES_OF_DEMO } else { COPIES };
        let mut count = Count::default();
        damage(&stem, &sound, copies, &mut count);
        println!("{stem}: {count}");
        assert!(count.refused > copies / 20, "damage to {stem} that is hardly noticed");
        total.add(&count);
    }
    let mut cases = Count::default();
    let folder = case::folder();
    for entry in folder.iter().flat_map(|f| std::fs::read_dir(f).unwrap()) {
        let case = Case::read(&entry.unwrap().path());
        for (index, network) in case.networks(Batch::Whole).into_iter().flatten().enumerate() {
            let name = format!("{}-{index}", case.name);
            damage(&name, &network.bytes, COPIES_OF_CASES, &mut cases);
        }
    }
    println!("node cases: {cases}");
    total.add(&cases);
    let memory = peak_memory();
    println!(
        "{} files: {total}; {} KiB of memory at most",
        total.read + total.refused,
        memory.map_or("unknown".into(), |kib| kib.to_string())
    );
    assert!(memory.is_none_or(|kib| kib < MOST_MEMORY), "{memory:?} KiB");
}

/// The most memory that this process has held, KiB, where the system tells.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
