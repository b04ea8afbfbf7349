//! Softmax over channels, and its gradient. A softmax that a network ends in is replaced by its loss
//! where the network is trained.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Quant, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y_c = exp(x_c) / sum_c exp(x_c)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Softmax;

/// Gradient of [`Softmax`] for its input: `dx = y (dy - sum dy y)` over the channels of each pixel.
/// Inputs are `dy` and `y`.
#[derive(Clone, Debug, PartialEq)]
pub struct SoftmaxInputGrad;

/// The quantisation of probabilities, as TensorFlow Lite has it.
fn probabilities() -> Quant {
    Quant::per_tensor(1.0 / 256.0, -128)
}

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

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        if cx.wants(x) {
            let shape = cx.graph().tensor(x).shape.clone();
            let name = format!("{}.dx", node.name);
            let dx = cx.error(&name, SoftmaxInputGrad.into(), vec![dy, y], &shape);
            cx.contribute(x, dx);
        }
    }

    /// What it gives lies between 0 and 1.
    fn quantization(&self, _inputs: &[&Tensor]) -> Option<Quant> {
        Some(probabilities())
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let y = cx.graph.tensor(node.outputs[0]);
        if y.quant != Some(probabilities()) {
            return Err(LowerError::new(
                cx.graph,
                id,
                "its output must have scale 1/256 and zero point -128",
            ));
        }
        let depth = cx.hwc(node.inputs[0])[2];
        if depth > usize::from(rt::Softmax::MOST_CHANNELS) {
            let most = rt::Softmax::MOST_CHANNELS;
            let why = format!("it runs over {depth} channels, at most {most} can be summed");
            return Err(LowerError::new(cx.graph, id, &why));
        }
        // TensorFlow Lite scales differences to 5 integer bits; what would leave them is 0.
        let scale = cx.graph.tensor(node.inputs[0]).scale_of(0) as f64 * f64::from(1 << 26);
        let scale = Multiplier::from_f64(scale.min(f64::from(i32::MAX)));
        let most = f64::from((1 << 5) - 1) * f64::from(1 << 26) / (scale.shift as f64).exp2();
        let diff_min = -(most.floor() as i32);
        let depth = depth as u16;
        let (input, output) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        cx.push(id, rt::Softmax { input, output, depth, scale, diff_min });
        Ok(())
    }
}

impl Operator for SoftmaxInputGrad {
    const NAME: &'static str = "softmax_input_grad";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(SoftmaxInputGrad)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_activation(inputs[1])?;
        nhwc(inputs[0])?;
        if inputs[0].shape != inputs[1].shape {
            let (dy, y) = (&inputs[0].shape, &inputs[1].shape);
            return Err(format!("the gradient has shape {dy:?}, the result {y:?}"));
        }
        Ok(vec![(DType::Error, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, _, depth] = values.hwc(node.inputs[0]);
        let (dy, y) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let mut dx = Vec::with_capacity(dy.len());
        for (dy, y) in dy.chunks_exact(depth).zip(y.chunks_exact(depth)) {
            let mean = dy.iter().zip(y).fold(T::zero(), |sum, (&dy, &y)| sum + dy * y);
            dx.extend(dy.iter().zip(y).map(|(&dy, &y)| y * (dy - mean)));
        }
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let [dy, y] = [cx.graph.node(id).inputs[0], cx.graph.node(id).inputs[1]];
        let depth = cx.hwc(dy)[2] as u16;
        let (error, probability, epilogue) = (cx.error(dy), cx.slot(y), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        cx.push(id, rt::SoftmaxInputGrad { error, output, skip, mask, probability, depth });
        Ok(())
    }
}
