//! Maximum over windows, and its gradient.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::conv2d::geometry;
use super::window::{shape, Window};
use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Quant, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// Kernel positions that an index of one byte in int8 can name.
const MOST_TAPS: usize = 128;

/// Largest value of each window; padding never wins. The scale of x stays. On request, the kernel
/// position that won is a second output.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPool {
    /// Kernel, stride, padding.
    pub window: Window,
}

/// Gradient of [`MaxPool`] for its input: that of each window goes to the pixel that won, the first
/// of several. Inputs are `dy` and the kernel positions.
#[derive(Clone, Debug, PartialEq)]
pub struct MaxPoolInputGrad {
    /// Window of the forward op.
    pub window: Window,
    /// Height and width of the forward op's input.
    pub input: [usize; 2],
}

/// Hands every output position, kernel position and input position that windows join to `f`.
fn joined(
    window: &Window,
    input: [usize; 2],
    output: [usize; 2],
    mut f: impl FnMut(usize, usize, usize),
) {
    for at in 0..output[0] * output[1] {
        for (y, ky) in window.taps(0, at / output[1], input[0]) {
            for (x, kx) in window.taps(1, at % output[1], input[1]) {
                f(at, ky * window.kernel[1] + kx, y * input[1] + x);
            }
        }
    }
}

impl Operator for MaxPool {
    const NAME: &'static str = "max_pool";

    fn attributes(&self) -> Attributes {
        self.window.attributes()
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(MaxPool { window: Window::from_attributes(attributes)? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        let dtype = expect_activation(inputs[0])?;
        let [h, w, c] = nhwc(inputs[0])?;
        let [oh, ow] = self.window.output(h, w)?;
        if self.window.dilation[0] > h || self.window.dilation[1] > w {
            return Err(format!("a dilation of {:?} steps over the map", self.window.dilation));
        }
        Ok(vec![(dtype, vec![1, oh, ow, c]), (DType::I8, vec![1, oh, ow, c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [h, w, c] = values.hwc(node.inputs[0]);
        let [oh, ow, _] = values.hwc(node.outputs[0]);
        let x = values.get(node.inputs[0]);
        let mut y = vec![T::neg_infinity(); oh * ow * c];
        let mut index = vec![T::zero(); oh * ow * c];
        joined(&self.window, [h, w], [oh, ow], |at, tap, pixel| {
            for n in 0..c {
                if x[pixel * c + n] > y[at * c + n] {
                    y[at * c + n] = x[pixel * c + n];
                    index[at * c + n] = T::from(tap).unwrap_or_else(T::nan);
                }
            }
        });
        values.set(node.outputs[0], y);
        if let Some(&kept) = node.outputs.get(1) {
            values.set(kept, index);
        }
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let x = node.inputs[0];
        if self.window.kernel[0] * self.window.kernel[1] > MOST_TAPS {
            cx.stop();
        } else if cx.wants(x) {
            let shapes = [x, node.outputs[0]].map(|t| cx.graph().tensor(t).shape.clone());
            let [input, output] = shapes;
            let index = Tensor::computed(format!("{}.index", node.name), DType::I8, output);
            let index = cx.remember(index.quantized(Quant::per_tensor(1.0, 0)));
            let op = MaxPoolInputGrad { window: self.window, input: [input[1], input[2]] };
            let dx = cx.error(&format!("{}.dx", node.name), op.into(), vec![dy, index], &input);
            cx.contribute(x, dx);
        }
    }

    /// The largest value is one of the map's own steps.
    fn quantization(&self, inputs: &[&Tensor]) -> Option<Quant> {
        inputs[0].quant.clone()
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (x, y) = (node.inputs[0], node.outputs[0]);
        if cx.graph.tensor(x).quant != cx.graph.tensor(y).quant {
            let why = "a maximum must keep its input's scale and zero point";
            return Err(LowerError::new(cx.graph, id, why));
        }
        let geometry = geometry(cx, x, y, &self.window);
        let index = node.outputs.get(1).map_or_else(Default::default, |&t| cx.slot(t));
        let (input, output) = (cx.slot(x), cx.slot(y));
        cx.push(id, rt::MaxPool { input, output, index, geometry });
        Ok(())
    }
}

impl Operator for MaxPoolInputGrad {
    const NAME: &'static str = "max_pool_input_grad";

    fn attributes(&self) -> Attributes {
        self.window.attributes().with("input", self.input.map(|v| v as i64))
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let window = Window::from_attributes(attributes)?;
        Ok(MaxPoolInputGrad { window, input: attributes.get("input")? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_dtype(inputs[1], DType::I8)?;
        let [oh, ow, c] = nhwc(inputs[0])?;
        let [h, w] = self.input;
        if inputs[1].shape != inputs[0].shape {
            let (dy, index) = (&inputs[0].shape, &inputs[1].shape);
            return Err(format!("the gradient has shape {dy:?}, the index {index:?}"));
        }
        if self.window.output(h, w)? != [oh, ow] {
            return Err(format!("a {oh}x{ow} gradient does not come from this pool over {h}x{w}"));
        }
        Ok(vec![(DType::Error, vec![1, h, w, c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [oh, ow, c] = values.hwc(node.inputs[0]);
        let (dy, index) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let mut dx = vec![T::zero(); self.input[0] * self.input[1] * c];
        joined(&self.window, self.input, [oh, ow], |at, tap, pixel| {
            for n in 0..c {
                if index[at * c + n].to_usize() == Some(tap) {
                    dx[pixel * c + n] = dx[pixel * c + n] + dy[at * c + n];
                }
            }
        });
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let [dy, index] = [cx.graph.node(id).inputs[0], cx.graph.node(id).inputs[1]];
        let [_, _, c] = cx.hwc(dy);
        let x = shape([self.input[0], self.input[1], c]);
        let geometry = rt::Geometry { x, y: shape(cx.hwc(dy)), window: self.window.lower() };
        let (error, index, epilogue) = (cx.error(dy), cx.slot(index), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        cx.push(id, rt::MaxPoolInputGrad { error, output, skip, mask, index, geometry });
        Ok(())
    }
}
