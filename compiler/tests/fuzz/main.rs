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
use offshoot_tests::{data_dir, skip};

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

/// The demo's model, and those that the tests record.
fn own_models() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = vec![root.join("demo/digits_int8qdq.onnx")];
    all.extend(models(&root.join("tests/vectors")));
    all
}

/// The models of a folder.
fn models(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path());
    let mut all: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "onnx")).collect();
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

fn read_or_refused(what: &str, models: &[PathBuf]) {
    let mut total = Count::default();
    for path in models {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let sound = std::fs::read(path).unwrap();
        let copies = if stem == "digits_int8qdq" { COPIES_OF_DEMO } else { COPIES };
        let mut count = Count::default();
        damage(&stem, &sound, copies, &mut count);
        println!("{stem}: {count}");
        assert!(count.refused > copies / 20, "damage to {stem} that is hardly noticed");
        total.add(&count);
    }
    within_memory(what, &total);
}

#[test]
fn damaged_models_of_the_repository_are_read_or_refused() {
    read_or_refused("models of the repository", &own_models());
}

fn trained_are_read_or_refused(folder: &str) {
    let Some(data) = data_dir() else { skip!("no folder of models") };
    read_or_refused(folder, &models(&data.join("models").join(folder)));
}

#[test]
fn damaged_mcunets_are_read_or_refused() {
    trained_are_read_or_refused("mcunetv3");
}

#[test]
fn damaged_models_of_mlperf_tiny_are_read_or_refused() {
    trained_are_read_or_refused("mlperf_tiny");
}

#[test]
fn damaged_models_of_others_are_read_or_refused() {
    trained_are_read_or_refused("others");
}

#[test]
fn damaged_node_cases_are_read_or_refused() {
    let Some(folder) = case::folder() else {
        skip!("there are no ONNX node cases; `cargo xtask setup` fetches them")
    };
    let mut total = Count::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let case = Case::read(&entry.unwrap().path());
        for (index, network) in case.networks(Batch::Whole).into_iter().flatten().enumerate() {
            let name = format!("{}-{index}", case.name);
            damage(&name, &network.bytes, COPIES_OF_CASES, &mut total);
        }
    }
    within_memory("node cases", &total);
}

/// Says what became of files, and holds the memory of this process, tests beside this one included, against its limit.
fn within_memory(what: &str, total: &Count) {
    let memory = peak_memory();
    let files = total.read + total.refused;
    let told = memory.map_or("unknown".into(), |kib| kib.to_string());
    println!("{what}, {files} files: {total}; {told} KiB of memory at most");
    assert!(memory.is_none_or(|kib| kib < MOST_MEMORY), "{memory:?} KiB");
}

/// The most memory that this process has held, KiB, where the system tells.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
