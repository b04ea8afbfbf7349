//! Operators on quantised tensors, and constants that scale channels between quantised tensors; all
//! numbers worked out by hand.

use offshoot::ir::{Data, Quant};

use crate::builder::{convolution, evaluate, outline, Net};

/// Scale and zero point of a tensor, as names.
fn params(net: &mut Net, name: &str, scale: &[f32], zero: &[i8]) -> [String; 2] {
    let dims: &[i64] = if scale.len() == 1 { &[] } else { &[scale.len() as i64] };
    let s = net.floats(&format!("{name}_s"), dims, scale);
    [s, net.int8(&format!("{name}_z"), dims, zero)]
}

/// A node on quantised tensors behind the quantised input, its result the output.
fn node(net: &mut Net, op: &str, inputs: &[&str]) {
    let y = net.node(op, inputs, "y_q", &[]);
    if op != "QLinearConv" && op != "QLinearMatMul" {
        net.node_mut("y_q").domain = "com.microsoft".into();
    }
    net.node("DequantizeLinear", &[&y, "y_s", "y_z"], "out", &[]);
}

#[test]
fn a_convolution() {
    let mut net = Net::new(&[1, 2, 1, 1]);
    net.quantize("x", "x", 0.5, 1);
    let w = net.int8("w", &[2, 2, 1, 1], &[1, 2, 3, -4]);
    let [ws, wz] = params(&mut net, "w", &[1.0, 0.25], &[0, 0]);
    let [ys, yz] = params(&mut net, "y", &[0.5], &[3]);
    let b = net.int32("b", &[2], &[4, -8]);
    let x = ["x_q", "x_scale", "x_zero"];
    node(&mut net, "QLinearConv", &[x[0], x[1], x[2], &w, &ws, &wz, &ys, &yz, &b]);
    let graph = net.import().unwrap();
    assert_eq!(outline(&graph), ["y_q conv2d"]);
    let (_, weights, bias) = convolution(&graph);
    assert_eq!((weights, bias), (vec![1, 2, 3, -4], vec![4, -8]));
    assert_eq!(graph.tensor(graph.output.unwrap()).quant, Some(Quant::per_tensor(0.5, 3)));
    // 3 + 2 * 5 + 4 * 0.5; (3 * 3 - 4 * 5) / 4 - 8 / 8.
    assert_eq!(evaluate(&graph, &[3.0, 5.0]), [15.0, -3.75]);
}

#[test]
fn a_dense_layer_whose_scales_run_along_its_columns() {
    for op in ["QGemm", "QLinearMatMul"] {
        let mut net = Net::new(&[1, 2]);
        net.quantize("x", "x", 1.0, 0);
        let w = net.int8("w", &[2, 3], &[1, 2, 3, 4, 5, 6]);
        let [ws, wz] = params(&mut net, "w", &[1.0, 0.5, 2.0], &[0, 0, 0]);
        let [ys, yz] = params(&mut net, "y", &[1.0], &[0]);
        let mut inputs = vec!["x_q", "x_scale", "x_zero", &w, &ws, &wz];
        let bias = net.int32("b", &[3], &[10, 20, 30]);
        inputs.extend((op == "QGemm").then_some(bias.as_str()));
        inputs.extend([ys.as_str(), yz.as_str()]);
        node(&mut net, op, &inputs);
        let graph = net.import().unwrap();
        let bias = if op == "QGemm" { [10.0, 10.0, 60.0] } else { [0.0; 3] };
        let product = [1.0 + 8.0, 0.5 * (2.0 + 10.0), 2.0 * (3.0 + 12.0)];
        let expected: Vec<f32> = product.iter().zip(bias).map(|(p, b)| p + b).collect();
        assert_eq!(evaluate(&graph, &[1.0, 2.0]), expected, "{op}");
    }
}

