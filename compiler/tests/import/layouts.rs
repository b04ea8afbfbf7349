//! Layouts: every way from the file's dimensions to height, width and channels.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{dimension::Value as Dim, Dimension};
use tract_onnx::pb::type_proto::Value;

use crate::builder::{convolution, evaluate, outline, Attr, Net};

fn input_shape(graph: &offshoot::ir::Graph) -> Vec<usize> {
    graph.tensor(graph.input.unwrap()).shape.clone()
}

/// A dense layer of 8 features with weights 1, 2, 4, ... in the order of the file.
fn dense(net: &mut Net, x: &str) {
    let w = net.weights("w", &[8, 1], &[1, 2, 4, 8, 16, 32, 64, -128], &[1.0]);
    let y = net.node("MatMul", &[x, &w], "dense", &[]);
    net.end(&y, 1.0, 0);
}

/// The map `[h][w][c]` with element 1 at one place gives the weight of that place.
fn weight_at(graph: &offshoot::ir::Graph, at: usize) -> f32 {
    let mut x = vec![0.0; 8];
    x[at] = 1.0;
    evaluate(graph, &x)[0]
}

#[test]
fn a_flattened_nchw_map_permutes_the_weights() {
    for op in ["Flatten", "Reshape"] {
        let mut net = Net::new(&[1, 2, 2, 2]);
        let x = net.start();
        let shape = net.int64("shape", &[0, -1]);
        let inputs: &[&str] = if op == "Reshape" { &[&x, &shape] } else { &[&x] };
        let y = net.node(op, inputs, "flat", &[]);
        dense(&mut net, &y);
        let graph = net.import().unwrap();
        assert_eq!(convolution(&graph).0.window.kernel, [2, 2]);
        // NCHW index c*4 + h*2 + w at NHWC place (h*2 + w)*2 + c.
        let weights: Vec<f32> = (0..8).map(|at| weight_at(&graph, at)).collect();
        assert_eq!(weights, [1.0, 16.0, 2.0, 32.0, 4.0, 64.0, 8.0, -128.0]);
    }
}

#[test]
fn a_map_flattened_in_nhwc_keeps_the_order() {
    let mut net = Net::new(&[1, 2, 2, 2]);
    let x = net.start();
    let y = net.node("Transpose", &[&x], "nhwc", &[("perm", Attr::Ints(&[0, 2, 3, 1]))]);
    let y = net.pair(&y, "mid", 1.0, 0);
    let shape = net.int64("shape", &[-1, 8]);
    let y = net.node("Reshape", &[&y, &shape], "flat", &[]);
    dense(&mut net, &y);
    let graph = net.import().unwrap();
    let weights: Vec<f32> = (0..8).map(|at| weight_at(&graph, at)).collect();
    assert_eq!(weights, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, -128.0]);
}

