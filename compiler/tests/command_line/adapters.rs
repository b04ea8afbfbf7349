//! Adapters: what is asked for, and what is wrong with it.

use std::fs;

use super::support::{compile_fails, demo, folder, model, succeeds, text, FAILED, USAGE};

#[test]
fn adapters_that_make_no_sense() {
    let data = demo("digits_rotated.npz");
    let refused = |test: &str, code: i32, adapter: &str, says: &[&str]| {
        let more = ["--adapter", adapter, "--calibrate", text(&data)];
        compile_fails(&format!("adapter-{test}"), code, model(), &more, says);
    };
    refused("recipe", USAGE, "lara", &["--adapter", "\"lara\"", "lora, "]);
    refused("part", USAGE, "lora,tiny", &["`tiny`", "rank=4"]);
    refused("rank", USAGE, "lora,rank=300", &["a rank of 300", "1 to 256"]);
    refused("layers", FAILED, "lora,layers=40", &["last 40 layers", "digits_int8qdq.onnx"]);
    refused("file", FAILED, "/no/such/adapter.toml", &["/no/such/adapter.toml"]);
    let path = folder("adapter-toml").join("adapter.toml");
    fs::write(&path, "recipe = \"lora\"\nlayers = [\"block1_dw\"]\n").unwrap();
    refused("depthwise", FAILED, text(&path), &["\"block1_dw\"", "of one group"]);
    fs::write(&path, "recipe = \"lora\"\nlayers = [\"nowhere\"]\n").unwrap();
    refused("name", FAILED, text(&path), &["\"nowhere\"", "\"stem\""]);
    fs::write(&path, "recipe = \"lora\"\nwidth = 3\n").unwrap();
    refused("toml", FAILED, text(&path), &["adapter.toml", "width"]);
    let more = ["--adapter", "allora", "--calibrate", text(&data), "--update", "head,momentum=0.9"];
    let says = ["neither momentum nor batches", "leave them out"];
    compile_fails("adapter-momentum", FAILED, model(), &more, &says);
    let says = ["--calibrate DATA"];
    compile_fails("adapter-samples", FAILED, model(), &["--adapter", "lora"], &says);
}

/// It trains nothing of the network itself, and learns.
#[test]
fn an_adapter_is_compiled_reported_and_trained() {
    let (out, data) = (folder("adapter"), demo("digits_rotated.npz"));
    let args = ["compile", text(model()), "--adapter", "lora,rank=4,stochastic", "--calibrate"];
    let report = succeeds(&[&args[..], &[text(&data), "-o", text(&out), "--json"]].concat());
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let trained = report["trained"].as_array().unwrap();
    let names: Vec<&str> = trained.iter().map(|t| t["name"].as_str().unwrap()).collect();
    let of = |part: &str| names.iter().filter(|n| n.contains(part)).count();
    assert_eq!((of(".lora."), of("head.")), (names.len() - 2, 2), "{names:?}");
    let args = ["simulate", text(&out), "--data", text(&data), "--epochs", "4", "--json"];
    let outcome: serde_json::Value = serde_json::from_str(&succeeds(&args)).unwrap();
    let share = |when: &str| outcome["accuracy"][when].as_f64().unwrap();
    println!("{} -> {}", share("before"), share("after"));
    assert!(share("after") > share("before") + 0.3, "{outcome}");
}
