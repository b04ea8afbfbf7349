//! Reads an ONNX network, quantised or in real numbers, into the IR.
//!
//! The file is taken as it is: weights, scales and names come straight from its own nodes, and
//! each operator between a `DequantizeLinear` and a `QuantizeLinear` becomes one node of the IR,
//! named after the operator (or after its result, where it has no name of its own), with its
//! activation as a clamp.
//!
//! 1. Either the input and every result of an operator are quantised, and a float tensor between
//!    two operators is refused; or the file has no `QuantizeLinear` at all, and the graph is one of
//!    real numbers, which [`crate::quantize`] makes one of int8. There, constants that scale or
//!    shift channels (`BatchNormalization`, `Mul`, `Add`) become part of the convolution before
//!    them, and [`Graph::folded`] says so.
//! 2. Activations are NHWC in the IR whatever the file's layout: a sample for a file whose input is
//!    `[1, 3, 32, 32]` is given as `[32, 32, 3]`. Fully connected layers become convolutions
//!    that cover their whole input, with their weights in the order of NHWC.
//! 3. uint8 is shifted to int8; weights are symmetric; the batch is 1.
//! 4. A `Softmax` at the end is kept where its result is quantised to steps of 1/256 from -128;
//!    otherwise the network ends in what the `Softmax` reads.
//! 5. What exporters write out in several nodes (GELU, hard swish, normalisation) is read as the one node
//!    that it means, and [`Graph::folded`] says so; what they compute from shapes and constants is
//!    computed here.
//! 6. `LSTM` and `GRU` are unrolled, in networks of real numbers. Their recurrent weights are shared by
//!    the steps and frozen; gradients pass through them.
//! 7. All nodes that cannot be read are reported together, each by name, and nothing that the
//!    output depends on is skipped; nodes that the output does not depend on are ignored.
//! 8. No bytes make it panic, and what it returns passes [`crate::ir::verify`].

mod arrange;
mod constant;
mod error;
mod input;
mod layout;
mod model;
mod nodes;
mod patterns;
mod pending;
mod proto;
mod qlinear;
mod quantization;
mod value;

use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

use offshoot_runtime::hash;
use tract_onnx::pb;

use crate::ir::{verify, Graph, TensorId};
use crate::ops::Op;
use constant::Constant;
use model::Model;
use pending::Kind;
use value::{Activation, Form, Value};

pub use error::{ImportError, Problem, Refusal, FOLDED, OPSETS_FIRST, OPSETS_LAST, SUPPORTED};

/// How a file is read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Keeps each `BatchNormalization` as a layer of its own, whose scale and shift can be trained;
    /// else it becomes part of the layer before it, where there is one.
    pub keep_batch_normalization: bool,
}

/// Reads the ONNX file at `path`.
///
/// # Errors
/// Why it cannot be read, with the nodes at fault.
pub fn import(path: &Path) -> Result<Graph, ImportError> {
    import_with(path, Options::default())
}

/// As [`import`], with `options`.
///
/// # Errors
/// As [`import`].
pub fn import_with(path: &Path, options: Options) -> Result<Graph, ImportError> {
    let bytes = std::fs::read(path)
        .map_err(|source| ImportError::Io { file: path.to_path_buf(), source })?;
    let name = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    import_named(&path.display().to_string(), &name, &bytes, options)
}

/// Reads the bytes of an ONNX file; the network is called `name`, and errors call the file so.
///
/// # Errors
/// Why they cannot be read, with the nodes at fault.
pub fn import_bytes(name: &str, bytes: &[u8]) -> Result<Graph, ImportError> {
    import_named(name, name, bytes, Options::default())
}

fn import_named(
    file: &str,
    name: &str,
    bytes: &[u8],
    options: Options,
) -> Result<Graph, ImportError> {
    let model = Model::decode(file, bytes)?;
    let mut graph = Graph::new(name, hash::fnv1a(hash::EMPTY, bytes));
    graph.folded.clone_from(&model.folded);
    let mut importer = Importer { model: &model, options, graph, values: HashMap::new(), batch: 1 };
    let mut refusals = importer.run_nodes(|node| node.op_type == "Constant");
    importer.add_input(file).map_err(|e| model.unsupported(file).unwrap_or(e))?;
    refusals.extend(importer.run_nodes(|node| node.op_type != "Constant"));
    if !refusals.is_empty() {
        return Err(ImportError::Refused { file: file.into(), nodes: refusals });
    }
    importer.graph.output = Some(importer.output(file)?);
    let graph = importer.graph;
    match verify(&graph) {
        Ok(()) => Ok(graph),
        Err(source) => Err(ImportError::Invalid { file: file.into(), source }),
    }
}

/// The state of an import: what each tensor of the file stands for, and the graph so far.
struct Importer<'m> {
    model: &'m Model,
    options: Options,
    graph: Graph,
    values: HashMap<String, Value>,
    /// Batch size of the file's input.
    batch: i64,
}

impl<'m> Importer<'m> {
    /// Reads the nodes that `which` selects, and gives those that are refused.
    fn run_nodes(&mut self, which: impl Fn(&pb::NodeProto) -> bool) -> Vec<Refusal> {
        let model = self.model;
        let mut refusals = Vec::new();
        for &index in &model.order {
            let node = &model.graph.node[index];
            if !which(node) {
                continue;
            }
            let values = self.run_node(node, &model.names[index]).unwrap_or_else(|problem| {
                let name = model.names[index].clone();
                refusals.push(Refusal { node: name, op: nodes::qualified(node), problem });
                vec![Value::Refused; node.output.len()]
            });
            for (output, value) in node.output.iter().zip(values) {
                self.values.insert(output.clone(), value);
            }
        }
        refusals
    }

