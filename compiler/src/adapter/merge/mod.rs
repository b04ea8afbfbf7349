//! What adapters have learnt, folded into the layers that they are beside, so that the network is again one
//! without them, and as fast.
//!
//! Nothing here knows recipes: a layer is merged with every adapter whose tensors are affine maps of what the
//! layer's window sees (`compose.rs`). Its new weights are int8 with a scale a row, and its result keeps the steps
//! that the sum had. What cannot be folded stays beside the layer and goes on learning.

mod compare;
mod compose;

use std::collections::HashSet;
use std::fmt;

pub use compare::{compare, Comparison, Contender, Given};

use crate::differentiate::learning;
use crate::ir::{Data, Graph, Node, NodeId, Tensor, TensorId};
use crate::ops::{Clamp, Op};
use crate::prune::prune;
use crate::quantize::convolution;
use crate::scheme::Scheme;
use compose::{Composer, Layer, Refusal};

/// Why an adapter cannot be folded into its layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The layer clamps before anything is added.
    Activation,
    /// Something clamps within the adapter.
    Rectifier,
    /// A kernel of more than one pixel.
    Kernel([usize; 2]),
    /// Another window than the layer's over what the layer reads.
    Window,
    /// A mean over pixels.
    Mean,
    /// Elements that move from pixel to pixel.
    Moves,
    /// Channels that the layer keeps apart are mixed.
    Groups,
    /// It reads something else, a tensor of this name.
    Elsewhere(String),
    /// A node of this name reads what would be no more.
    Shared(String),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Activation => f.write_str(
                "the layer has an activation, which clamps before the adapter is added: adapters merge into layers without one",
            ),
            Reason::Rectifier => f.write_str("it clamps within the adapter, which is not linear then"),
            Reason::Kernel([h, w]) => write!(
                f,
                "its {h}x{w} kernel comes after the layer's own, and no kernel of the layer's size does what both do"
            ),
            Reason::Window => f.write_str("it reads the layer's input by another window than the layer"),
            Reason::Mean => f.write_str("it averages over pixels"),
            Reason::Moves => f.write_str("it does not treat all pixels alike"),
            Reason::Groups => f.write_str("it mixes channels that the layer keeps apart"),
            Reason::Elsewhere(tensor) => {
                write!(f, "it reads {tensor:?}, which is neither what the layer reads nor what it gives")
            }
            Reason::Shared(node) => {
                write!(f, "node {node:?} reads its result, which would be no more")
            }
        }
    }
}

/// A layer that took in its adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    /// Its name.
    pub layer: String,
    /// Its new weights `[O,kh,kw,I/groups]` before they were rounded.
    pub weights: Vec<f64>,
    /// Its new biases, likewise.
    pub bias: Vec<f64>,
}

/// An adapter that stays beside its layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stays {
    /// The layer.
    pub layer: String,
    /// The node that does not let it be folded.
    pub node: String,
    /// Why.
    pub reason: Reason,
}

impl fmt::Display for Stays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "layer {:?}, node {:?}: {}", self.layer, self.node, self.reason)
    }
}

/// A network with its adapters merged.
#[derive(Clone, Debug)]
pub struct Merge {
    /// The network, with the head as it was learnt. What is trained of it: the head, and adapters that stay.
    pub graph: Graph,
    /// Loss and optimizer, as they were.
    pub scheme: Scheme,
    /// Layers that took in their adapters.
    pub merged: Vec<Merged>,
    /// Adapters that stay.
    pub stays: Vec<Stays>,
    /// Layers whose own weights or biases were trained, and are constants now.
    pub settled: Vec<String>,
}

/// A network that has nothing to merge.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Not a training graph.
    #[error("the graph has no loss; compile the model again, with a head")]
    NoLoss,
    /// No head.
    #[error(
        "the network reproduces its input and has no head: merged, it would have nothing to train"
    )]
    Headless,
    /// No adapter.
    #[error("nothing but the head was trained: there is no adapter to merge; `offshoot compile --adapter` adds one")]
    Nothing,
    /// Adapters that all stay.
    #[error("no adapter can be merged:{}", list(.0))]
    All(Vec<Stays>),
}

fn list(stays: &[Stays]) -> String {
    stays.iter().map(|one| format!("\n  {one}")).collect()
}

/// What one layer becomes.
struct Fold {
    layer: NodeId,
    /// The tensor that it gives in place of its own.
    result: TensorId,
    clamp: Option<Clamp>,
    real: Layer,
    /// The sum that it does the work of.
    sum: NodeId,
}

/// Merges the adapters of `training`, a training graph whose constants are what was learnt
/// ([`crate::lower::learnt`]).
///
/// # Errors
/// Where there is none, or none that can be merged.
pub fn merge(training: &Graph) -> Result<Merge, MergeError> {
    let scheme = learning(training).ok_or(MergeError::NoLoss)?;
    if !scheme.loss.is_headed() {
        return Err(MergeError::Headless);
    }
    let mut graph = forward(training);
    let settled = settle(&mut graph);
    let (folds, stays) = folds(&graph);
    if folds.is_empty() && settled.is_empty() {
        return Err(if stays.is_empty() { MergeError::Nothing } else { MergeError::All(stays) });
    }
    let mut merged = Vec::new();
    let gone: HashSet<NodeId> = folds.iter().map(|fold| fold.sum).collect();
    for fold in &folds {
        replace(&mut graph, fold);
        let layer = graph.node(fold.layer).name.clone();
        let Layer { weights, bias } = fold.real.clone();
        merged.push(Merged { layer, weights, bias });
    }
    let real = graph.clone();
    for fold in &folds {
        let node = real.node(fold.layer);
        if let Op::Conv2d(conv) = &node.op {
            convolution(&real, &mut graph, node, conv.groups, None);
        }
    }
    let graph = prune(&graph.retain(|id| !gone.contains(&id)));
    Ok(Merge { graph, scheme, merged, stays, settled })
}

