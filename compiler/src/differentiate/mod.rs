//! Reverse-mode differentiation over the IR: adds loss, gradients and updates to a forward graph.
//!
//! Walks the nodes from last to first. Each op's own rule turns the gradient of its output into
//! gradients of its inputs; where a tensor has several readers their gradients are summed; where
//! an activation clamps, the gradient passes its mask. Every trained constant gets an `sgd`.
//! Nothing is left out here that is possible: [`crate::prune`] removes what no update needs.
//!
//! Gradients of parameters are computed before the parameter is updated, and the layer's input
//! gradient before both: it uses the old weights.

use crate::ir::{DType, Graph, Node, Tensor, TensorId};
use crate::ops::window::Window;
use crate::ops::{
    BiasGrad, CopyInputGrad, MaskGrad, MeanSquare, Op, PoolInputGrad, Sgd, SigmoidCrossEntropy,
    SoftmaxCrossEntropy, SumGrad,
};
use crate::scheme::{Loss, Optimizer, Scheme};
use offshoot_runtime::program::op::Path;

/// A graph cannot be differentiated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DifferentiateError {
    /// The network does not end in a trainable head.
    #[error("the output {output:?} has no int32 logits to compute a loss from; give the network a head first")]
    NoLogits {
        /// Name of the output tensor.
        output: String,
    },
    /// A network that is to reproduce its input ends in logits.
    #[error(
        "the output {output:?} is that of a head, which reproduces no input: leave the head out"
    )]
    Head {
        /// Name of the output tensor.
        output: String,
    },
    /// The graph has a training step already.
    #[error(
        "node {node:?} ({op}) belongs to a training step: differentiate the forward graph alone"
    )]
    Twice {
        /// Name of the node.
        node: String,
        /// Its op.
        op: &'static str,
    },
    /// A gradient would have to pass an op that has no gradient rule.
    #[error("{parameter:?} is to be trained, but its gradient would have to pass node {node:?} ({op}), which has no gradient rule; train layers after it")]
    NoRule {
        /// Name of the trained constant.
        parameter: String,
        /// Name of the node.
        node: String,
        /// Its op.
        op: &'static str,
    },
    /// Something is trained that no gradient reaches.
    #[error("{parameter:?} is to be trained, but no gradient reaches it; train layers that lead to the head through ops with gradients")]
    NoGradient {
        /// Name of the trained constant.
        parameter: String,
    },
}

/// `graph` with the loss, the backward pass and the updates that `scheme` asks for.
///
/// # Errors
/// Where the output is not what the loss takes, where the gradient of something that is to be
/// trained would have to pass an op without a rule, on whatever path, or where no gradient reaches
/// it at all.
pub fn differentiate(graph: &Graph, scheme: &Scheme) -> Result<Graph, DifferentiateError> {
    let loss = &scheme.loss;
    let needed = if *loss == Loss::MeanSquare { DType::I8 } else { DType::I32 };
    let output = graph.output.filter(|&t| graph.tensor(t).dtype == needed);
    let output = output.ok_or_else(|| {
        let output = graph.output.map_or(String::new(), |t| graph.tensor(t).name.clone());
        match loss {
            Loss::MeanSquare => DifferentiateError::Head { output },
            _ => DifferentiateError::NoLogits { output },
        }
    })?;
    let is_gradient = |&t: &TensorId| matches!(graph.tensor(t).dtype, DType::Error | DType::Stream);
    let is_backward = |n: &&Node| n.outputs.first().is_none_or(is_gradient);
    if let Some(node) = graph.nodes().map(|(_, n)| n).find(is_backward) {
        return Err(DifferentiateError::Twice { node: node.name.clone(), op: node.op.name() });
    }
    let mut cx = Backward::new(graph, scheme.optimizer);
    let shape = graph.tensor(output).shape.clone();
    let mut inputs = vec![output];
    if *loss == Loss::MeanSquare {
        inputs.extend(graph.input);
    }
    let start = cx.error("loss", loss_op(loss), inputs, &shape);
    cx.contribute(output, start);
    for index in (0..graph.nodes().len()).rev() {
        cx.current = index;
        let node = cx.forward[index].clone();
        let Some(dy) = cx.gradient_of(index, &node) else { continue };
        node.op.gradient(&mut cx, &node, dy);
    }
    cx.check_stops()?;
    let graph = cx.finish();
    let consumers = graph.consumers();
    let updated =
        |t: TensorId| consumers[t.index()].iter().any(|&n| matches!(graph.node(n).op, Op::Sgd(_)));
    if let Some((_, t)) = graph.tensors().find(|(id, t)| t.trained.is_some() && !updated(*id)) {
        return Err(DifferentiateError::NoGradient { parameter: t.name.clone() });
    }
    Ok(graph)
}

