//! The operations of the IR: one file an op (an op and its gradients share one), behind one trait.
//!
//! Everything particular to an op is here: its shape rule, what it means in real numbers, its
//! gradient rule and its lowering. Passes know ops only through [`Operator`]; to add an op, write
//! its file and name it in the `operators!` list below.

mod add;
mod avg_pool;
mod bias;
mod clamp;
mod concat;
pub(crate) mod conv2d;
mod conv2d_grad;
pub(crate) mod copy;
mod cross_entropy;
mod flatten;
mod function;
mod head;
mod matmul;
mod max_pool;
mod mean_square;
mod mul;
mod nest;
mod normalize;
mod pool_mean;
mod requantize;
mod rule;
mod save_channels;
mod sgd;
mod softmax;
mod sum;
mod unary;
pub(crate) mod window;

pub use add::Add;
pub use avg_pool::{AvgPool, PoolInputGrad};
pub use bias::BiasGrad;
pub use clamp::Clamp;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use conv2d_grad::{Conv2dInputGrad, Conv2dWeightGrad};
pub use copy::{Copy, CopyInputGrad};
pub use cross_entropy::{SigmoidCrossEntropy, SoftmaxCrossEntropy};
pub use flatten::{Flatten, FlattenInputGrad};
pub use function::Function;
pub use head::{Head, HeadInputGrad, HeadWeightGrad};
pub use matmul::{MatMul, MatMulInputGrad};
pub use max_pool::{MaxPool, MaxPoolInputGrad};
pub use mean_square::MeanSquare;
pub use mul::{Mul, MulInputGrad};
pub use nest::{Nest, NestInputGrad};
pub use normalize::{Normalize, NormalizeInputGrad};
pub use pool_mean::PoolMean;
pub use requantize::Requantize;
pub use save_channels::SaveChannels;
pub use sgd::Sgd;
pub use softmax::{Softmax, SoftmaxInputGrad};
pub use sum::{MaskGrad, SumGrad};
pub use unary::{Unary, UnaryInputGrad};
pub use window::Window;

use num_traits::Float;

use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Quant, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// Type of an output that an op computes: element type and shape.
pub type OutputType = (DType, Vec<usize>);

/// All that is particular to one op.
pub trait Operator: Sized {
    /// Its name in text.
    const NAME: &'static str;

    /// Its attributes, to be printed; most ops have none.
    fn attributes(&self) -> Attributes {
        Attributes::new()
    }

    /// The op that attributes describe.
    ///
    /// # Errors
    /// Which attribute is missing or wrong.
    fn from_attributes(attributes: &Attributes) -> Result<Self, String>;

    /// Shape rule: the types of its outputs, given its inputs. The first is its result; those after
    /// it are kept for a backward pass, on request, and may be left out.
    ///
    /// # Errors
    /// What does not fit, in words.
    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String>;

    /// What it means in real numbers.
    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>);

    /// Adds the nodes of its gradient for the output gradient `dy`, and says which gradients its
    /// inputs get. Ops without a gradient rule stop it: nothing before them can be trained.
    fn gradient(&self, cx: &mut Backward, _node: &Node, _dy: TensorId) {
        cx.stop();
    }

    /// The range that an activation clamps to; where it is set, the op gives a mask as its second
    /// output on request.
    fn clamp(&self) -> Option<Clamp> {
        None
    }

    /// The quantisation that its result must have, given its inputs, whose own are known; `None`
    /// where it may have any.
    fn quantization(&self, _inputs: &[&Tensor]) -> Option<Quant> {
        None
    }

    /// Whether it computes a loss, and the gradient that starts the backward pass.
    fn is_loss(&self) -> bool {
        false
    }

    /// Emits the runtime ops that carry it out.
    ///
    /// # Errors
    /// Why it has none.
    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError>;
}

macro_rules! operators {
    ($($name:ident),* $(,)?) => {
        /// An operation, of any kind.
        #[derive(Clone, Debug, PartialEq)]
        pub enum Op { $(
            #[doc = concat!("See [`struct@", stringify!($name), "`].")]
            $name($name),
        )* }

        $( impl From<$name> for Op { fn from(op: $name) -> Op { Op::$name(op) } } )*

        impl Op {
            /// Its name in text.
            pub fn name(&self) -> &'static str {
                match self { $( Op::$name(_) => <$name as Operator>::NAME, )* }
            }

            /// See [`Operator::attributes`].
            pub fn attributes(&self) -> Attributes {
                match self { $( Op::$name(op) => op.attributes(), )* }
            }

            /// The op of that name with those attributes.
            ///
            /// # Errors
            /// Which name or attribute is not known.
            pub fn from_attributes(name: &str, attributes: &Attributes) -> Result<Op, String> {
                match name {
                    $( <$name as Operator>::NAME => <$name>::from_attributes(attributes).map(Op::$name), )*
                    _ => Err(format!(
                        "there is no op `{name}`; the ops are {}",
                        [$( <$name as Operator>::NAME ),*].join(", ")
                    )),
                }
            }

            /// See [`Operator::infer`].
            ///
            /// # Errors
            /// What does not fit.
            pub fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
                match self { $( Op::$name(op) => op.infer(inputs), )* }
            }

            /// See [`Operator::evaluate`].
            pub fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
                match self { $( Op::$name(op) => op.evaluate(node, values), )* }
            }

            /// See [`Operator::gradient`].
            pub fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
                match self { $( Op::$name(op) => op.gradient(cx, node, dy), )* }
            }

            /// See [`Operator::is_loss`].
            pub fn is_loss(&self) -> bool {
                match self { $( Op::$name(op) => op.is_loss(), )* }
            }

            /// See [`Operator::clamp`].
            pub fn clamp(&self) -> Option<Clamp> {
                match self { $( Op::$name(op) => op.clamp(), )* }
            }

            /// See [`Operator::quantization`].
            pub fn quantization(&self, inputs: &[&Tensor]) -> Option<Quant> {
                match self { $( Op::$name(op) => op.quantization(inputs), )* }
            }

            /// See [`Operator::lower`].
            ///
            /// # Errors
            /// Why it has no runtime op.
            pub fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
                match self { $( Op::$name(op) => op.lower(cx, id), )* }
            }
        }
    };
}

