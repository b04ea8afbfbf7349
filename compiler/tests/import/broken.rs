//! Models that are refused: each message names the file, the node and the way out.

use offshoot::import::{import, import_bytes, ImportError};
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{dimension::Value as Dim, Dimension};

use crate::builder::{value, Attr, Net};

/// A sound model: one 2x2 convolution, called `conv`, of two channels, over a 4x4 map.
fn sound() -> Net {
    let mut net = Net::new(&[1, 2, 4, 4]);
    let x = net.start();
    let w = net.weights("w", &[2, 2, 2, 2], &[1; 16], &[1.0, 2.0]);
    let y = net.node("Conv", &[&x, &w], "conv", &[]);
    net.end(&y, 1.0, 0);
    net
}

#[track_caller]
fn expect(net: &Net, parts: &[&str]) {
    let message = net.refused();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

/// [`sound`] with attributes on its convolution.
fn with(attributes: &[(&str, Attr)]) -> Net {
    let mut net = sound();
    let scratch = &mut Net::new(&[1]);
    scratch.node("Conv", &[], "n", attributes);
    net.node_mut("conv").attribute = scratch.graph().node.remove(0).attribute;
    net
}

#[test]
fn the_sound_model_is_read() {
    sound().import().unwrap();
}

#[test]
fn empty_truncated_and_other_files() {
    let bytes = sound().bytes();
    for bytes in [&[][..], &bytes[..bytes.len() / 2], b"not a model", &[0xff; 64]] {
        let error = import_bytes("tiny.onnx", bytes).unwrap_err();
        assert!(matches!(error, ImportError::NotOnnx { .. }), "{error}");
        assert!(error.to_string().contains("tiny.onnx"));
    }
    let missing = import(std::path::Path::new("no/such.onnx")).unwrap_err();
    assert!(matches!(missing, ImportError::Io { .. }));
    assert!(missing.to_string().contains("such.onnx"));
}

#[test]
fn all_unknown_operators_are_listed() {
    let mut net = Net::new(&[1, 2, 4, 4]);
    let x = net.start();
    let y = net.node("RNN", &[&x], "memory", &[]);
    let y = net.node("Relu", &[&y], "between", &[]);
    let y = net.node("NonZero", &[&y], "most", &[]);
    net.node("QuantizeLinear", &[&y], "foreign", &[]);
    net.node_mut("foreign").domain = "com.microsoft".into();
    let w = net.weights("w", &[2, 2, 2, 2], &[1; 16], &[1.0]);
    net.node("Conv", &["foreign", &w], "out", &[("auto_pad", Attr::Text("AUTO"))]);
    expect(&net, &["3 node(s)", "\"memory\" (RNN)", "\"most\" (NonZero)"]);
    expect(&net, &["\"foreign\" (com.microsoft.QuantizeLinear)"]);
    expect(&net, &["supported are Conv, ConvTranspose"]);
}

#[test]
fn operator_sets() {
    for version in [6, 99, -1] {
        let mut net = sound();
        net.model.opset_import[0].version = version;
        expect(&net, &[&format!("operator set {version}"), "export with operator set 7 to"]);
    }
    let mut net = sound();
    net.model.opset_import.clear();
    expect(&net, &["names no operator set"]);
}

#[test]
fn shapes_of_the_input() {
    let dim = |net: &mut Net, axis: usize, value: Option<Dim>| {
        let kind = net.graph().input[0].r#type.as_mut().unwrap();
        let Some(pb::type_proto::Value::TensorType(t)) = &mut kind.value else { panic!() };
        t.shape.as_mut().unwrap().dim[axis] = Dimension { value, ..Default::default() };
    };
    let mut net = sound();
    dim(&mut net, 2, Some(Dim::DimParam("height".into())));
    expect(&net, &["input \"x\"", "`height`", "fixed shapes"]);
    for size in [0, -1, 65536, i64::MAX] {
        dim(&mut net, 2, Some(Dim::DimValue(size)));
        expect(&net, &["input \"x\"", &size.to_string()]);
    }
    let mut net = sound();
    net.graph().input[0] = value("x", &[1, 2, 4, 4, 1], DataType::Float);
    expect(&net, &["input \"x\"", "[1, 2, 4, 4, 1]", "rank 4"]);
    net.graph().input[0] = value("x", &[1, 2, 4], DataType::Float);
    expect(&net, &["node \"conv\"", "\"w\"", "3 dimensions"]);
    net.graph().input[0] = value("x", &[1, 2, 4, 4], DataType::Double);
    expect(&net, &["input \"x\"", "double"]);
    net.graph().input[0].r#type = None;
    expect(&net, &["input \"x\"", "shape is missing"]);
    net.graph().input.clear();
    expect(&net, &["0 inputs"]);
}

#[test]
fn scales() {
    let cases = [(0.0, "zero scale"), (f32::NAN, "NaN scale"), (-1.0, "negative scale")];
    for (scale, words) in cases.into_iter().chain([(f32::INFINITY, "infinite scale")]) {
        let mut net = sound();
        net.initializer_mut("w_scale").float_data[1] = scale;
        expect(&net, &["node \"w_dq\" (DequantizeLinear)", "\"w_scale\"", words, "calibrate"]);
        let mut net = sound();
        net.initializer_mut("end_scale").float_data[0] = scale;
        expect(&net, &["node \"end_q\" (QuantizeLinear)", words]);
    }
    let mut net = sound();
    net.initializer_mut("w_scale").float_data.push(1.0);
    net.initializer_mut("w_scale").dims[0] = 3;
    expect(&net, &["node \"w_dq\"", "3"]);
    let mut net = sound();
    net.node_mut("w_dq").attribute[0].i = 1;
    expect(&net, &["node \"conv\"", "along axis 1", "output channel"]);
    let mut net = sound();
    net.node_mut("w_dq").attribute[0].i = i64::MIN;
    expect(&net, &["node \"w_dq\"", "w_scale"]);
}

#[test]
fn zero_points() {
    let mut net = sound();
    // Weights of 1 around 5 are -4; around -128 they are 129.
    net.initializer_mut("w_zero").raw_data = vec![0, 5];
    net.import().unwrap();
    net.initializer_mut("w_zero").raw_data = vec![0, 128];
    expect(&net, &["node \"conv\"", "\"w_zero\" is -128", "symmetric"]);
    let mut net = sound();
    net.initializer_mut("x_zero").data_type = DataType::Int64 as i32;
    expect(&net, &["node \"x_q\"", "x_zero"]);
}

#[test]
fn weights_that_are_no_numbers() {
    let mut net = sound();
    net.floats("bias", &[2], &[1.0, f32::NAN]);
    net.node_mut("conv").input.push("bias".into());
    expect(&net, &["node \"conv\"", "\"bias\"", "NaN weights"]);
    let mut net = sound();
    net.floats("v", &[2, 2, 2, 2], &[f32::NAN; 16]);
    net.node_mut("conv").input[1] = "v".into();
    expect(&net, &["node \"conv\"", "NaN weights"]);
}

#[test]
fn initializers() {
    let mut net = sound();
    net.graph().initializer.retain(|t| t.name != "w");
    expect(&net, &["node \"w_dq\"", "\"w\"", "export"]);
    let mut net = sound();
    net.initializer_mut("w").raw_data.pop();
    expect(&net, &["node \"w_dq\"", "\"w\" holds 15 bytes"]);
    let mut net = sound();
    net.initializer_mut("w").dims = vec![i64::MAX, i64::MAX, 2, 2];
    expect(&net, &["node \"w_dq\"", "\"w\"", &i64::MAX.to_string()]);
    net.initializer_mut("w").dims = vec![1 << 40, 2, 2, 2];
    expect(&net, &["node \"w_dq\"", "\"w\" holds 16 bytes"]);
    net.initializer_mut("w").dims = vec![-1, 2, 2, 2];
    expect(&net, &["node \"w_dq\"", "dimension -1"]);
    net.initializer_mut("w").dims = vec![1 << 50, 0, 2, 2];
    net.initializer_mut("w").raw_data.clear();
    assert!(net.refused().contains("\"w"));
    let mut net = sound();
    net.initializer_mut("w").data_type = DataType::Float16 as i32;
    expect(&net, &["node \"w_dq\"", "float16"]);
    net.initializer_mut("w").data_type = 12345;
    expect(&net, &["node \"w_dq\"", "number 12345"]);
}

#[test]
fn external_data() {
    let mut net = sound();
    net.initializer_mut("w").data_location = Some(1);
    expect(&net, &["node \"w_dq\"", "\"w\" keeps its data outside", "one file"]);
}

#[test]
fn cycles() {
    let mut net = sound();
    net.node_mut("conv").input[0] = "end_dq".into();
    expect(&net, &["node \"conv\"", "cycle"]);
}

#[test]
fn names() {
    let mut net = sound();
    net.node("Relu", &["x_dq"], "conv", &[]);
    expect(&net, &["tensor \"conv\"", "produced twice", "node \"conv\""]);
    let mut net = sound();
    net.int8("x", &[], &[0]);
    net.int8("x", &[], &[0]);
    expect(&net, &["tensor \"x\"", "initializer \"x\""]);
}

#[test]
fn convolutions() {
    let dilation = with(&[("dilations", Attr::Ints(&[4, 1]))]);
    expect(&dilation, &["node \"conv\"", "dilation [4, 1] does not fit a 4x4 map"]);
    expect(&with(&[("dilations", Attr::Ints(&[0, 1]))]), &["node \"conv\"", "dilation [0, 1]"]);
    for groups in [0, -2, 3, i64::MAX] {
        let net = with(&[("group", Attr::Int(groups))]);
        expect(&net, &["node \"conv\"", &format!("{groups} group(s)"), "2 input channels"]);
    }
    expect(&with(&[("strides", Attr::Ints(&[0, 1]))]), &["node \"conv\"", "stride [0, 1]"]);
    expect(&with(&[("strides", Attr::Ints(&[1]))]), &["node \"conv\"", "`strides` is [1]"]);
    expect(&with(&[("pads", Attr::Ints(&[-1, 0, 0, 0]))]), &["node \"conv\"", "`pads`"]);
    expect(&with(&[("pads", Attr::Ints(&[9, 9, 9, 9]))]), &["node \"conv\"", "padding"]);
    expect(&with(&[("kernel_shape", Attr::Ints(&[3, 3]))]), &["node \"conv\"", "weights"]);
    expect(&with(&[("auto_pad", Attr::Text("AUTO"))]), &["node \"conv\"", "AUTO", "SAME_UPPER"]);
    let mut net = sound();
    net.node_mut("conv").input.truncate(1);
    expect(&net, &["node \"conv\"", "input 1 is missing"]);
    net.node_mut("conv").output.clear();
    assert!(net.import().is_err());
}

#[test]
fn pools() {
    let pool = |attributes: &[(&str, Attr)]| {
        let mut net = Net::new(&[1, 2, 5, 5]);
        let x = net.start();
        let y = net.node("AveragePool", &[&x], "pool", attributes);
        net.end(&y, 1.0, 0);
        net
    };
    let kernel = || ("kernel_shape", Attr::Ints(&[2, 2]));
    expect(&pool(&[]), &["node \"pool\"", "`kernel_shape`", "missing"]);
    let stepped = pool(&[kernel(), ("strides", Attr::Ints(&[0, 2]))]);
    expect(&stepped, &["node \"pool\"", "stride [0, 2]"]);
    let wide = pool(&[kernel(), ("pads", Attr::Ints(&[2; 4]))]);
    expect(&wide, &["node \"pool\"", "padding [2, 2, 2, 2] is as large as the kernel"]);
}

#[test]
fn float_islands() {
    let mut net = Net::new(&[1, 2, 4, 4]);
    let x = net.start();
    let w = net.weights("w", &[2, 2, 1, 1], &[1; 4], &[1.0]);
    let y = net.node("Conv", &[&x, &w], "first", &[]);
    let y = net.node("Conv", &[&y, &w], "second", &[]);
    net.end(&y, 1.0, 0);
    expect(&net, &["node \"second\"", "node \"first\" (Conv)", "QuantizeLinear"]);

    let mut net = sound();
    net.node_mut("conv").input[0] = "x".into();
    expect(&net, &["node \"conv\"", "the input", "not quantised"]);
    let mut net = sound();
    net.node_mut("conv").input[0] = "x_q".into();
    expect(&net, &["node \"conv\"", "int8", "DequantizeLinear"]);
    let mut net = sound();
    net.graph().output[0].name = "conv".into();
    expect(&net, &["output \"conv\"", "node \"conv\" (Conv)", "not quantised"]);
    let mut net = sound();
    net.node("Add", &["conv", "end_dq"], "sum", &[]);
    net.graph().output[0].name = "sum".into();
    expect(&net, &["node \"conv\"", "read more than once"]);
    let mut net = sound();
    net.graph().output[0].name = "nothing".into();
    expect(&net, &["output \"nothing\"", "does not exist"]);
}

#[test]
fn additions() {
    let mut net = sound();
    let y = net.node("Add", &["x_dq", "end_dq"], "sum", &[]);
    net.graph().output[0].name = "last_dq".into();
    net.pair(&y, "last", 1.0, 0);
    expect(&net, &["node \"sum\"", "[1, 2, 3, 3]", "goes with that of the other", "[1, 2, 4, 4]"]);
    let mut net = sound();
    net.floats("one", &[1, 1, 4, 4], &[1.0; 16]);
    let y = net.node("Add", &["end_dq", "one"], "sum", &[]);
    net.graph().output[0].name = "last_dq".into();
    net.pair(&y, "last", 1.0, 0);
    expect(&net, &["node \"sum\"", "[1, 1, 4, 4]", "goes with that of the other", "[1, 2, 3, 3]"]);
    let mut net = sound();
    net.floats("bias", &[3], &[1.0; 3]);
    net.node_mut("conv").input.push("bias".into());
    expect(&net, &["node \"conv\"", "\"bias\" has shape [3]", "2 channels"]);
    net.initializer_mut("bias").dims = vec![2];
    net.initializer_mut("bias").float_data = vec![3e9, 0.0];
    expect(&net, &["node \"conv\"", "channel 0", "int32"]);
}

#[test]
fn layouts() {
    let mut net = sound();
    let shape = net.int64("shape", &[1, 4, 2, 4]);
    net.node("Reshape", &["x_dq", &shape], "split", &[]);
    net.node_mut("conv").input[0] = "split".into();
    net.graph().node.rotate_right(1);
    assert!(net.refused().contains("split") || net.refused().contains("conv"));
    for (name, op, attribute) in [
        ("perm", "Transpose", ("perm", Attr::Ints(&[0, 0, 1, 2]))),
        ("axis", "Flatten", ("axis", Attr::Int(9))),
        ("axes", "Squeeze", ("axes", Attr::Ints(&[1]))),
        ("axes", "Unsqueeze", ("axes", Attr::Ints(&[-9]))),
        ("axis", "Softmax", ("axis", Attr::Int(4))),
    ] {
        let mut net = sound();
        net.node(op, &["end_dq"], "wrong", &[attribute]);
        net.graph().output[0].name = "wrong".into();
        assert!(net.refused().contains("node \"wrong\""), "{name}: {}", net.refused());
    }
    let mut net = sound();
    let w = net.weights("v", &[18, 2], &[1; 36], &[1.0]);
    let y = net.node("MatMul", &["end_dq", &w], "dense", &[]);
    net.graph().output[0].name = "last_dq".into();
    net.pair(&y, "last", 1.0, 0);
    expect(&net, &["node \"dense\"", "[18, 2]", "with 3 features"]);
}

#[test]
fn what_gemm_does_besides() {
    for factor in [0.0, -1.0, f32::NAN] {
        let mut net = Net::new(&[1, 2]);
        let x = net.start();
        let w = net.weights("w", &[2, 2], &[1; 4], &[1.0]);
        let y = net.node("Gemm", &[&x, &w], "dense", &[("alpha", Attr::Float(factor))]);
        net.end(&y, 1.0, 0);
        expect(&net, &["node \"dense\" (Gemm)", "`alpha`", "positive"]);
    }
}
