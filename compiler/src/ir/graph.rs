//! Graphs: tensors, and nodes in the order in which they are executed.

use super::{DType, NodeId, Tensor, TensorId};
use crate::ops::Op;

/// One application of an op.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Name in the source model, or made from it.
    pub name: String,
    /// What it does.
    pub op: Op,
    /// Tensors it reads.
    pub inputs: Vec<TensorId>,
    /// Tensors it computes.
    pub outputs: Vec<TensorId>,
}

/// A node of the source model that is part of another node's constants.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Fold {
    /// Its name.
    pub node: String,
    /// Its operator in the source model.
    pub op: String,
    /// Name of the node that it is part of.
    pub into: String,
}

/// A network, forward only or with its training step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Name of the model.
    pub name: String,
    /// Hash of the source file.
    pub source_hash: u64,
    /// Nodes of the source model that became part of the constants of others.
    pub folded: Vec<Fold>,
    /// Energy of the features that the classifier reads, where samples were at hand to measure it: the
    /// mean over samples of the sum of their squares, real units.
    pub feature_energy: Option<f32>,
    tensors: Vec<Tensor>,
    nodes: Vec<Node>,
    /// The sample.
    pub input: Option<TensorId>,
    /// Logits or scores.
    pub output: Option<TensorId>,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: impl Into<String>, source_hash: u64) -> Graph {
        Graph { name: name.into(), source_hash, ..Graph::default() }
    }

    /// Adds a tensor.
    pub fn add_tensor(&mut self, tensor: Tensor) -> TensorId {
        self.tensors.push(tensor);
        TensorId::new(self.tensors.len() - 1)
    }

    /// Adds a node at the end of the execution order.
    pub fn add_node(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId::new(self.nodes.len() - 1)
    }

    /// Adds a node with one output.
    ///
    pub fn add_op(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: Vec<TensorId>,
        output: Tensor,
    ) -> TensorId {
        let output = self.add_tensor(output);
        self.add_node(Node { name: name.into(), op, inputs, outputs: vec![output] });
        output
    }

    /// Puts other nodes, in execution order, in place of those there are.
    pub fn set_nodes(&mut self, nodes: Vec<Node>) {
        self.nodes = nodes;
    }

    /// A tensor.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.index()]
    }

    /// A tensor, to be changed.
    pub fn tensor_mut(&mut self, id: TensorId) -> &mut Tensor {
        &mut self.tensors[id.index()]
    }

    /// A node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// A node, to be changed.
    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.index()]
    }

    /// All tensors with their ids.
    pub fn tensors(&self) -> impl Iterator<Item = (TensorId, &Tensor)> {
        self.tensors.iter().enumerate().map(|(i, t)| (TensorId::new(i), t))
    }

    /// All nodes with their ids, in execution order.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = (NodeId, &Node)> + ExactSizeIterator {
        self.nodes.iter().enumerate().map(|(i, n)| (NodeId::new(i), n))
    }

    /// The node that computes each tensor.
    pub fn producers(&self) -> Vec<Option<NodeId>> {
        let mut producers = vec![None; self.tensors.len()];
        for (id, node) in self.nodes() {
            for &t in &node.outputs {
                producers[t.index()] = Some(id);
            }
        }
        producers
    }

    /// Whether it ends in the logits of a trained head.
    pub fn has_logits(&self) -> bool {
        self.output.is_some_and(|t| self.tensor(t).dtype == DType::I32)
    }

    /// The nodes that read each tensor, in execution order.
    pub fn consumers(&self) -> Vec<Vec<NodeId>> {
        let mut consumers = vec![Vec::new(); self.tensors.len()];
        for (id, node) in self.nodes() {
            for &t in &node.inputs {
                consumers[t.index()].push(id);
            }
        }
        consumers
    }

    /// The same graph with only the nodes that `keep` names, and the tensors that those, the
    /// input and the output use; ids are made dense again.
    pub fn retain(&self, keep: impl Fn(NodeId) -> bool) -> Graph {
        let mut used = vec![false; self.tensors.len()];
        let kept: Vec<&Node> = self.nodes().filter(|(id, _)| keep(*id)).map(|(_, n)| n).collect();
        let ends = self.input.iter().chain(&self.output);
        for &t in kept.iter().flat_map(|n| n.inputs.iter().chain(&n.outputs)).chain(ends) {
            used[t.index()] = true;
        }
        let mut map = vec![None; self.tensors.len()];
        let mut graph = Graph::new(self.name.clone(), self.source_hash);
        for (id, tensor) in self.tensors().filter(|(id, _)| used[id.index()]) {
            map[id.index()] = Some(graph.add_tensor(tensor.clone()));
        }
        graph.folded.clone_from(&self.folded);
        graph.feature_energy = self.feature_energy;
        let remap = |t: &TensorId| map[t.index()].expect("marked as used above");
        graph.input = self.input.as_ref().map(remap);
        graph.output = self.output.as_ref().map(remap);
        for node in kept {
            graph.add_node(Node {
                name: node.name.clone(),
                op: node.op.clone(),
                inputs: node.inputs.iter().map(remap).collect(),
                outputs: node.outputs.iter().map(remap).collect(),
            });
        }
        graph
    }
}
