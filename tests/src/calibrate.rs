//! Gives a network built in code scales that its activations fit, as calibration would: random
//! scales saturate, and what saturates has no integer gradient to compare.

use std::sync::Arc;

use offshoot::ir::{DType, Data, Graph, Quant, Tensor, TensorId};
use offshoot::ops::{Clamp, Op};
use offshoot::reference::Values;

use crate::random::Random;

/// `graph` with the scales of its computed activations set from their ranges over random inputs.
/// Biases keep their real values.
///
/// # Panics
/// Where the graph has no input.
pub fn calibrated(mut graph: Graph, seed: u64) -> Graph {
    let mut random = Random::new(seed);
    let input = graph.input.expect("an input");
    let elements = graph.tensor(input).elements();
    let (scale, zero) = (f64::from(graph.tensor(input).scale_of(0)), graph.tensor(input).zero());
    let samples: Vec<Vec<f64>> = (0..8)
        .map(|_| {
            let step = |random: &mut Random| f64::from(random.integer(-128, 127) - zero);
            (0..elements).map(|_| scale * step(&mut random)).collect()
        })
        .collect();
    let count = graph.nodes().len();
    for index in 0..count {
        let node = graph.nodes().nth(index).expect("in range").1.clone();
        let y = node.outputs[0];
        if let Op::Conv2d(_) = &node.op {
            rescale_bias(&mut graph, node.inputs[0], node.inputs[1], node.inputs[2]);
        }
        if graph.tensor(y).dtype != DType::I8 {
            continue;
        }
        let relu = node.op.clamp().is_some();
        // A range that clamps nothing, while the true one is measured.
        let zero = if relu { -128 } else { 0 };
        if relu {
            widen_clamp(&mut graph, index);
        }
        graph.tensor_mut(y).quant = Some(Quant::per_tensor(1e6, zero));
        let (mut low, mut high) = (0.0f64, 1e-3f64);
        for sample in &samples {
            let mut values = Values::<f64>::new(&graph);
            values.set(input, sample.clone());
            values.run(0, index + 1);
            low = values.get(y).iter().copied().fold(low, f64::min);
            high = values.get(y).iter().copied().fold(high, f64::max);
        }
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|&t| graph.tensor(t)).collect();
        let given = node.op.quantization(&inputs);
        let quant = if given.is_some() {
            given
        } else if relu {
            Some(Quant::per_tensor((high / 255.0) as f32, -128))
        } else {
            let scale = (high - low) * 1.1 / 255.0;
            let zero = (-128.0 - low * 1.05 / scale).round().clamp(-128.0, 127.0);
            Some(Quant::per_tensor(scale as f32, zero as i32))
        };
        graph.tensor_mut(y).quant = quant;
    }
    graph
}

/// A ReLU from the zero point up, whatever range the network was built with.
fn widen_clamp(graph: &mut Graph, index: usize) {
    let id = graph.nodes().nth(index).expect("in range").0;
    let range = Some(Clamp::Steps([-128, 127]));
    match &mut graph.node_mut(id).op {
        Op::Conv2d(op) => op.clamp = range,
        Op::Add(op) => op.clamp = range,
        Op::Requantize(op) => op.clamp = range,
        _ => {}
    }
}

/// A bias's scale is its layer's input scale times its weights': its values follow.
fn rescale_bias(graph: &mut Graph, x: TensorId, w: TensorId, b: TensorId) {
    let s_x = graph.tensor(x).scale_of(0);
    let (weights, bias) = (graph.tensor(w).clone(), graph.tensor(b).clone());
    let scales: Vec<f32> = (0..bias.elements()).map(|o| s_x * weights.scale_of(o)).collect();
    let old = bias.data.as_ref().expect("a constant");
    let values = old
        .iter()
        .enumerate()
        .map(|(o, q)| (q * f64::from(bias.scale_of(o)) / f64::from(scales[o])).round() as i32);
    let data = Data::I32(Arc::new(values.collect()));
    let tensor = graph.tensor_mut(b);
    tensor.data = Some(data);
    tensor.quant = Some(Quant::per_axis(scales, 0));
}
