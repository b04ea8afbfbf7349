//! What must hold of every graph, checked after every pass.
//!
//! 1. Input and output are set; they and all operands of nodes name tensors of the graph.
//! 2. A tensor has at most one producer; constants and the input have none; every other tensor
//!    that is read has one, and it comes earlier in execution order.
//! 3. A constant's data have its type and as many elements as its shape.
//! 4. Scales are positive and finite; there is one, or one for each index of the axis; zero
//!    points of int8 fit int8, and are 0 where there is more than one scale. Real tensors have none,
//!    and their data are finite.
//! 5. Only constants that are not frozen are trained; trained channels are ascending, at least one, and
//!    exist.
//! 6. Inputs of a node fit its op's shape rule; its outputs have the types that the rule gives
//!    (all but the first may be left out); computed int8 tensors are quantised per tensor.
//! 7. A streamed gradient has exactly one reader, an `sgd`.
//! 8. After the `sgd` of a parameter nothing reads that parameter.
//! 9. No dimension is 0, none exceeds 65535, and no tensor has more than 2^26 elements.
//! 10. The energy of the features is finite and not negative.

use offshoot_runtime::program::op::Precision;

use super::{DType, Data, Graph, Node, Rule, Tensor, TensorId};
use crate::ops::Op;

/// Far beyond what a microcontroller holds, and little enough for 32-bit offsets.
const MOST_ELEMENTS: usize = 1 << 26;

/// Which invariant is broken, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct VerifyError {
    /// Tensor or node.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

/// Checks every invariant.
///
/// # Errors
/// The first that is broken.
pub fn verify(graph: &Graph) -> Result<(), VerifyError> {
    for (id, tensor) in graph.tensors() {
        verify_tensor(tensor).map_err(|message| at_tensor(id, tensor, message))?;
    }
    let input = graph.input.ok_or_else(|| whole("the graph has no input"))?;
    let output = graph.output.ok_or_else(|| whole("the graph has no output"))?;
    verify_ids(graph)?;
    if graph.feature_energy.is_some_and(|energy| !(energy.is_finite() && energy >= 0.0)) {
        return Err(whole("the energy of the features is no sum of squares"));
    }
    let mut defined: Vec<bool> = graph.tensors().map(|(_, t)| t.data.is_some()).collect();
    if defined[input.index()] {
        return Err(at_tensor(input, graph.tensor(input), "the input is a constant".into()));
    }
    defined[input.index()] = true;
    let mut updated = vec![false; defined.len()];
    for (_, node) in graph.nodes() {
        let at = |message| at_node(node, message);
        for &t in &node.inputs {
            if !defined[t.index()] {
                return Err(at(format!("reads {t} before it is computed")));
            }
            if updated[t.index()] {
                return Err(at(format!("reads {t} after its update")));
            }
        }
        verify_types(graph, node).map_err(at)?;
        for &t in &node.outputs {
            if std::mem::replace(&mut defined[t.index()], true) {
                return Err(at(format!("computes {t}, which already has a value")));
            }
        }
        if matches!(node.op, Op::Sgd(_)) {
            updated[node.inputs[0].index()] = true;
        }
    }
    if !defined[output.index()] {
        return Err(at_tensor(output, graph.tensor(output), "the output is never computed".into()));
    }
    verify_streams(graph)
}

fn verify_ids(graph: &Graph) -> Result<(), VerifyError> {
    let count = graph.tensors().count();
    let missing = |t: &&TensorId| t.index() >= count;
    if let Some(t) = graph.input.iter().chain(&graph.output).find(missing) {
        return Err(whole(&format!("its input or output is {t}, which is no tensor of it")));
    }
    for (_, node) in graph.nodes() {
        if let Some(t) = node.inputs.iter().chain(&node.outputs).find(missing) {
            return Err(at_node(node, format!("names {t}, which is no tensor of the graph")));
        }
    }
    Ok(())
}

