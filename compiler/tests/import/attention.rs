//! Products of activations, normalisation and softmax, in real numbers and quantised; their numbers worked
//! out by hand.

use offshoot::ir::Quant;

use crate::builder::{both, evaluate, expect_both, outline, Attr, Net};

#[test]
fn products_of_activations_in_batches() {
    // Each row times itself: (1, 10) and (5, 20).
    let squares = both(&[1, 2, 1, 2], 2.0, |net, x, _| {
        let perm = [("perm", Attr::Ints(&[0, 1, 3, 2]))];
        let column = net.node("Transpose", &[x], "column", &perm);
        net.node("MatMul", &[&column, x], "product", &[])
    });
    assert_eq!(outline(&squares[0]), ["product matmul"]);
    let expected = [1.0, 10.0, 10.0, 100.0, 25.0, 100.0, 100.0, 400.0];
    expect_both(&squares, &[1.0, 10.0, 5.0, 20.0], &expected);
}

#[test]
fn a_product_of_activation_and_constant_matrices() {
    let product = both(&[1, 2, 2], 1.0, |net, x, _| {
        let w = net.floats("w", &[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]);
        net.node("MatMul", &[x, &w], "product", &[])
    });
    // Rows (1, 10) and (2, 20).
    expect_both(&product, &[1.0, 10.0, 2.0, 20.0], &[31.0, 42.0, 62.0, 84.0]);
}

#[test]
fn gemm_with_all_it_can_do() {
    let mut net = Net::new(&[1, 2]);
    let w = net.floats("w", &[2, 1], &[3.0, 4.0]);
    let c = net.floats("c", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let attributes = [
        ("transA", Attr::Int(1)),
        ("transB", Attr::Int(1)),
        ("alpha", Attr::Float(0.5)),
        ("beta", Attr::Float(2.0)),
    ];
    net.node("Gemm", &["x", &w, &c], "out", &attributes);
    // The column (1, 2) times the row (3, 4), halved, and twice the matrix c.
    assert_eq!(evaluate(&net.import().unwrap(), &[1.0, 2.0]), [3.5, 6.0, 9.0, 12.0]);
}

#[test]
fn normalisation_with_scale_and_bias() {
    let normal = both(&[1, 4], 0.25, |net, x, _| {
        net.model.opset_import[0].version = 17;
        let scale = net.floats("scale", &[4], &[1.0, 2.0, 3.0, 4.0]);
        let bias = net.floats("bias", &[4], &[0.0, 0.0, 0.0, 1.0]);
        net.node("LayerNormalization", &[x, &scale, &bias], "norm", &[])
    });
    assert_eq!(outline(&normal[0]), ["norm.normal normalize", "norm conv2d"]);
    // Mean 2, deviation 1; in real numbers but for epsilon.
    let found = evaluate(&normal[0], &[1.0, 1.0, 3.0, 3.0]);
    let expected = [-1.0f32, -2.0, 3.0, 5.0];
    assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-4), "{found:?}");
    let found = evaluate(&normal[1], &[1.0, 1.0, 3.0, 3.0]);
    assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 0.05), "{found:?}");
}

#[test]
fn normalisation_over_the_last_two_dimensions_at_once() {
    let mut net = Net::new(&[1, 2, 2]);
    net.model.opset_import[0].version = 17;
    let scale = net.floats("scale", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    net.node("LayerNormalization", &["x", &scale], "out", &[("axis", Attr::Int(-2))]);
    let found = evaluate(&net.import().unwrap(), &[1.0, 3.0, 1.0, 3.0]);
    let expected = [-1.0, 2.0, -3.0, 4.0];
    assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-4), "{found:?}");
}

#[test]
fn a_softmax_in_the_middle_has_its_own_steps_first() {
    let mut net = Net::new(&[1, 2, 2]);
    let x = net.start();
    let y = net.node("Softmax", &[&x], "soft", &[("axis", Attr::Int(-1))]);
    let y = net.pair(&y, "weights", 0.01, 0);
    let y = net.node("MatMul", &[&y, &x], "mixed", &[]);
    let graph = net.end(&y, 1.0, 0).import().unwrap();
    let names = ["soft.layout copy", "soft softmax", "soft.clamp requantize", "mixed matmul"];
    assert_eq!(outline(&graph), names);
    let soft = graph.nodes().nth(1).unwrap().1.outputs[0];
    assert_eq!(graph.tensor(soft).quant, Some(Quant::per_tensor(1.0 / 256.0, -128)));
    // Equal scores weigh both rows alike.
    assert_eq!(evaluate(&graph, &[2.0, 6.0, 2.0, 6.0]), [4.0; 4]);
}

#[test]
fn softmax_along_another_axis() {
    let mut net = Net::new(&[1, 2, 1, 2]);
    let y = net.node("Softmax", &["x"], "soft", &[("axis", Attr::Int(3))]);
    net.node("Relu", &[&y], "out", &[]);
    let graph = net.import().unwrap();
    let ln3 = 3.0f32.ln();
    let mut found = evaluate(&graph, &[0.0, 0.0, ln3, 0.0]);
    found.sort_by(f32::total_cmp);
    // One channel weighs its pixels 1 to 3, the other alike.
    let expected = [0.25, 0.5, 0.5, 0.75];
    assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6), "{found:?}");
}

#[test]
fn refusals() {
    let refused = |op: &str, inputs: &[&str], attributes: &[(&str, Attr)], parts: &[&str]| {
        let mut net = Net::new(&[1, 2, 2]);
        net.model.opset_import[0].version = 17;
        net.floats("three", &[3], &[1.0; 3]);
        net.floats("wide", &[1, 3, 2], &[1.0; 6]);
        net.node(op, inputs, "out", attributes);
        let message = net.refused();
        for part in parts.iter().chain(&["node \"out\""]) {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    };
    refused(
        "MatMul",
        &["x", "wide"],
        &[],
        &["\"wide\" has shape [1, 3, 2]", "goes with [1, 2, 2]"],
    );
    refused("LayerNormalization", &["x", "three"], &[], &["\"three\" has shape [3]", "each of 2"]);
    let axis = [("axis", Attr::Int(5))];
    refused("LayerNormalization", &["x"], &axis, &["`axis` is 5", "dimension of its input"]);
    refused("Softmax", &["x"], &axis, &["`axis` is 5", "dimension of its input"]);
}
