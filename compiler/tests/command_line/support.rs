//! Runs the binary, makes inputs of the demo's, and holds what a failure leaves against the rule:
//! an exit code, a message on standard error, nothing on standard output, no file lost.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use ndarray::{s, Array1, Array4, Axis};
use ndarray_npy::{NpzReader, NpzWriter};
use offshoot_simulator::data::{load, DataSpec, Dataset, Options};
use offshoot_simulator::ProgramFile;
use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto};

/// Something failed.
pub const FAILED: i32 = 1;
/// The arguments are wrong.
pub const USAGE: i32 = 2;
/// The program does not fit the board.
pub const UNFIT: i32 = 3;

/// What a run of the binary gave.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `offshoot`.
pub fn offshoot<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_offshoot"));
    let output = command.args(args).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Runs a command that must succeed, and gives what it printed.
pub fn succeeds(args: &[&str]) -> String {
    let ran = offshoot(args);
    assert_eq!(ran.code, Some(0), "{args:?}: {ran:?}");
    assert!(!ran.stderr.contains("panicked"), "{args:?}: {ran:?}");
    ran.stdout
}

/// Runs a command that must fail with `code` and say all of `says`; with `--json` as without.
pub fn fails(code: i32, args: &[&str], says: &[&str]) {
    for json in [&[][..], &["--json"]] {
        let args: Vec<&str> = args.iter().chain(json).copied().collect();
        let ran = offshoot(&args);
        assert!(!ran.stderr.contains("panicked"), "{args:?}: {ran:?}");
        assert_eq!(ran.code, Some(code), "{args:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{args:?}: {ran:?}");
        for part in says {
            assert!(ran.stderr.contains(part), "{args:?} does not say {part:?}: {ran:?}");
        }
    }
}

/// Runs `compile` on `model`, which must fail, into a folder that holds a good program: that must
/// still be there, and nothing beside it.
pub fn compile_fails(test: &str, code: i32, model: &Path, more: &[&str], says: &[&str]) {
    let out = good_copy(&format!("{test}/out"));
    let before = files(&out);
    let args = [&["compile", text(model), "-o", text(&out)], more].concat();
    fails(code, &args, says);
    assert_eq!(changed(&before, &files(&out)), Vec::<&PathBuf>::new());
}

/// Runs `simulate`, which must fail, in a folder that holds a good program; nothing may change.
pub fn simulate_fails(test: &str, code: i32, data: &Path, more: &[&str], says: &[&str]) {
    let out = good_copy(&format!("{test}/out"));
    let before = files(&out);
    let args = [&["simulate", text(&out), "--data", text(data)], more].concat();
    fails(code, &args, says);
    assert_eq!(changed(&before, &files(&out)), Vec::<&PathBuf>::new());
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An empty folder of a test's own.
pub fn folder(test: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("command_line").join(test);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// The demo's folder.
pub fn demo(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo").join(file)
}

/// The demo's network.
pub fn model() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/digits_int8qdq.onnx"))
}

/// A folder with the demo's network, compiled.
pub fn good() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let out = folder("good");
        let scheme = "biases=2,block2_project:1/2,last:1";
        succeeds(&["compile", text(model()), "--update", scheme, "-o", text(&out)]);
        out
    })
}

/// What [`good`]'s program makes of samples.
pub fn loaded(data: &Path, spec: &str) -> Dataset {
    let program = fs::read(good().join("program.bin")).unwrap();
    let header = ProgramFile::decode(&program).unwrap().header;
    let options = Options { spec: DataSpec::parse(spec).unwrap(), ..Options::default() };
    load(data, &header, &options).unwrap_or_else(|e| panic!("{e}"))
}

/// A copy of [`good`] in a folder of a test's own.
pub fn good_copy(test: &str) -> PathBuf {
    let copy = folder(test);
    for (name, content) in files(good()) {
        let path = copy.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    copy
}

/// All files below a folder.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_path_buf();
                found.insert(name, fs::read(path).unwrap());
            }
        }
    }
    found
}

/// Files that differ, or are there only once.
pub fn changed<'f>(
    a: &'f BTreeMap<PathBuf, Vec<u8>>,
    b: &'f BTreeMap<PathBuf, Vec<u8>>,
) -> Vec<&'f PathBuf> {
    a.keys().chain(b.keys()).filter(|name| a.get(*name) != b.get(*name)).collect()
}

/// The demo's network with a change, in a file of the test's own.
pub fn patched(test: &str, patch: impl FnOnce(&mut ModelProto)) -> PathBuf {
    let mut decoded = ModelProto::decode(fs::read(model()).unwrap().as_slice()).unwrap();
    patch(&mut decoded);
    let path = folder(test).join("broken.onnx");
    fs::write(&path, decoded.encode_to_vec()).unwrap();
    path
}

/// A node of a network.
pub fn node<'g>(graph: &'g mut GraphProto, name: &str) -> &'g mut NodeProto {
    graph.node.iter_mut().find(|n| n.name == name).unwrap()
}

/// A constant of a network.
pub fn constant<'g>(graph: &'g mut GraphProto, name: &str) -> &'g mut TensorProto {
    graph.initializer.iter_mut().find(|t| t.name == name).unwrap()
}

/// Samples in the plain form.
#[derive(Clone, Debug)]
pub struct Samples {
    pub x_train: Array4<u8>,
    pub y_train: Array1<i64>,
    pub x_test: Array4<u8>,
    pub y_test: Array1<i64>,
}

/// Some of the demo's samples: enough to learn from in a test.
pub fn samples() -> Samples {
    let mut archive = NpzReader::new(fs::File::open(demo("digits_rotated.npz")).unwrap()).unwrap();
    let mut images = |name: &str, count: usize| -> Array4<u8> {
        let all: Array4<u8> = archive.by_name(name).unwrap();
        all.slice(s![..count, .., .., ..]).to_owned()
    };
    let (x_train, x_test) = (images("x_train", 40), images("x_test", 24));
    let mut labels = |name: &str, count: usize| -> Array1<i64> {
        let all: Array1<u8> = archive.by_name(name).unwrap();
        all.slice(s![..count]).mapv(i64::from)
    };
    let (y_train, y_test) = (labels("y_train", 40), labels("y_test", 24));
    Samples { x_train, y_train, x_test, y_test }
}

/// An empty archive in a folder of the test's own, and its path.
pub fn archive(test: &str) -> (NpzWriter<fs::File>, PathBuf) {
    let path = folder(test).join("samples.npz");
    (NpzWriter::new(fs::File::create(&path).unwrap()), path)
}

impl Samples {
    /// The samples of each class together, in the order of classes.
    pub fn by_class(&self) -> Samples {
        let order = |labels: &Array1<i64>| {
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.sort_by_key(|&i| labels[i]);
            order
        };
        let (train, test) = (order(&self.y_train), order(&self.y_test));
        Samples {
            x_train: self.x_train.select(Axis(0), &train),
            y_train: self.y_train.select(Axis(0), &train),
            x_test: self.x_test.select(Axis(0), &test),
            y_test: self.y_test.select(Axis(0), &test),
        }
    }

    /// Writes them to a file of the test's own.
    pub fn write(&self, test: &str) -> PathBuf {
        let (mut archive, path) = archive(test);
        archive.add_array("x_train", &self.x_train).unwrap();
        archive.add_array("y_train", &self.y_train).unwrap();
        archive.add_array("x_test", &self.x_test).unwrap();
        archive.add_array("y_test", &self.y_test).unwrap();
        archive.finish().unwrap();
        path
    }
}
