//! Operators on quantised tensors (`QLinearConv` and its like) written out as the operator between
//! `DequantizeLinear` and `QuantizeLinear`, which is what they mean, so that there is one way to
//! read either form.

use std::collections::HashMap;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::proto;

/// Where an operator's operands are among its inputs.
struct Form {
    /// Its domain; empty for ONNX's own.
    domain: &'static str,
    op: &'static str,
    /// What it computes in real numbers.
    real: &'static str,
    /// Index of each operand; its scale and zero point follow.
    operands: &'static [usize],
    /// Index of the int32 bias, whose scale is the product of the operands'.
    bias: Option<usize>,
    /// Index of the result's scale; its zero point follows.
    result: usize,
}

const MICROSOFT: &str = "com.microsoft";

const FORMS: [Form; 10] = [
    form("", "QLinearConv", "Conv", &[0, 3], Some(8), 6),
    form("", "QLinearMatMul", "MatMul", &[0, 3], None, 6),
    form(MICROSOFT, "QGemm", "Gemm", &[0, 3], Some(6), 7),
    form(MICROSOFT, "QLinearAdd", "Add", &[0, 3], None, 6),
    form(MICROSOFT, "QLinearMul", "Mul", &[0, 3], None, 6),
    form(MICROSOFT, "QLinearAveragePool", "AveragePool", &[0], None, 3),
    form(MICROSOFT, "QLinearGlobalAveragePool", "GlobalAveragePool", &[0], None, 3),
    form(MICROSOFT, "QLinearLeakyRelu", "LeakyRelu", &[0], None, 3),
    form(MICROSOFT, "QLinearSigmoid", "Sigmoid", &[0], None, 3),
    form(MICROSOFT, "QLinearSoftmax", "Softmax", &[0], None, 3),
];

const fn form(
    domain: &'static str,
    op: &'static str,
    real: &'static str,
    operands: &'static [usize],
    bias: Option<usize>,
    result: usize,
) -> Form {
    Form { domain, op, real, operands, bias, result }
}

/// Writes out all such operators of a graph. One whose parameters are not constants is left as it
/// is, to be refused by name.
pub fn expand(graph: &mut pb::GraphProto) {
    let mut scales = HashMap::new();
    for tensor in graph.initializer.iter().filter(|t| t.data_type == DataType::Float as i32) {
        if let Ok(values) =
            proto::constant(tensor, &tensor.name).and_then(|c| Ok(c.finite()?.to_vec()))
        {
            scales.insert(tensor.name.clone(), values);
        }
    }
    let mut nodes = Vec::with_capacity(graph.node.len());
    for (index, node) in std::mem::take(&mut graph.node).into_iter().enumerate() {
        let form = FORMS.iter().find(|f| f.op == node.op_type && f.domain == node.domain);
        let written = match (form, node.op_type.as_str()) {
            (Some(form), _) => written_out(&node, index, form, &scales),
            (None, "QLinearConcat") if node.domain == MICROSOFT => concat(&node, index),
            _ => None,
        };
        match written {
            Some((written, constants)) => {
                nodes.extend(written);
                graph.initializer.extend(constants);
            }
            None => nodes.push(node),
        }
    }
    graph.node = nodes;
}

type Written = (Vec<pb::NodeProto>, Vec<pb::TensorProto>);

fn written_out(
    node: &pb::NodeProto,
    index: usize,
    form: &Form,
    scales: &HashMap<String, Vec<f32>>,
) -> Option<Written> {
    if proto::int(node, "channels_last", 0) != 0 {
        return None;
    }
    let input = |i: usize| node.input.get(i).filter(|name| !name.is_empty());
    let mut writer = Writer::new(node, index);
    let mut inputs = Vec::new();
    // Scales of weights run along the output channels: their first axis, or columns of a matrix.
    let columns =
        form.real == "MatMul" || form.real == "Gemm" && proto::int(node, "transB", 0) == 0;
    for &at in form.operands {
        let axis = if columns { -1 } else { 0 };
        inputs.push(writer.dequantize(input(at)?, input(at + 1)?, input(at + 2), axis)?);
    }
    let mut constants = Vec::new();
    if let Some(bias) = form.bias.and_then(input) {
        let mut of = form.operands.iter().map(|&at| scales.get(input(at + 1)?));
        let (x, w) = (of.next()??.first()?, of.next()??);
        let scale = pb::TensorProto {
            name: writer.name("bias scale"),
            dims: vec![w.len() as i64],
            data_type: DataType::Float as i32,
            float_data: w.iter().map(|w| x * w).collect(),
            ..Default::default()
        };
        inputs.push(writer.dequantize(bias, &scale.name, None, 0)?);
        constants.push(scale);
    }
    writer.compute(form.real, inputs, [input(form.result)?, input(form.result + 1)?])?;
    Some((writer.nodes, constants))
}

/// `QLinearConcat`: scale and zero point of the result, then each operand with its own.
fn concat(node: &pb::NodeProto, index: usize) -> Option<Written> {
    let mut writer = Writer::new(node, index);
    let mut inputs = Vec::new();
    for operand in node.input.get(2..)?.chunks_exact(3) {
        inputs.push(writer.dequantize(&operand[0], &operand[1], Some(&operand[2]), 0)?);
    }
    writer.compute("Concat", inputs, [&node.input[0], &node.input[1]])?;
    Some((writer.nodes, Vec::new()))
}

/// The nodes that one operator is written out as.
struct Writer<'a> {
    of: &'a pb::NodeProto,
    index: usize,
    nodes: Vec<pb::NodeProto>,
}

impl Writer<'_> {
    fn new(of: &pb::NodeProto, index: usize) -> Writer<'_> {
        Writer { of, index, nodes: Vec::new() }
    }

    /// A name that no other operator gives.
    fn name(&self, what: &str) -> String {
        let result = self.of.output.first().map_or("", String::as_str);
        format!("{result} ({} {}, {what})", self.of.op_type, self.index)
    }

    /// Adds a `DequantizeLinear`, and gives the name of its result.
    fn dequantize(
        &mut self,
        x: &str,
        scale: &str,
        zero: Option<&String>,
        axis: i64,
    ) -> Option<String> {
        let name = self.name(&format!("operand {}", self.nodes.len()));
        let mut input = vec![x.to_string(), scale.to_string()];
        input.extend(zero.cloned());
        let axis = pb::AttributeProto { name: "axis".into(), i: axis, ..Default::default() };
        self.nodes.push(pb::NodeProto {
            name: name.clone(),
            op_type: "DequantizeLinear".into(),
            input,
            output: vec![name.clone()],
            attribute: vec![axis],
            ..Default::default()
        });
        Some(name)
    }

    /// Adds the operator itself and its `QuantizeLinear`.
    fn compute(&mut self, op: &str, inputs: Vec<String>, result: [&String; 2]) -> Option<()> {
        let output = self.of.output.first()?.clone();
        let real = self.name("result");
        self.nodes.push(pb::NodeProto {
            op_type: op.into(),
            domain: String::new(),
            input: inputs,
            output: vec![real.clone()],
            ..self.of.clone()
        });
        let quantize = self.name("quantised");
        let [scale, zero] = result.map(String::clone);
        self.nodes.push(pb::NodeProto {
            name: quantize,
            op_type: "QuantizeLinear".into(),
            input: vec![real, scale, zero],
            output: vec![output],
            ..Default::default()
        });
        Some(())
    }
}
