//! Channels of which a training step passes some, and their gradient.

use std::ops::Range;

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Quant, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// Passes the first channels of x, those that are to be kept, and 0 in place of the rest. In a training step, some of
/// them that are drawn anew: the first so many, or one part of several, which else give their mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Nest {
    /// Channels that are to be kept; a device can change it.
    pub kept: usize,
    /// Channels of a part; 0: the first so many of them are drawn.
    pub part: usize,
}

/// Gradient of [`Nest`] for its input: what passed. Inputs are `dy` and the result of that op.
#[derive(Clone, Debug, PartialEq)]
pub struct NestInputGrad {
    /// Channels of a part, as in that op.
    pub part: usize,
}

impl Nest {
    /// What a channel counts for where no part is drawn.
    pub fn share(&self) -> f64 {
        share(self.kept, self.part)
    }
}

/// What each of `kept` channels in parts of so many counts for; in no parts, in whole.
fn share(kept: usize, part: usize) -> f64 {
    let parts = if part > 0 { kept.div_ceil(part) } else { 1 };
    1.0 / parts as f64
}

/// `values [pixels][channels]` with 0 in place of channels that do not pass, and their share of the others.
fn only<T: Float>(values: &[T], channels: usize, passing: &Range<usize>, part: usize) -> Vec<T> {
    let share = T::from(share(passing.end, part)).unwrap_or_else(T::one);
    let passes = |at: usize| passing.contains(&(at % channels.max(1)));
    values
        .iter()
        .enumerate()
        .map(|(at, &v)| if passes(at) { v * share } else { T::zero() })
        .collect()
}

impl Operator for Nest {
    const NAME: &'static str = "nest";

    fn attributes(&self) -> Attributes {
        Attributes::new().with("kept", [self.kept as i64]).with("part", [self.part as i64])
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let ([kept], [part]) = (attributes.get("kept")?, attributes.get("part")?);
        Ok(Nest { kept, part })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        let [_, _, channels] = nhwc(inputs[0])?;
        if !(1..=channels.min(u16::MAX.into())).contains(&self.kept) {
            return Err(format!("cannot keep {} of {channels} channels", self.kept));
        }
        if self.part > channels {
            return Err(format!("cannot make parts of {} of {channels} channels", self.part));
        }
        Ok(vec![(expect_activation(inputs[0])?, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, _, channels] = values.hwc(node.inputs[0]);
        let drawn = values.draw(self.kept.div_ceil(self.part.max(1)));
        let passing = match drawn {
            None => 0..self.kept,
            Some(drawn) if self.part == 0 => 0..drawn,
            Some(drawn) => (drawn - 1) * self.part..(drawn * self.part).min(self.kept),
        };
        let part = drawn.map_or(self.part, |_| 0);
        let y = only(values.get(node.inputs[0]), channels, &passing, part);
        values.pass(node.outputs[0], passing);
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let x = node.inputs[0];
        if cx.wants(x) {
            let shape = cx.graph().tensor(x).shape.clone();
            let inputs = vec![dy, node.outputs[0]];
            let op = NestInputGrad { part: self.part };
            let dx = cx.error(&format!("{}.dx", node.name), op.into(), inputs, &shape);
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
        let (zero, part) = (cx.graph.tensor(y).zero() as i16, self.part as u16);
        cx.push(id, rt::Nest { input, output, channels, part, zero, kept, drawn, random });
        Ok(())
    }
}

impl Operator for NestInputGrad {
    const NAME: &'static str = "nest_input_grad";

    fn attributes(&self) -> Attributes {
        Attributes::new().with("part", [self.part as i64])
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [part] = attributes.get("part")?;
        Ok(NestInputGrad { part })
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
        let passing = values.passed(node.inputs[1]).unwrap_or(0..channels);
        let part = if values.step.rate > T::zero() { 0 } else { self.part };
        let dx = only(values.get(node.inputs[0]), channels, &passing, part);
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
        let part = self.part as u16;
        cx.push(id, rt::NestInputGrad { error, output, skip, mask, channels, part, kept, drawn });
        Ok(())
    }
}
