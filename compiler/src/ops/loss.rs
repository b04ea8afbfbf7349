//! Softmax cross-entropy: from logits and a label to the gradient that starts the backward pass.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::{expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::ir::{Attributes, DType, Node, NodeId, Tensor};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `dy = softmax(x) - onehot(label)`; the loss is `-ln softmax(x)[label]`.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxCrossEntropy;

impl Operator for SoftmaxCrossEntropy {
    const NAME: &'static str = "softmax_cross_entropy";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(SoftmaxCrossEntropy)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        expect_dtype(inputs[0], DType::I32)?;
        match nhwc(inputs[0])? {
            [1, 1, classes] if classes >= 2 => Ok(vec![(DType::Error, vec![1, 1, 1, classes])]),
            shape => {
                Err(format!("logits have shape {shape:?}, expected one pixel of 2 or more classes"))
            }
        }
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let x = values.get(node.inputs[0]);
        let label = values.step.label;
        let most = x.iter().copied().fold(T::neg_infinity(), T::max);
        let exps: Vec<T> = x.iter().map(|&x| (x - most).exp()).collect();
        let total = exps.iter().fold(T::zero(), |sum, &e| sum + e);
        let loss = total.ln() + most - x[label];
        let mut dy: Vec<T> = exps.iter().map(|&e| e / total).collect();
        dy[label] = dy[label] - T::one();
        values.step.loss = loss;
        values.set(node.outputs[0], dy);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let scale = cx.graph.tensor(node.inputs[0]).scale_of(0) as f64;
        let sixteenths = Multiplier::from_f64(16.0 * scale);
        let (logits, error) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        cx.push(id, rt::SoftmaxCrossEntropy { logits, error, sixteenths });
        Ok(())
    }
}
