//! Convolution, dense, grouped or depthwise; also every fully connected layer.

use num_traits::Float;
use offshoot_runtime::kernels::scratch;
use offshoot_runtime::program::op as rt;

use super::window::{shape, Window};
use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Clamp, Operator, OutputType};
use super::{Conv2dInputGrad, Conv2dWeightGrad, SaveChannels};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::{math, Values};

/// `y = clamp(b + w * x)`; inputs `x [1,h,w,I]`, weights `[O,kh,kw,I/groups]`, bias `[O]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2d {
    /// Kernel, stride, padding.
    pub window: Window,
    /// Channel groups; as many as channels in and out: depthwise.
    pub groups: usize,
    /// Range of an activation; `None` only saturates.
    pub clamp: Option<Clamp>,
}

/// Products of int8 values that a 32-bit sum holds.
const MOST_TERMS: usize = i32::MAX as usize / (255 * 128);

/// Whether weights `[O,kh,kw,I/groups]` are those of a depthwise convolution.
pub(crate) fn is_depthwise(groups: usize, weights: &Tensor) -> bool {
    groups > 1 && weights.shape[0] == groups && weights.shape[3] == 1
}

/// `s_x * s_w[o] / s_y` for each output channel, rounded as TensorFlow Lite rounds it: in f64, but for
/// the product of the two scales of a fully connected layer, which it takes in f32
/// (`GetQuantizedConvolutionMultipler`).
fn multipliers(x: &Tensor, weights: &Tensor, y: &Tensor) -> Vec<f64> {
    let one_scale = weights.quant.as_ref().is_some_and(|q| q.scale.len() == 1);
    let one_pixel = |t: &Tensor| t.shape.get(1..3).is_some_and(|hw| hw == [1, 1]);
    let covers = weights.shape.get(1..3) == x.shape.get(1..3);
    let product = |o: usize| match one_scale && covers && one_pixel(y) {
        true => f64::from(x.scale_of(0) * weights.scale_of(o)),
        false => f64::from(x.scale_of(0)) * f64::from(weights.scale_of(o)),
    };
    (0..weights.shape[0]).map(|o| product(o) / f64::from(y.scale_of(0))).collect()
}

/// Checks weights against the input's channels and the groups; gives `[O, kh, kw, I/groups]`.
pub(crate) fn weight_shape(
    weights: &Tensor,
    window: &Window,
    groups: usize,
    channels: usize,
) -> Result<[usize; 4], String> {
    let shape: [usize; 4] = weights.shape.as_slice().try_into().map_err(|_| {
        format!("`{}` has shape {:?}, expected [O, kh, kw, I/groups]", weights.name, weights.shape)
    })?;
    let [o, kh, kw, i] = shape;
    if [kh, kw] != window.kernel {
        return Err(format!("`{}` is {kh}x{kw}, the kernel is {:?}", weights.name, window.kernel));
    }
    if kh * kw * i > MOST_TERMS {
        let most = MOST_TERMS;
        return Err(format!(
            "`{}` sums {} products a channel, at most {most}",
            weights.name,
            kh * kw * i
        ));
    }
    if groups == 0 || o % groups != 0 || i * groups != channels {
        return Err(format!(
            "`{}` of shape {shape:?} does not fit {channels} input channels in {groups} group(s)",
            weights.name
        ));
    }
    Ok(shape)
}

/// Checks that weights or biases have zero point 0, and one scale or one an output channel.
fn expect_symmetric(constant: &Tensor) -> Result<(), String> {
    match &constant.quant {
        Some(q) if q.zero != 0 => {
            Err(format!("`{}` has zero point {}, expected 0", constant.name, q.zero))
        }
        Some(q) if q.scale.len() > 1 && q.axis != 0 => {
            Err(format!("`{}` has scales along axis {}, expected 0", constant.name, q.axis))
        }
        _ => Ok(()),
    }
}

impl Operator for Conv2d {
    const NAME: &'static str = "conv2d";