operators! {
    Conv2d, Add, AvgPool, MaxPool, Unary, Mul, MatMul, Normalize, Copy, Concat, PoolMean, Flatten,
    Requantize, Softmax, Head, SaveChannels, SoftmaxCrossEntropy, SigmoidCrossEntropy, MeanSquare, HeadInputGrad, HeadWeightGrad,
    Conv2dInputGrad, Conv2dWeightGrad, BiasGrad, PoolInputGrad, MaxPoolInputGrad, UnaryInputGrad,
    MulInputGrad, MatMulInputGrad, NormalizeInputGrad, SoftmaxInputGrad, CopyInputGrad,
    FlattenInputGrad, SumGrad, MaskGrad, Sgd, Nest, NestInputGrad,
}

/// Height, width and channels of an NHWC activation of batch 1.
///
/// # Errors
/// Where the shape is something else.
pub(crate) fn nhwc(tensor: &Tensor) -> Result<[usize; 3], String> {
    match tensor.shape.as_slice() {
        &[1, h, w, c] if h > 0 && w > 0 && c > 0 => Ok([h, w, c]),
        shape => Err(format!(
            "`{}` has shape {shape:?}, expected [1, height, width, channels]",
            tensor.name
        )),
    }
}

/// Checks how many inputs there are.
///
/// # Errors
/// Where the count differs.
pub(crate) fn expect_inputs(inputs: &[&Tensor], count: usize) -> Result<(), String> {
    if inputs.len() == count {
        Ok(())
    } else {
        Err(format!("has {} inputs, expected {count}", inputs.len()))
    }
}

/// Checks an element type.
///
/// # Errors
/// Where it differs.
pub(crate) fn expect_dtype(tensor: &Tensor, dtype: DType) -> Result<(), String> {
    if tensor.dtype == dtype {
        Ok(())
    } else {
        Err(format!("`{}` is {}, expected {}", tensor.name, tensor.dtype.name(), dtype.name()))
    }
}

/// Checks that a tensor is an activation, int8 with one scale or real, and says which.
///
/// # Errors
/// Where it is not.
pub(crate) fn expect_activation(tensor: &Tensor) -> Result<DType, String> {
    if tensor.dtype != DType::F32 {
        expect_dtype(tensor, DType::I8)?;
        expect_per_tensor(tensor)?;
    }
    Ok(tensor.dtype)
}

/// Checks that a tensor is quantised per tensor.
///
/// # Errors
/// Where it is not.
pub(crate) fn expect_per_tensor(tensor: &Tensor) -> Result<(), String> {
    match &tensor.quant {
        Some(q) if q.scale.len() == 1 => Ok(()),
        _ => Err(format!("`{}` needs one scale for the whole tensor", tensor.name)),
    }
}

#[cfg(test)]
mod tests {
    use offshoot_runtime::program::op::Path;

    use super::*;

    /// What ops ask of the quantisation of their results: that of their input, one of their own,
    /// or nothing.
    #[test]
    fn some_results_have_no_choice() {
        let own = Quant::per_tensor(0.5, -100);
        let x = Tensor::computed("x", DType::I8, vec![1, 4, 4, 2]).quantized(own.clone());
        let asks = |op: Op| op.quantization(&[&x]);
        let window = |pad| Window { kernel: [3; 2], stride: [1; 2], pad, dilation: [1; 2] };
        assert_eq!(asks(MaxPool { window: window([0; 4]) }.into()), Some(own.clone()));
        assert_eq!(asks(AvgPool { window: window([1; 4]) }.into()), Some(own.clone()));
        assert_eq!(asks(AvgPool { window: window([0; 4]) }.into()), None);
        assert_eq!(asks(Softmax.into()), Some(Quant::per_tensor(1.0 / 256.0, -128)));
        assert_eq!(asks(Requantize { clamp: None }.into()), None);
        // int8 spans -14 to 113.5.
        let copy = |fill| Copy { shape: [4, 4, 2], path: Path::default(), fill }.into();
        for fill in [0.0, -14.0, 113.5] {
            assert_eq!(asks(copy(fill)), Some(own.clone()), "{fill}");
        }
        for fill in [-15.0, 114.0, f32::NEG_INFINITY] {
            assert_eq!(asks(copy(fill)), None, "{fill}");
        }
        // A real network has none yet.
        let real = Tensor::computed("x", DType::F32, vec![1, 4, 4, 2]);
        assert_eq!(Op::from(MaxPool { window: window([0; 4]) }).quantization(&[&real]), None);
    }
}