#[test]
fn flattening_between_integers_and_behind_a_pool() {
    let mut net = Net::new(&[1, 2, 2, 1]);
    let x = net.start();
    let y = net.node("GlobalAveragePool", &[&x], "pool", &[]);
    net.quantize(&y, "pooled", 1.0, 0);
    let axes = net.int64("axes", &[2, 3]);
    net.node("Squeeze", &["pooled_q", &axes], "row_q", &[]);
    net.floats("row_scale", &[], &[1.0]);
    net.int8("row_zero", &[], &[0]);
    let y = net.dequantize("row");
    let w = net.weights("w", &[2, 2], &[1, 2, 3, 4], &[1.0]);
    let y = net.node("MatMul", &[&y, &w], "dense", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(outline(&graph), ["pool avg_pool", "dense conv2d"]);
    // Channels average to 2 and 3.
    assert_eq!(evaluate(&graph, &[1.0, 2.0, 3.0, 4.0]), [11.0, 16.0]);
}

#[test]
fn an_nhwc_input_with_a_leading_transpose() {
    let mut net = Net::typed(&[1, 2, 3, 4], DataType::Int8);
    let y = net.node("Transpose", &["x"], "nchw", &[("perm", Attr::Ints(&[0, 3, 1, 2]))]);
    net.floats("s", &[], &[0.5]);
    net.int8("z", &[], &[-7]);
    let y = net.node("DequantizeLinear", &[&y, "s", "z"], "x_dq", &[]);
    let w = net.weights("w", &[1, 4, 1, 1], &[1, 2, 3, 4], &[1.0]);
    let y = net.node("Conv", &[&y, &w], "conv", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(input_shape(&graph), [1, 2, 3, 4]);
    let quant = graph.tensor(graph.input.unwrap()).quant.clone().unwrap();
    assert_eq!((quant.scale, quant.zero), (vec![0.5], -7));
    let x: Vec<f32> = (0..24).map(|v| (v % 4) as f32).collect();
    assert_eq!(evaluate(&graph, &x), [20.0; 6]);
}

#[test]
fn an_nchw_input_becomes_nhwc() {
    let mut net = Net::new(&[1, 3, 5, 4]);
    let x = net.start();
    let w = net.weights("w", &[1, 3, 1, 1], &[1, 1, 1], &[1.0]);
    let y = net.node("Conv", &[&x, &w], "conv", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(input_shape(&graph), [1, 5, 4, 3]);
}

#[test]
fn one_channel_is_moved_by_a_reshape() {
    let mut net = Net::typed(&[1, 49, 10, 1], DataType::Int8);
    let shape = net.int64("shape", &[-1, 1, 49, 10]);
    let y = net.node("Reshape", &["x", &shape], "nchw", &[]);
    net.floats("s", &[], &[1.0]);
    net.int8("z", &[], &[0]);
    let y = net.node("DequantizeLinear", &[&y, "s", "z"], "x_dq", &[]);
    let w = net.weights("w", &[1, 1, 49, 10], &[1; 490], &[1.0]);
    let y = net.node("Conv", &[&y, &w], "conv", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(input_shape(&graph), [1, 49, 10, 1]);
}

#[test]
fn a_row_that_is_a_map() {
    let mut net = Net::new(&[1, 6]);
    let x = net.start();
    let shape = net.int64("shape", &[1, 3, 2, 1]);
    let y = net.node("Reshape", &[&x, &shape], "map", &[]);
    let y = net.node("Transpose", &[&y], "nchw", &[("perm", Attr::Ints(&[0, 3, 1, 2]))]);
    let w = net.weights("w", &[1, 1, 3, 1], &[1, 2, 3], &[1.0]);
    let y = net.node("Conv", &[&y, &w], "conv", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(input_shape(&graph), [1, 3, 2, 1]);
    assert_eq!(evaluate(&graph, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), [22.0, 28.0]);
}

#[test]
fn rows_of_features_are_one_pixel() {
    let mut net = Net::new(&[1, 8]);
    let x = net.start();
    dense(&mut net, &x);
    let graph = net.import().unwrap();
    assert_eq!(input_shape(&graph), [1, 1, 1, 8]);
    assert_eq!(convolution(&graph).0.window.kernel, [1, 1]);
}

#[test]
fn reshapes_that_add_and_drop_ones_vanish() {
    let mut net = Net::new(&[1, 8]);
    let x = net.start();
    let axes = net.int64("axes", &[2, 3]);
    let y = net.node("Unsqueeze", &[&x, &axes], "map", &[]);
    let w = net.weights("v", &[8, 8, 1, 1], &[1; 64], &[1.0]);
    let y = net.node("Conv", &[&y, &w], "conv", &[]);
    let y = net.pair(&y, "mid", 1.0, 0);
    let y = net.node("Squeeze", &[&y], "bare", &[]);
    let y = net.node("Flatten", &[&y], "column", &[("axis", Attr::Int(0))]);
    dense(&mut net, &y);
    let graph = net.import().unwrap();
    assert_eq!(outline(&graph), ["conv conv2d", "dense conv2d"]);
}

#[test]
fn the_batch_counts_as_one() {
    for batch in [Some(Dim::DimParam("N".into())), Some(Dim::DimValue(32)), None] {
        let mut net = Net::new(&[1, 2, 2, 2]);
        let kind = net.graph().input[0].r#type.as_mut().unwrap();
        let Value::TensorType(t) = kind.value.as_mut().unwrap();
        t.shape.as_mut().unwrap().dim[0] = Dimension { value: batch, ..Default::default() };
        let x = net.start();
        let y = net.node("Flatten", &[&x], "flat", &[]);
        dense(&mut net, &y);
        assert_eq!(input_shape(&net.import().unwrap()), [1, 2, 2, 2]);
    }
}

#[test]
fn transposed_weights_keep_their_scales() {
    let mut net = Net::new(&[1, 2]);
    let x = net.start();
    let w = net.weights("w", &[3, 2], &[1, 4, 2, 5, 3, 6], &[1.0, 0.5, 0.25]);
    let w = net.node("Transpose", &[&w], "w_t", &[]);
    let y = net.node("MatMul", &[&x, &w], "dense", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(evaluate(&graph, &[1.0, 10.0]), [41.0, 26.0, 15.75]);
}
