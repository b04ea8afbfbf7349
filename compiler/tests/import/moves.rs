//! Operators that move elements, in real numbers and quantised; their numbers worked out by hand.

use offshoot::ir::Graph;

use crate::builder::{both, expect_both, outline, Attr, Between, Net};

/// Two channels of two pixels: 1, 5 and 10, 20.
const MAP: [f32; 4] = [1.0, 10.0, 5.0, 20.0];
const SHAPE: [i64; 4] = [1, 2, 1, 2];
/// One row of three pixels.
const ROW: [f32; 3] = [1.0, 2.0, 3.0];

fn on_map(build: impl Fn(&mut Net, &str, Between) -> String) -> [Graph; 2] {
    both(&SHAPE, 0.25, build)
}

fn on_row(build: impl Fn(&mut Net, &str) -> String) -> [Graph; 2] {
    both(&[1, 1, 1, 3], 0.25, |net, x, _| build(net, x))
}

#[test]
fn parts_joined_along_each_axis() {
    let channels = on_map(|net, x, _| {
        let more = net.floats("more", &[1, 1, 1, 2], &[7.0, 8.0]);
        net.node("Concat", &[x, &more], "joined", &[("axis", Attr::Int(1))])
    });
    expect_both(&channels, &MAP, &[1.0, 10.0, 7.0, 5.0, 20.0, 8.0]);
    for axis in [2, 3, -1] {
        let twice =
            on_map(|net, x, _| net.node("Concat", &[x, x], "joined", &[("axis", Attr::Int(axis))]));
        let expected = [MAP, MAP].concat();
        expect_both(&twice, &MAP, &expected);
        let size = twice[0].tensor(twice[0].output.unwrap()).shape.clone();
        assert_eq!(size, if axis == 2 { [1, 2, 2, 2] } else { [1, 1, 4, 2] });
    }
}

#[test]
fn parts_of_a_split() {
    let difference = on_map(|net, x, between| {
        let first = net.node("Split", &[x], "first", &[("axis", Attr::Int(1))]);
        net.node_mut("first").output.push("second".into());
        let first = between(net, &first, "a");
        let second = between(net, "second", "b");
        net.node("Sub", &[&second, &first], "difference", &[])
    });
    expect_both(&difference, &MAP, &[9.0, 15.0]);
}

#[test]
fn slices_backwards_and_by_steps() {
    let reversed = on_map(|net, x, _| {
        let (starts, ends) = (net.int64("starts", &[-1]), net.int64("ends", &[i64::MIN]));
        let (axes, steps) = (net.int64("axes", &[3]), net.int64("steps", &[-1]));
        net.node("Slice", &[x, &starts, &ends, &axes, &steps], "slice", &[])
    });
    expect_both(&reversed, &MAP, &[5.0, 20.0, 1.0, 10.0]);
    let every_other = on_row(|net, x| {
        let (starts, ends) = (net.int64("starts", &[2]), net.int64("ends", &[-4]));
        let (axes, steps) = (net.int64("axes", &[-1]), net.int64("steps", &[-2]));
        net.node("Slice", &[x, &starts, &ends, &axes, &steps], "slice", &[])
    });
    expect_both(&every_other, &ROW, &[3.0, 1.0]);
}

#[test]
fn gathered_elements() {
    let one = on_map(|net, x, _| {
        let at = net.int64("at", &[-1]);
        net.initializer_mut(&at).dims.clear();
        net.node("Gather", &[x, &at], "gather", &[("axis", Attr::Int(1))])
    });
    expect_both(&one, &MAP, &[10.0, 20.0]);
    let several = on_row(|net, x| {
        let at = net.int64("at", &[2, 0, 0, 1]);
        net.node("Gather", &[x, &at], "gather", &[("axis", Attr::Int(3))])
    });
    expect_both(&several, &ROW, &[3.0, 1.0, 1.0, 2.0]);
}

#[test]
fn padding_of_every_kind() {
    let padded = |mode: &'static str| {
        on_row(move |net, x| {
            let pads = net.int64("pads", &[0, 0, 0, 1, 0, 0, 0, 1]);
            let value = net.floats("value", &[], &[9.0]);
            let inputs = [x, &pads, &value];
            let inputs = if mode == "constant" { &inputs[..] } else { &inputs[..2] };
            net.node("Pad", inputs, "pad", &[("mode", Attr::Text(mode))])
        })
    };
    expect_both(&padded("constant"), &ROW, &[9.0, 1.0, 2.0, 3.0, 9.0]);
    expect_both(&padded("edge"), &ROW, &[1.0, 1.0, 2.0, 3.0, 3.0]);
    expect_both(&padded("reflect"), &ROW, &[2.0, 1.0, 2.0, 3.0, 2.0]);
    expect_both(&padded("wrap"), &ROW, &[3.0, 1.0, 2.0, 3.0, 1.0]);
    // Fewer than none cut.
    let cut = on_row(|net, x| {
        let pads = net.int64("pads", &[0, 0, 0, -1, 0, 0, 0, 1]);
        net.node("Pad", &[x, &pads], "pad", &[])
    });
    expect_both(&cut, &ROW, &[2.0, 3.0, 0.0]);
}

