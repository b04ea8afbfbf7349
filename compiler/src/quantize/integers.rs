//! The int8 network of a real one whose ranges are known.

use super::calibrate::Seen;
use super::histogram::Method;
use super::saturate::{factor, narrowed};
use crate::adapt::features;
use crate::ir::{DType, Data, Graph, Node, Quant, Tensor, TensorId};
use crate::ops::{Clamp, Op};

/// A range narrower than this, in real units, is that of a tensor that holds nothing.
const EMPTY: f64 = 1e-9;

/// Weights this much smaller than the largest of their layer are 0 in every step that matters; a
/// scale of their own would only make their bias run over.
const DEGENERATE: f64 = 1e-6;

/// Biases use at most half of int32, so that sums have room.
const MOST_BIAS: f64 = (1u64 << 30) as f64;

/// How a network is quantised, besides its samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// How ranges are chosen.
    pub method: Method,
    /// Whether biases make up for what rounding weights does to the mean.
    pub correct: bool,
}

/// `graph` in int8; `input` is the quantisation of its input, where the samples fix it.
pub fn integers(graph: &Graph, seen: &[Seen], input: Option<&Quant>, choice: Choice) -> Graph {
    let mut result = graph.clone();
    let Some(sample) = graph.input else { return result };
    // Of `graph`, not of the network as imported: equalised features are others.
    let energy = features(graph).map(|t| seen[t.index()].energy as f32);
    result.feature_energy = energy.map(|energy| energy.min(f32::MAX));
    let range = seen[sample.index()].values.range(Method::MinMax);
    set(&mut result, sample, input.cloned().unwrap_or_else(|| span(range)));
    for (id, node) in graph.nodes() {
        if !matches!(node.op, Op::Conv2d(_)) {
            for &x in node.inputs.iter().filter(|&&x| graph.tensor(x).data.is_some()) {
                *result.tensor_mut(x) = constant(graph.tensor(x));
            }
        }
        let y = node.outputs[0];
        let range = narrowed(graph, seen, y, seen[y.index()].values.range(choice.method));
        let quant = rescaled(graph, &result, node).unwrap_or_else(|| output(&result, node, range));
        let clamp = node.op.clamp().map(|c| steps(c, &quant));
        set(&mut result, y, quant);
        match &mut result.node_mut(id).op {
            Op::Conv2d(op) => op.clamp = clamp,
            Op::Add(op) => op.clamp = clamp,
            Op::Requantize(op) => op.clamp = clamp,
            _ => {}
        }
        if let Op::Conv2d(op) = &node.op {
            let mean = choice.correct.then(|| seen[node.inputs[0].index()].mean.as_slice());
            convolution(graph, &mut result, node, op.groups, mean);
        }
    }
    result
}

/// The quantisation of a node's result.
fn output(result: &Graph, node: &Node, range: [f64; 2]) -> Quant {
    let inputs: Vec<&Tensor> = node.inputs.iter().map(|&t| result.tensor(t)).collect();
    let range = match node.op.clamp() {
        Some(Clamp::Real(bounds)) => {
            [range[0].max(bounds[0].into()), range[1].min(bounds[1].into())]
        }
        _ => range,
    };
    node.op.quantization(&inputs).unwrap_or_else(|| span(range))
}

/// The quantisation of a layer that only multiplies: the steps stay what they are, and stand for as
/// much more.
fn rescaled(graph: &Graph, result: &Graph, node: &Node) -> Option<Quant> {
    let factor = factor(graph, node)?;
    let x = result.tensor(node.inputs[0]);
    Some(Quant::per_tensor((f64::from(x.scale_of(0)) * factor) as f32, x.zero()))
}

/// 256 steps over a range and 0, which is one of them.
pub fn span([low, high]: [f64; 2]) -> Quant {
    let (low, high) = (low.min(0.0), high.max(0.0));
    let span = high - low;
    if span < EMPTY {
        return Quant::per_tensor(1.0 / 256.0, -128);
    }
    let scale = (span / 255.0) as f32;
    let zero = (-128.0 - low / f64::from(scale)).round_ties_even();
    Quant::per_tensor(scale, zero.clamp(-128.0, 127.0) as i32)
}

