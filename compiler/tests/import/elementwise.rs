//! Operators on each element by itself, or with one of another tensor, in real numbers and quantised; their
//! numbers worked out by hand.

use offshoot::import::{import_with, Options};
use tract_onnx::pb::tensor_proto::DataType;

use crate::builder::{both, evaluate, expect_both, outline, Attr, Net};

/// Two channels of two pixels: 1, 5 and 10, 20.
const MAP: [f32; 4] = [1.0, 10.0, 5.0, 20.0];
const SHAPE: [i64; 4] = [1, 2, 1, 2];

/// `op` of the map and what `GlobalAveragePool` makes of it, 3 and 15.
fn with_means(op: &str) -> [offshoot::ir::Graph; 2] {
    both(&SHAPE, 2.0, |net, x, between| {
        let means = net.node("GlobalAveragePool", &[x], "pool", &[]);
        let means = between(net, &means, "means");
        net.node(op, &[x, &means], op, &[])
    })
}

#[test]
fn channels_times_one_number_each() {
    let graphs = with_means("Mul");
    assert_eq!(outline(&graphs[0]), ["pool avg_pool", "Mul mul"]);
    expect_both(&graphs, &MAP, &[3.0, 150.0, 15.0, 300.0]);
    // The factor may come first.
    let swapped = both(&SHAPE, 2.0, |net, x, between| {
        let means = net.node("GlobalAveragePool", &[x], "pool", &[]);
        let means = between(net, &means, "means");
        net.node("Mul", &[&means, x], "product", &[])
    });
    expect_both(&swapped, &MAP, &[3.0, 150.0, 15.0, 300.0]);
}

#[test]
fn differences() {
    expect_both(&with_means("Sub"), &MAP, &[-2.0, -5.0, 2.0, 5.0]);
    let from_one = both(&SHAPE, 1.0, |net, x, _| {
        let one = net.floats("one", &[], &[1.0]);
        net.node("Sub", &[&one, x], "rest", &[])
    });
    expect_both(&from_one, &MAP, &[0.0, -9.0, -4.0, -19.0]);
}

#[test]
fn constants_for_each_channel_and_each_element() {
    let halves = both(&SHAPE, 0.25, |net, x, _| {
        let by = net.floats("by", &[1, 2, 1, 1], &[2.0, 4.0]);
        net.node("Div", &[x, &by], "quotient", &[])
    });
    assert_eq!(outline(&halves[0]), ["quotient conv2d"]);
    expect_both(&halves, &MAP, &[0.5, 2.5, 2.5, 5.0]);
    let places = both(&SHAPE, 1.0, |net, x, _| {
        let added = net.floats("places", &[2, 1, 2], &[100.0, 101.0, 102.0, 103.0]);
        net.node("Add", &[x, &added], "placed", &[])
    });
    assert_eq!(outline(&places[0]), ["placed add"]);
    expect_both(&places, &MAP, &[101.0, 112.0, 106.0, 123.0]);
}

