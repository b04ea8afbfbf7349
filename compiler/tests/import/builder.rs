//! Tiny ONNX models, built message by message, and their evaluation in real numbers.

use offshoot::import::{import_bytes, ImportError};
use offshoot::ir::Graph;
use offshoot::ops::Op;
use offshoot::reference::Values;
use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{dimension::Value as Dim, Dimension};

/// A model in the making; its input is `x`, its output `out`.
pub struct Net {
    pub model: pb::ModelProto,
}

/// An attribute's value.
pub enum Attr<'a> {
    Int(i64),
    Ints(&'a [i64]),
    Float(f32),
    Text(&'a str),
}

impl Net {
    /// A model with a float input.
    pub fn new(shape: &[i64]) -> Net {
        Net::typed(shape, DataType::Float)
    }

    /// A model with an input of some type.
    pub fn typed(shape: &[i64], kind: DataType) -> Net {
        let graph = pb::GraphProto {
            input: vec![value("x", shape, kind)],
            output: vec![value("out", &[], DataType::Float)],
            ..Default::default()
        };
        let opset = pb::OperatorSetIdProto { domain: String::new(), version: 13 };
        Net {
            model: pb::ModelProto {
                ir_version: 8,
                opset_import: vec![opset],
                graph: Some(graph),
                ..Default::default()
            },
        }
    }

    pub fn graph(&mut self) -> &mut pb::GraphProto {
        self.model.graph.as_mut().unwrap()
    }

    pub fn node_mut(&mut self, name: &str) -> &mut pb::NodeProto {
        self.graph().node.iter_mut().find(|n| n.name == name).unwrap()
    }

    pub fn initializer_mut(&mut self, name: &str) -> &mut pb::TensorProto {
        self.graph().initializer.iter_mut().find(|t| t.name == name).unwrap()
    }

    /// A node named like its output.
    pub fn node(
        &mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attr)],
    ) -> String {
        let attribute = |(name, value): &(&str, Attr)| {
            let mut a = pb::AttributeProto { name: name.to_string(), ..Default::default() };
            let kind = match value {
                Attr::Int(v) => {
                    a.i = *v;
                    AttributeType::Int
                }
                Attr::Ints(v) => {
                    a.ints = v.to_vec();
                    AttributeType::Ints
                }
                Attr::Float(v) => {
                    a.f = *v;
                    AttributeType::Float
                }
                Attr::Text(v) => {
                    a.s = v.as_bytes().to_vec();
                    AttributeType::String
                }
            };
            a.r#type = kind as i32;
            a
        };
        let node = pb::NodeProto {
            name: output.into(),
            op_type: op.into(),
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![output.into()],
            attribute: attributes.iter().map(attribute).collect(),
            ..Default::default()
        };
        self.graph().node.push(node);
        output.into()
    }

    pub fn initializer(
        &mut self,
        name: &str,
        dims: &[i64],
        kind: DataType,
    ) -> &mut pb::TensorProto {
        let tensor = pb::TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: kind as i32,
            ..Default::default()
        };
        self.graph().initializer.push(tensor);
        self.graph().initializer.last_mut().unwrap()
    }

    pub fn floats(&mut self, name: &str, dims: &[i64], values: &[f32]) -> String {
        self.initializer(name, dims, DataType::Float).float_data = values.to_vec();
        name.into()
    }

    /// int8, as raw bytes.
    pub fn int8(&mut self, name: &str, dims: &[i64], values: &[i8]) -> String {
        self.initializer(name, dims, DataType::Int8).raw_data =
            values.iter().map(|&v| v as u8).collect();
        name.into()
    }

    pub fn int32(&mut self, name: &str, dims: &[i64], values: &[i32]) -> String {
        self.initializer(name, dims, DataType::Int32).int32_data = values.to_vec();
        name.into()
    }

    pub fn int64(&mut self, name: &str, values: &[i64]) -> String {
        self.initializer(name, &[values.len() as i64], DataType::Int64).int64_data =
            values.to_vec();
        name.into()
    }

    /// `QuantizeLinear` of `input`, named `{name}_q`, with int8 parameters.
    pub fn quantize(&mut self, input: &str, name: &str, scale: f32, zero: i8) -> String {
        let s = self.floats(&format!("{name}_scale"), &[], &[scale]);
        let z = self.int8(&format!("{name}_zero"), &[], &[zero]);
        self.node("QuantizeLinear", &[input, &s, &z], &format!("{name}_q"), &[])
    }

    /// `DequantizeLinear` of `{name}_q`, with the parameters of [`Net::quantize`].
    pub fn dequantize(&mut self, name: &str) -> String {
        let inputs = [format!("{name}_q"), format!("{name}_scale"), format!("{name}_zero")];
        let inputs = inputs.each_ref().map(String::as_str);
        self.node("DequantizeLinear", &inputs, &format!("{name}_dq"), &[])
    }

    /// Both.
    pub fn pair(&mut self, input: &str, name: &str, scale: f32, zero: i8) -> String {
        self.quantize(input, name, scale, zero);
        self.dequantize(name)
    }

    /// The input, quantised with scale 1 and zero point 0.
    pub fn start(&mut self) -> String {
        self.pair("x", "x", 1.0, 0)
    }

    /// `input`, quantised, as the output.
    pub fn end(&mut self, input: &str, scale: f32, zero: i8) -> &mut Net {
        let last = self.pair(input, "end", scale, zero);
        self.node("Identity", &[&last], "out", &[]);
        self
    }

    /// Dequantised int8 weights with scales along axis 0 (or one scale).
    pub fn weights(&mut self, name: &str, dims: &[i64], values: &[i8], scale: &[f32]) -> String {
        let w = self.int8(name, dims, values);
        let dims: &[i64] = if scale.len() == 1 { &[] } else { &[scale.len() as i64] };
        let s = self.floats(&format!("{name}_scale"), dims, scale);
        let z = self.int8(&format!("{name}_zero"), dims, &vec![0; scale.len()]);
        let axis = [("axis", Attr::Int(0))];
        self.node("DequantizeLinear", &[&w, &s, &z], &format!("{name}_dq"), &axis)
    }

    /// Dequantised int32 biases with one scale.
    pub fn bias(&mut self, name: &str, values: &[i32], scale: f32) -> String {
        let b = self.int32(name, &[values.len() as i64], values);
        let s = self.floats(&format!("{name}_scale"), &[], &[scale]);
        self.node("DequantizeLinear", &[&b, &s], &format!("{name}_dq"), &[])
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.model.encode_to_vec()
    }

    pub fn import(&self) -> Result<Graph, ImportError> {
        import_bytes("tiny.onnx", &self.bytes())
    }

    /// The message with which the model is refused.
    pub fn refused(&self) -> String {
        let message = self.import().expect_err("is refused").to_string();
        assert!(message.starts_with("tiny.onnx"), "{message}");
        message
    }
}

