//! Windows over maps that are not plain convolutions, in real numbers and quantised; their numbers worked out
//! by hand.

use crate::builder::{both, evaluate, expect_both, outline, Attr, Net};

#[test]
fn a_transposed_convolution_spreads_its_input() {
    let attributes = || [("strides", Attr::Ints(&[1, 2])), ("pads", Attr::Ints(&[0, 1, 0, 0]))];
    let real = {
        let mut net = Net::new(&[1, 1, 1, 2]);
        let w = net.floats("w", &[1, 1, 1, 3], &[1.0, 10.0, 100.0]);
        let b = net.floats("b", &[1], &[0.5]);
        net.node("ConvTranspose", &["x", &w, &b], "out", &attributes());
        net.import().unwrap()
    };
    let quantized = {
        let mut net = Net::new(&[1, 1, 1, 2]);
        let x = net.start();
        let w = net.weights("w", &[1, 1, 1, 3], &[1, 10, 100], &[1.0]);
        let b = net.bias("b", &[1], 0.5);
        let y = net.node("ConvTranspose", &[&x, &w, &b], "spread", &attributes());
        net.end(&y, 1.0, 0).import().unwrap()
    };
    assert_eq!(outline(&real), ["out.spread copy", "out conv2d"]);
    // 1, 10, 100 and 2, 20, 200 two places on: 1, 10, 102, 20, 200, of which the first is cut.
    expect_both(&[real, quantized], &[1.0, 2.0], &[10.5, 102.5, 20.5, 200.5]);
}

#[test]
fn a_transposed_convolution_in_groups() {
    let mut net = Net::new(&[1, 2, 1, 1]);
    let w = net.floats("w", &[2, 2, 1, 1], &[3.0, 4.0, 5.0, 6.0]);
    net.node("ConvTranspose", &["x", &w], "out", &[("group", Attr::Int(2))]);
    assert_eq!(evaluate(&net.import().unwrap(), &[1.0, 10.0]), [3.0, 4.0, 50.0, 60.0]);
}

#[test]
fn the_last_window_of_a_pool_may_be_partial() {
    let pooled = |op: &'static str| {
        both(&[1, 1, 1, 3], 0.25, move |net, x, _| {
            let attributes = [
                ("kernel_shape", Attr::Ints(&[1, 2])),
                ("strides", Attr::Ints(&[1, 2])),
                ("ceil_mode", Attr::Int(1)),
            ];
            net.node(op, &[x], "pool", &attributes)
        })
    };
    expect_both(&pooled("MaxPool"), &[1.0, -2.0, -3.0], &[1.0, -3.0]);
    expect_both(&pooled("AveragePool"), &[1.0, 2.0, 5.0], &[1.5, 5.0]);
}

#[test]
fn padding_may_count_in_an_average() {
    let pooled = both(&[1, 1, 1, 2], 0.25, |net, x, _| {
        let attributes = [
            ("kernel_shape", Attr::Ints(&[1, 2])),
            ("pads", Attr::Ints(&[0, 1, 0, 0])),
            ("count_include_pad", Attr::Int(1)),
        ];
        net.node("AveragePool", &[x], "pool", &attributes)
    });
    expect_both(&pooled, &[2.0, 4.0], &[1.0, 3.0]);
}

#[test]
fn refusals() {
    let refused = |shape: &[i64], attributes: &[(&str, Attr)], parts: &[&str]| {
        let mut net = Net::new(&[1, 2, 1, 2]);
        let count = shape.iter().product::<i64>() as usize;
        net.floats("w", shape, &vec![1.0; count]);
        net.node("ConvTranspose", &["x", "w"], "out", attributes);
        let message = net.refused();
        for part in parts.iter().chain(&["node \"out\" (ConvTranspose)"]) {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    };
    refused(&[3, 1, 1, 1], &[], &["1 group(s) do not fit 2 input channels"]);
    refused(&[2, 1, 1], &[], &["\"w\" has shape [2, 1, 1]", "the kernel"]);
    refused(&[2, 1, 1, 1], &[("group", Attr::Int(0))], &["0 group(s)"]);
    refused(&[2, 1, 1, 1], &[("strides", Attr::Ints(&[0, 1]))], &["stride", "of 0"]);
    refused(&[2, 1, 1, 1], &[("pads", Attr::Ints(&[0, 3, 0, 0]))], &["pads by", "crop the result"]);
}
