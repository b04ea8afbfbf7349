//! Real models, against recorded results of another implementation.
//!
//! `tests/vectors/onnxruntime.npz` holds the classifier's int8 results, a row an input, as
//! `tests/record/qdq.py` recorded them. Models other than the demo's are not part of the
//! project: where they are absent, they are skipped.

use std::fs::File;
use std::path::{Path, PathBuf};

use ndarray::Array2;
use ndarray_npy::NpzReader;
use offshoot::import::import;
use offshoot::ir::{Graph, TensorId};
use offshoot::ops::Op;
use offshoot::reference::Values;
use offshoot_tests::vectors;

/// Inputs that are compared, of each kind some.
const INPUTS: usize = 6;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A model outside this repository, where it is there; says so where it is not.
fn shared(file: &str) -> Option<PathBuf> {
    let path = offshoot_tests::data_dir().map(|folder| folder.join(file)).filter(|p| p.is_file());
    if path.is_none() {
        println!("skipped: {file} is not here");
    }
    path
}

/// Input `index` of the recording, in integers.
fn sample(index: usize, shape: &[usize]) -> Vec<i32> {
    let input = vectors::input(index as u32, shape[1], shape[2], shape[3]);
    input.into_iter().map(i32::from).collect()
}

/// What the network's classifier reads out: its output, or what a last Softmax reads.
fn logits(graph: &Graph) -> TensorId {
    let output = graph.output.unwrap();
    let last = graph.nodes().find(|(_, n)| n.outputs.contains(&output)).unwrap().1;
    if matches!(last.op, Op::Softmax(_)) {
        last.inputs[0]
    } else {
        output
    }
}

fn real(graph: &Graph, tensor: TensorId, values: &[i32]) -> Vec<f32> {
    let tensor = graph.tensor(tensor);
    values.iter().map(|q| tensor.scale_of(0) * (q - tensor.zero()) as f32).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// Evaluates all nodes, keeping each result between the ends of int8, as inputs that are no
/// photographs run into them; and rounds it to whole steps if `steps` says so.
fn run(graph: &Graph, values: &mut Values<'_, f32>, steps: bool) {
    for (at, (_, node)) in graph.nodes().enumerate() {
        values.run(at, at + 1);
        let tensor = graph.tensor(node.outputs[0]);
        let (scale, zero) = (tensor.scale_of(0), tensor.zero() as f32);
        let quantize = |v: &mut f32| {
            let q = *v / scale;
            let q = if steps { q.round_ties_even() } else { q };
            *v = (q.clamp(-128.0 - zero, 127.0 - zero)) * scale;
        };
        values.change(node.outputs[0], |y| y.iter_mut().for_each(quantize));
    }
}

/// Imports a model and compares it with its recording; the layers it should have, by op.
fn compare(path: &Path, layers: &str) {
    let name = path.file_stem().unwrap().to_string_lossy().into_owned();
    let graph = import(path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(graph.name, name);
    let count = |op: &str| graph.nodes().filter(|(_, n)| n.op.name() == op).count();
    let counts: Vec<String> = ["conv2d", "add", "avg_pool", "requantize", "softmax"]
        .into_iter()
        .filter(|op| count(op) > 0)
        .map(|op| format!("{} {op}", count(op)))
        .collect();
    println!("{name}: {}", counts.join(", "));
    assert_eq!(counts.join(", "), layers);

    let input = graph.input.unwrap();
    let shape = &graph.tensor(input).shape;
    let archive = File::open(root().join("tests/vectors/onnxruntime.npz")).unwrap();
    let recorded: Array2<i8> = NpzReader::new(archive).unwrap().by_name(&name).unwrap();
    for (index, row) in recorded.rows().into_iter().enumerate().take(INPUTS) {
        let expected: Vec<i32> = row.iter().map(|&q| i32::from(q)).collect();
        let expected = real(&graph, logits(&graph), &expected);
        let x = real(&graph, input, &sample(index, shape));
        let [float, stepped] = [false, true].map(|steps| {
            let mut values = Values::<f32>::new(&graph);
            values.set(input, x.clone());
            run(&graph, &mut values, steps);
            values.get(logits(&graph)).to_vec()
        });
        assert_eq!(float.len(), expected.len());
        let cosines = [&float, &stepped].map(|found| cosine(found, &expected));
        println!("  input {index}: cosine {:.5} in float, {:.6} in steps", cosines[0], cosines[1]);
        assert!(cosines[0] > 0.99 && cosines[1] > 0.995, "{name}, input {index}: {cosines:?}");
    }
}

#[test]
fn digits() {
    let path = root().join("demo/digits_int8qdq.onnx");
    compare(&path, "8 conv2d, 1 add, 1 avg_pool");
}

#[test]
fn mcunet() {
    let Some(path) = shared("models/mcunetv3/mcunet-5fps_int8qdq.onnx") else { return };
    compare(&path, "43 conv2d, 7 add, 1 avg_pool");
}

#[test]
fn mobilenet_v2() {
    let Some(path) = shared("models/mcunetv3/mbv2-w0.35_int8qdq.onnx") else { return };
    compare(&path, "52 conv2d, 10 add, 1 avg_pool");
}

#[test]
fn resnet8() {
    let Some(path) = shared("models/mlperf_tiny/pretrainedResnet_quant.onnx") else { return };
    compare(&path, "10 conv2d, 3 add, 1 avg_pool, 1 softmax");
}

#[test]
fn keyword_spotting() {
    let Some(path) = shared("models/mlperf_tiny/kws_ref_model.onnx") else { return };
    compare(&path, "10 conv2d, 1 avg_pool, 1 softmax");
}

#[test]
fn others_are_refused_by_node() {
    // What is said first, and what besides.
    for (file, first, other) in [
        ("others/silero_vad_16k_op15.onnx", "(Pow)", "(If)"),
        ("others/ch_ppocr_mobile_v2.0_cls_infer.onnx", "input \"x\"", "fixed shapes"),
    ] {
        let Some(path) = shared(&format!("models/{file}")) else { continue };
        // A graph holds megabytes: it is not for printing.
        let Err(error) = import(&path) else { panic!("{file} was imported") };
        let message = error.to_string();
        println!("{}", message.lines().take(5).collect::<Vec<_>>().join("\n"));
        let beginning: String = message.lines().take(2).collect();
        assert!(beginning.contains(first), "{beginning}");
        assert!(message.contains(other));
    }
}
