//! Gradient of a bias: the output gradient summed over positions.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::{expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;
use crate::scheme::Optimizer;

/// `db_o = sum_p dy_po`.
#[derive(Clone, Debug, PartialEq)]
pub struct BiasGrad;

impl Operator for BiasGrad {
    const NAME: &'static str = "bias_grad";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(BiasGrad)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        expect_dtype(inputs[0], DType::Error)?;
        let [_, _, o] = nhwc(inputs[0])?;
        Ok(vec![(DType::Stream, vec![o])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, _, o] = values.hwc(node.inputs[0]);
        let mut db = vec![T::zero(); o];
        for dy in values.get(node.inputs[0]).chunks_exact(o) {
            for (b, &e) in db.iter_mut().zip(dy) {
                *b = *b + e;
            }
        }
        values.set(node.outputs[0], db);
    }

    /// Streams into the update: emitted by [`super::Sgd`].
    fn lower(&self, _cx: &mut Lowering<'_>, _id: NodeId) -> Result<(), LowerError> {
        Ok(())
    }
}

impl BiasGrad {
    /// Emits the update of `parameter` by the gradient that node `id` computes.
    pub(super) fn lower_update(
        &self,
        cx: &mut Lowering<'_>,
        id: NodeId,
        parameter: TensorId,
        optimizer: &Optimizer,
    ) {
        let dy = cx.graph.node(id).inputs[0];
        let tensor = cx.graph.tensor(parameter);
        let pace = tensor.trained.as_ref().map_or(1.0, |t| t.pace);
        let factors: Vec<f32> = (0..tensor.elements()).map(|o| pace / tensor.scale_of(o)).collect();
        let (error, bias) = (cx.error(dy), cx.fixed(parameter));
        let (factor, scratch) = (cx.factors(&factors), cx.scratch(factors.len() * 4));
        let update = rt::BiasUpdate { error, bias, factor, scratch };
        match cx.bias_optimizer(optimizer, factors.len()) {
            Some(optimizer) => cx.push(id, rt::BiasOptimize { update, optimizer }),
            None => cx.push(id, update),
        }
    }
}
