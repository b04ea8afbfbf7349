//! Change of scale, with an optional clamp: a standalone activation, or a second quantisation.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_inputs, nhwc, Clamp, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y = clamp(x)` at another scale and zero point.
#[derive(Clone, Debug, PartialEq)]
pub struct Requantize {
    /// Range of an activation; `None` only saturates.
    pub clamp: Option<Clamp>,
}

impl Operator for Requantize {
    const NAME: &'static str = "requantize";

    fn attributes(&self) -> Attributes {
        Clamp::write(self.clamp, Attributes::new())
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(Requantize { clamp: Clamp::read(attributes)? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        nhwc(inputs[0])?;
        let dtype = expect_activation(inputs[0])?;
        Clamp::outputs(self.clamp, dtype, inputs[0].shape.clone())
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let y = values.get(node.inputs[0]).to_vec();
        values.set_clamped(node, y, self.clamp);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        cx.contribute(node.inputs[0], dy);
    }

    fn clamp(&self) -> Option<Clamp> {
        self.clamp
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (x, y) = (cx.graph.tensor(node.inputs[0]), cx.graph.tensor(node.outputs[0]));
        let scale = Multiplier::from_f64(x.scale_of(0) as f64 / y.scale_of(0) as f64);
        let (x_zero, range) = (x.zero() as i16, cx.range(node.outputs[0], self.clamp));
        let mask = node.outputs.get(1).map_or_else(Default::default, |&m| cx.slot(m));
        let (input, output) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        cx.push(id, rt::Requantize { input, output, mask, x_zero, scale, range });
        Ok(())
    }
}