fn verify_tensor(tensor: &Tensor) -> Result<(), String> {
    if tensor.shape.iter().any(|&d| d == 0 || d > 65535) || tensor.shape.is_empty() {
        return Err(format!("shape {:?} has a dimension outside 1..=65535", tensor.shape));
    }
    let elements = tensor.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if elements.is_none_or(|n| n > MOST_ELEMENTS) {
        return Err(format!("shape {:?} has more than {MOST_ELEMENTS} elements", tensor.shape));
    }
    if let Some(data) = &tensor.data {
        if data.dtype() != tensor.dtype {
            return Err(format!("holds {} data", data.dtype().name()));
        }
        if data.len() != tensor.elements() {
            return Err(format!("holds {} elements, its shape {}", data.len(), tensor.elements()));
        }
    }
    if let Some(quant) = &tensor.quant {
        if let Some(bad) = quant.scale.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            return Err(format!("scale {bad} is not a positive number"));
        }
        let along = tensor.shape.get(quant.axis).copied();
        if quant.scale.len() != 1 && Some(quant.scale.len()) != along {
            return Err(format!("has {} scales along axis {}", quant.scale.len(), quant.axis));
        }
        if tensor.dtype == DType::I8 && i8::try_from(quant.zero).is_err() {
            return Err(format!("zero point {} is outside int8", quant.zero));
        }
        if quant.scale.len() > 1 && quant.zero != 0 {
            return Err("a zero point beside one scale a channel".into());
        }
        if tensor.dtype == DType::F32 {
            return Err("is real, but has a scale".into());
        }
    } else if tensor.dtype != DType::F32 && (tensor.data.is_some() || tensor.dtype == DType::I8) {
        return Err("has no scale".into());
    }
    if let Some(Data::F32(values)) = &tensor.data {
        if let Some(value) = values.iter().find(|v| !v.is_finite()) {
            return Err(format!("holds {value}"));
        }
    }
    let Some(trained) = &tensor.trained else { return Ok(()) };
    if tensor.frozen {
        return Err("is trained, and frozen".into());
    }
    if tensor.data.is_none() {
        return Err("is trained but has no data to start from".into());
    }
    if (trained.precision == Precision::Picked) == trained.picks.is_empty() {
        return Err("is trained at single places, of which there are none, or the other way".into());
    }
    let beyond = trained.picks.last().is_some_and(|&last| last as usize >= tensor.elements());
    if beyond || trained.picks.windows(2).any(|p| p[0] >= p[1]) {
        return Err("picked places must be ascending, within the tensor".into());
    }
    if !(trained.pace.is_finite() && trained.pace > 0.0) {
        return Err(format!("is trained at the pace {}", trained.pace));
    }
    match trained.rule {
        Rule::Plain => {}
        _ if !trained.picks.is_empty() => {
            return Err("heeds a rule for whole rows, but only single weights are trained".into());
        }
        _ if trained.channels.is_some() => {
            return Err("heeds a rule for whole rows, but only some channels are trained".into());
        }
        Rule::Normed { size: a, most: b } | Rule::Orthonormal { size: a, strength: b, .. } => {
            if ![a, b].iter().all(|v| v.is_finite() && *v > 0.0) {
                return Err(format!("heeds a rule with the numbers {a} and {b}"));
            }
        }
    }
    if let Some(channels) = &trained.channels {
        let mut picks =
            trained.picks.iter().map(|&at| at as usize % tensor.channel_axis_len().max(1));
        if picks.any(|c| channels.binary_search(&(c as u16)).is_err()) {
            return Err("picks a weight of a channel that is not trained".into());
        }
        let most = tensor.channel_axis_len();
        if channels.is_empty() || channels.windows(2).any(|p| p[0] >= p[1]) {
            return Err("trained channels must be ascending, at least one".into());
        }
        if channels.iter().any(|&c| usize::from(c) >= most) {
            return Err(format!("trains a channel beyond its {most}"));
        }
    }
    Ok(())
}

fn verify_types(graph: &Graph, node: &Node) -> Result<(), String> {
    let inputs: Vec<&Tensor> = node.inputs.iter().map(|&t| graph.tensor(t)).collect();
    let types = node.op.infer(&inputs)?;
    // What an op keeps for a backward pass comes after its result.
    let required = types.len().min(1);
    if node.outputs.len() < required || node.outputs.len() > types.len() {
        return Err(format!("has {} outputs, expected {}", node.outputs.len(), types.len()));
    }
    for (&id, (dtype, shape)) in node.outputs.iter().zip(&types) {
        let tensor = graph.tensor(id);
        if tensor.dtype != *dtype || tensor.shape != *shape {
            return Err(format!(
                "{id} is {}{:?}, the op gives {}{shape:?}",
                tensor.dtype.name(),
                tensor.shape,
                dtype.name()
            ));
        }
        if *dtype == DType::I8 && tensor.quant.as_ref().is_none_or(|q| q.scale.len() != 1) {
            return Err(format!("{id} needs one scale"));
        }
    }
    Ok(())
}

fn verify_streams(graph: &Graph) -> Result<(), VerifyError> {
    let consumers = graph.consumers();
    for (id, tensor) in graph.tensors().filter(|(_, t)| t.dtype == DType::Stream) {
        let readers = &consumers[id.index()];
        if readers.len() != 1 || !matches!(graph.node(readers[0]).op, Op::Sgd(_)) {
            let message = "a streamed gradient needs exactly one reader, an sgd".into();
            return Err(at_tensor(id, tensor, message));
        }
    }
    Ok(())
}

fn whole(message: &str) -> VerifyError {
    VerifyError { place: "graph".into(), message: message.into() }
}

fn at_node(node: &Node, message: String) -> VerifyError {
    VerifyError { place: format!("node {:?} ({})", node.name, node.op.name()), message }
}

fn at_tensor(id: TensorId, tensor: &Tensor, message: String) -> VerifyError {
    VerifyError { place: format!("tensor {id} {:?}", tensor.name), message }
}
