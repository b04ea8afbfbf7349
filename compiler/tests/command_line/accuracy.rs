//! On-device training against float on a real network and real data: an epoch of flowers.
//!
//! The claim (10 epochs: int8 within 2 points of float, above the head alone) takes minutes; this
//! is its first epoch, which fails on a gross regression only. One epoch's accuracy varies by about
//! 2 points with the order of samples, on 600 test images: the margins are twice that.

use std::path::Path;

use offshoot_tests::{data_dir, skip};
use serde_json::Value;

use crate::support::{folder, succeeds, text};

const MARGIN: f64 = 0.04;

fn share(outcome: &Value, at: &str) -> f64 {
    outcome.pointer(at).and_then(Value::as_f64).unwrap_or_else(|| panic!("no {at} in {outcome}"))
}

/// The data folder's flowers, and a model beside them.
fn flowers_and(model: &str) -> Option<[String; 2]> {
    let data = data_dir()?;
    let files = [data.join("images/flowers5_128_jpeg.npz"), data.join("models").join(model)];
    let there = files.iter().all(|file| file.is_file());
    there.then(|| files.map(|file| file.to_str().unwrap().to_string()))
}

/// Compiles a model for five classes, to a folder of that name, and trains it for an epoch.
fn learn(name: &str, model: &str, how: &[&str], samples: &str, extra: &[&str]) -> Value {
    let folder = folder(&format!("accuracy-{name}"));
    let compile = ["compile", model, "--classes", "5", "-o", text(&folder)];
    succeeds(&[&compile[..], how].concat());
    let simulate = ["simulate", text(&folder), "--data", samples, "--epochs", "1", "--json"];
    serde_json::from_str(&succeeds(&[&simulate[..], extra].concat())).unwrap()
}

#[test]
#[ignore = "takes a minute in a release build: cargo xtask test"]
fn int8_keeps_up_with_float_and_beats_the_head_alone() {
    let Some([samples, model]) = flowers_and("mcunetv3/mcunet-5fps_int8qdq.onnx") else {
        skip!("no MCUNet, or no flowers")
    };
    let scheme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemes/mcunet-49kb.toml");
    let scheme = ["--update", scheme.to_str().unwrap()];
    let sparse = learn("sparse", &model, &scheme, &samples, &["--float"]);
    let head = share(&learn("head", &model, &[], &samples, &[]), "/accuracy/after");
    let (int8, float) = (share(&sparse, "/accuracy/after"), share(&sparse, "/float/after"));
    println!(
        "MCUNet on 5 flowers, 1 epoch: int8 {int8:.4}, float {float:.4}, head alone {head:.4}"
    );
    assert!(int8 > float - MARGIN, "int8 {int8}, float {float}");
    assert!(int8 > head - MARGIN, "sparse {int8}, head {head}");
    assert!(int8 > 0.75, "a network that learns its classes passes this by far: {int8}");

    // The same network in float, quantised here.
    let Some([_, model]) = flowers_and("mcunetv3/mcunet-5fps_fp32.onnx") else {
        skip!("no MCUNet in float")
    };
    let calibrate = ["--calibrate", &samples, "--normalize", "127.5,127.5"];
    let own = learn("own", &model, &calibrate, &samples, &[]);
    let own = share(&own, "/accuracy/after");
    println!("head alone, 1 epoch: of the file's own integers {head:.4}, of ours {own:.4}");
    assert!(own > head - MARGIN, "ours {own}, the file's {head}");
}