#[test]
fn a_sum_and_a_mean() {
    let mut net = Net::new(&[1, 1, 2, 2]);
    net.quantize("x", "x", 1.0, 0);
    let [ms, mz] = params(&mut net, "m", &[0.5], &[2]);
    let sum = ["x_q", "x_scale", "x_zero", "x_q", "x_scale", "x_zero", &ms, &mz];
    net.node("QLinearAdd", &sum, "m_q", &[]);
    net.node_mut("m_q").domain = "com.microsoft".into();
    let [ys, yz] = params(&mut net, "y", &[0.25], &[0]);
    node(&mut net, "QLinearGlobalAveragePool", &["m_q", &ms, &mz, &ys, &yz]);
    let graph = net.import().unwrap();
    assert_eq!(outline(&graph), ["m_q add", "y_q avg_pool"]);
    assert_eq!(evaluate(&graph, &[1.0, 2.0, 3.0, 5.0]), [5.5]);
}

#[test]
fn what_cannot_be_written_out_is_refused_by_its_name() {
    let mut net = Net::new(&[1, 1, 2, 2]);
    net.quantize("x", "x", 1.0, 0);
    let [ys, yz] = params(&mut net, "y", &[0.25], &[0]);
    let inputs = ["x_q", "x_scale", "x_zero", &ys, &yz];
    net.node("QLinearReduceMean", &inputs, "y_q", &[]);
    net.node_mut("y_q").domain = "com.microsoft".into();
    net.node("DequantizeLinear", &["y_q", &ys, &yz], "out", &[]);
    assert!(net.refused().contains("node \"y_q\" (com.microsoft.QLinearReduceMean)"));
}

#[test]
fn constants_that_scale_channels_of_a_quantised_tensor_are_exact() {
    let mut net = Net::new(&[1, 3, 1, 1]);
    let x = net.start();
    let c = net.int8("c", &[3, 1, 1], &[10, -20, 0]);
    let [cs, cz] = params(&mut net, "c", &[0.1], &[0]);
    let c = net.node("DequantizeLinear", &[&c, &cs, &cz], "c_dq", &[]);
    let y = net.node("Mul", &[&x, &c], "scaled", &[]);
    let y = net.pair(&y, "scaled", 0.25, 0);
    let d = net.floats("d", &[3, 1, 1], &[1.0, -2.0, 1e6]);
    let y = net.node("Add", &[&y, &d], "shifted", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(outline(&graph), ["scaled conv2d", "shifted conv2d"]);
    let y = evaluate(&graph, &[3.0, 4.0, 5.0]);
    for (found, expected) in y.iter().zip([3.0 + 1.0, -8.0 - 2.0, 1e6]) {
        assert!((found - expected).abs() <= 1e-5 * expected.abs(), "{y:?}");
    }
    // The weights are at the end of int8, where there are any.
    let scaled = graph.nodes().next().unwrap().1;
    let Some(Data::I8(weights)) = &graph.tensor(scaled.inputs[1]).data else { panic!() };
    assert_eq!(weights.as_slice(), [127, -127, 0]);
}

#[test]
fn batch_normalization_of_a_quantised_tensor() {
    let mut net = Net::new(&[1, 2, 1, 1]);
    let x = net.start();
    let rows = [("gain", [2.0, 3.0]), ("shift", [1.0, -1.0]), ("mean", [4.0, 0.0])];
    for (name, row) in rows {
        net.floats(name, &[2], &row);
    }
    net.floats("variance", &[2], &[4.0 - 1e-5, 9.0 - 1e-5]);
    let inputs = [x.as_str(), "gain", "shift", "mean", "variance"];
    let y = net.node("BatchNormalization", &inputs, "norm", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(outline(&graph), ["norm conv2d"]);
    let y = evaluate(&graph, &[6.0, 7.0]);
    for (found, expected) in y.iter().zip([3.0, 6.0]) {
        // The bias is rounded to a step of the input times that of the weight.
        assert!((found - expected).abs() <= 1.0 / 254.0, "{y:?}");
    }
}
