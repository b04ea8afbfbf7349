//! What exporters write out in several nodes is read as the one node that it means, and only that.

use offshoot::ir::Graph;
use offshoot::ops::{Function, Op};

use crate::builder::{evaluate, outline, Attr, Net};

/// A network of one pixel with four channels, with numbers that patterns need, as initializers and as
/// `Constant` nodes.
fn net() -> Net {
    let mut net = Net::new(&[1, 4]);
    let numbers = [
        ("half", 0.5),
        ("one", 1.0),
        ("two", 2.0),
        ("three", 3.0),
        ("six", 6.0),
        ("sixth", 1.0 / 6.0),
        ("zero", 0.0),
        ("root", std::f32::consts::SQRT_2),
        ("root_inverse", std::f32::consts::FRAC_1_SQRT_2),
        ("root_of_two_over_pi", 0.797_884_6),
        ("cubic", 0.044_715),
        ("epsilon", 1e-5),
    ];
    for (name, value) in numbers {
        net.floats(name, &[], &[value]);
    }
    net
}

/// The nodes `op result operands`, the last of them the output.
fn written(lines: &[&str]) -> Net {
    let mut net = net();
    for line in lines {
        let words: Vec<&str> = line.split(' ').collect();
        let attributes: &[(&str, Attr)] = match words[0] {
            "ReduceMean" => &[("axes", Attr::Ints(&[-1]))],
            _ => &[],
        };
        net.node(words[0], &words[2..], words[1], attributes);
    }
    net
}

fn function(graph: &Graph) -> Option<Function> {
    match graph.nodes().map(|(_, n)| &n.op).collect::<Vec<_>>().as_slice() {
        [Op::Unary(unary)] => Some(unary.function),
        _ => None,
    }
}

#[track_caller]
fn expect(lines: &[&str], expected: Function) {
    let graph = written(lines).import().unwrap();
    assert_eq!(function(&graph), Some(expected), "{:?}", outline(&graph));
    assert_eq!(graph.folded.len(), lines.len() - 1);
    assert!(graph.folded.iter().all(|fold| fold.into == "out"), "{:?}", graph.folded);
    let x = [-2.0f32, -0.5, 0.0, 1.5];
    for (found, x) in evaluate(&graph, &x).iter().zip(x) {
        assert!((f64::from(*found) - expected.value(x.into())).abs() < 1e-6);
    }
}

#[test]
fn gelu_by_the_error_function() {
    let inner = ["Div a x root", "Erf e a", "Add s e one"];
    // PyTorch, tf2onnx, and others.
    expect(&[&inner[..], &["Mul p x s", "Mul out p half"]].concat(), Function::Gelu);
    let scaled = ["Mul a root_inverse x", "Erf e a", "Add s one e"];
    expect(&[&scaled[..], &["Mul h half s", "Mul out h x"]].concat(), Function::Gelu);
    expect(&[&scaled[..], &["Mul h x half", "Mul out h s"]].concat(), Function::Gelu);
    expect(&[&inner[..], &["Mul p s x", "Div out p two"]].concat(), Function::Gelu);
}

#[test]
fn gelu_by_the_hyperbolic_tangent() {
    let cube = [
        "Pow c x three",
        "Mul w c cubic",
        "Add v x w",
        "Mul u v root_of_two_over_pi",
        "Tanh t u",
        "Add s t one",
    ];
    let last = ["Mul p x s", "Mul out p half"];
    expect(&[&cube[..], &last].concat(), Function::GeluTanh);
    let square = [
        "Mul q x x",
        "Mul w q cubic",
        "Add v w one",
        "Mul r x root_of_two_over_pi",
        "Mul u r v",
        "Tanh t u",
        "Add s one t",
    ];
    expect(&[&square[..], &last].concat(), Function::GeluTanh);
}

#[test]
fn hard_sigmoid_and_hard_swish() {
    let line = ["Add a x three", "Clip c a zero six"];
    let swish = Function::HardSwish;
    expect(&[&line[..], &["Mul p x c", "Div out p six"]].concat(), swish);
    expect(&[&line[..], &["Div d c six", "Mul out d x"]].concat(), swish);
    expect(&[&line[..], &["Mul d c sixth", "Mul out x d"]].concat(), swish);
    // PyTorch's ReLU6.
    let clipped = ["Add a three x", "Relu r a", "Clip c r zero six"];
    expect(&[&clipped[..], &["Mul p c x", "Mul out p sixth"]].concat(), swish);
    let sigmoid = Function::HardSigmoid([1.0 / 6.0, 0.5]);
    expect(&[&line[..], &["Div out c six"]].concat(), sigmoid);
}

