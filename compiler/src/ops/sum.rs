//! Where gradients meet (sum) and where an activation clamps (mask).

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::{expect_dtype, expect_inputs, Operator, OutputType};
use crate::ir::{Attributes, DType, Node, NodeId, Tensor};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `a + b`, of two gradients of one tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct SumGrad;

/// The gradient before a clamp: `dy` where the mask bit is 1, else 0.
#[derive(Clone, Debug, PartialEq)]
pub struct MaskGrad;

/// Sums and masks are usually absorbed by the op that computes their last term; what is left
/// becomes an op of its own.
fn lower(cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
    if cx.is_absorbed(id) {
        return Ok(());
    }
    let error = cx.error(cx.graph.node(id).inputs[0]);
    let epilogue = cx.epilogue(id);
    let (skip, mask, output) = (epilogue.skip, epilogue.mask, epilogue.output);
    cx.push(id, rt::SumGrad { error, skip, mask, output });
    Ok(())
}

impl Operator for SumGrad {
    const NAME: &'static str = "sum_grad";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(SumGrad)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_dtype(inputs[1], DType::Error)?;
        if inputs[0].shape != inputs[1].shape {
            return Err(format!("sums shapes {:?} and {:?}", inputs[0].shape, inputs[1].shape));
        }
        Ok(vec![(DType::Error, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (a, b) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let sum = a.iter().zip(b).map(|(&a, &b)| a + b).collect();
        values.set(node.outputs[0], sum);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        lower(cx, id)
    }
}

impl Operator for MaskGrad {
    const NAME: &'static str = "mask_grad";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(MaskGrad)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_dtype(inputs[1], DType::Bit)?;
        if inputs[0].shape != inputs[1].shape {
            return Err(format!("masks shape {:?} by {:?}", inputs[0].shape, inputs[1].shape));
        }
        Ok(vec![(DType::Error, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (dy, mask) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let dx = dy.iter().zip(mask).map(|(&e, &m)| e * m).collect();
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        lower(cx, id)
    }
}
