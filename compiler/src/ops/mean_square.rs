//! Mean square error of a network that is to reproduce its input.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::{expect_dtype, expect_inputs, expect_per_tensor, nhwc, Operator, OutputType};
use crate::ir::{Attributes, DType, Node, NodeId, Tensor};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `dy = 2 (y - x) / n`; the loss is `mean (y - x)^2`. Inputs are `y` and `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanSquare;

impl Operator for MeanSquare {
    const NAME: &'static str = "mean_square";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(MeanSquare)
    }

    fn is_loss(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        for input in inputs {
            expect_dtype(input, DType::I8)?;
            expect_per_tensor(input)?;
            nhwc(input)?;
        }
        let (y, x) = (&inputs[0].shape, &inputs[1].shape);
        if y != x {
            return Err(format!("the output has shape {y:?}, the input {x:?}"));
        }
        Ok(vec![(DType::Error, y.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (y, x) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let count = T::from(y.len()).unwrap_or_else(T::nan);
        let off: Vec<T> = y.iter().zip(x).map(|(&y, &x)| y - x).collect();
        let sum = off.iter().fold(T::zero(), |sum, &d| sum + d * d);
        values.step.loss = sum / count;
        let dy = off.iter().map(|&d| (d + d) / count).collect();
        values.set(node.outputs[0], dy);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let both = [node.inputs[1], node.inputs[0]];
        let steps = both.map(|t| cx.graph.tensor(t).scale_of(0));
        let zeros = both.map(|t| cx.graph.tensor(t).zero() as i16);
        let unit = steps[0].max(steps[1]);
        let scales = steps.map(|s| Multiplier::from_f64(f64::from(s) / f64::from(unit)));
        let [x, y] = both.map(|t| cx.slot(t));
        let error = cx.slot(node.outputs[0]);
        cx.push(id, rt::MeanSquare { x, y, error, zeros, scales, unit });
        Ok(())
    }
}