/// The forward pass of a training graph.
pub fn forward(training: &Graph) -> Graph {
    prune(&training.retain(|id| !matches!(training.node(id).op, Op::Sgd(_))))
}

/// Ends the training of what is neither a head's nor an adapter's; gives the layers whose it is.
fn settle(graph: &mut Graph) -> Vec<String> {
    let mut settled = Vec::new();
    let nodes: Vec<Node> = graph.nodes().map(|(_, node)| node.clone()).collect();
    for node in nodes.iter().filter(|node| !matches!(node.op, Op::Head(_))) {
        let own = |t: &&TensorId| {
            let tensor = graph.tensor(**t);
            tensor.trained.is_some() && !tensor.adapter
        };
        let own: Vec<TensorId> = node.inputs.iter().filter(own).copied().collect();
        if !own.is_empty() {
            settled.push(node.name.clone());
        }
        own.iter().for_each(|&t| graph.tensor_mut(t).trained = None);
    }
    settled
}

/// Whether each tensor is computed by adapters alone, to be added to what layers give.
fn deltas(graph: &Graph) -> Vec<bool> {
    let mut deltas = vec![false; graph.tensors().count()];
    for (_, node) in graph.nodes() {
        let is_delta = |t: &TensorId| deltas[t.index()];
        deltas[node.outputs[0].index()] = match node.op {
            Op::Conv2d(_) => graph.tensor(node.inputs[1]).adapter,
            Op::Add(_) | Op::Copy(_) | Op::Nest(_) => node.inputs.iter().all(is_delta),
            _ => false,
        };
    }
    deltas
}

/// What layers become, and what stays beside them.
fn folds(graph: &Graph) -> (Vec<Fold>, Vec<Stays>) {
    let (producers, consumers, deltas) = (graph.producers(), graph.consumers(), deltas(graph));
    let (mut folds, mut all_stay) = (Vec::new(), Vec::new());
    for (layer, node) in graph.nodes() {
        let Op::Conv2d(conv) = &node.op else { continue };
        if graph.tensor(node.inputs[1]).adapter {
            continue;
        }
        let mut composer = Composer::new(graph, &producers, layer, conv);
        let (mut fold, mut stays, mut result) = (None, None, node.outputs[0]);
        // Adapters that were put to one layer after the other add to the sums of those before.
        while let Some(sum) = sum_of(graph, &consumers, &deltas, result) {
            let composed = composer.sum(sum);
            result = graph.node(sum).outputs[0];
            match composed {
                Ok(real) => match reader(graph, &consumers, &composer.visited, result) {
                    None => {
                        let clamp = graph.node(sum).op.clamp();
                        fold = Some(Fold { layer, result, clamp, real, sum });
                        stays = None;
                    }
                    Some((read, by)) => {
                        let shared = Reason::Shared(graph.node(by).name.clone());
                        stays = stays.or(Some((read, shared)));
                    }
                },
                Err(refusal) => {
                    stays = Some(refusal);
                    break;
                }
            }
        }
        folds.extend(fold);
        all_stay.extend(stays.map(|(at, reason): Refusal| Stays {
            layer: node.name.clone(),
            node: graph.node(at).name.clone(),
            reason,
        }));
    }
    (folds, all_stay)
}

/// The node that adds something of an adapter to `result`.
fn sum_of(
    graph: &Graph,
    consumers: &[Vec<NodeId>],
    deltas: &[bool],
    result: TensorId,
) -> Option<NodeId> {
    let adds = |id: &&NodeId| {
        let node = graph.node(**id);
        let other = |t: &TensorId| *t != result && deltas[t.index()];
        matches!(node.op, Op::Add(_)) && node.inputs.iter().any(other)
    };
    consumers[result.index()].iter().find(adds).copied()
}

/// A node of those `composed` that another node reads, and that other; the result is for all to read.
fn reader(
    graph: &Graph,
    consumers: &[Vec<NodeId>],
    composed: &HashSet<NodeId>,
    result: TensorId,
) -> Option<(NodeId, NodeId)> {
    let mut composed_in_order: Vec<NodeId> = composed.iter().copied().collect();
    composed_in_order.sort();
    composed_in_order.into_iter().find_map(|id| {
        let y = graph.node(id).outputs[0];
        let readers = consumers[y.index()].iter().filter(|_| y != result);
        readers.copied().find(|by| !composed.contains(by)).map(|by| (id, by))
    })
}

/// Gives a layer its new weights in real numbers, and the sum's result.
fn replace(graph: &mut Graph, fold: &Fold) {
    let Node { inputs, .. } = graph.node(fold.layer).clone();
    let mut real = |of: TensorId, values: &[f64]| {
        let Tensor { name, shape, .. } = graph.tensor(of).clone();
        let values: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        graph.add_tensor(Tensor::real(name, shape, Data::F32(values.into())))
    };
    let weights = real(inputs[1], &fold.real.weights);
    let bias = real(inputs[2], &fold.real.bias);
    let node = graph.node_mut(fold.layer);
    node.inputs = vec![inputs[0], weights, bias];
    node.outputs = vec![fold.result];
    if let Op::Conv2d(conv) = &mut node.op {
        conv.clamp = fold.clamp;
    }
}
