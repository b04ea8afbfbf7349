//! Recurrent layers against their equations, step by step, and what of them is refused.

use offshoot::adapt::layers;

use crate::builder::{evaluate, outline, Attr, Net};

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// Weights of one feature and one hidden channel: `gates` of W, as many of R, and the two halves of B.
fn layer(op: &str, gates: usize, steps: i64, attributes: &[(&str, Attr)]) -> Net {
    let mut net = Net::new(&[1, steps, 1]);
    net.node("Transpose", &["x"], "steps", &[("perm", Attr::Ints(&[1, 0, 2]))]);
    let value = |n: usize| (n as f32 * 0.7).sin();
    let some = |from: usize, count: usize| (from..from + count).map(value).collect::<Vec<f32>>();
    let rows = gates as i64;
    let directions = if attributes.iter().any(|(name, _)| *name == "direction") { 2 } else { 1 };
    let times = directions as usize;
    net.floats("w", &[directions, rows, 1], &some(1, gates * times));
    net.floats("r", &[directions, rows, 1], &some(11, gates * times));
    net.floats("b", &[directions, 2 * rows], &some(21, 2 * gates * times));
    net.node(op, &["steps", "w", "r", "b"], "all", attributes);
    net.node_mut("all").output.push("last".into());
    net.node("Squeeze", &["last"], "out", &[]);
    net
}

fn value(n: usize) -> f64 {
    f64::from((n as f32 * 0.7).sin())
}

const X: [f32; 3] = [0.5, -1.0, 2.0];

#[test]
fn lstm() {
    let graph = layer("LSTM", 4, 3, &[]).import().unwrap();
    let (mut h, mut c) = (0.0, 0.0);
    for x in X {
        let gate = |g: usize| {
            value(1 + g) * f64::from(x) + value(11 + g) * h + value(21 + g) + value(25 + g)
        };
        let [i, o, f] = [0, 1, 2].map(|g| sigmoid(gate(g)));
        c = f * c + i * gate(3).tanh();
        h = o * c.tanh();
    }
    let found = f64::from(evaluate(&graph, &X)[0]);
    assert!((found - h).abs() < 1e-6, "{found}, not {h}");
    // What the steps share cannot be trained; what is over all of them can.
    let names: Vec<&str> = layers(&graph).iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["all.gates", "all.candidate"]);
}

#[test]
fn gru_with_its_reset_gate_in_either_place() {
    for behind in [0, 1] {
        let attributes = [("linear_before_reset", Attr::Int(behind))];
        let graph = layer("GRU", 3, 3, &attributes).import().unwrap();
        let mut h = 0.0;
        for x in X {
            let input = |g: usize| value(1 + g) * f64::from(x) + value(21 + g);
            let (weight, bias) = (|g: usize| value(11 + g), |g: usize| value(24 + g));
            let [z, r] = [0, 1].map(|g| sigmoid(input(g) + weight(g) * h + bias(g)));
            let n = match behind {
                0 => input(2) + weight(2) * (r * h) + bias(2),
                _ => input(2) + r * (weight(2) * h + bias(2)),
            };
            h = (1.0 - z) * n.tanh() + z * h;
        }
        let found = f64::from(evaluate(&graph, &X)[0]);
        assert!((found - h).abs() < 1e-6, "{behind}: {found}, not {h}");
    }
}

#[test]
fn both_directions_and_all_results() {
    let both = [("direction", Attr::Text("bidirectional"))];
    let last = evaluate(&layer("GRU", 3, 3, &both).import().unwrap(), &X);
    assert_eq!(last.len(), 2);
    let mut net = layer("GRU", 3, 3, &both);
    net.node_mut("out").input[0] = "all".into();
    let all = evaluate(&net.import().unwrap(), &X);
    // Steps, directions: forward ends at the last step, backward at the first.
    assert_eq!((all.len(), all[4], all[1]), (6, last[0], last[1]));
}

#[test]
fn states_to_begin_with() {
    let mut net = layer("LSTM", 4, 2, &[]);
    let zero = net.floats("zero", &[1, 1, 1], &[0.0]);
    let (h, c) = (net.floats("h", &[1, 1, 1], &[0.3]), net.floats("c", &[1, 1, 1], &[-0.6]));
    let plain = evaluate(&net.import().unwrap(), &X[..2]);
    net.node_mut("all").input.extend(["".into(), zero.clone(), zero]);
    let from_zero = net.import().unwrap();
    assert_eq!(evaluate(&from_zero, &X[..2]), plain);
    net.node_mut("all").input.splice(5.., [h, c]);
    let started = net.import().unwrap();
    assert!(outline(&started).len() > outline(&from_zero).len());
    let gate = |g: usize, x: f32, h: f64| {
        value(1 + g) * f64::from(x) + value(11 + g) * h + value(21 + g) + value(25 + g)
    };
    let (mut h, mut c) = (0.3f32.into(), f64::from(-0.6f32));
    for &x in &X[..2] {
        let [i, o, f] = [0, 1, 2].map(|g| sigmoid(gate(g, x, h)));
        c = f * c + i * gate(3, x, h).tanh();
        h = o * c.tanh();
    }
    let found = f64::from(evaluate(&started, &X[..2])[0]);
    assert!((found - h).abs() < 1e-6, "{found}, not {h}");
}

#[test]
fn refusals() {
    let expect = |net: &Net, parts: &[&str]| {
        let message = net.refused();
        for part in parts.iter().chain(&["node \"all\" (LSTM)"]) {
            assert!(message.contains(part), "{part:?} is not in: {message}");
        }
    };
    let lstm = |attributes: &[(&str, Attr)]| layer("LSTM", 4, 3, attributes);
    expect(&lstm(&[("clip", Attr::Float(3.0))]), &["`clip` is 3", "no bound"]);
    expect(&lstm(&[("input_forget", Attr::Int(1))]), &["`input_forget`", "of its own"]);
    expect(&layer("LSTM", 4, 300, &[]), &["300 steps in 1 direction(s)", "at most 256", "stride"]);
    expect(&layer("LSTM", 3, 3, &[]), &["\"w\" has shape [1, 3, 1]", "[1, 4, 1]"]);
    let mut net = lstm(&[]);
    let lengths = net.int64("lengths", &[2]);
    net.node_mut("all").input.push(lengths);
    expect(&net, &["`sequence_lens` is [2] of 3 steps", "leave it out"]);
    let mut net = lstm(&[]);
    let peep = net.floats("peep", &[1, 3], &[1.0; 3]);
    net.node_mut("all").input.extend(["".into(), "".into(), "".into(), peep]);
    expect(&net, &["`P` is there", "train the network without"]);
    let mut net = lstm(&[]);
    net.node_mut("all").input[1] = "nothing".into();
    expect(&net, &["\"nothing\"", "export the network again"]);
    // Quantised tensors around it do not quantise what is inside.
    let mut net = lstm(&[]);
    let x = net.start();
    net.node_mut("steps").input[0] = x;
    let y = net.pair("out", "end", 1.0, 0);
    net.graph().output[0].name = y;
    expect(&net, &["part of a quantised network", "quantise it by samples"]);
}
