//! On-device training against float on a real network and real data: an epoch of flowers.
//!
//! The claim (10 epochs: int8 within 2 points of float, above the head alone) takes minutes; this
//! is its first epoch, which fails on a gross regression only. One epoch's accuracy varies by about
//! 2 points with the order of samples, on 600 test images: the margins are twice that.

use std::path::Path;
use std::process::Command;

use offshoot_tests::{data_dir, skip};
use serde_json::Value;

const MARGIN: f64 = 0.04;

fn offshoot(args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_offshoot")).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn share(outcome: &Value, at: &str) -> f64 {
    outcome.pointer(at).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {at} in {outcome}"))
}

#[test]
#[ignore = "takes a minute in a release build: cargo xtask test"]
fn int8_keeps_up_with_float_and_beats_the_head_alone() {
    let Some(data) = data_dir() else { skip!("no folder of models and data") };
    let model = data.join("models/mcunetv3/mcunet-5fps_int8qdq.onnx");
    let samples = data.join("images/flowers5_128_jpeg.npz");
    if !model.is_file() || !samples.is_file() {
        skip!("no MCUNet, or no flowers, in {}", data.display());
    }
    let (model, samples) = (model.to_str().unwrap(), samples.to_str().unwrap());
    let learn = |scheme: &str, extra: &[&str]| {
        let folder =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("accuracy-{}", extra.len()));
        let folder = folder.to_str().unwrap();
        offshoot(&["compile", model, "--classes", "5", "--update", scheme, "-o", folder, "--json"]);
        let fixed = ["simulate", folder, "--data", samples, "--epochs", "1", "--json"];
        offshoot(&[&fixed[..], extra].concat())
    };
    let scheme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemes/mcunet-49kb.toml");
    let sparse = learn(scheme.to_str().unwrap(), &["--float"]);
    let head = share(&learn("head", &[]), "/accuracy/after");
    let (int8, float) = (share(&sparse, "/accuracy/after"), share(&sparse, "/float/after"));
    println!(
        "MCUNet on 5 flowers, 1 epoch: int8 {int8:.4}, float {float:.4}, head alone {head:.4}"
    );
    assert!(int8 > float - MARGIN, "int8 {int8}, float {float}");
    assert!(int8 > head - MARGIN, "sparse {int8}, head {head}");
    assert!(int8 > 0.75, "a network that learns its classes passes this by far: {int8}");
}
