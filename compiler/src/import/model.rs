//! The file as a graph of named nodes: one producer a tensor, nodes in an order that computes
//! everything before it is read, and only those that the output needs.

use std::collections::{HashMap, HashSet, VecDeque};

use prost::Message;
use tract_onnx::pb;

use super::error::{ImportError, Problem, Refusal, OPSETS_FIRST, OPSETS_LAST};
use super::{nodes, patterns, qlinear};
use crate::ir::Fold;

/// A decoded file.
pub struct Model {
    /// The file's graph.
    pub graph: pb::GraphProto,
    /// Name of each node, unique.
    pub names: Vec<String>,
    /// Nodes that the output needs, in execution order.
    pub order: Vec<usize>,
    /// Which initializer has a name.
    pub initializers: HashMap<String, usize>,
    /// How many nodes read each tensor; the output counts as a reader.
    pub readers: HashMap<String, usize>,
    /// Operator set.
    pub opset: i64,
    /// Whether activations are real numbers throughout: nothing is quantised, except weights.
    pub real: bool,
    /// Nodes of the file that are part of another node here.
    pub folded: Vec<Fold>,
}

impl Model {
    /// Reads `bytes`.
    ///
    /// # Errors
    /// What is not ONNX, or no acyclic graph with one input and one output.
    pub fn decode(file: &str, bytes: &[u8]) -> Result<Model, ImportError> {
        let not_onnx = |reason: String| ImportError::NotOnnx { file: file.into(), reason };
        if bytes.is_empty() {
            return Err(not_onnx("it is empty".into()));
        }
        let model = pb::ModelProto::decode(bytes).map_err(|e| not_onnx(e.to_string()))?;
        let mut graph = model.graph.ok_or_else(|| not_onnx("it holds no graph".into()))?;
        qlinear::expand(&mut graph);
        let folded = patterns::replace(&mut graph);
        let opset = opset(file, &model.opset_import)?;
        let mut initializers = HashMap::new();
        for (index, tensor) in graph.initializer.iter().enumerate() {
            initializers.insert(tensor.name.clone(), index);
        }
        let names = unique_names(&graph.node);
        let producers = producers(file, &graph, &names)?;
        let mut model = Model {
            graph,
            names,
            order: vec![],
            initializers,
            readers: HashMap::new(),
            opset,
            real: false,
            folded,
        };
        model.check_ends(file)?;
        model.order = model.sort(file, &producers)?;
        model.order = model.needed(&producers);
        // A shape is known without reading what has it.
        let computing = |index: &&usize| model.graph.node[**index].op_type != "Shape";
        for &index in model.order.iter().filter(computing) {
            for input in model.graph.node[index].input.iter().filter(|i| !i.is_empty()) {
                *model.readers.entry(input.clone()).or_default() += 1;
            }
        }
        model.real = !model.order.iter().any(|&i| model.graph.node[i].op_type == "QuantizeLinear");
        *model.readers.entry(model.output().to_string()).or_default() += 1;
        Ok(model)
    }

    /// The graph's inputs that are not initializers.
    fn inputs(&self) -> impl Iterator<Item = &pb::ValueInfoProto> {
        self.graph.input.iter().filter(|i| !self.initializers.contains_key(&i.name))
    }

    /// The graph's input.
    pub fn input(&self) -> Option<&pb::ValueInfoProto> {
        self.inputs().next()
    }

    /// Name of the graph's output.
    pub fn output(&self) -> &str {
        self.graph.output.first().map_or("", |o| &o.name)
    }

    fn check_ends(&self, file: &str) -> Result<(), ImportError> {
        let inputs: Vec<&str> = self.inputs().map(|i| i.name.as_str()).collect();
        let outputs: Vec<&str> = self.graph.output.iter().map(|o| o.name.as_str()).collect();
        for (what, names) in [("input", inputs), ("output", outputs)] {
            if names.len() != 1 {
                let (label, file, count) = (file, file.into(), names.len());
                let error = ImportError::Ends { file, what, count, names: names.join(", ") };
                return Err(self.unsupported(label).unwrap_or(error));
            }
        }
        Ok(())
    }

    /// All nodes whose operators are not read, if there are any: where they can never be, no other
    /// change of the file helps.
    pub fn unsupported(&self, file: &str) -> Option<ImportError> {
        let nodes: Vec<Refusal> = self
            .graph
            .node
            .iter()
            .zip(&self.names)
            .filter(|(node, _)| !nodes::is_supported(node))
            .map(|(node, name)| Refusal {
                node: name.clone(),
                op: nodes::qualified(node),
                problem: Problem::Operator,
            })
            .collect();
        (!nodes.is_empty()).then(|| ImportError::Refused { file: file.into(), nodes })
    }

