//! Normalisation over the channels of each pixel, the core of LayerNorm, and its gradient.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Op, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y = (x - mean) / sqrt(variance + epsilon)` over the channels of each pixel. On request, what the
/// deviation is divided into, `1 / sqrt(variance + epsilon)`, is a second output, one a pixel.
///
/// LayerNorm's scale and shift are no part of it: they are a depthwise convolution of 1x1.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalize {
    /// Added to the variance, in squared real units; positive.
    pub epsilon: f32,
}

/// Gradient of [`Normalize`] for its input: `dx = r / D (D dy - sum dy - y sum(dy y))` over D
/// channels. Inputs are `dy`, `y` and the reciprocal deviations r.
#[derive(Clone, Debug, PartialEq)]
pub struct NormalizeInputGrad;

/// Sum of a row.
fn sum<T: Float>(row: impl Iterator<Item = T>) -> T {
    row.fold(T::zero(), |sum, x| sum + x)
}

impl Operator for Normalize {
    const NAME: &'static str = "normalize";

    fn attributes(&self) -> Attributes {
        Attributes::new().with_real("epsilon", [self.epsilon])
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [epsilon] = attributes.find_real("epsilon")?.ok_or("attribute `epsilon` is missing")?;
        Ok(Normalize { epsilon })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        let dtype = expect_activation(inputs[0])?;
        let [h, w, _] = nhwc(inputs[0])?;
        if !(self.epsilon.is_normal() && self.epsilon > 0.0) {
            return Err(format!("epsilon {} is not a positive number", self.epsilon));
        }
        Ok(vec![(dtype, inputs[0].shape.clone()), (DType::F32, vec![1, h, w, 1])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, _, depth] = values.hwc(node.inputs[0]);
        let real = |v: f64| T::from(v).unwrap_or_else(T::nan);
        let (count, epsilon) = (real(depth as f64), real(self.epsilon.into()));
        let (mut y, mut reciprocals) = (Vec::new(), Vec::new());
        for row in values.get(node.inputs[0]).chunks_exact(depth) {
            let mean = sum(row.iter().copied()) / count;
            let variance = sum(row.iter().map(|&x| (x - mean).powi(2))) / count;
            let reciprocal = (variance + epsilon).sqrt().recip();
            y.extend(row.iter().map(|&x| (x - mean) * reciprocal));
            reciprocals.push(reciprocal);
        }
        values.set(node.outputs[0], y);
        if let Some(&kept) = node.outputs.get(1) {
            values.set(kept, reciprocals);
        }
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let (x, y) = (node.inputs[0], node.outputs[0]);
        if cx.wants(x) {
            let shape = cx.graph().tensor(x).shape.clone();
            let pixels = vec![1, shape[1], shape[2], 1];
            let name = format!("{}.reciprocal", node.name);
            let kept = cx.remember(Tensor::computed(name, DType::F32, pixels));
            let (name, inputs) = (format!("{}.dx", node.name), vec![dy, y, kept]);
            let dx = cx.error(&name, NormalizeInputGrad.into(), inputs, &shape);
            cx.contribute(x, dx);
        }
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let [x, y] = [node.inputs[0], node.outputs[0]];
        let [x_scale, y_scale] = [x, y].map(|t| cx.graph.tensor(t).scale_of(0));
        let reciprocal = node.outputs.get(1).map_or_else(Default::default, |&t| cx.slot(t));
        let (input, output, range) = (cx.slot(x), cx.slot(y), cx.range(y, None));
        let (depth, epsilon) = (cx.hwc(x)[2], self.epsilon);
        if depth > usize::from(rt::Normalize::MOST_CHANNELS) {
            let most = rt::Normalize::MOST_CHANNELS;
            let why = format!("it runs over {depth} channels, at most {most} can be summed");
            return Err(LowerError::new(cx.graph, id, &why));
        }
        let depth = depth as u16;
        cx.push(
            id,
            rt::Normalize { input, output, reciprocal, depth, x_scale, y_scale, epsilon, range },
        );
        Ok(())
    }
}

impl Operator for NormalizeInputGrad {
    const NAME: &'static str = "normalize_input_grad";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(NormalizeInputGrad)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 3)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_activation(inputs[1])?;
        expect_dtype(inputs[2], DType::F32)?;
        let [h, w, _] = nhwc(inputs[0])?;
        if inputs[1].shape != inputs[0].shape || inputs[2].shape != [1, h, w, 1] {
            let [dy, y, r] = [0, 1, 2].map(|i| &inputs[i].shape);
            return Err(format!(
                "the gradient has shape {dy:?}, the result {y:?}, deviations {r:?}"
            ));
        }
        Ok(vec![(DType::Error, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, _, depth] = values.hwc(node.inputs[0]);
        let count = T::from(depth).unwrap_or_else(T::nan);
        let [dy, y, reciprocals] = [0, 1, 2].map(|i| values.get(node.inputs[i]));
        let mut dx = Vec::with_capacity(dy.len());
        let rows = dy.chunks_exact(depth).zip(y.chunks_exact(depth));
        for ((dy, y), &reciprocal) in rows.zip(reciprocals) {
            let total = sum(dy.iter().copied());
            let along = sum(dy.iter().zip(y).map(|(&dy, &y)| dy * y));
            let one = |(&dy, &y): (&T, &T)| reciprocal / count * (count * dy - total - y * along);
            dx.extend(dy.iter().zip(y).map(one));
        }
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let [dy, y, kept] = [node.inputs[0], node.inputs[1], node.inputs[2]];
        let forward = cx.producer(y).map(|p| cx.graph.node(p));
        let Some((Op::Normalize(op), from)) = forward.map(|n| (&n.op, n.inputs[0])) else {
            return Err(LowerError::new(cx.graph, id, "its result comes from no normalize"));
        };
        let depth = cx.hwc(dy)[2];
        // The largest factor, that of a row of which one element is off by a step, and the largest
        // element with it, leave a bit free for another branch. Constant rows may saturate.
        let (count, step) = (depth as f64, f64::from(cx.graph.tensor(from).scale_of(0)));
        let steepest = f64::from(op.epsilon).sqrt().recip().min(count.sqrt() / step);
        let most = 127.0 * (2.0 + count.sqrt()) * steepest;
        let fraction = (30.0 - most.log2()).floor().clamp(-24.0, 24.0) as i8;
        let normalized = cx.graph.tensor(y);
        let (y_zero, y_scale) = (normalized.zero() as i16, normalized.scale_of(0));
        let (normal, reciprocal) = (cx.slot(y), cx.slot(kept));
        let (error, epilogue) = (cx.error(dy), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        cx.push(
            id,
            rt::NormalizeInputGrad {
                error,
                output,
                skip,
                mask,
                normal,
                reciprocal,
                depth: depth as u16,
                y_zero,
                y_scale,
                fraction,
            },
        );
        Ok(())
    }
}
