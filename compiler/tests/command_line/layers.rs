//! Networks with a node or a constant that cannot be read: the message names it.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, TensorProto};

use super::support::{compile_fails, constant, node, patched, FAILED};

fn refused(test: &str, patch: impl FnOnce(&mut GraphProto), says: &[&str]) {
    let test = format!("layer-{test}");
    let path = patched(&format!("{test}-model"), |m| patch(m.graph.as_mut().unwrap()));
    compile_fails(&test, FAILED, &path, &[], &[&["broken.onnx"], says].concat());
}

/// Overwrites the first float of a constant.
fn set_first(graph: &mut GraphProto, name: &str, value: f32) {
    let mut data = constant(graph, name).raw_data.to_vec();
    data[..4].copy_from_slice(&value.to_le_bytes());
    constant(graph, name).raw_data = data;
}

fn attribute<'g>(graph: &'g mut GraphProto, of: &str, name: &str) -> &'g mut AttributeProto {
    node(graph, of).attribute.iter_mut().find(|a| a.name == name).unwrap()
}

fn floats(name: &str, dims: &[i64], value: f32) -> TensorProto {
    let count = dims.iter().product::<i64>() as usize;
    TensorProto {
        name: name.into(),
        data_type: DataType::Float as i32,
        dims: dims.to_vec(),
        float_data: vec![value; count],
        ..TensorProto::default()
    }
}

#[test]
fn an_unknown_operator() {
    let says = ["node \"stem_relu\" (Mish)", "not supported", "supported are Conv"];
    refused("op", |g| node(g, "stem_relu").op_type = "Mish".into(), &says);
    let says = ["node \"last\" (acme.Conv)", "not supported"];
    refused("domain", |g| node(g, "last").domain = "acme".into(), &says);
}

#[test]
fn every_unknown_operator_is_named_at_once() {
    let patch = |g: &mut GraphProto| {
        node(g, "stem_relu").op_type = "Mish".into();
        node(g, "last_relu").op_type = "Selu".into();
    };
    refused("ops", patch, &["2 node(s)", "\"stem_relu\" (Mish)", "\"last_relu\" (Selu)"]);
}

#[test]
fn a_scale_that_is_no_positive_number() {
    let scales = [
        ("nan", f32::NAN, "NaN"),
        ("zero", 0.0, "zero"),
        ("negative", -0.5, "negative"),
        ("infinite", f32::INFINITY, "infinite"),
        ("vast", 1e30, "vast"),
    ];
    for (test, value, kind) in scales {
        let says = ["\"last_weight_scale\"", kind, "calibrate"];
        refused(&format!("{test}-weight"), |g| set_first(g, "last_weight_scale", value), &says);
        let says = ["\"block2_add_scale\"", kind, "calibrate", "node \"block2_add_quantize\""];
        refused(&format!("{test}-map"), |g| set_first(g, "block2_add_scale", value), &says);
    }
}

#[test]
fn a_scale_of_almost_nothing() {
    let says = ["\"last_scale\"", "vanishing", "calibrate", "node \"last_quantize\""];
    refused("vanishing", |g| set_first(g, "last_scale", 1e-42), &says);
}

#[test]
fn weights_that_are_nan() {
    let patch = |g: &mut GraphProto| {
        g.initializer.push(floats("last_float", &[64, 32, 1, 1], f32::NAN));
        node(g, "last").input[1] = "last_float".into();
    };
    refused("nan-weights", patch, &["node \"last\" (Conv)", "\"last_float\"", "NaN", "train"]);
    let patch = |g: &mut GraphProto| {
        g.initializer.push(floats("bias_float", &[64], f32::NAN));
        node(g, "last").input[2] = "bias_float".into();
    };
    refused("nan-bias", patch, &["node \"last\" (Conv)", "\"bias_float\"", "NaN", "train"]);
}

#[test]
fn an_activation_bounded_by_nan() {
    let patch = |g: &mut GraphProto| set_first(g, "block2_dw_max", f32::NAN);
    refused("nan-clip", patch, &["node \"block2_dw_relu6\" (Clip)", "NaN", "export"]);
}

#[test]
fn float_weights() {
    let patch = |g: &mut GraphProto| {
        g.initializer.push(floats("last_float", &[64, 32, 1, 1], 0.25));
        node(g, "last").input[1] = "last_float".into();
    };
    refused("float", patch, &["node \"last\" (Conv)", "not quantised", "QuantizeLinear"]);
}

#[test]
fn a_map_that_is_not_quantised() {
    let patch = |g: &mut GraphProto| node(g, "block2_dw").input[0] = "block2_expand_act".into();
    refused("unquantised", patch, &["\"block2_dw\"", "\"block2_expand_act\"", "QuantizeLinear"]);
}