#[test]
fn functions() {
    let x = [-4.0f32, -1.0, 0.0, 2.0];
    let alpha = [("alpha", Attr::Float(0.1))];
    let tanh = [("approximate", Attr::Text("tanh"))];
    let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
    type Attributes<'a> = &'a [(&'a str, Attr<'a>)];
    let cases: [(&str, Attributes<'_>, [f32; 4]); 11] = [
        ("LeakyRelu", &alpha, [-0.4, -0.1, 0.0, 2.0]),
        ("Sigmoid", &[], x.map(sigmoid)),
        ("HardSigmoid", &[], [0.0, 0.3, 0.5, 0.9]),
        ("HardSwish", &[], [0.0, -1.0 / 3.0, 0.0, 5.0 / 3.0]),
        ("Tanh", &[], x.map(f32::tanh)),
        ("Elu", &[], [-0.981_684_4, -0.632_120_6, 0.0, 2.0]),
        ("Erf", &[], [-1.0, -0.842_700_8, 0.0, 0.995_322_3]),
        ("Neg", &[], [4.0, 1.0, 0.0, -2.0]),
        ("Gelu", &[], [-0.000_126_7, -0.158_655_3, 0.0, 1.954_499_7]),
        ("Gelu", &tanh, [-0.000_070_2, -0.158_808, 0.0, 1.954_597_7]),
        ("Relu", &[], [0.0, 0.0, 0.0, 2.0]),
    ];
    for (op, attributes, expected) in cases {
        let graphs = both(&[1, 1, 1, 4], 1.0 / 32.0, |net, x, _| {
            let y = net.node(op, &[x], "function", &[]);
            let copied: Vec<_> = attributes
                .iter()
                .map(|(name, value)| match value {
                    Attr::Float(v) => (*name, Attr::Float(*v)),
                    Attr::Text(v) => (*name, Attr::Text(v)),
                    _ => unreachable!("no other kind above"),
                })
                .collect();
            let scratch = &mut Net::new(&[1]);
            scratch.node(op, &[], "scratch", &copied);
            net.node_mut("function").attribute = scratch.graph().node.remove(0).attribute;
            y
        });
        expect_both(&graphs, &x, &expected);
    }
}

#[test]
fn a_sigmoid_times_its_own_input_is_one_function() {
    let mut net = Net::new(&[1, 1, 1, 2]);
    let s = net.node("Sigmoid", &["x"], "gate", &[]);
    net.node("Mul", &[&s, "x"], "out", &[]);
    let graph = net.import().unwrap();
    assert_eq!(outline(&graph), ["out unary"]);
    assert!((evaluate(&graph, &[2.0, 0.0])[0] - 1.761_594_2).abs() < 1e-5);
}

#[test]
fn slopes_for_what_is_negative() {
    let real = {
        let mut net = Net::new(&SHAPE);
        let slope = net.floats("slope", &[2, 1, 1], &[0.5, 0.25]);
        net.node("PRelu", &["x", &slope], "out", &[]);
        net.import().unwrap()
    };
    let quantized = {
        let mut net = Net::new(&SHAPE);
        let x = net.start();
        let slope = net.weights("slope", &[2, 1, 1], &[64, 32], &[1.0 / 128.0]);
        let y = net.node("PRelu", &[&x, &slope], "prelu", &[]);
        net.end(&y, 0.5, 0).import().unwrap()
    };
    let expected = [-1.0, -2.0, 2.0, 4.0];
    expect_both(&[real, quantized], &[-2.0, -8.0, 2.0, 4.0], &expected);
}

#[test]
fn batch_normalization_folds_unless_it_is_kept() {
    let mut net = Net::new(&[1, 1, 1, 2]);
    let w = net.floats("w", &[1, 1, 1, 1], &[2.0]);
    let y = net.node("Conv", &["x", &w], "conv", &[]);
    let rows = [("scale", 3.0), ("bias", 1.0), ("mean", 2.0), ("variance", 4.0)];
    let names = rows.map(|(name, value)| net.floats(name, &[1], &[value]));
    let inputs: Vec<&str> =
        [y.as_str()].into_iter().chain(names.iter().map(String::as_str)).collect();
    net.node("BatchNormalization", &inputs, "out", &[("epsilon", Attr::Float(0.0))]);
    let file = std::env::temp_dir().join(format!("offshoot-kept-{}.onnx", std::process::id()));
    std::fs::write(&file, net.bytes()).unwrap();
    let kept = import_with(&file, Options { keep_batch_normalization: true }).unwrap();
    let folded = import_with(&file, Options::default()).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(outline(&kept), ["conv conv2d", "out conv2d"]);
    assert_eq!(outline(&folded), ["conv conv2d"]);
    assert_eq!(folded.folded[0].node, "out");
    // (2 x - 2) * 3 / 2 + 1.
    for graph in [kept, folded] {
        assert_eq!(evaluate(&graph, &[1.0, 3.0]), [1.0, 7.0]);
    }
}

#[test]
fn refusals() {
    let refused = |op: &str, inputs: &[&str], attributes: &[(&str, Attr)], parts: &[&str]| {
        let mut net = Net::new(&SHAPE);
        net.floats("zero", &[], &[0.0]);
        net.floats("three", &[3], &[1.0; 3]);
        net.initializer("steps", &[2, 1, 1], DataType::Int8).raw_data = vec![1, 2];
        net.node(op, inputs, "out", attributes);
        let message = net.refused();
        for part in parts.iter().chain(&["node \"out\""]) {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    };
    refused("Div", &["x", "zero"], &[], &["by 0", "constants other than 0"]);
    refused("Div", &["zero", "x"], &[], &["a constant by an activation"]);
    refused("Div", &["x", "x"], &[], &["divides by an activation"]);
    refused("Mul", &["x", "three"], &[], &["\"three\" has shape [3]", "goes with"]);
    refused("Add", &["x", "nowhere"], &[], &["\"nowhere\"", "export"]);
    refused("PRelu", &["x", "steps"], &[], &["\"steps\"", "float"]);
    let other = [("approximate", Attr::Text("cubic"))];
    refused("Gelu", &["x"], &other, &["`approximate` is cubic", "none and tanh"]);
    refused("Sigmoid", &["zero"], &[], &["\"zero\" is constant"]);
}