/// A constant that ops read as an activation, in the 256 steps that its values span.
pub fn constant(tensor: &Tensor) -> Tensor {
    let values: Vec<f64> = tensor.data.iter().flat_map(|d| d.iter()).collect();
    let least = values.iter().copied().fold(0.0, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    let quant = span([least, most]);
    let (scale, zero) = (f64::from(quant.scale_of(0)), f64::from(quant.zero));
    let step = |v: f64| ((v / scale).round_ties_even() + zero).clamp(-128.0, 127.0) as i8;
    let data = Data::I8(values.into_iter().map(step).collect::<Vec<i8>>().into());
    Tensor::constant(tensor.name.clone(), tensor.shape.clone(), data, quant)
}

/// A clamp in the steps of what it clamps.
fn steps(clamp: Clamp, quant: &Quant) -> Clamp {
    let Clamp::Real(range) = clamp else { return clamp };
    Clamp::Steps(range.map(|bound| {
        let q = (f64::from(bound) / f64::from(quant.scale_of(0))).round_ties_even();
        (q + f64::from(quant.zero)).clamp(-128.0, 127.0) as i8
    }))
}

fn set(graph: &mut Graph, id: TensorId, quant: Quant) {
    let tensor = graph.tensor_mut(id);
    tensor.dtype = DType::I8;
    tensor.quant = Some(quant);
}

/// Weights in int8 with a scale for each output channel, and biases in int32. Weights that several
/// nodes of `graph` read have the scales that the first of them needs. With the `mean` of each input
/// channel, biases make up for what rounding weights does to the mean of the result.
pub(crate) fn convolution(
    graph: &Graph,
    result: &mut Graph,
    node: &Node,
    groups: usize,
    mean: Option<&[f64]>,
) {
    let [x, w, b] = [0, 1, 2].map(|i| node.inputs[i]);
    let x_scale = f64::from(result.tensor(x).scale_of(0));
    let reals = |id: TensorId| -> Vec<f64> {
        graph.tensor(id).data.iter().flat_map(|d| d.iter()).collect()
    };
    let known = result.tensor(w).quant.clone();
    let (weights, mut biases) = (reals(w), reals(b));
    let shape = &result.tensor(w).shape;
    let (rows, per_group) = (shape[0], shape[3]);
    let row = (weights.len() / rows.max(1)).max(1);
    let largest = |values: &[f64]| values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let floor = (largest(&weights) * DEGENERATE).max(f64::from(f32::MIN_POSITIVE));
    let mut scales = Vec::with_capacity(rows);
    let mut quantized = Vec::with_capacity(weights.len());
    for (o, values) in weights.chunks_exact(row).enumerate() {
        // Wide enough for the bias too: int32 counts steps of x_scale * scale.
        let scale = (largest(values) / 127.0).max(floor).max(biases[o].abs() / x_scale / MOST_BIAS);
        let scale = known.as_ref().map_or(scale as f32, |known| known.scale_of(o));
        let first = o / (rows / groups.max(1)).max(1) * per_group;
        for (at, &value) in values.iter().enumerate() {
            let q = (value / f64::from(scale)).round_ties_even().clamp(-127.0, 127.0);
            if let Some(mean) = mean {
                biases[o] += (value - q * f64::from(scale)) * mean[first + at % per_group];
            }
            quantized.push(q as i8);
        }
        scales.push(scale);
    }
    let step = |o: usize| x_scale * f64::from(scales[o]);
    let fixed = |steps: f64| steps.round_ties_even().clamp(-MOST_BIAS, MOST_BIAS) as i32;
    let biases: Vec<i32> = biases.iter().enumerate().map(|(o, &v)| fixed(v / step(o))).collect();
    let bias_scales = (0..rows).map(|o| step(o) as f32).collect();
    let tensor = result.tensor_mut(w);
    tensor.dtype = DType::I8;
    tensor.data = Some(Data::I8(quantized.into()));
    tensor.quant = Some(Quant::per_axis(scales, 0));
    let tensor = result.tensor_mut(b);
    tensor.dtype = DType::I32;
    tensor.data = Some(Data::I32(biases.into()));
    tensor.quant = Some(Quant::per_axis(bias_scales, 0));
}
