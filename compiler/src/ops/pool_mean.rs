//! Mean over the whole map in 8.7 fixed point: the features of a trained head.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::window::{shape, Window};
use super::{expect_dtype, expect_inputs, expect_per_tensor, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y_c = mean_p x_pc`, int16 with scale `s_x / 128`: not rounded to int8 again.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolMean;

impl Operator for PoolMean {
    const NAME: &'static str = "pool_mean";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(PoolMean)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        expect_dtype(inputs[0], DType::I8)?;
        expect_per_tensor(inputs[0])?;
        let [_, _, c] = nhwc(inputs[0])?;
        Ok(vec![(DType::I16, vec![1, 1, 1, c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [h, w, c] = values.hwc(node.inputs[0]);
        let share = T::one() / T::from(h * w).unwrap_or_else(T::one);
        let mut y = vec![T::zero(); c];
        for x in values.get(node.inputs[0]).chunks_exact(c) {
            crate::reference::math::axpy(&mut y, share, x);
        }
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let shape = &cx.graph().tensor(node.inputs[0]).shape;
        let window = Window::whole(shape[1], shape[2]);
        cx.contribute_pool(node, dy, window);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let hwc = cx.hwc(node.inputs[0]);
        let x_zero = cx.graph.tensor(node.inputs[0]).zero() as i16;
        let (input, output) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        let scratch = cx.mean_scratch(hwc[2]);
        cx.push(id, rt::PoolMean { input, output, x: shape(hwc), x_zero, scratch });
        Ok(())
    }
}