/// The loss and the optimizer of a graph that [`differentiate`] gave; nothing else of its scheme can be told
/// from it. None where it has no loss.
pub fn learning(training: &Graph) -> Option<Scheme> {
    let loss = training.nodes().find_map(|(_, node)| match &node.op {
        Op::SoftmaxCrossEntropy(op) => {
            Some(Loss::Softmax { smoothing: op.smoothing, weights: op.weights.clone() })
        }
        Op::SigmoidCrossEntropy(_) => Some(Loss::Sigmoid),
        Op::MeanSquare(_) => Some(Loss::MeanSquare),
        _ => None,
    })?;
    let optimizer = training.nodes().find_map(|(_, node)| match &node.op {
        Op::Sgd(op) => Some(op.optimizer),
        _ => None,
    });
    Some(Scheme { loss, optimizer: optimizer.unwrap_or_default(), ..Scheme::default() })
}

/// The op that computes a loss.
fn loss_op(loss: &Loss) -> Op {
    match loss {
        Loss::Softmax { smoothing, weights } => {
            SoftmaxCrossEntropy { smoothing: *smoothing, weights: weights.clone() }.into()
        }
        Loss::Sigmoid => SigmoidCrossEntropy.into(),
        Loss::MeanSquare => MeanSquare.into(),
    }
}

/// The backward pass under construction: what the ops' gradient rules write to.
#[derive(Debug)]
pub struct Backward {
    graph: Graph,
    forward: Vec<Node>,
    /// Nodes to be inserted after each forward node.
    inserted: Vec<Vec<Node>>,
    backward: Vec<Node>,
    /// Gradients that tensors have got from their readers so far.
    pending: Vec<(TensorId, TensorId)>,
    /// Forward nodes whose op has no gradient rule, but whose output has a gradient.
    stopped: Vec<usize>,
    optimizer: Optimizer,
    current: usize,
}

impl Backward {
    fn new(graph: &Graph, optimizer: Optimizer) -> Backward {
        let forward: Vec<Node> = graph.nodes().map(|(_, n)| n.clone()).collect();
        Backward {
            inserted: vec![Vec::new(); forward.len()],
            forward,
            graph: graph.clone(),
            backward: Vec::new(),
            pending: Vec::new(),
            stopped: Vec::new(),
            optimizer,
            current: 0,
        }
    }

    /// The graph so far; its nodes are the forward pass as it was.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Whether a gradient of `tensor` is of use: it is computed by some node.
    pub fn wants(&self, tensor: TensorId) -> bool {
        self.graph.tensor(tensor).data.is_none() && Some(tensor) != self.graph.input
    }

    /// Adds a node that computes an error tensor.
    pub fn error(
        &mut self,
        name: &str,
        op: Op,
        inputs: Vec<TensorId>,
        shape: &[usize],
    ) -> TensorId {
        self.compute(name, op, inputs, Tensor::computed(name, DType::Error, shape.to_vec()))
    }

    /// Adds a node that streams a parameter's gradient.
    pub fn stream(
        &mut self,
        name: &str,
        op: Op,
        inputs: Vec<TensorId>,
        shape: Vec<usize>,
    ) -> TensorId {
        self.compute(name, op, inputs, Tensor::computed(name, DType::Stream, shape))
    }

    fn compute(&mut self, name: &str, op: Op, inputs: Vec<TensorId>, output: Tensor) -> TensorId {
        let output = self.graph.add_tensor(output);
        self.backward.push(Node { name: name.into(), op, inputs, outputs: vec![output] });
        output
    }

    /// Adds a forward node right after the current one that keeps part of `tensor`.
    pub fn keep(&mut self, name: &str, op: Op, tensor: TensorId) -> TensorId {
        let source = self.graph.tensor(tensor);
        let mut shape = source.shape.clone();
        if let (Op::SaveChannels(save), Some(last)) = (&op, shape.last_mut()) {
            *last = save.channels.len();
        }
        let mut kept = Tensor::computed(name, source.dtype, shape);
        kept.quant = source.quant.clone();
        let output = self.graph.add_tensor(kept);
        let node = Node { name: name.into(), op, inputs: vec![tensor], outputs: vec![output] };
        self.inserted[self.current].push(node);
        output
    }

    /// Gives `tensor` a gradient from one of its readers.
    pub fn contribute(&mut self, tensor: TensorId, gradient: TensorId) {
        if self.wants(tensor) {
            self.pending.push((tensor, gradient));
        }
    }