pub fn value(name: &str, shape: &[i64], kind: DataType) -> pb::ValueInfoProto {
    let dim = |&v: &i64| Dimension { value: Some(Dim::DimValue(v)), ..Default::default() };
    let tensor = pb::type_proto::Tensor {
        elem_type: kind as i32,
        shape: Some(pb::TensorShapeProto { dim: shape.iter().map(dim).collect() }),
    };
    let value = Some(pb::type_proto::Value::TensorType(tensor));
    let r#type = Some(pb::TypeProto { value, ..Default::default() });
    pb::ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}

/// What the network gives for an input, in real numbers, both NHWC.
pub fn evaluate(graph: &Graph, input: &[f32]) -> Vec<f32> {
    let mut values = Values::<f32>::new(graph);
    assert_eq!(graph.tensor(graph.input.unwrap()).elements(), input.len());
    values.set(graph.input.unwrap(), input.to_vec());
    values.run(0, graph.nodes().len());
    values.get(graph.output.unwrap()).to_vec()
}

/// Names and ops of all nodes.
pub fn outline(graph: &Graph) -> Vec<String> {
    graph.nodes().map(|(_, n)| format!("{} {}", n.name, n.op.name())).collect()
}

/// The only convolution, and its weights and biases as integers.
pub fn convolution(graph: &Graph) -> (&offshoot::ops::Conv2d, Vec<i32>, Vec<i32>) {
    let node = graph.nodes().find(|(_, n)| matches!(n.op, Op::Conv2d(_))).unwrap().1;
    let Op::Conv2d(conv) = &node.op else { unreachable!() };
    let data = |i: usize| {
        let data = graph.tensor(node.inputs[i]).data.as_ref().unwrap();
        data.iter().map(|v| v as i32).collect()
    };
    (conv, data(1), data(2))
}

/// Puts a quantisation behind a result where there are any.
pub type Between = fn(&mut Net, &str, &str) -> String;

/// A network in real numbers, and the same with every result quantised to steps of `scale`, its operators
/// between what [`Between`] makes of them.
pub fn both(
    shape: &[i64],
    scale: f32,
    build: impl Fn(&mut Net, &str, Between) -> String,
) -> [Graph; 2] {
    let mut real = Net::new(shape);
    let y = build(&mut real, "x", |_, y, _| y.into());
    real.node("Identity", &[&y], "out", &[]);
    let mut quantized = Net::new(shape);
    let x = quantized.pair("x", "x", 0.25, 0);
    let y = build(&mut quantized, &x, |net, y, name| net.pair(y, name, 0.25, 0));
    quantized.end(&y, scale, 0);
    [real.import().unwrap(), quantized.import().unwrap()]
}

/// Checks what both forms of a network give: the quantised one within a hundredth of the greatest, as its
/// constants are rounded.
#[track_caller]
pub fn expect_both(graphs: &[Graph; 2], input: &[f32], expected: &[f32]) {
    let most = expected.iter().fold(1e-3f32, |most, v| most.max(v.abs()));
    for (graph, tolerance) in graphs.iter().zip([1e-5, 0.01]) {
        let found = evaluate(graph, input);
        let near = |(f, e): (&f32, &f32)| (f - e).abs() <= tolerance * most;
        let same = found.len() == expected.len() && found.iter().zip(expected).all(near);
        assert!(same, "{:?}: {found:?}, not {expected:?}", outline(graph));
    }
}
