//! Replaces the classifier by a trained head over pooled features in 8.7 fixed point.

use std::sync::Arc;

use offshoot_runtime::program::op::{Precision, FEATURE_BITS};

use super::AdaptError;
use crate::ir::{DType, Data, Graph, Node, NodeId, Quant, Tensor, TensorId, Trained};
use crate::ops::{Flatten, Head, Op, PoolMean, Window};

/// What a new head starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadStart {
    /// New classes: all weights 0.
    Zero {
        /// Number of classes.
        classes: usize,
    },
    /// The classes that the network knows, with its classifier's weights.
    Classifier,
    /// The same, and new classes after them, whose weights are 0.
    Extended {
        /// Number of new classes.
        new: usize,
    },
}

/// Weight scale of a head that starts at zero: weights reach to about 1.
const ZERO_START_EXPONENT: i32 = -7;

/// Room for weights to grow over those that the classifier starts with.
const HEADROOM: f64 = 1.25;

/// `graph` up to its features, and a head on them.
pub(super) fn replace_classifier(graph: &Graph, start: HeadStart) -> Result<Graph, AdaptError> {
    let (id, features) = classifier(graph)?;
    let dropped = |n: NodeId| n >= id || graph.node(n).outputs.contains(&features.skipped);
    let mut cut = graph.clone();
    cut.output = Some(features.map);
    let mut cut = keep_needed(&cut, dropped);
    let map = cut.output.unwrap_or(features.map);
    let classifier = graph.node(id);
    let (w, b) = (graph.tensor(classifier.inputs[1]), graph.tensor(classifier.inputs[2]));
    let count = w.elements() / w.shape[0].max(1);

    let pooled_scale = cut.tensor(map).scale_of(0) / (1 << FEATURE_BITS) as f32;
    let pooled = Tensor::computed("features", DType::I16, vec![1, 1, 1, count])
        .quantized(Quant::per_tensor(pooled_scale, 0));
    // A classifier with weights for every position keeps them all.
    let features: Op = if w.shape[1..3] == [1, 1] { PoolMean.into() } else { Flatten.into() };
    let pooled = cut.add_op("features", features, vec![map], pooled);

    let (exponent, weights, biases) = match start {
        HeadStart::Zero { classes } => {
            let classes = in_range(classes)?;
            (ZERO_START_EXPONENT, vec![0; classes * count], vec![0; classes])
        }
        HeadStart::Classifier => inherited(w, b, pooled_scale)?,
        HeadStart::Extended { new } => {
            let (exponent, mut weights, mut biases) = inherited(w, b, pooled_scale)?;
            let classes = in_range(biases.len().saturating_add(new))?;
            weights.resize(classes * count, 0);
            biases.resize(classes, 0);
            (exponent, weights, biases)
        }
    };
    let classes = biases.len();
    let scale = (exponent as f32).exp2();
    let trained = Some(Trained::plain(Precision::Residual, None));
    let mut constant = |name: &str, shape: Vec<usize>, data: Data, scale: f32| {
        let mut tensor = Tensor::constant(name, shape, data, Quant::per_tensor(scale, 0));
        tensor.trained = trained.clone();
        cut.add_tensor(tensor)
    };
    let w = constant("head.weights", vec![classes, count], Data::I16(Arc::new(weights)), scale);
    let b = Data::I32(Arc::new(biases));
    let b = constant("head.bias", vec![classes], b, pooled_scale * scale);
    let logits = Tensor::computed("logits", DType::I32, vec![1, 1, 1, classes])
        .quantized(Quant::per_tensor(pooled_scale * scale, 0));
    cut.output = Some(cut.add_op("head", Head.into(), vec![pooled, w, b], logits));
    Ok(cut)
}

/// Where features come from.
struct Features {
    /// The map that is averaged.
    map: TensorId,
    /// Output of the pool that the head's own mean replaces, or of the classifier.
    skipped: TensorId,
}

/// The node of `graph` that a head would replace, if there is one.
pub(crate) fn classifier_of(graph: &Graph) -> Option<NodeId> {
    classifier(graph).ok().map(|(id, _)| id)
}

/// The classifier's node and the features before it.
fn classifier(graph: &Graph) -> Result<(NodeId, Features), AdaptError> {
    let producers = graph.producers();
    let mut last = graph.output.and_then(|t| producers[t.index()]);
    while let Some(id) = last.filter(|&id| matches!(graph.node(id).op, Op::Softmax(_))) {
        last = producers[graph.node(id).inputs[0].index()];
    }
    let found = last.map(|id| (id, graph.node(id)));
    let Some((id, node)) = found.filter(|(_, n)| is_classifier(graph, n)) else {
        let (node, op) =
            found.map_or((String::new(), "none"), |(_, n)| (n.name.clone(), n.op.name()));
        return Err(AdaptError::NoClassifier { node, op });
    };
    let input = node.inputs[0];
    let pool = producers[input.index()].map(|p| graph.node(p)).filter(|p| {
        let whole = |op: &crate::ops::AvgPool| {
            let shape = &graph.tensor(p.inputs[0]).shape;
            op.window.pad == [0; 4] && op.window.kernel == [shape[1], shape[2]]
        };
        matches!(&p.op, Op::AvgPool(op) if whole(op)) && graph.consumers()[input.index()].len() == 1
    });
    let features = match pool {
        Some(pool) => Features { map: pool.inputs[0], skipped: input },
        None => Features { map: input, skipped: node.outputs[0] },
    };
    Ok((id, features))
}

/// What the classifier of `graph` reads, and a head in its place; none where there is no classifier.
pub fn features(graph: &Graph) -> Option<TensorId> {
    classifier_of(graph).map(|id| graph.node(id).inputs[0])
}

fn is_classifier(graph: &Graph, node: &Node) -> bool {
    let map = &graph.tensor(node.inputs[0]).shape[1..3];
    let whole = |w: &Window| w.kernel == *map && w.pad == [0; 4];
    matches!(&node.op, Op::Conv2d(c) if c.groups == 1 && whole(&c.window))
}

/// The nodes that the output needs, less those that are dropped.
fn keep_needed(graph: &Graph, dropped: impl Fn(NodeId) -> bool) -> Graph {
    crate::prune::prune(&graph.retain(|n| !dropped(n)))
}

/// `classes`, if a head can have so many.
fn in_range(classes: usize) -> Result<usize, AdaptError> {
    (2..=65535).contains(&classes).then_some(classes).ok_or(AdaptError::Classes(classes))
}

/// A classifier's weights as a head's latents: exponent of the scale, weights, biases.
fn inherited(
    w: &Tensor,
    b: &Tensor,
    pooled_scale: f32,
) -> Result<(i32, Vec<i16>, Vec<i32>), AdaptError> {
    let classes = in_range(w.shape[0])?;
    let count = w.elements() / classes;
    let values = |t: &Tensor, inner: usize| -> Vec<f64> {
        let data = t.data.iter().flat_map(|d| d.iter()).enumerate();
        data.map(|(at, q)| q * f64::from(t.scale_of(at / inner))).collect()
    };
    let (weights, biases) = (values(w, count), values(b, 1));
    let most = weights.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let exponent = (most * HEADROOM / 127.0).log2().ceil().max(f64::from(ZERO_START_EXPONENT));
    let step = exponent.exp2();
    let weights = weights.iter().map(|v| (v / step * 256.0).round() as i16).collect();
    let unit = step * f64::from(pooled_scale);
    let biases = biases.iter().map(|v| (v / unit).round() as i32).collect();
    Ok((exponent as i32, weights, biases))
}
