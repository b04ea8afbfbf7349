//! Gradients of a training graph, as its own backward pass computes them in `f64`.

use offshoot::ir::{DType, Graph, Node, Tensor, TensorId};
use offshoot::ops::Op;
use offshoot::reference::Values;

use crate::random::Random;

/// One training sample, in real numbers.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Value of the graph's input.
    pub input: Vec<f64>,
    /// Its class.
    pub label: usize,
}

impl Sample {
    /// A random sample: any int8 input, any class.
    pub fn random(graph: &Graph, seed: u64) -> Sample {
        let mut random = Random::new(seed);
        let input = graph.tensor(graph.input.expect("a verified graph"));
        let output = graph.tensor(graph.output.expect("a verified graph"));
        let (scale, zero) = (f64::from(input.scale_of(0)), input.zero());
        let real = |q: i32| scale * f64::from(q - zero);
        let values = (0..input.elements()).map(|_| real(random.integer(-128, 127))).collect();
        Sample { input: values, label: random.below(output.elements()) }
    }
}

/// A trained parameter of a training graph.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The constant.
    pub id: TensorId,
    /// Its streamed gradient.
    pub gradient: TensorId,
    /// What it is: `dense weight`, `bias` and so on.
    pub kind: &'static str,
    /// Index of the first node that reads it.
    pub reader: usize,
    /// For each element of the gradient, where it lies in the parameter.
    pub elements: Vec<usize>,
}

/// The trained parameters of a training graph, in the order of their updates.
pub fn parameters(graph: &Graph) -> Vec<Parameter> {
    let updates = graph.nodes().filter(|(_, n)| matches!(n.op, Op::Sgd(_)));
    let parameter = |node: &Node| {
        let [id, gradient] = [node.inputs[0], node.inputs[1]];
        let reader = graph.consumers()[id.index()][0];
        let op = &graph.node(reader).op;
        let tensor = graph.tensor(id);
        let elements = trained_elements(tensor, is_depthwise(op, tensor));
        Parameter { id, gradient, kind: kind(op, tensor), reader: reader.index(), elements }
    };
    updates.map(|(_, node)| parameter(node)).collect()
}

fn is_depthwise(op: &Op, weights: &Tensor) -> bool {
    let groups = if let Op::Conv2d(conv) = op { conv.groups } else { 1 };
    groups > 1 && weights.shape.len() == 4 && weights.shape[0] == groups && weights.shape[3] == 1
}

fn kind(op: &Op, parameter: &Tensor) -> &'static str {
    match (op, parameter.dtype) {
        (Op::Head(_), DType::I32) => "head bias",
        (Op::Head(_), _) => "head weight",
        (_, DType::I32) => "bias",
        (op, _) if is_depthwise(op, parameter) => "depthwise weight",
        (Op::Conv2d(c), _) if c.groups > 1 => "grouped weight",
        _ => "dense weight",
    }
}

/// Where the trained elements of a parameter lie: those of the trained channels, which are the
/// rows of depthwise weights and the innermost axis of others.
fn trained_elements(tensor: &Tensor, depthwise: bool) -> Vec<usize> {
    if !tensor.picks().is_empty() {
        return tensor.picks().iter().map(|&at| at as usize).collect();
    }
    let channels = tensor.trained.as_ref().and_then(|t| t.channels.clone());
    let Some(channels) = channels else { return (0..tensor.elements()).collect() };
    let innermost = tensor.shape[tensor.shape.len() - 1];
    let per_row = tensor.elements() / tensor.shape[0];
    let channel = |at: usize| if depthwise { at / per_row } else { at % innermost };
    (0..tensor.elements()).filter(|&at| channels.contains(&(channel(at) as u16))).collect()
}

/// Index of the node that computes the loss.
pub fn loss_node(graph: &Graph) -> usize {
    let loss = graph.nodes().find(|(_, n)| n.op.is_loss());
    loss.expect("a training graph has a loss").0.index()
}

/// Values at the start of a step on `sample` that updates nothing.
pub fn start<'g>(graph: &'g Graph, sample: &Sample) -> Values<'g, f64> {
    let mut values = Values::new(graph);
    values.set(graph.input.expect("a verified graph"), sample.input.clone());
    values.step.label = sample.label;
    values
}

/// The gradient of each of [`parameters`].
pub fn analytic(graph: &Graph, sample: &Sample) -> Vec<Vec<f64>> {
    analytic_with(graph, sample, |_| ())
}

/// As [`analytic`], with something changed between the forward and the backward pass.
pub fn analytic_with(
    graph: &Graph,
    sample: &Sample,
    change: impl FnOnce(&mut Values<'_, f64>),
) -> Vec<Vec<f64>> {
    let mut values = start(graph, sample);
    let loss = loss_node(graph);
    values.run(0, loss);
    change(&mut values);
    values.run(loss, graph.nodes().len());
    parameters(graph).iter().map(|p| values.get(p.gradient).to_vec()).collect()
}