    /// What a node gives; [`Value::Refused`] where one of its inputs was refused already.
    fn run_node(&mut self, node: &pb::NodeProto, name: &str) -> Result<Vec<Value>, Problem> {
        nodes::check(node, &self.model.readers)?;
        let refused = |i: &String| matches!(self.values.get(i), Some(Value::Refused));
        if node.input.iter().any(refused) {
            return Ok(vec![Value::Refused; node.output.len()]);
        }
        let values = nodes::run(self, node, name)?;
        let shared = |(value, output): (Value, &String)| match value {
            Value::Pending(_) if self.readers(output) <= 1 => Ok(value),
            Value::Pending(pending) if self.model.real => {
                Ok(Value::Activation(self.settle(pending, output)?))
            }
            Value::Pending(_) => Err(Problem::SharedFloat(output.into())),
            _ => Ok(value),
        };
        values.into_iter().zip(&node.output).map(shared).collect()
    }

    /// How many nodes read a tensor.
    fn readers(&self, tensor: &str) -> usize {
        self.model.readers.get(tensor).copied().unwrap_or(0)
    }

    /// Whether `tensor` is the network's output, or becomes it by no more than a change of form.
    fn leads_to_output(&self, tensor: &str) -> bool {
        const FORM: [&str; 6] =
            ["DequantizeLinear", "QuantizeLinear", "Identity", "Reshape", "Flatten", "Squeeze"];
        let mut name = tensor;
        while name != self.model.output() {
            match self.first_reader(name) {
                Some(node) if self.readers(name) == 1 && FORM.contains(&node.op_type.as_str()) => {
                    name = node.output.first().map_or("", String::as_str);
                }
                _ => return false,
            }
        }
        true
    }

    /// Name of a node's input, where it is there.
    fn input_name(node: &pb::NodeProto, index: usize) -> Option<&str> {
        node.input.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// What a node's input stands for.
    fn optional(&mut self, node: &pb::NodeProto, index: usize) -> Result<Option<Value>, Problem> {
        let Some(name) = Self::input_name(node, index) else { return Ok(None) };
        if let Some(value) = self.values.get(name) {
            return Ok(Some(value.clone()));
        }
        let Some(&at) = self.model.initializers.get(name) else {
            return Err(Problem::UnknownTensor(name.into()));
        };
        let constant = proto::constant(&self.model.graph.initializer[at], name)?;
        let value = Value::Constant(Rc::new(constant));
        self.values.insert(name.into(), value.clone());
        Ok(Some(value))
    }

    /// What a node's input, which must be there, stands for.
    fn value(&mut self, node: &pb::NodeProto, index: usize) -> Result<Value, Problem> {
        self.optional(node, index)?.ok_or_else(|| Problem::Missing(format!("input {index}")))
    }

    /// A node's input, where it is there; it must be constant.
    fn constant(
        &mut self,
        node: &pb::NodeProto,
        index: usize,
    ) -> Result<Option<Rc<Constant>>, Problem> {
        match self.optional(node, index)? {
            None => Ok(None),
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            Some(_) => {
                let name = Self::input_name(node, index).unwrap_or_default();
                Err(Problem::NotConstant(name.into()))
            }
        }
    }

    /// A node's input, which must be an activation in real numbers, dequantised or never quantised.
    fn activation(&mut self, node: &pb::NodeProto, index: usize) -> Result<Activation, Problem> {
        let name = Self::input_name(node, index).unwrap_or_default();
        let value = self.value(node, index)?;
        self.settled(value, name)
    }

    /// As [`Importer::activation`], of what input `name` of a node stands for.
    fn settled(&mut self, value: Value, name: &str) -> Result<Activation, Problem> {
        match value {
            Value::Pending(pending) if self.model.real => self.settle(pending, name),
            value => value.dequantized(name),
        }
    }

    /// The tensor that the network ends in.
    fn output(&mut self, file: &str) -> Result<TensorId, ImportError> {
        let name = self.model.output().to_string();
        let (node, reason) = match self.values.get(&name) {
            Some(Value::Activation(a)) if a.form != Form::Float => return Ok(a.tensor),
            Some(Value::Pending(pending)) => match pending.kind {
                Kind::Op { op: Op::Softmax(_), ref inputs } if pending.is_free() => {
                    return Ok(inputs[0])
                }
                _ if self.model.real => {
                    let settled = self.settle(pending.clone(), &name);
                    return settled.map(|a| a.tensor).map_err(|problem| ImportError::Refused {
                        file: file.into(),
                        nodes: vec![Refusal { node: name.clone(), op: "output".into(), problem }],
                    });
                }
                _ => (format!("node {:?} ({})", pending.name, pending.op), "is not quantised"),
            },
            Some(Value::Activation(_)) => ("the input".into(), "is not quantised"),
            Some(_) => ("no operator".into(), "is a constant"),
            None => ("nothing".into(), "does not exist"),
        };
        Err(ImportError::Output { file: file.into(), tensor: name, node, reason: reason.into() })
    }
}
