//! Files that are no network, or not one that can be read.

use std::fs;
use std::path::PathBuf;

use tract_onnx::pb::tensor_shape_proto::{dimension::Value, Dimension};
use tract_onnx::pb::type_proto::Value as Kind;
use tract_onnx::pb::{ModelProto, TensorShapeProto, TypeProto};

use super::support::{compile_fails, demo, folder, model, patched, FAILED};

/// The message names this file.
const FILE: &str = "broken.onnx";

fn bytes(test: &str, content: &[u8]) -> PathBuf {
    let path = folder(test).join(FILE);
    fs::write(&path, content).unwrap();
    path
}

fn file_refused(test: &str, content: &[u8], says: &[&str]) {
    let path = bytes(test, content);
    compile_fails(test, FAILED, &path, &[], &[&[FILE, "export"], says].concat());
}

fn refused(test: &str, patch: impl FnOnce(&mut ModelProto), says: &[&str]) {
    let path = patched(&format!("{test}-model"), patch);
    compile_fails(test, FAILED, &path, &[], &[&[FILE], says].concat());
}

/// The shape of the network's input.
fn input_shape(model: &mut ModelProto) -> &mut Vec<Dimension> {
    let value = model.graph.as_mut().unwrap().input[0].r#type.as_mut().unwrap();
    let TypeProto { value: Some(Kind::TensorType(tensor)), .. } = value else { panic!() };
    &mut tensor.shape.get_or_insert_with(TensorShapeProto::default).dim
}

#[test]
fn a_missing_file() {
    let path = folder("missing-model").join("nowhere.onnx");
    compile_fails("missing", FAILED, &path, &[], &["nowhere.onnx", "cannot be read", "path"]);
}

#[test]
fn a_folder_in_place_of_a_file() {
    let path = folder("folder-model");
    compile_fails("folder", FAILED, &path, &[], &["folder-model", "cannot be read", "directory"]);
}

#[test]
fn an_empty_file() {
    file_refused("empty", b"", &["is empty", "is not an ONNX model"]);
}

#[test]
fn garbage() {
    let noise: Vec<u8> = (0u32..4096).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
    file_refused("garbage", &noise, &["is not an ONNX model"]);
    file_refused("garbage-text", b"# This is a note, not a model.\n", &["is not an ONNX model"]);
}

#[test]
fn a_file_of_another_kind() {
    let data = fs::read(demo("digits_rotated.npz")).unwrap();
    file_refused("other-kind", &data, &["is not an ONNX model"]);
}

#[test]
fn a_truncated_file() {
    let whole = fs::read(model()).unwrap();
    for (index, length) in [1, 9, 100, 5000, whole.len() / 2, whole.len() - 1].iter().enumerate() {
        file_refused(&format!("truncated-{index}"), &whole[..*length], &[]);
    }
}

#[test]
fn no_graph() {
    refused("no-graph", |m| m.graph = None, &["holds no graph", "export"]);
}

#[test]
fn an_old_operator_set() {
    refused("opset", |m| m.opset_import[0].version = 6, &["operator set 6", "export with"]);
    refused("no-opset", |m| m.opset_import.clear(), &["no operator set", "export with"]);
}

#[test]
fn a_dynamic_shape() {
    let name = |m: &mut ModelProto| {
        input_shape(m)[2].value = Some(Value::DimParam("height".into()));
    };
    let says = ["\"input\"", "`height`", "export with fixed shapes"];
    refused("dynamic", name, &says);
    refused("unknown-dim", |m| input_shape(m)[3].value = None, &["unknown", "fixed shapes"]);
}

#[test]
fn an_impossible_shape() {
    for (test, size) in [("no-rows", 0), ("negative", -8), ("huge", 1 << 40)] {
        let set = |m: &mut ModelProto| input_shape(m)[2].value = Some(Value::DimValue(size));
        refused(test, set, &["\"input\"", &size.to_string(), "1 to 65535"]);
    }
}

#[test]
fn an_input_of_another_size() {
    // Larger maps are read, and what no longer fits says so.
    let set = |m: &mut ModelProto| input_shape(m)[1].value = Some(Value::DimValue(3));
    refused("channels", set, &["node \"stem\" (Conv)", "3 input channels", "multiples"]);
}

#[test]
fn an_input_of_the_wrong_rank() {
    refused("rank-1", |m| input_shape(m).truncate(1), &["\"input\"", "expected a batch of maps"]);
    let five = |m: &mut ModelProto| {
        let dims = input_shape(m);
        dims.push(dims[0].clone());
    };
    refused("rank-5", five, &["\"input\"", "expected a batch of maps"]);
}

#[test]
fn several_inputs_or_no_output() {
    let twice = |m: &mut ModelProto| {
        let graph = m.graph.as_mut().unwrap();
        let mut second = graph.input[0].clone();
        second.name = "second".into();
        graph.input.push(second);
    };
    refused("two-inputs", twice, &["2 inputs", "second", "exactly one input"]);
    let none = |m: &mut ModelProto| m.graph.as_mut().unwrap().output.clear();
    refused("no-output", none, &["0 outputs", "exactly one output"]);
}