#[test]
fn zeros_around_a_map_are_the_work_of_the_convolution_behind_them() {
    let mut net = Net::new(&[1, 1, 1, 3]);
    let pads = net.int64("pads", &[0, 0, 0, 1, 0, 0, 0, 1]);
    let y = net.node("Pad", &["x", &pads], "pad", &[]);
    let w = net.floats("w", &[1, 1, 1, 3], &[1.0, 10.0, 100.0]);
    net.node("Conv", &[&y, &w], "out", &[]);
    let graph = net.import().unwrap();
    assert_eq!(outline(&graph), ["out conv2d"]);
    assert_eq!((graph.folded[0].node.as_str(), graph.folded[0].into.as_str()), ("pad", "out"));
    assert_eq!(crate::builder::evaluate(&graph, &ROW), [210.0, 321.0, 32.0]);
}

#[test]
fn resizing_to_the_nearest() {
    let rule = || {
        [
            ("coordinate_transformation_mode", Attr::Text("asymmetric")),
            ("nearest_mode", Attr::Text("floor")),
        ]
    };
    let regular = on_row(|net, x| {
        let scales = net.floats("scales", &[4], &[1.0, 1.0, 1.0, 2.0]);
        net.node("Resize", &[x, "", &scales], "resize", &rule())
    });
    assert_eq!(outline(&regular[0]), ["resize copy"]);
    expect_both(&regular, &ROW, &[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
    // Elements 0, 0.6, 1.2, 1.8 and 2.4, rounded down.
    let irregular = on_row(|net, x| {
        let sizes = net.int64("sizes", &[1, 1, 1, 5]);
        net.node("Resize", &[x, "", "", &sizes], "resize", &rule())
    });
    expect_both(&irregular, &ROW, &[1.0, 1.0, 2.0, 2.0, 3.0]);
}

#[test]
fn a_transpose_that_no_view_replaces() {
    let mut net = Net::new(&SHAPE);
    let same = net.floats("same", &[2, 2, 1, 1], &[1.0, 0.0, 0.0, 1.0]);
    let y = net.node("Conv", &["x", &same], "first", &[]);
    let y = net.node("Transpose", &[&y], "turned", &[("perm", Attr::Ints(&[0, 3, 2, 1]))]);
    let w = net.floats("w", &[1, 2, 1, 1], &[1.0, 10.0]);
    net.node("Conv", &[&y, &w], "out", &[]);
    let graph = net.import().unwrap();
    assert_eq!(outline(&graph), ["first conv2d", "out.layout copy", "out conv2d"]);
    // Channels are pixels now: 1 + 10 * 5, 10 + 10 * 20.
    assert_eq!(crate::builder::evaluate(&graph, &MAP), [51.0, 210.0]);
}

#[test]
fn refusals() {
    let refused = |op: &str, inputs: &[&str], attributes: &[(&str, Attr)], parts: &[&str]| {
        let mut net = Net::new(&SHAPE);
        net.int64("list", &[0, 9]);
        net.int64("four", &[1, 1, 1, 70000]);
        net.floats("other", &[1, 2, 3, 3], &[0.0; 18]);
        net.node(op, inputs, "out", attributes);
        let message = net.refused();
        for part in parts.iter().chain(&["node \"out\""]) {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    };
    let axis = |at: i64| [("axis", Attr::Int(at))];
    refused("Concat", &["x", "other"], &axis(1), &["\"other\" has shape [1, 2, 3, 3]"]);
    refused("Concat", &["x", "x"], &axis(4), &["`axis` is 4", "dimension of its input"]);
    refused("Gather", &["x", "list"], &axis(1), &["`indices`", "that is there"]);
    refused("Gather", &["x", "x"], &axis(1), &["\"x\" must be constant"]);
    refused("Slice", &["x", "list", "list"], &[], &["in steps of 1", "none"]);
    refused("Split", &["x", "list"], &axis(1), &["2 elements", "must add up"]);
    refused("Pad", &["x", "list"], &[], &["has 2 pads for 4 dimensions"]);
    refused("Resize", &["x", "", "", "four"], &[], &["70000", "from 1 to 65535"]);
    refused("Resize", &["x", "", "", "four"], &[("mode", Attr::Text("cubic"))], &["nearest"]);
    refused("Transpose", &["x"], &[("perm", Attr::Ints(&[0, 1]))], &["`perm`", "every dimension"]);
}
