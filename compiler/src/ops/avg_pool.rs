//! Average over windows, and the gradient of every average.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::conv2d::geometry;
use super::window::{shape, Window};
use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Quant, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// Mean over each window; padding is not counted.
#[derive(Clone, Debug, PartialEq)]
pub struct AvgPool {
    /// Kernel, stride, padding.
    pub window: Window,
}

/// Gradient of [`AvgPool`] and [`super::PoolMean`] for their input.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolInputGrad {
    /// Window of the forward op.
    pub window: Window,
    /// Height and width of the forward op's input.
    pub input: [usize; 2],
}

/// For each window: its output position, its count, and the input positions it covers.
fn windows(
    window: &Window,
    input: [usize; 2],
    ow: usize,
    positions: usize,
    mut f: impl FnMut(usize, usize, &[usize]),
) {
    for at in 0..positions {
        let mut covered = Vec::new();
        for (y, _) in window.taps(0, at / ow, input[0]) {
            covered.extend(window.taps(1, at % ow, input[1]).map(|(x, _)| y * input[1] + x));
        }
        f(at, covered.len(), &covered);
    }
}

impl Operator for AvgPool {
    const NAME: &'static str = "avg_pool";

    fn attributes(&self) -> Attributes {
        self.window.attributes()
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(AvgPool { window: Window::from_attributes(attributes)? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        let dtype = expect_activation(inputs[0])?;
        let [h, w, c] = nhwc(inputs[0])?;
        let [oh, ow] = self.window.output(h, w)?;
        Ok(vec![(dtype, vec![1, oh, ow, c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [h, w, c] = values.hwc(node.inputs[0]);
        let [oh, ow, _] = values.hwc(node.outputs[0]);
        let x = values.get(node.inputs[0]);
        let mut y = vec![T::zero(); oh * ow * c];
        windows(&self.window, [h, w], ow, oh * ow, |at, count, covered| {
            let share = T::one() / T::from(count).unwrap_or_else(T::one);
            for &p in covered {
                crate::reference::math::axpy(&mut y[at * c..][..c], share, &x[p * c..][..c]);
            }
        });
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        cx.contribute_pool(node, dy, self.window);
    }

    /// The mean over a padded window is one of the map's own steps: windows count differently, and
    /// one multiplier cannot make up for that.
    fn quantization(&self, inputs: &[&Tensor]) -> Option<Quant> {
        inputs[0].quant.clone().filter(|_| self.window.pad != [0; 4])
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (x, y) = (cx.graph.tensor(node.inputs[0]), cx.graph.tensor(node.outputs[0]));
        let scale = if x.quant == y.quant {
            Multiplier::default()
        } else if self.window.pad == [0; 4] {
            let taps = (self.window.kernel[0] * self.window.kernel[1]) as f64;
            Multiplier::from_f64(x.scale_of(0) as f64 / (y.scale_of(0) as f64 * taps))
        } else {
            return Err(LowerError::new(
                cx.graph,
                id,
                "a padded average must keep its input's scale and zero point",
            ));
        };
        let (x_zero, range) = (x.zero() as i16, cx.range(node.outputs[0], None));
        let geometry = geometry(cx, node.inputs[0], node.outputs[0], &self.window);
        let (input, output) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        cx.push(id, rt::AvgPool { input, output, geometry, x_zero, scale, range });
        Ok(())
    }
}

impl Operator for PoolInputGrad {
    const NAME: &'static str = "pool_input_grad";

    fn attributes(&self) -> Attributes {
        self.window.attributes().with("input", self.input.map(|v| v as i64))
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let window = Window::from_attributes(attributes)?;
        Ok(PoolInputGrad { window, input: attributes.get("input")? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        expect_dtype(inputs[0], DType::Error)?;
        let [oh, ow, c] = nhwc(inputs[0])?;
        let [h, w] = self.input;
        if self.window.output(h, w)? != [oh, ow] {
            return Err(format!("a {oh}x{ow} gradient does not come from this pool over {h}x{w}"));
        }
        Ok(vec![(DType::Error, vec![1, h, w, c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [oh, ow, c] = values.hwc(node.inputs[0]);
        let dy = values.get(node.inputs[0]);
        let mut dx = vec![T::zero(); self.input[0] * self.input[1] * c];
        windows(&self.window, self.input, ow, oh * ow, |at, count, covered| {
            let share = T::one() / T::from(count).unwrap_or_else(T::one);
            for &p in covered {
                crate::reference::math::axpy(&mut dx[p * c..][..c], share, &dy[at * c..][..c]);
            }
        });
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let dy = cx.graph.node(id).inputs[0];
        let [_, _, c] = cx.hwc(dy);
        let x = shape([self.input[0], self.input[1], c]);
        let geometry = rt::Geometry { x, y: shape(cx.hwc(dy)), window: self.window.lower() };
        // Keeps 15 significant bits of 1 / count, and fewer of windows over more than 512 pixels: an
        // error of a window that counts one of them alone must still fit 32 bits.
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let fraction = (15 + taps.next_power_of_two().ilog2() as i8).min(24);
        let (error, epilogue) = (cx.error(dy), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        cx.push(id, rt::PoolInputGrad { error, output, skip, mask, geometry, fraction });
        Ok(())
    }
}