    /// All nodes in execution order: of those that are ready, the one that the file has first.
    fn sort(
        &self,
        file: &str,
        producers: &HashMap<String, usize>,
    ) -> Result<Vec<usize>, ImportError> {
        let nodes = &self.graph.node;
        let mut waiting = vec![0usize; nodes.len()];
        let mut readers = vec![Vec::new(); nodes.len()];
        for (index, node) in nodes.iter().enumerate() {
            for producer in node.input.iter().filter_map(|i| producers.get(i)) {
                waiting[index] += 1;
                readers[*producer].push(index);
            }
        }
        let mut ready: VecDeque<usize> = (0..nodes.len()).filter(|&i| waiting[i] == 0).collect();
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(index) = ready.pop_front() {
            order.push(index);
            for &reader in &readers[index] {
                waiting[reader] -= 1;
                if waiting[reader] == 0 {
                    ready.push_back(reader);
                }
            }
        }
        if let Some(stuck) = waiting.iter().position(|&w| w > 0) {
            return Err(ImportError::Cycle { file: file.into(), node: self.names[stuck].clone() });
        }
        // The file's own order is kept wherever it is an execution order, as ONNX demands.
        let sorted = |index: usize| readers[index].iter().all(|&reader| reader > index);
        if (0..nodes.len()).all(sorted) {
            order.sort_unstable();
        }
        Ok(order)
    }

    /// Those of `order` that the output needs.
    fn needed(&self, producers: &HashMap<String, usize>) -> Vec<usize> {
        let mut needed = HashSet::new();
        let mut queue: Vec<usize> = producers.get(self.output()).copied().into_iter().collect();
        while let Some(index) = queue.pop() {
            if needed.insert(index) {
                let inputs = self.graph.node[index].input.iter();
                queue.extend(inputs.filter_map(|i| producers.get(i).copied()));
            }
        }
        self.order.iter().copied().filter(|index| needed.contains(index)).collect()
    }
}

fn opset(file: &str, imports: &[pb::OperatorSetIdProto]) -> Result<i64, ImportError> {
    let found = imports.iter().find(|o| o.domain.is_empty() || o.domain == "ai.onnx");
    let Some(found) = found else {
        return Err(ImportError::Opset {
            file: file.into(),
            found: "names no operator set".into(),
        });
    };
    if (OPSETS_FIRST..=OPSETS_LAST).contains(&found.version) {
        return Ok(found.version);
    }
    Err(ImportError::Opset {
        file: file.into(),
        found: format!("uses operator set {}", found.version),
    })
}

/// A name for each node: its own, or that of its first output where it has none or shares it.
fn unique_names(nodes: &[pb::NodeProto]) -> Vec<String> {
    let mut taken = HashSet::new();
    let mut names = Vec::with_capacity(nodes.len());
    for node in nodes {
        let output = node.output.first().map_or("", String::as_str);
        let fallback = if output.is_empty() { node.op_type.as_str() } else { output };
        let candidates = [node.name.as_str(), fallback];
        let free = candidates.into_iter().find(|n| !n.is_empty() && !taken.contains(*n));
        let name = free.map(String::from).unwrap_or_else(|| {
            (2..)
                .map(|i| format!("{fallback}_{i}"))
                .find(|n| !taken.contains(n))
                .unwrap_or_default()
        });
        taken.insert(name.clone());
        names.push(name);
    }
    names
}

/// The node that computes each tensor.
fn producers(
    file: &str,
    graph: &pb::GraphProto,
    names: &[String],
) -> Result<HashMap<String, usize>, ImportError> {
    let mut named: HashMap<&str, String> = HashMap::new();
    let mut claim = |tensor, by: String| match named.insert(tensor, by.clone()) {
        None => Ok(()),
        Some(first) => Err(ImportError::DuplicateTensor {
            file: file.into(),
            tensor: String::from(tensor),
            first,
            second: by,
        }),
    };
    for tensor in &graph.initializer {
        claim(&tensor.name, format!("initializer {:?}", tensor.name))?;
    }
    let constants: HashSet<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    for input in graph.input.iter().filter(|i| !constants.contains(i.name.as_str())) {
        claim(&input.name, format!("input {:?}", input.name))?;
    }
    let mut producers = HashMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            claim(output, format!("node {:?}", names[index]))?;
            producers.insert(output.clone(), index);
        }
    }
    Ok(producers)
}