#[test]
fn a_missing_constant() {
    let patch = |g: &mut GraphProto| g.initializer.retain(|t| t.name != "last_bias_q");
    let says = ["\"last_bias_dequantize\"", "\"last_bias_q\"", "neither", "export"];
    refused("missing", patch, &says);
}

#[test]
fn a_constant_without_its_data() {
    let patch = |g: &mut GraphProto| constant(g, "last_weight_q").raw_data = vec![1; 100];
    refused("short", patch, &["\"last_weight_q\"", "100 bytes", "export"]);
    let patch = |g: &mut GraphProto| {
        constant(g, "last_weight_q").data_location = Some(1);
    };
    refused("external", patch, &["\"last_weight_q\"", "outside", "all data in one file"]);
    let patch = |g: &mut GraphProto| constant(g, "last_weight_q").dims = vec![i64::MAX; 4];
    refused("endless", patch, &["\"last_weight_q\"", &i64::MAX.to_string(), "65535"]);
}

#[test]
fn names_that_occur_twice() {
    let patch = |g: &mut GraphProto| {
        let copy = constant(g, "last_scale").clone();
        g.initializer.push(copy);
    };
    refused("twin-constant", patch, &["\"last_scale\"", "produced twice", "unique"]);
    let patch = |g: &mut GraphProto| node(g, "last_relu").output[0] = "stem_act".into();
    let says = ["\"stem_act\"", "produced twice", "\"stem_relu\"", "\"last_relu\"", "unique"];
    refused("twin-result", patch, &says);
}

#[test]
fn a_convolution_dilated_beyond_its_map() {
    let patch = |g: &mut GraphProto| attribute(g, "block1_dw", "dilations").ints = vec![9, 9];
    refused("dilation", patch, &["node \"block1_dw\" (Conv)", "dilation [9, 9]", "does not fit"]);
}

#[test]
fn weights_of_the_wrong_rank() {
    let patch = |g: &mut GraphProto| constant(g, "stem_weight_q").dims = vec![16, 1, 9];
    refused("rank", patch, &["node \"stem\" (Conv)", "\"stem_weight_q\"", "4 dimensions"]);
}

#[test]
fn attributes_that_do_not_fit() {
    let patch = |g: &mut GraphProto| attribute(g, "block1_dw", "group").i = 5;
    refused("groups", patch, &["node \"block1_dw\"", "5 group(s)", "multiples"]);
    let patch = |g: &mut GraphProto| attribute(g, "block1_dw", "strides").ints = vec![0, 1];
    refused("stride", patch, &["node \"block1_dw\"", "stride"]);
    let patch = |g: &mut GraphProto| attribute(g, "block1_dw", "pads").ints = vec![-1, 0, 0, 0];
    refused("pads", patch, &["node \"block1_dw\"", "`pads`", "0 to 65535"]);
    let patch = |g: &mut GraphProto| attribute(g, "block1_dw", "kernel_shape").ints = vec![5, 5];
    refused("kernel", patch, &["node \"block1_dw\"", "`kernel_shape`", "that of the weights"]);
}

#[test]
fn weights_around_another_zero() {
    let patch = |g: &mut GraphProto| constant(g, "last_weight_zero").raw_data = vec![3; 64];
    refused("zero-point", patch, &["\"last_weight_zero\"", "is 3", "symmetric"]);
}

#[test]
fn a_bias_beyond_its_type() {
    let patch = |g: &mut GraphProto| {
        g.initializer.push(floats("bias_float", &[64], 1e30));
        node(g, "last").input[2] = "bias_float".into();
    };
    refused("bias", patch, &["node \"last\" (Conv)", "beyond int32", "calibrate"]);
}

#[test]
fn a_loop() {
    let patch = |g: &mut GraphProto| node(g, "stem").input[0] = "last_dq".into();
    refused("loop", patch, &["cycle", "without loops"]);
}

#[test]
fn a_network_without_a_classifier() {
    let patch = |g: &mut GraphProto| g.output[0].name = "block1_pw_dq".into();
    refused("open", patch, &["node \"block1_pw\"", "a trained head replaces", "fully connected"]);
    let patch = |g: &mut GraphProto| g.output[0].name = "nothing".into();
    refused("no-end", patch, &["output \"nothing\"", "does not exist"]);
    let patch = |g: &mut GraphProto| g.output[0].name = "classifier_out".into();
    refused("float-end", patch, &["\"classifier_out\"", "not quantised", "QuantizeLinear"]);
}
