//! The int8 forward pass equals the TensorFlow Lite reference kernels bit for bit, layer by layer, on
//! 240 recorded inputs a network (`tests/record/tflite.py` recorded them).

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use ndarray::{Array1, Array2};
use ndarray_npy::NpzReader;
use offshoot::import::import;
use offshoot::pipeline::compile_inference;
use offshoot_runtime::{hash, Access, Memory, Slot, Trainer};
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
    let layers: Array2<u64> = archive.by_name("layer_hash").unwrap();
    let [h, w, c] = [0, 1, 2].map(|i| shape[i] as usize);

    let compiled = compile_inference(&import(&model).unwrap()).unwrap();
    let program = compiled.program.program();
    let forward = program.header.forward as usize;
    let written: Vec<Vec<Slot>> = program.ops[..forward].iter().map(|op| results(*op)).collect();
    let output = program.header.output;
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).unwrap();
    let interpreter = simulation.interpreter();
    let (mut outputs, mut inner) = (0, 0);
    for (index, recorded) in layers.rows().into_iter().enumerate() {
        for (to, v) in interpreter.input().iter_mut().zip(vectors::input(index as u32, h, w, c)) {
            *to = v;
        }
        let mut found = HashSet::new();
        for (at, slots) in written.iter().enumerate() {
            interpreter.run(at, at + 1).unwrap();
            for &slot in slots {
                let ([bytes], []) = interpreter.machine().arena.split([slot], []).unwrap();
                found.insert(hash::fnv1a(hash::EMPTY, bytes));
            }
        }
        let ([bytes], []) = interpreter.machine().arena.split([output], []).unwrap();
        let last = hash::fnv1a(hash::EMPTY, bytes);
        outputs += usize::from(recorded.last() == Some(&last));
        inner += recorded.iter().filter(|&hash| found.contains(hash)).count();
    }
    let [inputs, count] = [layers.nrows(), layers.ncols()];
    println!("{name}: {outputs} of {inputs} outputs, {inner} of {} layers equal", inputs * count);
    assert!(inputs >= 200);
    assert_eq!(outputs, inputs);
}

/// What an op leaves in the arena.
fn results(mut op: offshoot_runtime::program::Op) -> Vec<Slot> {
    let mut slots = Vec::new();
    op.visit(&mut |access, slot| {
        if access == Access::Write && slot.memory == Memory::Arena && !slot.is_empty() {
            slots.push(*slot);
        }
    });
    slots
}

#[test]
fn ds_cnn() {
    equals_recorded("kws_ref_model");
}

#[test]
fn resnet8() {
    equals_recorded("pretrainedResnet_quant");
}

#[test]
fn mobilenet() {
    equals_recorded("vww_96_int8");
}

#[test]
fn autoencoder() {
    equals_recorded("ad01_int8");
}

#[test]
fn streaming_wake_word() {
    equals_recorded("str_ww_ref_model");
}
