//! Channels of which the first learn to do without the rest, and their gradient.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Quant, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// Passes the first channels of x, and 0 in place of the rest: in a training step a number of them drawn anew from 1 to
/// those that are to be kept, else those.
#[derive(Clone, Debug, PartialEq)]
pub struct Nest {
    /// Channels that are to be kept; a device can change it.
    pub kept: usize,
}

/// Gradient of [`Nest`] for its input: what passed. Inputs are `dy` and the result of that op.
#[derive(Clone, Debug, PartialEq)]
pub struct NestInputGrad;

/// `values [pixels][channels]` with 0 in place of channels from `passing` on.
fn first<T: Float>(values: &[T], channels: usize, passing: usize) -> Vec<T> {
    let passes = |at: usize| at % channels.max(1) < passing;
    values.iter().enumerate().map(|(at, &v)| if passes(at) { v } else { T::zero() }).collect()
}

impl Operator for Nest {
    const NAME: &'static str = "nest";

    fn attributes(&self) -> Attributes {
        Attributes::new().with("kept", [self.kept as i64])
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [kept] = attributes.get("kept")?;
        Ok(Nest { kept })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        let [_, _, channels] = nhwc(inputs[0])?;
        if !(1..=channels.min(u16::MAX.into())).contains(&self.kept) {
            return Err(format!("cannot keep {} of {channels} channels", self.kept));
        }
        Ok(vec![(expect_activation(inputs[0])?, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, _, channels] = values.hwc(node.inputs[0]);
        let passing = values.draw(node.outputs[0], self.kept);
        let y = first(values.get(node.inputs[0]), channels, passing);
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let x = node.inputs[0];
        if cx.wants(x) {
            let shape = cx.graph().tensor(x).shape.clone();
            let inputs = vec![dy, node.outputs[0]];
            let dx = cx.error(&format!("{}.dx", node.name), NestInputGrad.into(), inputs, &shape);
            cx.contribute(x, dx);
        }
    }

    fn quantization(&self, inputs: &[&Tensor]) -> Option<Quant> {
        inputs[0].quant.clone()
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (x, y) = (node.inputs[0], node.outputs[0]);
        if cx.graph.tensor(x).quant != cx.graph.tensor(y).quant {
            return Err(LowerError::new(
                cx.graph,
                id,
                "its result has another scale than its input",
            ));
        }
        let channels = cx.hwc(y)[2] as u16;
        let [kept, drawn] = cx.ranks(y, self.kept);
        let (input, output, random) = (cx.slot(x), cx.slot(y), cx.random());
        let zero = cx.graph.tensor(y).zero() as i16;
        cx.push(id, rt::Nest { input, output, channels, zero, kept, drawn, random });
        Ok(())
    }
}

impl Operator for NestInputGrad {
    const NAME: &'static str = "nest_input_grad";

    fn from_attributes(_: &Attributes) -> Result<Self, String> {
        Ok(NestInputGrad)
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
        let [_, _, channels] = values.hwc(node.inputs[0]);
        let passing = values.drawn(node.inputs[1]).unwrap_or(channels);
        let dx = first(values.get(node.inputs[0]), channels, passing);
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (dy, y) = (node.inputs[0], node.inputs[1]);
        let channels = cx.hwc(y)[2] as u16;
        // The forward op has said how many are kept.
        let [kept, drawn] = cx.ranks(y, channels.into());
        let (error, epilogue) = (cx.error(dy), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        cx.push(id, rt::NestInputGrad { error, output, skip, mask, channels, kept, drawn });
        Ok(())
    }
}
