//! One test for each operator, its numbers worked out by hand.

use offshoot::ir::Quant;
use offshoot::ops::{Clamp, Op};
use tract_onnx::pb::tensor_proto::DataType;

use crate::builder::{convolution, evaluate, outline, Attr, Net};

/// A 1x1 convolution from `x_dq` with one weight of 2, called `conv`.
fn doubling(net: &mut Net) -> String {
    let x = net.start();
    let w = net.weights("w", &[1, 1, 1, 1], &[2], &[1.0]);
    net.node("Conv", &[&x, &w], "conv", &[])
}

#[test]
fn convolution_with_stride_and_asymmetric_padding() {
    let mut net = Net::new(&[1, 1, 3, 3]);
    let x = net.start();
    let w = net.weights("w", &[1, 1, 2, 2], &[1, 2, 3, 4], &[0.5]);
    let b = net.bias("b", &[6], 0.5);
    let attributes = [("strides", Attr::Ints(&[2, 2])), ("pads", Attr::Ints(&[0, 0, 1, 1]))];
    let y = net.node("Conv", &[&x, &w, &b], "conv", &attributes);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(outline(&graph), ["conv conv2d"]);
    let (conv, _, bias) = convolution(&graph);
    assert_eq!((conv.window.pad, conv.clamp, bias), ([0, 0, 1, 1], None, vec![6]));
    let y = evaluate(&graph, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
    // Top left: (1 + 2*2 + 3*4 + 4*5) / 2 + 3; bottom right sees 9 alone.
    assert_eq!(y, [21.5, 13.5, 14.5, 7.5]);
}

#[test]
fn same_padding_puts_the_odd_row_where_it_says() {
    for (mode, pad) in [("SAME_UPPER", [0, 0, 1, 1]), ("SAME_LOWER", [1, 1, 0, 0])] {
        let mut net = Net::new(&[1, 1, 4, 4]);
        let x = net.start();
        let w = net.weights("w", &[1, 1, 2, 2], &[1; 4], &[1.0]);
        let y = net.node("Conv", &[&x, &w], "conv", &[("auto_pad", Attr::Text(mode))]);
        let graph = net.end(&y, 1.0, 0).import().unwrap();
        assert_eq!(convolution(&graph).0.window.pad, pad);
        assert_eq!(graph.tensor(graph.output.unwrap()).shape, [1, 4, 4, 1]);
    }
}

#[test]
fn depthwise_and_grouped_convolutions() {
    let mut net = Net::new(&[1, 2, 1, 2]);
    let x = net.start();
    let w = net.weights("w", &[2, 1, 1, 2], &[1, 2, 3, 4], &[1.0, 0.5]);
    let y = net.node("Conv", &[&x, &w], "depthwise", &[("group", Attr::Int(2))]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    // Channel 0 is 1, 5; channel 1 is 10, 20.
    assert_eq!(evaluate(&graph, &[1.0, 10.0, 5.0, 20.0]), [11.0, 55.0]);

    let mut net = Net::new(&[1, 4, 1, 1]);
    let x = net.start();
    let w = net.weights("w", &[2, 2, 1, 1], &[1, 2, 3, 4], &[1.0]);
    let y = net.node("Conv", &[&x, &w], "grouped", &[("group", Attr::Int(2))]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(evaluate(&graph, &[1.0, 2.0, 3.0, 4.0]), [5.0, 25.0]);
}

#[test]
fn weights_are_moved_from_nchw_to_nhwc_with_their_scales() {
    let mut net = Net::new(&[1, 2, 1, 2]);
    let x = net.start();
    let w = net.weights("w", &[2, 2, 1, 2], &[1, 2, 3, 4, 5, 6, 7, 8], &[1.0, 0.25]);
    let y = net.node("Conv", &[&x, &w], "conv", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(convolution(&graph).1, [1, 3, 2, 4, 5, 7, 6, 8]);
    let node = graph.nodes().next().unwrap().1;
    let quant = graph.tensor(node.inputs[1]).quant.clone().unwrap();
    assert_eq!(quant, Quant::per_axis(vec![1.0, 0.25], 0));
    // x[c][w]: [[1, 2], [3, 4]].
    assert_eq!(evaluate(&graph, &[1.0, 3.0, 2.0, 4.0]), [30.0, 70.0 / 4.0]);
}

#[test]
fn activations_become_clamps_in_steps() {
    let clamp = |op: Option<(&str, [f32; 2])>, scale, zero| {
        let mut net = Net::new(&[1, 1, 2, 2]);
        let mut y = doubling(&mut net);
        if let Some((op, [low, high])) = op {
            let (low, high) = (net.floats("low", &[], &[low]), net.floats("high", &[], &[high]));
            let inputs = [y.as_str(), &low, &high];
            y = net.node(op, &inputs[..if op == "Clip" { 3 } else { 1 }], "act", &[]);
        }
        let graph = net.end(&y, scale, zero).import().unwrap();
        assert_eq!(outline(&graph), ["conv conv2d"]);
        convolution(&graph).0.clamp
    };
    assert_eq!(clamp(None, 0.5, 3), None);
    assert_eq!(
        clamp(None, 0.5, -128),
        Some(Clamp::Steps([-128, 127])),
        "implied by the zero point"
    );
    assert_eq!(clamp(Some(("Relu", [0.0; 2])), 0.5, -128), Some(Clamp::Steps([-128, 127])));
    assert_eq!(clamp(Some(("Relu", [0.0; 2])), 0.5, -20), Some(Clamp::Steps([-20, 127])));
    assert_eq!(clamp(Some(("Clip", [0.0, 6.0])), 0.1, -128), Some(Clamp::Steps([-128, -68])));
    assert_eq!(clamp(Some(("Clip", [-1.0, 1.0])), 0.1, 0), Some(Clamp::Steps([-10, 10])));
    assert_eq!(clamp(Some(("Clip", [0.0, f32::MAX])), 0.1, 5), Some(Clamp::Steps([5, 127])));
}

#[test]
fn clip_takes_its_bounds_as_attributes_too() {
    let mut net = Net::new(&[1, 1, 2, 2]);
    let y = doubling(&mut net);
    let bounds = [("min", Attr::Float(0.0)), ("max", Attr::Float(4.0))];
    let y = net.node("Clip", &[&y], "relu4", &bounds);
    net.model.opset_import[0].version = 10;
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(convolution(&graph).0.clamp, Some(Clamp::Steps([0, 4])));
    assert_eq!(evaluate(&graph, &[-1.0, 1.0, 2.0, 3.0]), [0.0, 2.0, 4.0, 4.0]);
}

#[test]
fn an_activation_with_its_own_quantisation_is_a_requantize() {
    let mut net = Net::new(&[1, 1, 1, 2]);
    let y = doubling(&mut net);
    let y = net.pair(&y, "mid", 0.5, 4);
    let y = net.node("Relu", &[&y], "relu", &[]);
    let graph = net.end(&y, 0.5, 4).import().unwrap();
    assert_eq!(outline(&graph), ["conv conv2d", "relu requantize"]);
    assert_eq!(graph.nodes().last().unwrap().1.op.clamp(), Some(Clamp::Steps([4, 127])));
    assert_eq!(evaluate(&graph, &[-1.0, 1.5]), [0.0, 3.0]);
}

#[test]
fn a_second_quantisation_requantises_only_where_it_differs() {
    for (scale, nodes) in [(0.5, 1), (0.25, 2)] {
        let mut net = Net::new(&[1, 1, 1, 1]);
        let y = doubling(&mut net);
        let y = net.pair(&y, "mid", 0.5, 4);
        let graph = net.end(&y, scale, 4).import().unwrap();
        assert_eq!(graph.nodes().len(), nodes);
        if nodes == 2 {
            assert_eq!(outline(&graph)[1], "end_q requantize");
        }
    }
}

#[test]
fn residual_addition() {
    let mut net = Net::new(&[1, 1, 1, 2]);
    let y = doubling(&mut net);
    let y = net.pair(&y, "mid", 1.0, 0);
    let sum = net.node("Add", &["x_dq", &y], "sum", &[]);
    let sum = net.node("Relu", &[&sum], "relu", &[]);
    let graph = net.end(&sum, 1.0, 0).import().unwrap();
    assert_eq!(outline(&graph), ["conv conv2d", "sum add"]);
    assert_eq!(evaluate(&graph, &[5.0, -5.0]), [15.0, 0.0]);
}

#[test]
fn averages() {
    let mut net = Net::new(&[1, 1, 2, 4]);
    let x = net.start();
    let attributes = [("kernel_shape", Attr::Ints(&[2, 2])), ("strides", Attr::Ints(&[2, 2]))];
    let y = net.node("AveragePool", &[&x], "pool", &attributes);
    let y = net.pair(&y, "mid", 1.0, 0);
    let y = net.node("GlobalAveragePool", &[&y], "global", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(outline(&graph), ["pool avg_pool", "global avg_pool"]);
    let Op::AvgPool(global) = &graph.nodes().last().unwrap().1.op else { panic!() };
    assert_eq!(global.window.kernel, [1, 2]);
    assert_eq!(evaluate(&graph, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]), [4.5]);
}

#[test]
fn padding_takes_no_part_in_an_average() {
    let mut net = Net::new(&[1, 1, 1, 2]);
    let x = net.start();
    let attributes = [("kernel_shape", Attr::Ints(&[1, 2])), ("pads", Attr::Ints(&[0, 1, 0, 0]))];
    let y = net.node("AveragePool", &[&x], "pool", &attributes);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(evaluate(&graph, &[2.0, 4.0]), [2.0, 3.0]);
}

#[test]
fn matmul_with_its_bias_behind_it() {
    let mut net = Net::new(&[1, 2]);
    let x = net.start();
    // [features, outputs], quantised as one.
    let w = net.weights("w", &[2, 3], &[1, 2, 3, 4, 5, 6], &[0.5]);
    let b = net.bias("b", &[2, 4, 6], 0.5);
    let y = net.node("MatMul", &[&x, &w], "dense", &[]);
    let y = net.node("Add", &[&b, &y], "bias_add", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(outline(&graph), ["dense conv2d"]);
    let (_, weights, bias) = convolution(&graph);
    assert_eq!((weights, bias), (vec![1, 4, 2, 5, 3, 6], vec![2, 4, 6]));
    let node = graph.nodes().next().unwrap().1;
    assert_eq!(graph.tensor(node.inputs[1]).quant, Some(Quant::per_tensor(0.5, 0)));
    assert_eq!(evaluate(&graph, &[1.0, 10.0]), [21.5, 28.0, 34.5]);
}

#[test]
fn gemm_both_ways_round() {
    for transposed in [0, 1] {
        let mut net = Net::new(&[1, 2]);
        let x = net.start();
        let w = match transposed {
            0 => net.weights("w", &[2, 3], &[1, 2, 3, 4, 5, 6], &[1.0]),
            _ => net.weights("w", &[3, 2], &[1, 4, 2, 5, 3, 6], &[1.0, 1.0, 1.0]),
        };
        let b = net.bias("b", &[1, 2, 3], 1.0);
        let y = net.node("Gemm", &[&x, &w, &b], "dense", &[("transB", Attr::Int(transposed))]);
        let graph = net.end(&y, 1.0, 0).import().unwrap();
        assert_eq!(evaluate(&graph, &[1.0, 10.0]), [42.0, 54.0, 66.0]);
    }
}

#[test]
fn softmax_is_kept_where_its_steps_are_known_and_dropped_elsewhere() {
    let build = |end: &dyn Fn(&mut Net, &str)| {
        let mut net = Net::new(&[1, 2]);
        let x = net.start();
        let w = net.weights("w", &[2, 2], &[1, 0, 0, 1], &[1.0]);
        let y = net.node("MatMul", &[&x, &w], "dense", &[]);
        let y = net.pair(&y, "logits", 1.0, 0);
        let y = net.node("Softmax", &[&y], "softmax", &[]);
        end(&mut net, &y);
        net.import().unwrap()
    };
    let quantized = |scale, zero| {
        build(&|net: &mut Net, y: &str| {
            net.end(y, scale, zero);
        })
    };
    let kept = quantized(1.0 / 256.0, -128);
    assert_eq!(outline(&kept), ["dense conv2d", "softmax softmax"]);
    assert_eq!(evaluate(&kept, &[0.0, 0.0]), [0.5, 0.5]);
    let float = build(&|net: &mut Net, y: &str| {
        net.node("Identity", &[y], "out", &[]);
    });
    for dropped in [quantized(1.0 / 255.0, -128), float] {
        assert_eq!(outline(&dropped), ["dense conv2d"]);
        assert_eq!(evaluate(&dropped, &[3.0, 4.0]), [3.0, 4.0]);
    }
}

#[test]
fn unsigned_integers_are_shifted() {
    let mut net = Net::new(&[1, 1, 1, 1]);
    let s = net.floats("x_scale", &[], &[0.5]);
    net.initializer("x_zero", &[], DataType::Uint8).int32_data = vec![3];
    net.node("QuantizeLinear", &["x", &s, "x_zero"], "x_q", &[]);
    let x = net.dequantize("x");
    net.initializer("w", &[1, 1, 1, 1], DataType::Uint8).raw_data = vec![130];
    net.initializer("w_zero", &[], DataType::Uint8).raw_data = vec![128];
    let w = net.node("DequantizeLinear", &["w", &s, "w_zero"], "w_dq", &[]);
    let y = net.node("Conv", &[&x, &w], "conv", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(graph.tensor(graph.input.unwrap()).zero(), -125);
    assert_eq!(convolution(&graph).1, [2]);
    assert_eq!(evaluate(&graph, &[3.0]), [3.0]);
}

#[test]
fn int8_weights_are_found_in_either_field() {
    let mut net = Net::new(&[1, 1, 1, 1]);
    let y = doubling(&mut net);
    let w = net.initializer_mut("w");
    (w.raw_data, w.int32_data) = (vec![], vec![-2]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(convolution(&graph).1, [-2]);
}

#[test]
fn biases_are_rescaled_to_input_times_weight() {
    let bias = |scale: f32| {
        let mut net = Net::new(&[1, 1, 1, 1]);
        let x = net.start();
        let w = net.weights("w", &[1, 1, 1, 1], &[2], &[0.5]);
        let b = net.bias("b", &[1001], scale);
        let y = net.node("Conv", &[&x, &w, &b], "conv", &[]);
        convolution(&net.end(&y, 1.0, 0).import().unwrap()).2
    };
    assert_eq!(bias(0.5), [1001]);
    assert_eq!(bias(0.50001), [1001], "a thousandth is rounding of the exporter");
    assert_eq!(bias(0.25), [501]);
}

#[test]
fn float_weights_and_biases_quantise_at_import() {
    let mut net = Net::new(&[1, 1, 1, 1]);
    let x = net.start();
    net.floats("w", &[2, 1, 1, 1], &[0.9, -30.0]);
    net.floats("w_scale", &[2], &[0.5, 0.125]);
    net.int8("w_zero", &[2], &[0, 0]);
    let axis = [("axis", Attr::Int(0))];
    net.node("QuantizeLinear", &["w", "w_scale", "w_zero"], "w_q", &axis);
    let w = net.node("DequantizeLinear", &["w_q", "w_scale", "w_zero"], "w_dq", &axis);
    let b = net.floats("b", &[2], &[1.0, -0.5]);
    let y = net.node("Conv", &[&x, &w, &b], "conv", &[]);
    let (_, weights, bias) = {
        let graph = net.end(&y, 1.0, 0).import().unwrap();
        let (c, w, b) = convolution(&graph);
        (c.clone(), w, b)
    };
    assert_eq!((weights, bias), (vec![2, -128], vec![2, -4]));
}

#[test]
fn identity_and_dropout_pass_and_names_stay_unique() {
    let mut net = Net::new(&[1, 1, 1, 1]);
    let y = doubling(&mut net);
    let y = net.node("Dropout", &[&y], "drop", &[]);
    let y = net.node("Identity", &[&y], "same", &[]);
    let y = net.pair(&y, "mid", 1.0, 0);
    let w = net.weights("v", &[1, 1, 1, 1], &[3], &[1.0]);
    let y = net.node("Conv", &[&y, &w], "second", &[]);
    net.node_mut("second").name = "conv".into();
    let y = net.pair(&y, "mid2", 1.0, 0);
    let y = net.node("Conv", &[&y, &w], "third", &[]);
    net.node_mut("third").name = String::new();
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    assert_eq!(outline(&graph), ["conv conv2d", "second conv2d", "third conv2d"]);
    let weights = |n: usize| graph.nodes().nth(n).unwrap().1.inputs[1];
    assert_ne!(weights(1), weights(2), "layers that share an initializer train apart");
    assert_eq!(evaluate(&graph, &[1.0]), [18.0]);
}
