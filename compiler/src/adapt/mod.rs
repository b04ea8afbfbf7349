//! Makes an imported network trainable: a head in place of the classifier, and marks on what the
//! update scheme trains. A network that is to reproduce its input keeps its last layer.
//!
//! Trained input channels are the most important ones: those with the greatest sum of absolute
//! real weights over all outputs and kernel positions.

mod head;
mod room;

use crate::ir::{Graph, Node, TensorId, Trained};
use crate::ops::conv2d::is_depthwise;
use crate::ops::Op;
use crate::scheme::{Layer, Layers, Loss, Scheme};
use offshoot_runtime::program::op::{MeanSquare, Precision};

pub(crate) use head::classifier_of;
pub use head::{features, HeadStart};

/// A network cannot be adapted as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdaptError {
    /// The network does not end in a classifier.
    #[error("the network ends in node {node:?} ({op}); a trained head replaces a last fully connected layer, or a convolution that covers its whole map")]
    NoClassifier {
        /// Last node.
        node: String,
        /// Its op.
        op: &'static str,
    },
    /// Too few or too many classes.
    #[error("{0} classes cannot be learnt; give 2 to 65535")]
    Classes(usize),
    /// The scheme names a layer that is not there.
    #[error("the update scheme names layer {layer}, which the model does not have; its {count} convolutions are {names}")]
    NoLayer {
        /// The layer.
        layer: String,
        /// How many layers there are.
        count: usize,
        /// Their indices and names.
        names: String,
    },
    /// The scheme asks for more biases than there are layers.
    #[error("the update scheme trains the biases of the last {asked} convolutions, but there are {count} before the classifier")]
    TooManyBiases {
        /// How many were asked for.
        asked: usize,
        /// How many there are.
        count: usize,
    },
    /// Part of the channels of a grouped convolution.
    #[error(
        "layer {0:?} is a grouped convolution: train all of its input channels (share 1) or none"
    )]
    Grouped(String),
    /// A layer is named twice.
    #[error("the update scheme names the weights of layer {0:?} twice")]
    Twice(String),
    /// A network that does not reproduce its input.
    #[error("the loss \"mean-square\" is for a network whose output is shaped as its input; this one makes {output:?} of {input:?}")]
    Reconstruction {
        /// Shape of the input.
        input: Vec<usize>,
        /// Shape of the output.
        output: Vec<usize>,
    },
    /// An input with more elements than can be summed.
    #[error("the input {input:?} has too many elements: squares of at most {most} can be summed")]
    TooLarge {
        /// Shape of the input.
        input: Vec<usize>,
        /// Most elements.
        most: usize,
    },
    /// A new head on a network that reproduces its input.
    #[error("a network that reproduces its input has no classes: leave --classes and --add-classes out, or take another loss")]
    NoClasses,
    /// Nothing is trained.
    #[error("the update scheme trains nothing: a network that reproduces its input has no head, so name biases or layers, for example biases=all,0:1")]
    NothingTrained,
    /// Another number of class weights than of classes.
    #[error("the update scheme weighs {given} classes, but the network has {classes}: give [loss] weights one number a class")]
    ClassWeights {
        /// How many weights there are.
        given: usize,
        /// How many classes.
        classes: usize,
    },
}

/// `graph` with a head, and with what `scheme` trains marked.
///
/// # Errors
/// What the network or the scheme does not allow.
pub fn adapt(graph: &Graph, start: HeadStart, scheme: &Scheme) -> Result<Graph, AdaptError> {
    let mut graph = match &scheme.loss {
        Loss::MeanSquare => reconstruction(graph, start)?,
        Loss::Softmax { .. } | Loss::Sigmoid => head::replace_classifier(graph, start)?,
    };
    let classes = graph.output.map_or(0, |t| graph.tensor(t).elements());
    match &scheme.loss {
        Loss::Softmax { weights, .. } if !weights.is_empty() && weights.len() != classes => {
            return Err(AdaptError::ClassWeights { given: weights.len(), classes });
        }
        _ => {}
    }
    let layers: Vec<Node> = layers(&graph).into_iter().cloned().collect();
    for index in biases(&layers, &scheme.biases)? {
        let whole = Trained::plain(Precision::Residual, None);
        mark(&mut graph, &layers[index], 2, whole);
    }
    let mut named = Vec::new();
    for rule in &scheme.weights {
        let index = find(&layers, &rule.layer)?;
        let node = &layers[index];
        if named.contains(&index) {
            return Err(AdaptError::Twice(node.name.clone()));
        }
        named.push(index);
        let Op::Conv2d(conv) = &node.op else { continue };
        let weights = graph.tensor(node.inputs[1]);
        let depthwise = is_depthwise(conv.groups, weights);
        let importance = channel_importance(&graph, node.inputs[1], depthwise);
        let count = (rule.channels * importance.len() as f64).round().max(1.0) as usize;
        let channels = (count < importance.len()).then(|| largest(&importance, count));
        if channels.is_some() && conv.groups > 1 && !depthwise {
            return Err(AdaptError::Grouped(node.name.clone()));
        }
        mark(&mut graph, node, 1, Trained::plain(scheme.precision, channels));
        room::give_room(&mut graph, node, depthwise);
    }
    if !graph.tensors().any(|(_, t)| t.trained.is_some()) {
        return Err(AdaptError::NothingTrained);
    }
    Ok(graph)
}

