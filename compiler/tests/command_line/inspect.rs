//! `inspect`: the network layer by layer, and what fits.

use serde_json::Value;

use super::support::{demo, fails, folder, model, node, patched, succeeds, text, FAILED};

fn inspect(args: &[&str]) -> Value {
    serde_json::from_str(&succeeds(&[&["inspect", "--json"], args].concat())).unwrap()
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn sum(layers: &[Value], key: &str) -> u64 {
    layers.iter().map(|l| l[key].as_u64().unwrap()).sum()
}

#[test]
fn layers_have_their_sizes() {
    let found = inspect(&[text(model())]);
    let layers = list(&found, "layers");
    let named = |name: &str| layers.iter().find(|l| l["name"] == name).unwrap();
    // 3x3 windows of one channel, 8x8 times 16 of them, and a bias for each of 16 channels.
    let stem = named("stem");
    assert_eq!(stem["shape"], serde_json::json!([1, 8, 8, 16]));
    assert_eq!((&stem["parameters"], &stem["macs"]), (&(9 * 16 + 16).into(), &9216.into()));
    assert_eq!((&stem["index"], &stem["trainable"]), (&0.into(), &"scheme".into()));
    assert_eq!(stem["activation_bytes"], 8 * 8 * 16);
    assert_eq!(named("block2_add")["trainable"], "nothing");
    assert_eq!(named("classifier")["trainable"], "head");
    assert_eq!(named("classifier")["index"], Value::Null);
    assert_eq!(found["parameters"], sum(layers, "parameters"));
    assert_eq!(found["macs"], sum(layers, "macs"));
    assert_eq!(found["input"]["shape"], serde_json::json!([1, 8, 8, 1]));
}

#[test]
fn verdicts_are_what_compile_says() {
    let found = inspect(&[text(model()), "--classes", "3"]);
    let verdicts = list(&found, "verdicts");
    assert_eq!(verdicts.len(), 8);
    assert_eq!(verdicts[0]["update"], "inference");
    for (index, verdict) in verdicts.iter().enumerate().skip(1) {
        let out = folder(&format!("inspect-{index}"));
        let update = verdict["update"].as_str().unwrap();
        let args =
            ["compile", text(model()), "--classes", "3", "--update", update, "-o", text(&out)];
        let data = demo("digits_upright.npz");
        let adapter = verdict["adapter"].as_str();
        let adapter = adapter.map(|a| ["--adapter", a, "--calibrate", text(&data)]);
        let adapter = adapter.as_ref().map_or(&[][..], |args| args);
        let report = succeeds(&[&args[..], adapter, &["--json"]].concat());
        let report: Value = serde_json::from_str(&report).unwrap();
        assert_eq!(verdict["sram"], report["sram"]["total"], "{update}");
        // Of constants that are equal flash holds one: which are is for an adapter's samples to say.
        let [told, found] =
            [&verdict["flash"], &report["flash"]["total"]].map(|v| v.as_f64().unwrap());
        let exact = verdict["adapter"].is_null();
        assert!(
            told == found || !exact && (told / found - 1.0).abs() < 0.01,
            "{update}: {told}, {found}"
        );
        assert_eq!(verdict["fits"], true, "{update}");
    }
}

#[test]
fn people_get_a_table() {
    let printed = succeeds(&["inspect", text(model()), "--board", "qemu-mps2-an500"]);
    for part in ["stem", "8×8×16", "9,216", "in all", "qemu-mps2-an500", "biases=all", "fits"] {
        assert!(printed.contains(part), "no {part:?} in {printed}");
    }
}

#[test]
fn a_network_without_a_classifier_is_shown_all_the_same() {
    let open = patched("inspect-open", |m| {
        m.graph.as_mut().unwrap().output[0].name = "block1_pw_dq".into();
    });
    let found = inspect(&[text(&open)]);
    assert_eq!(list(&found, "layers")[0]["trainable"], "frozen");
    let verdicts = list(&found, "verdicts");
    assert_eq!((verdicts.len(), &verdicts[0]["fits"]), (2, &true.into()));
    assert_eq!(verdicts[1]["fits"], false);
    assert!(verdicts[1]["reason"].as_str().unwrap().contains("a trained head replaces"));
    assert!(succeeds(&["inspect", text(&open)]).contains("a trained head replaces"));
}

#[test]
fn every_node_that_cannot_be_read_is_named() {
    let broken = patched("inspect-broken", |m| {
        let graph = m.graph.as_mut().unwrap();
        node(graph, "stem_relu").op_type = "Mish".into();
        node(graph, "last_relu").op_type = "Selu".into();
    });
    let says = ["broken.onnx", "2 node(s)", "\"stem_relu\" (Mish)", "\"last_relu\" (Selu)"];
    fails(FAILED, &["inspect", text(&broken)], &says);
}
