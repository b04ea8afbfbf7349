//! Elementwise sum of two tensors of one shape.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Clamp, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y = clamp(a + b)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Add {
    /// Range of an activation; `None` only saturates.
    pub clamp: Option<Clamp>,
}

impl Operator for Add {
    const NAME: &'static str = "add";

    fn attributes(&self) -> Attributes {
        Clamp::write(self.clamp, Attributes::new())
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(Add { clamp: Clamp::read(attributes)? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        for input in inputs {
            nhwc(input)?;
            expect_activation(input)?;
        }
        expect_dtype(inputs[1], inputs[0].dtype)?;
        if inputs[0].shape != inputs[1].shape {
            return Err(format!(
                "adds shapes {:?} and {:?}, which must be equal",
                inputs[0].shape, inputs[1].shape
            ));
        }
        Clamp::outputs(self.clamp, inputs[0].dtype, inputs[0].shape.clone())
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (a, b) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let y = a.iter().zip(b).map(|(&a, &b)| a + b).collect();
        values.set_clamped(node, y, self.clamp);
    }

    /// Both terms get the sum's gradient: in real units there is nothing to scale.
    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        cx.contribute(node.inputs[0], dy);
        cx.contribute(node.inputs[1], dy);
    }

    fn clamp(&self) -> Option<Clamp> {
        self.clamp
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let [a, b] = [cx.graph.tensor(node.inputs[0]), cx.graph.tensor(node.inputs[1])];
        let y = cx.graph.tensor(node.outputs[0]);
        let twice = 2.0 * a.scale_of(0).max(b.scale_of(0)) as f64;
        let scales = [a, b].map(|t| Multiplier::from_f64(t.scale_of(0) as f64 / twice));
        let y_scale = Multiplier::from_f64(twice / (f64::from(1 << 20) * y.scale_of(0) as f64));
        let zeros = [a.zero() as i16, b.zero() as i16];
        let range = cx.range(node.outputs[0], self.clamp);
        let mask = node.outputs.get(1).map_or_else(Default::default, |&m| cx.slot(m));
        let (a, b, output) =
            (cx.slot(node.inputs[0]), cx.slot(node.inputs[1]), cx.slot(node.outputs[0]));
        cx.push(id, rt::Add { a, b, output, mask, zeros, scales, y_scale, range });
        Ok(())
    }
}