    fn attributes(&self) -> Attributes {
        let attributes = self.window.attributes().with("groups", [self.groups as i64]);
        Clamp::write(self.clamp, attributes)
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [groups] = attributes.get("groups")?;
        let window = Window::from_attributes(attributes)?;
        Ok(Conv2d { window, groups, clamp: Clamp::read(attributes)? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 3)?;
        let [x, w, b] = [inputs[0], inputs[1], inputs[2]];
        let dtype = expect_activation(x)?;
        expect_dtype(w, dtype)?;
        expect_dtype(b, if dtype == DType::F32 { DType::F32 } else { DType::I32 })?;
        let [h, width, c] = nhwc(x)?;
        let [o, ..] = weight_shape(w, &self.window, self.groups, c)?;
        if b.shape != [o] {
            return Err(format!("bias `{}` has shape {:?}, expected [{o}]", b.name, b.shape));
        }
        for constant in [w, b] {
            expect_symmetric(constant)?;
        }
        let [oh, ow] = self.window.output(h, width)?;
        Clamp::outputs(self.clamp, dtype, vec![1, oh, ow, o])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [h, w, _] = values.hwc(node.inputs[0]);
        let weights = values.graph().tensor(node.inputs[1]);
        let [oh, ow, _] = values.hwc(node.outputs[0]);
        let depthwise = is_depthwise(self.groups, weights);
        let [o, _, _, i] = [weights.shape[0], 0, 0, weights.shape[3]];
        let (taps, per_group) = (self.window.kernel[0] * self.window.kernel[1], o / self.groups);
        let channels = i * self.groups;
        let k = values.transposed(node.inputs[1], o, taps * i);
        let mut y = values.take(node.outputs[0]);
        let (x, bias) = (values.get(node.inputs[0]), values.get(node.inputs[2]));
        y.clear();
        (0..oh * ow).for_each(|_| y.extend_from_slice(bias));
        let mut seen = Vec::new();
        math::widest(
            #[inline(always)]
            || {
                for (at, y) in y.chunks_exact_mut(o).enumerate() {
                    seen.clear();
                    for (iy, ky) in self.window.taps(0, at / ow, h) {
                        for (ix, kx) in self.window.taps(1, at % ow, w) {
                            let tap = ky * self.window.kernel[1] + kx;
                            seen.push([(iy * w + ix) * channels, tap * i * o]);
                        }
                    }
                    if depthwise {
                        math::add_products(y, &seen, x, &k);
                        continue;
                    }
                    for &[x_at, k_at] in &seen {
                        for (group, y) in y.chunks_exact_mut(per_group).enumerate() {
                            let factors = &x[x_at + group * i..][..i];
                            let rows = &k[k_at + group * per_group..];
                            math::add_rows(y, i, (factors, 1), (rows, o));
                        }
                    }
                }
            },
        );
        values.set_clamped(node, y, self.clamp);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let [x, w, b] = [node.inputs[0], node.inputs[1], node.inputs[2]];
        let input = cx.graph().tensor(x).clone();
        if cx.wants(x) {
            let op = Conv2dInputGrad {
                window: self.window,
                groups: self.groups,
                input: [input.shape[1], input.shape[2]],
            };
            let dx = cx.error(&format!("{}.dx", node.name), op.into(), vec![dy, w], &input.shape);
            cx.contribute(x, dx);
        }
        if let Some(trained) = cx.graph().tensor(w).trained.clone() {
            let weights = cx.graph().tensor(w).clone();
            let mut shape = weights.shape.clone();
            let mut saved = x;
            if let Some(channels) = trained.channels {
                let depthwise = is_depthwise(self.groups, &weights);
                shape[if depthwise { 0 } else { 3 }] = channels.len();
                saved =
                    cx.keep(&format!("{}.saved", node.name), SaveChannels { channels }.into(), x);
            }
            if !trained.picks.is_empty() {
                shape = vec![trained.picks.len()];
            }
            let op = Conv2dWeightGrad { window: self.window, groups: self.groups };
            let dw = cx.stream(&format!("{}.dw", node.name), op.into(), vec![dy, saved, w], shape);
            cx.update(w, dw);
        }
        cx.update_bias(node, b, dy);
    }

    fn clamp(&self) -> Option<Clamp> {
        self.clamp
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let [x, w, b] = [node.inputs[0], node.inputs[1], node.inputs[2]];
        let y = node.outputs[0];
        let geometry = geometry(cx, x, y, &self.window);
        let weights = cx.graph.tensor(w);
        let depthwise = is_depthwise(self.groups, weights);
        let scales: Vec<f64> = multipliers(cx.graph.tensor(x), weights, cx.graph.tensor(y));
        let (x_zero, range) = (cx.graph.tensor(x).zero() as i16, cx.range(y, self.clamp));
        let (input, output) = (cx.slot(x), cx.slot(y));
        let mask = node.outputs.get(1).map_or_else(Default::default, |&m| cx.slot(m));
        let (bias, scale) = (cx.fixed(b), cx.channel_scale(&scales));
        let weights = cx.weights(w, depthwise);
        if depthwise {
            let scratch = cx.scratch(scratch::depthwise(&weights));
            cx.push(
                id,
                rt::Depthwise {
                    input,
                    output,
                    mask,
                    geometry,
                    weights,
                    bias,
                    scale,
                    x_zero,
                    range,
                    scratch,
                },
            );
        } else {
            let groups = self.groups as u16;
            let scratch = cx.scratch(scratch::conv(&weights));
            cx.push(
                id,
                rt::Conv {
                    input,
                    output,
                    mask,
                    geometry,
                    groups,
                    weights,
                    bias,
                    scale,
                    x_zero,
                    range,
                    scratch,
                },
            );
        }
        Ok(())
    }
}

/// The runtime's geometry of a windowed op from `x` to `y`.
pub(crate) fn geometry(
    cx: &Lowering<'_>,
    x: TensorId,
    y: TensorId,
    window: &Window,
) -> rt::Geometry {
    rt::Geometry { x: shape(cx.hwc(x)), y: shape(cx.hwc(y)), window: window.lower() }
}
