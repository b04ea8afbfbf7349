//! `offshoot search`: what it finds fits, learns better than what is less, and is taken by `compile`.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::support::{demo, fails, folder, model, samples, succeeds, text, FAILED, UNFIT, USAGE};

/// Little, so that a test is short.
const EFFORT: [&str; 4] = ["--epochs", "3", "--trials", "4"];

/// Searches on the demo's samples, into a file of the test's own.
fn search(test: &str, more: &[&str]) -> (Value, PathBuf) {
    let scheme = folder(&format!("search-{test}")).join("scheme.toml");
    let data = demo("digits_rotated.npz");
    let args = ["search", text(model()), "--data", text(&data), "--json", "-o", text(&scheme)];
    let printed = succeeds(&[&args[..], &EFFORT, more].concat());
    assert_eq!(printed.lines().count(), 1, "{printed}");
    (serde_json::from_str(&printed).unwrap(), scheme)
}

fn number(value: &Value, path: &str) -> f64 {
    let found = value.pointer(path).and_then(Value::as_f64);
    found.unwrap_or_else(|| panic!("no number {path} in {value}"))
}

#[test]
fn what_is_found_fits_and_learns() {
    let limits = ["--sram", "12000"];
    let (found, scheme) = search("learns", &limits);
    let trials = found["trials"].as_array().unwrap();
    assert!(trials.iter().all(|t| number(t, "/sram") <= 12_000.0), "{found}");
    assert_eq!(trials.len(), 4);
    let head = trials.iter().find(|t| t["update"] == "head").expect("the head by itself");
    let better = number(&trials[0], "/score") - number(head, "/score");
    assert!(better > 0.05, "{better} better than the head: {found}");
    assert_eq!(found["layers"].as_array().unwrap().len(), 7);
    assert_eq!(found["biases"].as_array().unwrap().len(), 8);

    // `compile` takes it, and `simulate` comes to the same.
    let out = folder("search-followed");
    let compile = ["compile", text(model()), "--json", "--update", text(&scheme), "-o", text(&out)];
    let report: Value = serde_json::from_str(&succeeds(&[&compile[..], &limits].concat())).unwrap();
    assert_eq!(number(&report, "/sram/total"), number(&trials[0], "/sram"));
    let data = demo("digits_rotated.npz");
    let simulate = ["simulate", text(&out), "--data", text(&data), "--epochs", "3", "--json"];
    let simulated: Value = serde_json::from_str(&succeeds(&simulate)).unwrap();
    assert_eq!(simulated["accuracy"], found["accuracy"]);
}

#[test]
fn threads_change_nothing() {
    let one = search("one", &["--sram", "9000", "--jobs", "1"]);
    let three = search("three", &["--sram", "9000", "--jobs", "3"]);
    assert_eq!(one.0, three.0);
    assert_eq!(fs::read(one.1).unwrap(), fs::read(three.1).unwrap());
}

#[test]
fn loss_and_optimizer_are_common_to_all() {
    let (found, scheme) = search("common", &["--update", "smoothing=0.1,momentum=0.5"]);
    for tried in found["trials"].as_array().unwrap() {
        let update = tried["update"].as_str().unwrap();
        assert!(update.contains("smoothing=0.1,momentum=0.5"), "{update}");
    }
    assert!(fs::read_to_string(scheme).unwrap().contains("momentum = 0.5"));
}

/// Runs a search that must fail, and leave the file as it was.
fn refused(test: &str, code: i32, data: &Path, more: &[&str], says: &[&str]) {
    let scheme = folder(&format!("search-{test}")).join("scheme.toml");
    fs::write(&scheme, "kept").unwrap();
    let args = ["search", text(model()), "--data", text(data), "-o", text(&scheme)];
    fails(code, &[&args[..], more].concat(), says);
    assert_eq!(fs::read_to_string(scheme).unwrap(), "kept");
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let data = demo("digits_rotated.npz");
    let says = ["digits_int8qdq.onnx on qemu-mps2-an386", "3000 are available", "no update scheme"];
    refused("unfit", UNFIT, &data, &["--sram", "3000"], &says);
    let common = ["--update", "biases=3"];
    refused("layers", FAILED, &data, &common, &["leave biases, layers and precision out"]);
    refused("precision", FAILED, &data, &["--update", "stochastic"], &["precision out"]);
    refused("jobs", USAGE, &data, &["--jobs", "0"], &["a whole number from 1"]);
    refused("gone", FAILED, Path::new("gone.npz"), &[], &["gone.npz"]);
    let mut few = samples();
    few.x_train = few.x_train.slice(ndarray::s![..15, .., .., ..]).to_owned();
    few.y_train = few.y_train.slice(ndarray::s![..15]).to_owned();
    let few = few.write("search-few-samples");
    refused("few", FAILED, &few, &[], &["15 training samples are too few", "at least 16"]);
    let taken = folder("search-folder");
    let args = ["search", text(model()), "--data", text(&data), "-o", text(&taken)];
    fails(FAILED, &args, &["is a folder"]);
}

#[test]
fn people_are_shown_what_was_found() {
    let scheme = folder("search-people").join("scheme.toml");
    let data = demo("digits_rotated.npz");
    let args = ["search", text(model()), "--data", text(&data), "-o", text(&scheme)];
    let printed = succeeds(&[&args[..], &EFFORT].concat());
    for part in
        ["biases of the last layers", "weights of layer", "block2_expand", "4 tried:", "head"]
    {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
    assert!(printed.ends_with(&format!("written to {}\n", text(&scheme))), "{printed}");
}
