//! Cross-layer equalisation: where a channel's weights are small before a ReLU and large behind it,
//! or the other way round, a factor is moved from one layer to the next, which changes nothing in
//! real numbers and makes the ranges of the tensor's channels alike.
//!
//! Nagel, van Baalen, Blankevoort, Welling: Data-Free Quantization Through Weight Equalization and
//! Bias Correction, 2019, equation 11: `s = sqrt(r1 r2) / r2`.

use crate::ir::{Data, Graph, NodeId, TensorId};
use crate::ops::{Clamp, Op};

/// Sweeps over all pairs: a layer in the middle is part of two.
const SWEEPS: usize = 4;

/// Factors beyond this would only move the problem.
const MOST: f64 = 32.0;

/// A channel whose weights are this much smaller than the layer's largest is dead: left alone.
const DEAD: f64 = 1e-6;

/// The same network with the weights of neighbouring layers balanced; says for how many pairs.
pub fn equalize(graph: &Graph) -> (Graph, usize) {
    let mut graph = graph.clone();
    let pairs = pairs(&graph);
    for _ in 0..SWEEPS {
        for &(first, second) in &pairs {
            balance(&mut graph, first, second);
        }
    }
    (graph, pairs.len())
}

/// Convolutions, the second the only reader of the first, with nothing between that a positive
/// factor does not pass through, and constants that nothing else reads.
fn pairs(graph: &Graph) -> Vec<(NodeId, NodeId)> {
    let consumers = graph.consumers();
    let mut pairs = Vec::new();
    for (id, node) in graph.nodes() {
        let Op::Conv2d(conv) = &node.op else { continue };
        let passes = match conv.clamp {
            None => true,
            Some(Clamp::Real(range)) => range == [0.0, f32::INFINITY],
            Some(Clamp::Steps(_)) => false,
        };
        let &[reader] = consumers[node.outputs[0].index()].as_slice() else { continue };
        let next = graph.node(reader);
        let is_input = matches!(next.op, Op::Conv2d(_)) && next.inputs[0] == node.outputs[0];
        let mut constants =
            node.inputs.iter().chain(&next.inputs).filter(|t| graph.tensor(**t).data.is_some());
        let own = constants.all(|t| consumers[t.index()].len() == 1);
        if passes && own && is_input && graph.output != Some(node.outputs[0]) {
            pairs.push((id, reader));
        }
    }
    pairs
}

fn balance(graph: &mut Graph, first: NodeId, second: NodeId) {
    let [w1, b1] = [1, 2].map(|i| graph.node(first).inputs[i]);
    let w2 = graph.node(second).inputs[1];
    let groups = match &graph.node(second).op {
        Op::Conv2d(op) => op.groups,
        _ => return,
    };
    let shape = graph.tensor(w1).shape.clone();
    let (channels, row) = (shape[0], shape[1..].iter().product::<usize>().max(1));
    let shape = &graph.tensor(w2).shape;
    // Weights are [O, kh, kw, I / groups]: which channel of the input each of them reads.
    let (per_group, out_per_group) = (shape[3], shape[0] / groups.max(1));
    let taps = shape[1] * shape[2];
    let reads = |at: usize| {
        let o = at / (taps * per_group);
        o / out_per_group.max(1) * per_group + at % per_group
    };
    let before = ranges(graph, w1, channels, |at| at / row);
    let behind = ranges(graph, w2, channels, reads);
    let alive = |all: &[f64], c: usize| all[c] > DEAD * all.iter().copied().fold(0.0, f64::max);
    let factor: Vec<f64> = (0..channels)
        .map(|c| match alive(&before, c) && alive(&behind, c) {
            true => ((before[c] * behind[c]).sqrt() / behind[c]).clamp(1.0 / MOST, MOST),
            false => 1.0,
        })
        .collect();
    scale(graph, w1, |at| 1.0 / factor[at / row]);
    scale(graph, b1, |at| 1.0 / factor[at]);
    scale(graph, w2, |at| factor[reads(at)]);
}

/// Largest magnitude of the weights of each channel.
fn ranges(graph: &Graph, w: TensorId, channels: usize, of: impl Fn(usize) -> usize) -> Vec<f64> {
    let mut ranges = vec![0.0f64; channels];
    for (at, v) in graph.tensor(w).data.iter().flat_map(|d| d.iter()).enumerate() {
        let range = &mut ranges[of(at)];
        *range = range.max(v.abs());
    }
    ranges
}

fn scale(graph: &mut Graph, id: TensorId, factor: impl Fn(usize) -> f64) {
    let tensor = graph.tensor_mut(id);
    let Some(data) = &tensor.data else { return };
    let scaled = data.iter().enumerate().map(|(at, v)| (v * factor(at)) as f32);
    tensor.data = Some(Data::F32(scaled.collect::<Vec<f32>>().into()));
}