/// The layers that a scheme may name, in execution order: convolutions, and fully connected layers,
/// unless their weights are frozen or belong to an adapter.
pub fn layers(graph: &Graph) -> Vec<&Node> {
    let own = |t: TensorId| !graph.tensor(t).frozen && !graph.tensor(t).adapter;
    let is_layer =
        |n: &&Node| matches!(n.op, Op::Conv2d(_)) && n.inputs.get(1).is_some_and(|&w| own(w));
    graph.nodes().map(|(_, n)| n).filter(is_layer).collect()
}

/// `graph` as it is, if it can reproduce its input.
fn reconstruction(graph: &Graph, start: HeadStart) -> Result<Graph, AdaptError> {
    if start != HeadStart::Classifier {
        return Err(AdaptError::NoClasses);
    }
    let shape = |t: Option<TensorId>| t.map_or(Vec::new(), |t| graph.tensor(t).shape.clone());
    let (input, output) = (shape(graph.input), shape(graph.output));
    let most = MeanSquare::MOST_ELEMENTS as usize;
    if input != output || graph.input == graph.output {
        return Err(AdaptError::Reconstruction { input, output });
    }
    if input.iter().product::<usize>() > most {
        return Err(AdaptError::TooLarge { input, most });
    }
    // Without a head nothing reads them as features.
    let mut graph = graph.clone();
    graph.feature_energy = None;
    Ok(graph)
}

/// Marks input `operand` of a node as trained.
fn mark(graph: &mut Graph, node: &Node, operand: usize, trained: Trained) {
    if let Some(constant) = own(graph, node, operand) {
        graph.tensor_mut(constant).trained = Some(trained);
    }
}

/// Input `operand` of a node, a constant. One that other nodes read too is copied first: training
/// one layer must not change another.
pub(crate) fn own(graph: &mut Graph, node: &Node, operand: usize) -> Option<TensorId> {
    let id = graph.nodes().find(|(_, n)| n.outputs == node.outputs).map(|(id, _)| id)?;
    // Not `node.inputs`: an earlier call may have copied the constant.
    let mut constant = graph.node(id).inputs[operand];
    if graph.consumers()[constant.index()].len() > 1 {
        let copy = graph.tensor(constant).clone();
        constant = graph.add_tensor(copy);
        graph.node_mut(id).inputs[operand] = constant;
    }
    Some(constant)
}

fn find(layers: &[Node], layer: &Layer) -> Result<usize, AdaptError> {
    let found = match layer {
        Layer::Index(index) => (*index < layers.len()).then_some(*index),
        Layer::Name(name) => layers.iter().position(|n| n.name == *name),
    };
    found.ok_or_else(|| AdaptError::NoLayer {
        layer: layer.to_string(),
        count: layers.len(),
        names: layers
            .iter()
            .enumerate()
            .map(|(i, n)| format!("{i} {:?}", n.name))
            .collect::<Vec<_>>()
            .join(", "),
    })
}

fn biases(layers: &[Node], biases: &Layers) -> Result<Vec<usize>, AdaptError> {
    match biases {
        Layers::Last(asked) if *asked > layers.len() => {
            Err(AdaptError::TooManyBiases { asked: *asked, count: layers.len() })
        }
        Layers::Last(asked) => Ok((layers.len() - asked..layers.len()).collect()),
        Layers::Word(_) => Ok((0..layers.len()).collect()),
        Layers::Named(names) => names.iter().map(|l| find(layers, l)).collect(),
    }
}

/// Sum of absolute real weights by input channel (of a depthwise convolution: by channel).
pub fn channel_importance(graph: &Graph, weights: TensorId, depthwise: bool) -> Vec<f64> {
    let tensor = graph.tensor(weights);
    let (rows, last) = (tensor.shape[0], tensor.shape[3]);
    let mut importance = vec![0.0; if depthwise { rows } else { last }];
    let per_row = tensor.elements() / rows;
    for (at, q) in tensor.data.iter().flat_map(|d| d.iter()).enumerate() {
        let row = at / per_row;
        let channel = if depthwise { row } else { at % last };
        importance[channel] += q.abs() * f64::from(tensor.scale_of(row));
    }
    importance
}

/// Indices of the `count` greatest values, ascending; of equals the first.
fn largest(values: &[f64], count: usize) -> Vec<u16> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    let mut chosen: Vec<u16> = order[..count].iter().map(|&i| i as u16).collect();
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::largest;

    #[test]
    fn channels_are_chosen_by_size_not_by_place() {
        assert_eq!(largest(&[0.1, 5.0, 0.2, 3.0], 2), [1, 3]);
        assert_eq!(largest(&[1.0, 1.0, 1.0], 2), [0, 1]);
    }
}
