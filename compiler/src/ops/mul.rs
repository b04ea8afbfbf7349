//! Product of two tensors, one of which may be broadcast, and its gradients.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y = a b`; b has the shape of a, or 1 for its pixels, its channels or both.
#[derive(Clone, Debug, PartialEq)]
pub struct Mul;

/// Gradient of [`Mul`] for one factor: `dy` times the other, summed over what the factor was
/// broadcast to. Inputs are `dy` and the other factor.
#[derive(Clone, Debug, PartialEq)]
pub struct MulInputGrad {
    /// Height, width and channels of the factor.
    pub factor: [usize; 3],
}

/// How a tensor of shape `part` is laid over one of shape `full`.
fn steps(part: [usize; 3], full: [usize; 3]) -> Result<rt::Steps, String> {
    let [h, w, c] = full;
    let pixel = match (part[0], part[1]) {
        (1, 1) if [h, w] != [1, 1] => 0,
        (ph, pw) if [ph, pw] == [h, w] => part[2] as u16,
        _ => return Err(format!("{part:?} cannot be broadcast to {full:?}")),
    };
    match part[2] {
        channels if channels == c => Ok(rt::Steps { pixel, channel: 1 }),
        1 => Ok(rt::Steps { pixel, channel: 0 }),
        _ => Err(format!("{part:?} cannot be broadcast to {full:?}")),
    }
}

/// Fraction bits and multiplier of a sum of so many products of an error and a factor of scale `s`:
/// the largest that there may be leaves a bit free for another branch.
pub(super) fn sum_scale(s: f32, terms: f64) -> (i8, Multiplier) {
    let s = f64::from(s);
    let most = 127.0 * 255.0 * terms * s;
    let fraction = (30.0 - most.log2()).floor().clamp(-24.0, 40.0);
    (fraction as i8, Multiplier::from_f64(s * fraction.exp2()))
}

/// Index of the element of a tensor laid out in `steps` for element `at` of one with `c` channels.
fn element(steps: rt::Steps, at: usize, c: usize) -> usize {
    at / c * steps.pixel as usize + at % c * steps.channel as usize
}

impl Operator for Mul {
    const NAME: &'static str = "mul";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(Mul)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        let dtype = expect_activation(inputs[0])?;
        expect_activation(inputs[1])?;
        expect_dtype(inputs[1], dtype)?;
        steps(nhwc(inputs[1])?, nhwc(inputs[0])?)?;
        Ok(vec![(dtype, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [full, part] = [values.hwc(node.inputs[0]), values.hwc(node.inputs[1])];
        let steps = steps(part, full).unwrap_or_default();
        let (a, b) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let product = |(at, &a): (usize, &T)| a * b[element(steps, at, full[2])];
        let y = a.iter().enumerate().map(product).collect();
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        for (own, other, letter) in [(0, 1, 'a'), (1, 0, 'b')] {
            let (own, other) = (node.inputs[own], node.inputs[other]);
            if cx.wants(own) {
                let shape = cx.graph().tensor(own).shape.clone();
                let op = MulInputGrad { factor: [shape[1], shape[2], shape[3]] };
                let name = format!("{}.d{letter}", node.name);
                let dx = cx.error(&name, op.into(), vec![dy, other], &shape);
                cx.contribute(own, dx);
            }
        }
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let [a, b, y] =
            [node.inputs[0], node.inputs[1], node.outputs[0]].map(|t| cx.graph.tensor(t));
        let product = f64::from(a.scale_of(0)) * f64::from(b.scale_of(0));
        let scale = Multiplier::from_f64(product / f64::from(y.scale_of(0)));
        let zeros = [a.zero() as i16, b.zero() as i16];
        let full = cx.hwc(node.inputs[0]);
        let steps = steps(cx.hwc(node.inputs[1]), full)
            .map_err(|why| LowerError::new(cx.graph, id, &why))?;
        let (channels, range) = (full[2] as u16, cx.range(node.outputs[0], None));
        let [a, b, output] = [node.inputs[0], node.inputs[1], node.outputs[0]].map(|t| cx.slot(t));
        cx.push(id, rt::Mul { a, b, output, channels, steps, zeros, scale, range });
        Ok(())
    }
}

impl Operator for MulInputGrad {
    const NAME: &'static str = "mul_input_grad";

    fn attributes(&self) -> Attributes {
        Attributes::new().with("factor", self.factor.map(|v| v as i64))
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(MulInputGrad { factor: attributes.get("factor")? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_activation(inputs[1])?;
        let full = nhwc(inputs[0])?;
        steps(self.factor, full)?;
        steps(nhwc(inputs[1])?, full)?;
        let [h, w, c] = self.factor;
        Ok(vec![(DType::Error, vec![1, h, w, c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [full, other] = [values.hwc(node.inputs[0]), values.hwc(node.inputs[1])];
        let own = steps(self.factor, full).unwrap_or_default();
        let by = steps(other, full).unwrap_or_default();
        let (dy, other) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let mut dx = vec![T::zero(); self.factor.iter().product()];
        for (at, &dy) in dy.iter().enumerate() {
            let to = &mut dx[element(own, at, full[2])];
            *to = *to + dy * other[element(by, at, full[2])];
        }
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let [dy, other] = [cx.graph.node(id).inputs[0], cx.graph.node(id).inputs[1]];
        let full = cx.hwc(dy);
        let own = steps(self.factor, full).map_err(|why| LowerError::new(cx.graph, id, &why))?;
        let by = steps(cx.hwc(other), full).map_err(|why| LowerError::new(cx.graph, id, &why))?;
        let factor = cx.graph.tensor(other);
        let other_zero = factor.zero() as i16;
        let elements = |hwc: [usize; 3]| hwc.iter().product::<usize>() as f64;
        let terms = elements(full) / elements(self.factor);
        let (fraction, scale) = sum_scale(factor.scale_of(0), terms);
        let (error, input, epilogue) = (cx.error(dy), cx.slot(other), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        cx.push(
            id,
            rt::MulInputGrad {
                error,
                output,
                skip,
                mask,
                other: input,
                channels: full[2] as u16,
                steps: own,
                other_steps: by,
                other_zero,
                scale,
                fraction,
            },
        );
        Ok(())
    }
}
