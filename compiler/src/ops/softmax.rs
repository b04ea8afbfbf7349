//! Softmax over channels, for networks that end in one. Training replaces it by its loss.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_inputs, nhwc, Operator, OutputType};
use crate::ir::{Attributes, Node, NodeId, Tensor};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y_c = exp(x_c) / sum_c exp(x_c)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax;

impl Operator for Softmax {
    const NAME: &'static str = "softmax";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(Softmax)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        nhwc(inputs[0])?;
        let dtype = expect_activation(inputs[0])?;
        Ok(vec![(dtype, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, _, depth] = values.hwc(node.inputs[0]);
        let mut y = Vec::new();
        for row in values.get(node.inputs[0]).chunks_exact(depth) {
            let most = row.iter().copied().fold(T::neg_infinity(), T::max);
            let total = row.iter().fold(T::zero(), |sum, &x| sum + (x - most).exp());
            y.extend(row.iter().map(|&x| (x - most).exp() / total));
        }
        values.set(node.outputs[0], y);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let y = cx.graph.tensor(node.outputs[0]);
        if y.scale_of(0) != 1.0 / 256.0 || y.zero() != -128 {
            return Err(LowerError::new(
                cx.graph,
                id,
                "its output must have scale 1/256 and zero point -128",
            ));
        }
        // TensorFlow Lite scales differences to 5 integer bits; what would leave them is 0.
        let scale = cx.graph.tensor(node.inputs[0]).scale_of(0) as f64 * f64::from(1 << 26);
        let scale = Multiplier::from_f64(scale.min(f64::from(i32::MAX)));
        let most = f64::from((1 << 5) - 1) * f64::from(1 << 26) / (scale.shift as f64).exp2();
        let diff_min = -(most.floor() as i32);
        let depth = cx.hwc(node.inputs[0])[2] as u16;
        let (input, output) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        cx.push(id, rt::Softmax { input, output, depth, scale, diff_min });
        Ok(())
    }
}
