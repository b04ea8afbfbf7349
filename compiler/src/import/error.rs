//! Why a file is not imported: each message names the file, the node, and the way out.

use std::path::PathBuf;

use crate::ir::VerifyError;

/// A file that is not imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("{file}: cannot be read: {source}; give the path of an ONNX file", file = file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The bytes are not an ONNX model.
    #[error("{file}: is not an ONNX model ({reason}); export the network again")]
    NotOnnx {
        /// The file.
        file: String,
        /// What the decoder met.
        reason: String,
    },
    /// The operator set is not one that is known.
    #[error("{file}: {found}; export with operator set {OPSETS_FIRST} to {OPSETS_LAST}")]
    Opset {
        /// The file.
        file: String,
        /// The operator set of the file.
        found: String,
    },
    /// Two producers of one name.
    #[error("{file}: tensor {tensor:?} is produced twice, by {first} and by {second}; names must be unique, so export the network again")]
    DuplicateTensor {
        /// The file.
        file: String,
        /// The tensor.
        tensor: String,
        /// Its first producer.
        first: String,
        /// Its second producer.
        second: String,
    },
    /// Nodes that wait for each other.
    #[error("{file}: node {node:?} takes part in a cycle; only networks without loops can be imported, so unroll it or export the network again")]
    Cycle {
        /// The file.
        file: String,
        /// The first such node.
        node: String,
    },
    /// Not exactly one input, or not exactly one output.
    #[error("{file}: has {count} {what}s ({names}); export a network with exactly one {what}")]
    Ends {
        /// The file.
        file: String,
        /// `input` or `output`.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// Their names.
        names: String,
    },
    /// The input's shape or type does not serve.
    #[error("{file}: input {tensor:?}: {problem}")]
    Input {
        /// The file.
        file: String,
        /// The input.
        tensor: String,
        /// What is wrong with it.
        problem: Box<Problem>,
    },
    /// The output is not a quantised activation.
    #[error("{file}: output {tensor:?}, computed by {node}, {reason}; quantise it (QuantizeLinear, DequantizeLinear) before it leaves the network")]
    Output {
        /// The file.
        file: String,
        /// The output.
        tensor: String,
        /// What computes it.
        node: String,
        /// What it is instead.
        reason: String,
    },
    /// Nodes that cannot be imported: all of them.
    #[error("{file}: {count} node(s) cannot be imported:{list}", count = nodes.len(), list = list(nodes))]
    Refused {
        /// The file.
        file: String,
        /// The nodes, in execution order.
        nodes: Vec<Refusal>,
    },
    /// The network was read, and breaks a rule of the IR.
    #[error("{file}: {source}; export the network with smaller or simpler layers")]
    Invalid {
        /// The file.
        file: String,
        /// The rule.
        source: VerifyError,
    },
}

/// First operator set that is read.
pub const OPSETS_FIRST: i64 = 7;
/// Last operator set that is read.
pub const OPSETS_LAST: i64 = 23;

/// Operators that are read.
pub const SUPPORTED: &str = "Conv, ConvTranspose, Gemm, MatMul, Add, Sub, Mul, Div, \
    BatchNormalization, LayerNormalization, Relu, Clip, LeakyRelu, PRelu, Sigmoid, HardSigmoid, \
    HardSwish, Tanh, Gelu, Elu, Erf, Neg, Softmax, MaxPool, AveragePool, GlobalMaxPool, \
    GlobalAveragePool, ReduceMean, LSTM, GRU, Concat, Split, Slice, Gather, Pad, Resize, Upsample, \
    Reshape, Flatten, Squeeze, Unsqueeze, Transpose, QuantizeLinear, DequantizeLinear, Constant, \
    Identity, Dropout";

/// Operators that are read of constants alone.
pub const FOLDED: &str = "Shape, Cast, ConstantOfShape, Expand, Where, Equal, Sqrt";

/// A node that cannot be imported, and why.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("node {node:?} ({op}): {problem}")]
pub struct Refusal {
    /// Its name, or that of its output.
    pub node: String,
    /// Its operator.
    pub op: String,
    /// What is wrong.
    pub problem: Problem,
}

/// A line for each node, and what is supported where an operator is not.
fn list(nodes: &[Refusal]) -> String {
    let mut list: String = nodes.iter().map(|refusal| format!("\n  {refusal}")).collect();
    if nodes.iter().any(|refusal| refusal.problem == Problem::Operator) {
        list.push_str("\n  supported are ");
        list.push_str(SUPPORTED);
        list.push_str("; of constants alone ");
        list.push_str(FOLDED);
    }
    list
}

