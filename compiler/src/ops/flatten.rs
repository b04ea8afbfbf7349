//! All of a map in 8.7 fixed point: the features of a trained head that has a weight for every
//! position.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::window::{shape, Window};
use super::{expect_dtype, expect_inputs, expect_per_tensor, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y_i = x_i` in the order of NHWC, int16 with scale `s_x / 128`.
#[derive(Clone, Debug, PartialEq)]
pub struct Flatten;

/// `dx_i = dy_i`, as a map again.
#[derive(Clone, Debug, PartialEq)]
pub struct FlattenInputGrad {
    /// Height and width of the map.
    pub input: [usize; 2],
}

impl Operator for Flatten {
    const NAME: &'static str = "flatten";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(Flatten)
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        expect_dtype(inputs[0], DType::I8)?;
        expect_per_tensor(inputs[0])?;
        let [h, w, c] = nhwc(inputs[0])?;
        Ok(vec![(DType::I16, vec![1, 1, 1, h * w * c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let y = values.get(node.inputs[0]).to_vec();
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let x = node.inputs[0];
        if cx.wants(x) {
            let shape = cx.graph().tensor(x).shape.clone();
            let op = FlattenInputGrad { input: [shape[1], shape[2]] };
            let dx = cx.error(&format!("{}.dx", node.name), op.into(), vec![dy], &shape);
            cx.contribute(x, dx);
        }
    }

    /// The mean of one pixel with every element as a channel is that element.
    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let x = shape([1, 1, cx.graph.tensor(node.inputs[0]).elements()]);
        let x_zero = cx.graph.tensor(node.inputs[0]).zero() as i16;
        let (input, output) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        let scratch = cx.mean_scratch(x.c.into());
        cx.push(id, rt::PoolMean { input, output, x, x_zero, scratch });
        Ok(())
    }
}

impl Operator for FlattenInputGrad {
    const NAME: &'static str = "flatten_input_grad";

    fn attributes(&self) -> Attributes {
        Attributes::new().with("input", self.input.map(|v| v as i64))
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(FlattenInputGrad { input: attributes.get("input")? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        expect_dtype(inputs[0], DType::Error)?;
        let [h, w] = self.input;
        match nhwc(inputs[0])? {
            [1, 1, elements] if h > 0 && w > 0 && elements % (h * w) == 0 => {
                Ok(vec![(DType::Error, vec![1, h, w, elements / (h * w)])])
            }
            _ => Err(format!("a gradient of shape {:?} is no {h}x{w} map", inputs[0].shape)),
        }
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let dx = values.get(node.inputs[0]).to_vec();
        values.set(node.outputs[0], dx);
    }

    /// Every element is a window of its own.
    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let dy = cx.graph.node(id).inputs[0];
        let whole = shape(cx.hwc(dy));
        let geometry = rt::Geometry { x: whole, y: whole, window: Window::whole(1, 1).lower() };
        let (error, epilogue) = (cx.error(dy), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        cx.push(id, rt::PoolInputGrad { error, output, skip, mask, geometry, fraction: 15 });
        Ok(())
    }
}
