//! The trained classifier: int16 features times 8.8 latent weights.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::{expect_dtype, expect_inputs, expect_per_tensor, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::{math, Values};
use crate::scheme::Optimizer;

/// `y_k = b_k + sum_i w_ki x_i`; inputs `x [1,1,1,F]` int16, `w [K,F]` int16, `b [K]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Head;

/// `dx_i = sum_k w_ki dy_k`.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadInputGrad;

/// `dw_ki = dy_k x_i`.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadWeightGrad;

/// Weights of a head: `[K, F]` with one scale that is a power of two; gives K, F and the power.
fn weight_shape(w: &Tensor) -> Result<([usize; 2], i8), String> {
    expect_dtype(w, DType::I16)?;
    expect_per_tensor(w)?;
    let shape = w.shape.as_slice().try_into().map_err(|_| {
        format!("`{}` has shape {:?}, expected [classes, features]", w.name, w.shape)
    })?;
    // The latent holds 8 bits more than the weight: its scale is the weight's.
    let exponent = w.scale_of(0).log2();
    if exponent.fract() != 0.0 || exponent.abs() > 100.0 {
        return Err(format!("`{}` has scale {}, which is no power of two", w.name, w.scale_of(0)));
    }
    Ok((shape, exponent as i8))
}

impl Operator for Head {
    const NAME: &'static str = "head";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(Head)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 3)?;
        expect_dtype(inputs[0], DType::I16)?;
        let ([k, f], _) = weight_shape(inputs[1])?;
        if nhwc(inputs[0])? != [1, 1, f] {
            return Err(format!("{:?} features do not fit weights {:?}", inputs[0].shape, [k, f]));
        }
        if inputs[2].shape != [k] || inputs[2].dtype != DType::I32 {
            return Err(format!("bias `{}` must be i32[{k}]", inputs[2].name));
        }
        Ok(vec![(DType::I32, vec![1, 1, 1, k])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (x, w) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let bias = values.get(node.inputs[2]);
        let y = w.chunks_exact(x.len()).zip(bias).map(|(w, &b)| b + math::dot(w, x)).collect();
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let [x, w, b] = [node.inputs[0], node.inputs[1], node.inputs[2]];
        if cx.wants(x) {
            let shape = cx.graph().tensor(x).shape.clone();
            let dx =
                cx.error(&format!("{}.dx", node.name), HeadInputGrad.into(), vec![dy, w], &shape);
            cx.contribute(x, dx);
        }
        if cx.graph().tensor(w).trained.is_some() {
            let shape = cx.graph().tensor(w).shape.clone();
            let dw =
                cx.stream(&format!("{}.dw", node.name), HeadWeightGrad.into(), vec![dy, x], shape);
            cx.update(w, dw);
        }
        cx.update_bias(node, b, dy);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let [x, w, b] = [node.inputs[0], node.inputs[1], node.inputs[2]];
        if cx.graph.tensor(w).trained.is_none() || cx.graph.tensor(b).trained.is_none() {
            return Err(LowerError::new(cx.graph, id, "a head is always trained"));
        }
        let (input, output) = (cx.slot(x), cx.slot(node.outputs[0]));
        let (latent, bias) = (cx.fixed(w), cx.fixed(b));
        cx.push(id, rt::Head { input, latent, bias, output });
        Ok(())
    }
}

impl Operator for HeadInputGrad {
    const NAME: &'static str = "head_input_grad";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(HeadInputGrad)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        let ([k, f], _) = weight_shape(inputs[1])?;
        if nhwc(inputs[0])? != [1, 1, k] {
            return Err(format!(
                "a gradient of shape {:?} does not fit {k} classes",
                inputs[0].shape
            ));
        }
        Ok(vec![(DType::Error, vec![1, 1, 1, f])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (dy, w) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let mut dx = vec![T::zero(); w.len() / dy.len()];
        for (&e, w) in dy.iter().zip(w.chunks_exact(dx.len())) {
            math::axpy(&mut dx, e, w);
        }
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (dy, w) = (node.inputs[0], node.inputs[1]);
        let (_, weight_exponent) =
            weight_shape(cx.graph.tensor(w)).map_err(|why| LowerError::new(cx.graph, id, &why))?;
        let (error, output) = (cx.error(dy), cx.error(node.outputs[0]));
        let latent = cx.fixed(w);
        cx.push(id, rt::HeadInputGrad { error, latent, output, weight_exponent });
        Ok(())
    }
}

impl Operator for HeadWeightGrad {
    const NAME: &'static str = "head_weight_grad";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(HeadWeightGrad)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_dtype(inputs[1], DType::I16)?;
        let ([_, _, k], [_, _, f]) = (nhwc(inputs[0])?, nhwc(inputs[1])?);
        Ok(vec![(DType::Stream, vec![k, f])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (dy, x) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let dw = dy.iter().flat_map(|&e| x.iter().map(move |&x| e * x)).collect();
        values.set(node.outputs[0], dw);
    }

    /// Streams into the update: emitted by [`super::Sgd`].
    fn lower(&self, _cx: &mut Lowering<'_>, _id: NodeId) -> Result<(), LowerError> {
        Ok(())
    }
}

impl HeadWeightGrad {
    /// Emits the update of `parameter` by the gradient that node `id` computes.
    pub(super) fn lower_update(
        &self,
        cx: &mut Lowering<'_>,
        id: NodeId,
        parameter: TensorId,
        optimizer: &Optimizer,
    ) {
        let node = cx.graph.node(id);
        let (dy, x) = (node.inputs[0], node.inputs[1]);
        let s_x = cx.graph.tensor(x).scale_of(0);
        let factor = cx.gradient_factor(s_x, cx.graph.tensor(parameter).scale_of(0));
        let (error, input, latent) = (cx.error(dy), cx.slot(x), cx.fixed(parameter));
        let update = rt::HeadUpdate { error, input, latent, factor };
        match cx.weight_optimizer(optimizer, cx.graph.tensor(parameter).elements()) {
            Some(optimizer) => cx.push(id, rt::HeadOptimize { update, optimizer }),
            None => cx.push(id, update),
        }
    }
}
