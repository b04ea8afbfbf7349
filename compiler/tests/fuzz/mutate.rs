//! Damage to ONNX files: by the byte, and by the message, which gets past the decoder.

use prost::Message;
use tract_onnx::pb;

/// Integers that break sums, products and casts.
const INTEGERS: [i64; 14] =
    [0, 1, -1, 2, 3, 7, 127, 128, 255, 65535, 65536, 1 << 31, i64::MAX, i64::MIN];
/// Numbers that break scales.
const REALS: [f32; 8] =
    [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::MAX, f32::MIN_POSITIVE, 1e30];
/// Operators that a node may turn into; those that are not read have a message of their own.
const OPERATORS: &str =
    "Conv Gemm MatMul Add Mul Sub Div BatchNormalization Relu Clip AveragePool \
    GlobalAveragePool MaxPool ReduceMean Softmax QuantizeLinear DequantizeLinear Reshape Flatten \
    Squeeze Unsqueeze Transpose Constant Identity Dropout ConvTranspose Concat Slice Split Pad \
    Resize Sigmoid PRelu LayerNormalization QLinearConv QLinearMatMul Gather Shape Cast Expand";

/// xorshift32.
pub struct Draws(u32);

impl Draws {
    pub fn new(seed: u32) -> Draws {
        let mut draws = Draws(seed.wrapping_mul(2_654_435_761).wrapping_add(12345) | 1);
        for _ in 0..8 {
            draws.below(2);
        }
        draws
    }

    /// A number below `n`; 0 where there is none.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 as usize % n.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a mut [T]) -> Option<&'a mut T> {
        let at = self.below(all.len());
        all.get_mut(at)
    }

    fn integer(&mut self) -> i64 {
        INTEGERS[self.below(INTEGERS.len())]
    }
}

/// A file as bytes.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    /// A copy with one to three wounds.
    pub fn damaged(&self, mut draws: Draws) -> Vec<u8> {
        let mut bytes = self.0.to_vec();
        for _ in 0..1 + draws.below(3) {
            // Half of the damage goes where names, shapes and attributes are: the file's front.
            let reach = if draws.below(2) == 0 { bytes.len() } else { 6000.min(bytes.len()) };
            let at = draws.below(reach);
            let value = draws.below(256) as u8;
            match draws.below(6) {
                _ if at >= bytes.len() => {}
                0 => bytes.truncate(at),
                1 | 2 => bytes[at] ^= 1 << draws.below(8),
                3 => bytes[at] = value,
                4 => {
                    let end = (at + 1 + draws.below(8)).min(bytes.len());
                    bytes.drain(at..end);
                }
                _ => bytes.insert(at, value),
            }
        }
        bytes
    }
}

/// A file as messages.
pub struct Structure(pb::ModelProto);

impl Structure {
    pub fn of(bytes: &[u8]) -> Structure {
        Structure(pb::ModelProto::decode(bytes).expect("a sound model"))
    }

    /// A copy with one to three wounds.
    pub fn damaged(&self, mut draws: Draws) -> Vec<u8> {
        let mut model = self.0.clone();
        let Some(graph) = &mut model.graph else { return Vec::new() };
        for _ in 0..1 + draws.below(3) {
            match draws.below(10) {
                0..5 => wound_node(graph, &mut draws),
                5..8 => wound_constant(graph, &mut draws),
                8 => wound_input(graph, &mut draws),
                _ => {
                    let index = draws.below(graph.node.len());
                    match draws.below(3) {
                        0 if !graph.node.is_empty() => drop(graph.node.remove(index)),
                        1 => graph.node.extend(graph.node.get(index).cloned()),
                        _ => graph.node.rotate_left(index),
                    }
                }
            }
        }
        model.encode_to_vec()
    }
}

fn wound_node(graph: &mut pb::GraphProto, draws: &mut Draws) {
    let other = draws.below(graph.node.len());
    let foreign = graph.node.get(other).and_then(|n| n.output.first().cloned());
    let Some(node) = draws.of(&mut graph.node) else { return };
    match draws.below(7) {
        0 => {
            let all: Vec<&str> = OPERATORS.split_whitespace().collect();
            node.op_type = all[draws.below(all.len())].into();
        }
        1 => drop(node.input.pop()),
        2 => node.input.extend(foreign),
        3 => {
            if let (Some(input), Some(name)) = (draws.of(&mut node.input), foreign) {
                *input = name;
            }
        }
        4 => {
            let (a, b) = (draws.below(node.input.len()), draws.below(node.input.len()));
            if !node.input.is_empty() {
                node.input.swap(a, b);
            }
        }
        _ => {
            let Some(attribute) = draws.of(&mut node.attribute) else { return };
            attribute.i = draws.integer();
            attribute.f = REALS[draws.below(REALS.len())];
            let value = draws.integer();
            match draws.below(3) {
                0 => drop(attribute.ints.pop()),
                1 => attribute.ints.push(value),
                _ => draws.of(&mut attribute.ints).into_iter().for_each(|i| *i = value),
            }
        }
    }
}

fn wound_constant(graph: &mut pb::GraphProto, draws: &mut Draws) {
    let Some(tensor) = draws.of(&mut graph.initializer) else { return };
    let value = draws.integer();
    let real = REALS[draws.below(REALS.len())];
    match draws.below(7) {
        0 => draws.of(&mut tensor.dims).into_iter().for_each(|d| *d = value),
        1 => tensor.dims.push(value),
        2 => drop(tensor.dims.pop()),
        3 => tensor.data_type = draws.below(20) as i32,
        4 => {
            let len = draws.below(tensor.raw_data.len());
            tensor.raw_data.truncate(len);
        }
        5 => {
            let at = draws.below(tensor.raw_data.len() / 4) * 4;
            if let Some(bytes) = tensor.raw_data.get_mut(at..at + 4) {
                bytes.copy_from_slice(&real.to_le_bytes());
            }
            if let Some(element) = draws.of(&mut tensor.float_data) {
                *element = real;
            }
        }
        _ => {
            let at = draws.below(tensor.raw_data.len() / 8) * 8;
            if let Some(bytes) = tensor.raw_data.get_mut(at..at + 8) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
            if let Some(element) = draws.of(&mut tensor.int64_data) {
                *element = value;
            }
        }
    }
}

fn wound_input(graph: &mut pb::GraphProto, draws: &mut Draws) {
    use pb::tensor_shape_proto::dimension::Value::DimValue;
    let value = draws.integer();
    let kind = draws.below(20) as i32;
    let tensor = draws.of(&mut graph.input).and_then(|i| i.r#type.as_mut()?.value.as_mut());
    let Some(pb::type_proto::Value::TensorType(tensor)) = tensor else { return };
    let Some(shape) = &mut tensor.shape else { return };
    match draws.below(3) {
        0 => tensor.elem_type = kind,
        1 => drop(shape.dim.pop()),
        _ => draws.of(&mut shape.dim).into_iter().for_each(|d| d.value = Some(DimValue(value))),
    }
}