#[test]
fn normalisation() {
    let centred = ["ReduceMean m x", "Sub d x m"];
    let squares: [&[&str]; 2] = [&["Pow q d two"], &["Mul q d d"]];
    let ends: [&[&str]; 2] = [&["Div out d r"], &["Reciprocal i r", "Mul out d i"]];
    for (square, end) in squares.into_iter().zip(ends) {
        let middle = ["ReduceMean v q", "Add e v epsilon", "Sqrt r e"];
        let graph = written(&[&centred[..], square, &middle, end].concat()).import().unwrap();
        assert_eq!(outline(&graph), ["out normalize"]);
        let found = evaluate(&graph, &[1.0, 1.0, 3.0, 3.0]);
        assert!(found
            .iter()
            .zip([-1.0, -1.0, 1.0, 1.0])
            .all(|(f, e): (&f32, _)| (f - e).abs() < 1e-4));
    }
}

#[test]
fn scale_and_shift_behind_a_normalisation_are_a_layer() {
    let mut net = written(&[
        "ReduceMean m x",
        "Sub d x m",
        "Pow q d two",
        "ReduceMean v q",
        "Add e v epsilon",
        "Sqrt r e",
        "Div n d r",
    ]);
    let (scale, bias) =
        (net.floats("scale", &[4], &[1.0, 2.0, 3.0, 4.0]), net.floats("bias", &[4], &[0.5; 4]));
    net.node("Mul", &["n", &scale], "scaled", &[]);
    net.node("Add", &["scaled", &bias], "out", &[]);
    let graph = net.import().unwrap();
    assert_eq!(outline(&graph), ["n normalize", "scaled conv2d"]);
    let found = evaluate(&graph, &[1.0, 1.0, 3.0, 3.0]);
    assert!(found.iter().zip([-0.5, -1.5, 3.5, 4.5]).all(|(f, e): (&f32, _)| (f - e).abs() < 1e-4));
}

#[test]
fn what_is_only_like_a_pattern_stays_as_it_is() {
    // Half of another number.
    let gelu = ["Div a x root", "Erf e a", "Add s e one", "Mul p x s", "Mul out p half"];
    let mut net = written(&gelu);
    net.initializer_mut("half").float_data = vec![0.51];
    assert!(net.import().unwrap().nodes().len() > 1);
    net.initializer_mut("half").float_data = vec![0.500_2];
    assert_eq!(net.import().unwrap().nodes().len(), 1);
    // What is inside is read outside.
    let mut net = written(&["Div a x root", "Erf e a", "Add s e one", "Mul p x s", "Mul g p half"]);
    net.node("Add", &["g", "e"], "out", &[]);
    assert!(outline(&net.import().unwrap()).iter().any(|line| line == "e unary"));
    // A root of something else is refused by name.
    let message = written(&["Add e x epsilon", "Sqrt r e", "Div out x r"]).refused();
    assert!(message.contains("node \"r\" (Sqrt): \"e\" must be constant"), "{message}");
}

#[test]
fn shapes_and_constants_that_are_computed() {
    let mut net = Net::new(&[1, 2, 3]);
    for (name, values) in [("first", &[0][..]), ("rest", &[-1]), ("axis", &[0])] {
        net.int64(name, values);
    }
    net.initializer_mut("first").dims.clear();
    net.node("Shape", &["x"], "shape", &[]);
    net.node("Gather", &["shape", "first"], "batch", &[]);
    net.node("Cast", &["batch"], "cast", &[("to", Attr::Int(7))]);
    net.node("Unsqueeze", &["cast", "axis"], "row", &[]);
    net.node("Concat", &["row", "rest"], "target", &[("axis", Attr::Int(0))]);
    net.node("Reshape", &["x", "target"], "flat", &[]);
    let w = net.floats("w", &[6, 1], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    net.node("MatMul", &["flat", &w], "out", &[]);
    let graph = net.import().unwrap();
    assert_eq!(outline(&graph), ["out conv2d"]);
    assert_eq!(evaluate(&graph, &[1.0, 0.0, 0.0, 0.0, 0.0, 1.0]), [7.0]);
    // What computes with activations is refused with a way out.
    net.node_mut("cast").input[0] = "x".into();
    let message = net.refused();
    assert!(message.contains("node \"cast\" (Cast): \"x\" must be constant"), "{message}");
}