/// What is wrong with a node or a tensor.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Problem {
    /// The operator is not read.
    #[error("this operator is not supported")]
    Operator,
    /// An attribute has a value that is not read.
    #[error("attribute `{name}` is {value}; {supported}")]
    Attribute {
        /// The attribute.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is supported instead.
        supported: &'static str,
    },
    /// An input or output is missing.
    #[error("{0} is missing; export the network again")]
    Missing(String),
    /// A tensor is named that nothing produces.
    #[error("reads {0:?}, which is neither an initializer, the input, nor computed; export the network again")]
    UnknownTensor(String),
    /// A constant was expected.
    #[error("{0:?} must be constant; fold it into an initializer (constant folding on export)")]
    NotConstant(String),
    /// The wrong number of dimensions.
    #[error("{tensor:?} has shape {shape:?}, expected {expected}")]
    Shape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What is expected.
        expected: String,
    },
    /// A dimension that is not known, or beyond what is possible.
    #[error("{tensor:?} has dimension {dimension}; every dimension but the batch must be a number from 1 to 65535, so export with fixed shapes")]
    Dimension {
        /// The tensor.
        tensor: String,
        /// The dimension, as the file has it.
        dimension: String,
    },
    /// The axes of a tensor are not where the operator needs them.
    #[error("its input is laid out {layout}, expected {expected}; remove the reshape or transpose before it")]
    Layout {
        /// The layout found.
        layout: String,
        /// The layout expected.
        expected: &'static str,
    },
    /// An element type that is not read.
    #[error("{tensor:?} has element type {found}, expected {expected}")]
    Type {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
        /// What is expected.
        expected: &'static str,
    },
    /// A constant whose elements are not as many as its shape says.
    #[error("{tensor:?} holds {found} of data, its shape and type need {needed}; export the network again")]
    Size {
        /// The tensor.
        tensor: String,
        /// What it holds.
        found: String,
        /// What it should hold.
        needed: String,
    },
    /// Data in another file.
    #[error(
        "{0:?} keeps its data outside the model's file; save the model with all data in one file"
    )]
    External(String),
    /// A scale that is no positive number, or none that occurs.
    #[error("{tensor:?} is a {kind} scale ({value}); calibrate the network again, with data that reach this layer")]
    Scale {
        /// The scale.
        tensor: String,
        /// `zero`, `negative`, `NaN`, `infinite`, `vast` or `vanishing`.
        kind: &'static str,
        /// Its value.
        value: f32,
    },
    /// A zero point that is not read.
    #[error("zero point {tensor:?} is {value}; {expected}")]
    ZeroPoint {
        /// The zero point.
        tensor: String,
        /// Its value.
        value: i64,
        /// What is expected.
        expected: &'static str,
    },
    /// NaN or infinite elements.
    #[error("{0:?} holds NaN or infinite values (NaN weights); train or export the network again")]
    NotFinite(String),
    /// A scale an axis where there must be one, or along another axis.
    #[error(
        "{tensor:?} is quantised along axis {axis}; expected one scale, or one for each {expected}"
    )]
    PerAxis {
        /// The tensor.
        tensor: String,
        /// The axis it is quantised along.
        axis: usize,
        /// What is supported.
        expected: &'static str,
    },
    /// Groups do not fit the channels.
    #[error("{groups} group(s) do not fit {channels} input channels and weights of shape {weights:?}; both channel counts must be multiples of the groups")]
    Groups {
        /// The groups.
        groups: i64,
        /// Channels of the input.
        channels: usize,
        /// Shape of the weights.
        weights: Vec<usize>,
    },
    /// A float tensor between two ops.
    #[error("reads {tensor:?}, computed by {producer}, which is not quantised; put QuantizeLinear and DequantizeLinear between them")]
    NotQuantized {
        /// The tensor.
        tensor: String,
        /// What computes it.
        producer: String,
    },
    /// A float result with several readers.
    #[error("its result {0:?} is read more than once before it is quantised; quantise it once, right behind the activation")]
    SharedFloat(String),
    /// A bias that int32 does not hold.
    #[error("bias of channel {channel} is {value} steps of scale(input) * scale(weights), beyond int32; calibrate this layer again")]
    Bias {
        /// The output channel.
        channel: usize,
        /// The bias in steps.
        value: f64,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
