//! The int8 forward pass equals the TensorFlow Lite reference kernels bit for bit: logits and
//! scores on 240 recorded inputs a network (`tests/record/tflite.py` recorded them).

use std::fs::File;
use std::path::Path;

use ndarray::{Array1, Array2};
use ndarray_npy::NpzReader;
use offshoot::import::import;
use offshoot::pipeline::compile_inference;
use offshoot_runtime::program::Op;
use offshoot_simulator::{Memories, Simulation};
use offshoot_tests::{data_dir, skip, vectors};

fn equals_recorded(name: &str) {
    let Some(folder) = data_dir() else { skip!("no folder of models") };
    let model = folder.join("models/mlperf_tiny").join(format!("{name}.onnx"));
    if !model.is_file() {
        skip!("no {}", model.display());
    }
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{name}.npz"));
    let mut archive = NpzReader::new(File::open(vectors).unwrap()).unwrap();
    let shape: Array1<i32> = archive.by_name("input_shape").unwrap();
    let logits: Array2<i8> = archive.by_name("logits").unwrap();
    let scores: Array2<i8> = archive.by_name("scores").unwrap();
    let [h, w, c] = [0, 1, 2].map(|i| shape[i] as usize);

    let compiled = compile_inference(&import(&model).unwrap()).unwrap();
    let program = compiled.program.program();
    let Some(Op::Softmax(softmax)) = program.ops.last().copied() else { panic!("ends in softmax") };
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).unwrap();
    let (mut equal_logits, mut equal_scores) = (0, 0);
    for index in 0..scores.nrows() {
        let input = vectors::input(index as u32, h, w, c);
        simulation.infer(index, &input).unwrap();
        let arena = &mut simulation.interpreter().machine().arena;
        let ([found_logits, found_scores], []) =
            arena.split([softmax.input, softmax.output], []).unwrap();
        let same = |found: &[u8], row: ndarray::ArrayView1<i8>| {
            found.len() == row.len() && found.iter().zip(row).all(|(&f, &r)| f as i8 == r)
        };
        equal_logits += usize::from(same(found_logits, logits.row(index)));
        equal_scores += usize::from(same(found_scores, scores.row(index)));
    }
    println!(
        "{name}: logits equal on {equal_logits}, scores on {equal_scores} of {} inputs",
        scores.nrows()
    );
    assert!(scores.nrows() >= 200);
    assert_eq!([equal_logits, equal_scores], [scores.nrows(); 2]);
}

#[test]
fn ds_cnn() {
    equals_recorded("kws_ref_model");
}

#[test]
fn resnet8() {
    equals_recorded("pretrainedResnet_quant");
}
