//! The generator of inputs makes the inputs that were recorded.

use std::fs::File;
use std::path::Path;

use ndarray::Array1;
use ndarray_npy::NpzReader;
use offshoot_runtime::hash;
use offshoot_tests::vectors::input;

fn generator_matches(model: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let file = File::open(folder.join(model).with_extension("npz")).unwrap();
    let mut archive = NpzReader::new(file).unwrap();
    let shape: Array1<i32> = archive.by_name("input_shape").unwrap();
    let recorded: Array1<u64> = archive.by_name("input_hash").unwrap();
    let [h, w, c] = [0, 1, 2].map(|axis| shape[axis] as usize);
    assert!(recorded.len() >= 3, "every kind of input is recorded");
    for (index, &expected) in recorded.iter().enumerate() {
        let bytes: Vec<u8> = input(index as u32, h, w, c).iter().map(|&v| v as u8).collect();
        assert_eq!(bytes.len(), h * w * c);
        assert_eq!(hash::fnv1a(hash::EMPTY, &bytes), expected, "input {index} of {model}");
    }
}

#[test]
fn inputs_of_the_keyword_network() {
    generator_matches("kws_ref_model");
}

#[test]
fn inputs_of_the_resnet() {
    generator_matches("pretrainedResnet_quant");
}

#[test]
fn inputs_of_the_mobilenet() {
    generator_matches("vww_96_int8");
}

#[test]
fn inputs_of_the_autoencoder() {
    generator_matches("ad01_int8");
}

#[test]
fn inputs_of_the_wake_word_network() {
    generator_matches("str_ww_ref_model");
}
