//! One file for each family of ONNX operators, and the list of them.

mod affine;
mod binary;
mod cell;
mod clamp;
mod concat;
mod constants;
mod conv;
mod conv_transpose;
mod dense;
pub mod layout;
mod moves;
mod norm;
mod pad;
mod pool;
mod recurrent;
mod resize;
mod unary;

pub use pad::padding;

use std::collections::HashMap;
use std::rc::Rc;

use tract_onnx::pb;

use super::constant::{Constant, Elements, IntType};
use super::error::Problem;
use super::proto;
use super::value::Value;
use super::Importer;

/// Name of a node's operator, with its domain where that is not ONNX's own.
pub fn qualified(node: &pb::NodeProto) -> String {
    if node.domain.is_empty() || node.domain == "ai.onnx" {
        node.op_type.clone()
    } else {
        format!("{}.{}", node.domain, node.op_type)
    }
}

/// What a node gives, one value for each of its outputs; its operator is named here, and nowhere else.
///
/// # Errors
/// Why it is not read.
pub fn run(cx: &mut Importer<'_>, node: &pb::NodeProto, name: &str) -> Result<Vec<Value>, Problem> {
    if let Some(value) = cx.known(node, name)? {
        return Ok(vec![value]);
    }
    let value = match node.op_type.as_str() {
        "Conv" => cx.conv(node, name),
        "ConvTranspose" => cx.conv_transpose(node, name),
        "Gemm" => cx.gemm(node, name),
        "MatMul" => cx.matmul(node, name),
        "Add" => cx.binary(node, name, "Add"),
        "Mul" => cx.binary(node, name, "Mul"),
        "Sub" => cx.binary(node, name, "Sub"),
        "Div" => cx.binary(node, name, "Div"),
        "BatchNormalization" => cx.batch_normalization(node, name),
        "LayerNormalization" => cx.layer_normalization(node, name),
        "Relu" => cx.relu(node, name),
        "Clip" => cx.clip(node, name),
        "PRelu" => cx.prelu(node, name),
        "LeakyRelu" | "Sigmoid" | "HardSigmoid" | "HardSwish" | "Tanh" | "Gelu" | "Elu" | "Erf"
        | "Neg" => cx.unary(node, name),
        "MaxPool" | "AveragePool" => cx.pool(node, name),
        "GlobalMaxPool" | "GlobalAveragePool" => cx.global_pool(node, name),
        "ReduceMean" => cx.reduce_mean(node, name),
        "Softmax" => cx.softmax(node, name),
        "Concat" => cx.concat(node, name),
        "Split" => return cx.split(node, name),
        "LSTM" | "GRU" => return cx.recurrent(node, name),
        "Slice" => cx.slice(node, name),
        "Gather" => cx.gather(node, name),
        "Pad" => cx.pad(node, name),
        "Resize" | "Upsample" => cx.resize(node, name),
        "QuantizeLinear" => cx.quantize(node, name),
        "DequantizeLinear" => cx.dequantize(node),
        "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose" => cx.rearrange(node, name),
        "Constant" => constant(node).map(|c| Value::Constant(Rc::new(c))),
        "Identity" => cx.value(node, 0),
        "Dropout" => cx.dropout(node),
        _ => Err(Problem::Operator),
    };
    value.map(|value| vec![value])
}

/// Whether a node's operator is read at all.
pub fn is_supported(node: &pb::NodeProto) -> bool {
    let mut read = super::SUPPORTED.split(", ").chain(super::FOLDED.split(", "));
    qualified(node) == node.op_type && read.any(|op| op == node.op_type)
}

/// Checks what a node says by itself, so that it is reported even behind a node that is refused.
///
/// # Errors
/// What is not read.
pub fn check(node: &pb::NodeProto, readers: &HashMap<String, usize>) -> Result<(), Problem> {
    if !is_supported(node) {
        return Err(Problem::Operator);
    }
    let recurrent = matches!(node.op_type.as_str(), "LSTM" | "GRU");
    let results = if recurrent || node.op_type == "Split" { usize::MAX } else { 1 };
    if let Some(read) = node.output.iter().skip(results).find(|o| readers.contains_key(*o)) {
        return Err(Problem::Other(format!(
            "its further result {read:?} is read; only the first is supported"
        )));
    }
    let missing = if recurrent {
        node.output.iter().all(String::is_empty)
    } else {
        node.output.first().is_none_or(String::is_empty)
    };
    if missing {
        return Err(Problem::Missing("its output".into()));
    }
    let refuse =
        |name, value: String, supported| Err(Problem::Attribute { name, value, supported });
    if proto::int(node, "block_size", 0) != 0 {
        let value = proto::int(node, "block_size", 0).to_string();
        return refuse("block_size", value, "one scale, or one for each channel, is supported");
    }
    Ok(())
}

/// What a `Constant` node gives.
///
/// # Errors
/// A kind of value that is not read.
pub fn constant(node: &pb::NodeProto) -> Result<Constant, Problem> {
    let name = node.output.first().map_or("", String::as_str);
    if let Some(tensor) = proto::attribute(node, "value").and_then(|a| a.t.as_ref()) {
        return proto::constant(tensor, name);
    }
    let row = |elements: Elements| {
        let dims = match &elements {
            Elements::Float(v) => vec![v.len()],
            Elements::Int(_, v) => vec![v.len()],
        };
        (dims, elements)
    };
    let number = |elements: Elements| (vec![], elements);
    let found = node.attribute.iter().find_map(|a| match a.name.as_str() {
        "value_float" => Some(number(Elements::Float(vec![a.f]))),
        "value_floats" => Some(row(Elements::Float(a.floats.clone()))),
        "value_int" => Some(number(Elements::Int(IntType::I64, vec![a.i]))),
        "value_ints" => Some(row(Elements::Int(IntType::I64, a.ints.clone()))),
        _ => None,
    });
    let (dims, elements) =
        found.ok_or_else(|| Problem::Missing("attribute `value`, a tensor or numbers,".into()))?;
    Ok(Constant { name: name.into(), dims, elements })
}

impl Importer<'_> {
    fn dropout(&mut self, node: &pb::NodeProto) -> Result<Value, Problem> {
        if let Some(mode) = Self::input_name(node, 2) {
            let found =
                self.model.initializers.get(mode).map(|&i| &self.model.graph.initializer[i]);
            let inference = |t: &pb::TensorProto| {
                t.raw_data.iter().all(|&b| b == 0) && t.int32_data.iter().all(|&v| v == 0)
            };
            if !found.is_some_and(inference) {
                return Err(Problem::Other(
                    "is exported for training; export the network for inference".into(),
                ));
            }
        }
        self.value(node, 0)
    }
}