    /// Gives a pool's input its gradient.
    pub fn contribute_pool(&mut self, node: &Node, dy: TensorId, window: Window) {
        let x = node.inputs[0];
        if self.wants(x) {
            let shape = self.graph.tensor(x).shape.clone();
            let op = PoolInputGrad { window, input: [shape[1], shape[2]] };
            let dx = self.error(&format!("{}.dx", node.name), op.into(), vec![dy], &shape);
            self.contribute(x, dx);
        }
    }

    /// Gives input `index` of a node whose elements were moved along `path` its gradient.
    pub fn contribute_copy(&mut self, node: &Node, index: usize, dy: TensorId, path: Path) {
        let x = node.inputs[index];
        if self.wants(x) {
            let shape = self.graph.tensor(x).shape.clone();
            let op = CopyInputGrad { input: [shape[1], shape[2], shape[3]], path };
            let name = match node.inputs.len() {
                1 => format!("{}.dx", node.name),
                _ => format!("{}.dx{index}", node.name),
            };
            let dx = self.error(&name, op.into(), vec![dy], &shape);
            self.contribute(x, dx);
        }
    }

    /// Has the current forward node keep `tensor`, its second output, for the backward pass.
    pub fn remember(&mut self, tensor: Tensor) -> TensorId {
        let id = self.graph.add_tensor(tensor);
        self.forward[self.current].outputs.push(id);
        id
    }

    /// Adds the update of `parameter` by its streamed gradient.
    pub fn update(&mut self, parameter: TensorId, gradient: TensorId) {
        let name = format!("{}.update", self.graph.tensor(parameter).name);
        let inputs = vec![parameter, gradient];
        let op = Sgd { optimizer: self.optimizer }.into();
        self.backward.push(Node { name, op, inputs, outputs: Vec::new() });
    }

    /// Adds gradient and update of the bias of `node`, where it is trained.
    pub fn update_bias(&mut self, node: &Node, bias: TensorId, dy: TensorId) {
        let tensor = self.graph.tensor(bias);
        if tensor.trained.is_some() {
            let shape = tensor.shape.clone();
            let db = self.stream(&format!("{}.db", node.name), BiasGrad.into(), vec![dy], shape);
            self.update(bias, db);
        }
    }

    /// Notes that the current node passes no gradient on.
    pub fn stop(&mut self) {
        self.stopped.push(self.current);
    }

    /// Nothing that is trained may lie before a node that passes no gradient on: the part of its
    /// gradient that takes this path would be missing.
    fn check_stops(&self) -> Result<(), DifferentiateError> {
        for &stop in &self.stopped {
            let mut before = self.forward[stop].inputs.clone();
            for node in self.forward[..stop].iter().rev() {
                if before.contains(&node.outputs[0]) {
                    before.extend(&node.inputs);
                }
            }
            let mut before = before.iter().map(|&t| self.graph.tensor(t));
            if let Some(parameter) = before.find(|t| t.trained.is_some()) {
                return Err(DifferentiateError::NoRule {
                    parameter: parameter.name.clone(),
                    node: self.forward[stop].name.clone(),
                    op: self.forward[stop].op.name(),
                });
            }
        }
        Ok(())
    }

    /// The whole gradient of the output of forward node `index`: summed over its readers, and
    /// masked where the node clamps.
    fn gradient_of(&mut self, index: usize, node: &Node) -> Option<TensorId> {
        let y = node.outputs[0];
        let parts: Vec<TensorId> =
            self.pending.iter().filter(|(t, _)| *t == y).map(|(_, g)| *g).collect();
        self.pending.retain(|(t, _)| *t != y);
        let name = self.graph.tensor(y).name.clone();
        let shape = self.graph.tensor(y).shape.clone();
        let sum = parts.into_iter().reduce(|a, b| {
            self.error(&format!("{name}.sum"), SumGrad.into(), vec![a, b], &shape)
        })?;
        if node.op.clamp().is_none() {
            return Some(sum);
        }
        let mask = Tensor::computed(format!("{name}.mask"), DType::Bit, shape.clone());
        let mask = self.graph.add_tensor(mask);
        self.forward[index].outputs.truncate(1);
        self.forward[index].outputs.push(mask);
        Some(self.error(&format!("{name}.masked"), MaskGrad.into(), vec![sum, mask], &shape))
    }

    fn finish(self) -> Graph {
        let mut nodes = Vec::new();
        for (node, inserted) in self.forward.into_iter().zip(self.inserted) {
            nodes.push(node);
            nodes.extend(inserted);
        }
        nodes.extend(self.backward);
        let mut graph = self.graph;
        graph.set_nodes(nodes);
        graph
    }
}
