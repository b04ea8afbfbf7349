//! The gradient of the loss for the weights of layers, averaged over the user's labelled samples.
//!
//! A head that starts at zero passes no gradient on. In its place stands one that needs no training: a class's
//! weights are the mean features of its samples less those of all.

use nalgebra::DMatrix;
use offshoot_simulator::data::Split;

use super::site::{presented, spread, Site};
use super::AdapterError;
use crate::adapt::{adapt, HeadStart};
use crate::differentiate::differentiate;
use crate::ir::{Graph, TensorId};
use crate::ops::Op;
use crate::prune::prune;
use crate::reference::Values;
use crate::scheme::{Layer, Loss, Scheme, WeightRule};

/// Largest logit of the head, in the mean over samples: its predictions are neither even nor certain.
const SPREAD: f32 = 2.0;

/// Notes the gradient of each site's weights. `headed`: whether the network ends in a classifier; else it
/// reproduces its input.
///
/// # Errors
/// Where no gradient reaches a site.
pub fn gradients(
    graph: &Graph,
    sites: &mut [Site],
    headed: bool,
    samples: &Split,
) -> Result<(), AdapterError> {
    let training = training(graph, sites, headed, samples)
        .map_err(|why| AdapterError::NoGradient(why.to_string()))?;
    let mut values = Values::<f32>::new(&training);
    let (Some(input), Some(loss)) = (training.input, loss_of(&training)) else { return Ok(()) };
    let chosen = spread(samples);
    let present = |values: &mut Values<'_, f32>, index: usize| {
        values.set(input, presented(&training, samples, index));
        values.step.label = samples.label(index).into();
        values.run(0, loss);
    };
    if let Some([features, weights]) = head_of(&training) {
        let all: Vec<(usize, Vec<f32>)> = chosen
            .iter()
            .map(|&index| {
                present(&mut values, index);
                (samples.label(index).into(), values.get(features).to_vec())
            })
            .collect();
        values.set(weights, means(&all, training.tensor(weights).shape[0]));
    }
    let streams = streams(&training, sites);
    for &index in &chosen {
        present(&mut values, index);
        for (id, node) in training.nodes().skip(loss) {
            // Nothing is to be updated.
            if !matches!(node.op, Op::Sgd(_)) {
                values.run(id.index(), id.index() + 1);
            }
        }
        for (site, stream) in sites.iter_mut().zip(&streams) {
            let Some(stream) = stream else { continue };
            let (rows, columns) = site.weights.shape();
            let gradient = values.get(*stream).iter().map(|&g| f64::from(g));
            site.gradient += DMatrix::from_row_iterator(rows, columns, gradient);
        }
    }
    Ok(())
}

/// The graph that trains all weights of the sites.
fn training(
    graph: &Graph,
    sites: &[Site],
    headed: bool,
    samples: &Split,
) -> Result<Graph, Box<dyn std::error::Error>> {
    let rule = |s: &Site| WeightRule { layer: Layer::Name(s.name.clone()), channels: 1.0 };
    let loss = if headed { Loss::default() } else { Loss::MeanSquare };
    let weights = sites.iter().map(rule).collect();
    let scheme = Scheme { weights, loss, ..Scheme::default() };
    let classes = (0..samples.len()).map(|i| usize::from(samples.label(i)) + 1).max();
    let start = match headed {
        true => HeadStart::Zero { classes: classes.unwrap_or(0).max(2) },
        false => HeadStart::Classifier,
    };
    Ok(prune(&differentiate(&adapt(graph, start, &scheme)?, &scheme)?))
}

fn loss_of(graph: &Graph) -> Option<usize> {
    graph.nodes().find(|(_, n)| n.op.is_loss()).map(|(id, _)| id.index())
}

/// Features and weights of the head.
fn head_of(graph: &Graph) -> Option<[TensorId; 2]> {
    let head = graph.nodes().find(|(_, n)| matches!(n.op, Op::Head(_)));
    head.map(|(_, n)| [n.inputs[0], n.inputs[1]])
}

/// Weights of a head that tells classes by their mean features: `[classes, features]`.
fn means(samples: &[(usize, Vec<f32>)], classes: usize) -> Vec<f32> {
    let width = samples.first().map_or(0, |(_, f)| f.len());
    let mean = |of: &dyn Fn(usize) -> bool| -> Vec<f32> {
        let of: Vec<&Vec<f32>> = samples.iter().filter(|(k, _)| of(*k)).map(|(_, f)| f).collect();
        let sum = |at: usize| of.iter().map(|f| f[at]).sum::<f32>();
        (0..width).map(|at| sum(at) / of.len().max(1) as f32).collect()
    };
    let all = mean(&|_| true);
    let mut weights: Vec<f32> = (0..classes)
        .flat_map(|class| {
            let own = mean(&|k| k == class);
            let known = samples.iter().any(|(k, _)| *k == class);
            let all = &all;
            (0..width).map(move |at| if known { own[at] - all[at] } else { 0.0 })
        })
        .collect();
    let largest = |features: &[f32]| {
        let logit = |w: &[f32]| w.iter().zip(features).map(|(a, b)| a * b).sum::<f32>().abs();
        weights.chunks(width.max(1)).map(logit).fold(0.0f32, f32::max)
    };
    let mean = samples.iter().map(|(_, f)| largest(f)).sum::<f32>() / samples.len().max(1) as f32;
    if mean > 0.0 {
        weights.iter_mut().for_each(|w| *w *= SPREAD / mean);
    }
    weights
}

/// For each site, the tensor that streams the gradient of its weights.
fn streams(graph: &Graph, sites: &[Site]) -> Vec<Option<TensorId>> {
    let layer = |name: &str| graph.nodes().find(|(_, n)| n.name == name).map(|(_, n)| n.inputs[1]);
    let stream = |weights: TensorId| {
        let is_its = |op: &Op| matches!(op, Op::Conv2dWeightGrad(_));
        let node = graph.nodes().find(|(_, n)| is_its(&n.op) && n.inputs[2] == weights);
        node.map(|(_, n)| n.outputs[0])
    };
    sites.iter().map(|site| layer(&site.name).and_then(stream)).collect()
}
