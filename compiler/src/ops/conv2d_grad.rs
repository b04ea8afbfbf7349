//! Gradients of a convolution: for its input, and for its weights.

use num_traits::Float;
use offshoot_runtime::kernels::scratch;
use offshoot_runtime::program::op as rt;
use offshoot_runtime::program::op::Precision;
use offshoot_runtime::Slot;

use super::conv2d::{geometry, is_depthwise, weight_shape};
use super::window::{shape, Window};
use super::{expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::ir::{Attributes, DType, Node, NodeId, Rule, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::{math, Values};
use crate::scheme::Optimizer;

/// `dx_i = sum_o w_oi dy_o`; inputs `dy [1,oh,ow,O]` and the weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dInputGrad {
    /// Window of the forward op.
    pub window: Window,
    /// Groups of the forward op.
    pub groups: usize,
    /// Height and width of the forward op's input.
    pub input: [usize; 2],
}

/// `dw_oi = sum_p dy_o x_i`; inputs `dy`, the input's trained channels, and the weights, whose
/// shape and selection it follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv2dWeightGrad {
    /// Window of the forward op.
    pub window: Window,
    /// Groups of the forward op.
    pub groups: usize,
}

impl Operator for Conv2dInputGrad {
    const NAME: &'static str = "conv2d_input_grad";

    fn attributes(&self) -> Attributes {
        self.window
            .attributes()
            .with("groups", [self.groups as i64])
            .with("input", self.input.map(|v| v as i64))
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [groups] = attributes.get("groups")?;
        let window = Window::from_attributes(attributes)?;
        Ok(Conv2dInputGrad { window, groups, input: attributes.get("input")? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_dtype(inputs[1], DType::I8)?;
        let [oh, ow, o] = nhwc(inputs[0])?;
        let channels = inputs[1].shape.last().unwrap_or(&0) * self.groups;
        let shape = weight_shape(inputs[1], &self.window, self.groups, channels)?;
        let [h, w] = self.input;
        if self.window.output(h, w)? != [oh, ow] || shape[0] != o {
            return Err(format!(
                "a gradient of shape [1, {oh}, {ow}, {o}] does not come from this convolution"
            ));
        }
        Ok(vec![(DType::Error, vec![1, h, w, channels])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, ow, o] = values.hwc(node.inputs[0]);
        let [h, w, c] = values.hwc(node.outputs[0]);
        let weights = values.graph().tensor(node.inputs[1]);
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let (i, per_group) = (weights.shape[3], o / self.groups);
        let depthwise = is_depthwise(self.groups, weights);
        let by_tap = depthwise.then(|| values.transposed(node.inputs[1], o, taps));
        let mut dx = values.take(node.outputs[0]);
        let (dy, k) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        dx.clear();
        dx.resize(h * w * c, T::zero());
        math::widest(
            #[inline(always)]
            || {
                for (at, dy) in dy.chunks_exact(o).enumerate() {
                    for (iy, ky) in self.window.taps(0, at / ow, h) {
                        for (ix, kx) in self.window.taps(1, at % ow, w) {
                            let dx = &mut dx[(iy * w + ix) * c..][..c];
                            let tap = ky * self.window.kernel[1] + kx;
                            if let Some(by_tap) = &by_tap {
                                math::multiply_add(dx, dy, &by_tap[tap * o..][..o]);
                                continue;
                            }
                            let groups = dx.chunks_exact_mut(i).zip(dy.chunks_exact(per_group));
                            for (group, (dx, dy)) in groups.enumerate() {
                                let rows = &k[(group * per_group * taps + tap) * i..];
                                math::add_rows(dx, per_group, (dy, 1), (rows, taps * i));
                            }
                        }
                    }
                }
            },
        );
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (dy, w) = (node.inputs[0], node.inputs[1]);
        let weights = cx.graph.tensor(w);
        let depthwise = is_depthwise(self.groups, weights);
        let scales: Vec<f64> = (0..weights.shape[0]).map(|o| weights.scale_of(o) as f64).collect();
        let [_, kh, kw, i] = [0, weights.shape[1], weights.shape[2], weights.shape[3]];
        let terms = kh * kw * if depthwise { 1 } else { weights.shape[0] / self.groups };
        let most = scales.iter().copied().fold(0.0, f64::max);
        // 127 levels an error, 127 a weight: the sum must stay within 31 bits in the worst case,
        // and what a convolution multiplies by its weights must fit in 16.
        let room = if depthwise {
            (i32::MAX / 2) as f64 / (127.0 * 127.0 * terms as f64)
        } else {
            (i32::MAX as f64 / (127.0 * 127.0 * terms as f64)).min(32767.0 / 127.0)
        };
        let fraction =
            if most > 0.0 { (room / most).log2().floor().clamp(-60.0, 60.0) } else { 0.0 };
        let scaled: Vec<f64> = scales.iter().map(|s| s * fraction.exp2()).collect();
        let fraction = fraction as i8;
        let x = shape([self.input[0], self.input[1], i * self.groups]);
        let geometry = rt::Geometry { x, y: shape(cx.hwc(dy)), window: self.window.lower() };
        let (error, epilogue) = (cx.error(dy), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        let (weights, scale) = (cx.weights(w, depthwise), cx.channel_scale(&scaled));
        if depthwise {
            let scratch = cx.scratch(scratch::depthwise_input_grad(&weights));
            cx.push(
                id,
                rt::DepthwiseInputGrad {
                    error,
                    output,
                    skip,
                    mask,
                    geometry,
                    weights,
                    scale,
                    fraction,
                    scratch,
                },
            );
        } else {
            let groups = self.groups as u16;
            let scratch = cx.scratch(scratch::conv_input_grad(&weights));
            cx.push(
                id,
                rt::ConvInputGrad {
                    error,
                    output,
                    skip,
                    mask,
                    geometry,
                    groups,
                    weights,
                    scale,
                    fraction,
                    scratch,
                },
            );
        }
        Ok(())
    }
}

impl Operator for Conv2dWeightGrad {
    const NAME: &'static str = "conv2d_weight_grad";

    fn attributes(&self) -> Attributes {
        self.window.attributes().with("groups", [self.groups as i64])
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [groups] = attributes.get("groups")?;
        Ok(Conv2dWeightGrad { window: Window::from_attributes(attributes)?, groups })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 3)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_dtype(inputs[1], DType::I8)?;
        let [oh, ow, o] = nhwc(inputs[0])?;
        let [h, w, saved] = nhwc(inputs[1])?;
        if self.window.output(h, w)? != [oh, ow] {
            return Err(format!("saved input {h}x{w} does not give a {oh}x{ow} gradient"));
        }
        let channels = inputs[2].shape.last().unwrap_or(&0) * self.groups;
        let mut shape = weight_shape(inputs[2], &self.window, self.groups, channels)?;
        if shape[0] != o {
            return Err(format!(
                "`{}` has {} output channels, the gradient {o}",
                inputs[2].name, shape[0]
            ));
        }
        let trained = inputs[2].trained.as_ref();
        let trained = trained.ok_or_else(|| format!("`{}` is not trained", inputs[2].name))?;
        let selected = trained.channels.as_ref().map_or(channels, Vec::len);
        if selected != saved {
            return Err(format!("{saved} channels are saved, {selected} are trained"));
        }
        if !trained.picks.is_empty() {
            return match self.groups {
                1 => Ok(vec![(DType::Stream, vec![trained.picks.len()])]),
                _ => Err("single weights are trained in layers of one group".into()),
            };
        }
        if is_depthwise(self.groups, inputs[2]) {
            shape[0] = selected;
        } else if self.groups == 1 {
            shape[3] = selected;
        } else if trained.channels.is_some() {
            return Err("grouped convolutions train all of their input channels".into());
        }
        Ok(vec![(DType::Stream, shape.to_vec())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, ow, o] = values.hwc(node.inputs[0]);
        let [h, w, c] = values.hwc(node.inputs[1]);
        let weights = values.graph().tensor(node.inputs[2]);
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let depthwise = is_depthwise(self.groups, weights);
        let selected = weights.trained.as_ref().and_then(|t| t.channels.clone());
        let i = c / if depthwise { c } else { self.groups };
        let (rows, per_group) = (if depthwise { c } else { o }, o / self.groups);
        let mut dw = values.take(node.outputs[0]);
        let (dy, x) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        dw.clear();
        dw.resize(rows * taps * i, T::zero());
        let outputs = dy.len() / o.max(1);
        if depthwise {
            for (at, dy) in dy.chunks_exact(o).enumerate() {
                for (iy, ky) in self.window.taps(0, at / ow, h) {
                    for (ix, kx) in self.window.taps(1, at % ow, w) {
                        let x = &x[(iy * w + ix) * c..][..c];
                        let tap = ky * self.window.kernel[1] + kx;
                        for (j, &x) in x.iter().enumerate() {
                            let channel = selected.as_ref().map_or(j, |s| s[j] as usize);
                            dw[j * taps + tap] = dw[j * taps + tap] + dy[channel] * x;
                        }
                    }
                }
            }
            values.set(node.outputs[0], dw);
            return;
        }
        // Stretches of outputs whose inputs lie at equal distances, for each kernel position.
        let mut runs = vec![Vec::new(); taps];
        for at in 0..outputs {
            for (iy, ky) in self.window.taps(0, at / ow, h) {
                for (ix, kx) in self.window.taps(1, at % ow, w) {
                    let runs: &mut Vec<[usize; 3]> = &mut runs[ky * self.window.kernel[1] + kx];
                    let (from, stride) = (iy * w + ix, self.window.stride[1]);
                    match runs.last_mut() {
                        Some([first, seen, count])
                            if *first + *count == at && *seen + *count * stride == from =>
                        {
                            *count += 1;
                        }
                        _ => runs.push([at, from, 1]),
                    }
                }
            }
        }
        math::widest(
            #[inline(always)]
            || {
                for (row, dw) in dw.chunks_exact_mut(i).enumerate() {
                    let (n, tap) = (row / taps, row % taps);
                    for &[at, from, count] in &runs[tap] {
                        let rows = &x[from * c + n / per_group * i..];
                        let factors = &dy[at * o + n..];
                        math::add_rows(dw, count, (factors, o), (rows, self.window.stride[1] * c));
                    }
                }
            },
        );
        if !weights.picks().is_empty() {
            let place = |&at: &u32| {
                let (row, channel) =
                    (at as usize / weights.shape[3], at as usize % weights.shape[3]);
                let kept =
                    selected.as_ref().map(|s| s.partition_point(|&c| usize::from(c) < channel));
                row * i + kept.unwrap_or(channel)
            };
            dw = weights.picks().iter().map(|at| dw[place(at)]).collect();
        }
        values.set(node.outputs[0], dw);
    }

    /// Streams into the update: emitted by [`super::Sgd`].
    fn lower(&self, _cx: &mut Lowering<'_>, _id: NodeId) -> Result<(), LowerError> {
        Ok(())
    }
}

impl Conv2dWeightGrad {
    /// Emits the update of `parameter` by the gradient that node `id` computes.
    ///
    /// # Errors
    /// A rule that the device has no update for.
    pub(super) fn lower_update(
        &self,
        cx: &mut Lowering<'_>,
        id: NodeId,
        parameter: TensorId,
        optimizer: &Optimizer,
    ) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (dy, saved) = (node.inputs[0], node.inputs[1]);
        let weights = cx.graph.tensor(parameter);
        let depthwise = is_depthwise(self.groups, weights);
        let Some(trained) = &weights.trained else { return Ok(()) };
        let (rule, pace, draws) = (trained.rule, trained.pace, trained.precision.draws());
        let channels = trained.channels.clone();
        if rule != Rule::Plain || trained.precision == Precision::Picked {
            let suits = !depthwise && self.groups == 1;
            suited(weights, rule, suits, optimizer)
                .map_err(|why| LowerError::new(cx.graph, id, why))?;
        }
        let s_x = cx.graph.tensor(saved).scale_of(0);
        let scales: Vec<f32> = (0..weights.shape[0]).map(|o| weights.scale_of(o)).collect();
        let factor = |&s_w: &f32| cx.gradient_factor(s_x, s_w) * pace;
        let factors: Vec<f32> = scales.iter().map(factor).collect();
        let elements = weights.trained_elements();
        let x_zero = cx.graph.tensor(saved).zero() as i16;
        // The saved tensor has only the trained channels; the op's geometry is the layer's.
        let mut geometry = geometry(cx, saved, dy, &self.window);
        geometry.x.c = (weights.shape[3] * self.groups) as u16;
        let trained = cx.hwc(saved)[2];
        let (error, saved) = (cx.error(dy), cx.slot(saved));
        let (weights, factor) = (cx.weights(parameter, depthwise), cx.factors(&factors));
        if weights.precision == Precision::Picked {
            let channels = channels.map_or_else(Slot::default, |some| cx.indices(&some));
            cx.push(
                id,
                rt::PickUpdate { error, saved, channels, geometry, weights, factor, x_zero },
            );
            return Ok(());
        }
        let optimizer = cx.weight_optimizer(optimizer, elements);
        // An optimizer draws for the weights too: it names the random state.
        let random = match optimizer {
            None if draws => cx.random(),
            _ => Default::default(),
        };
        if depthwise {
            let scratch = cx.scratch(trained * 4);
            let update = rt::DepthwiseUpdate {
                error,
                saved,
                geometry,
                weights,
                factor,
                random,
                x_zero,
                scratch,
            };
            match optimizer {
                Some(optimizer) => cx.push(id, rt::DepthwiseOptimize { update, optimizer }),
                None => cx.push(id, update),
            }
            return Ok(());
        }
        let taps = self.window.kernel[0] * self.window.kernel[1];
        let scratch = cx.scratch(taps * trained / self.groups * 4);
        let groups = self.groups as u16;
        let update = rt::ConvUpdate {
            error,
            saved,
            geometry,
            groups,
            weights,
            factor,
            random,
            x_zero,
            scratch,
        };
        let start = weights.frozen;
        match (optimizer, rule) {
            (Some(optimizer), _) => cx.push(id, rt::ConvOptimize { update, optimizer }),
            (None, Rule::Normed { size, most }) => {
                let units: Vec<f32> = scales.iter().map(|s_w| s_w / size).collect();
                let (unit, damping) = (cx.factors(&units), 1.0 / (most * most));
                cx.push(id, rt::ConvNormed { update, start, unit, damping });
            }
            (None, _) => cx.push(id, update),
        }
        if let Rule::Orthonormal { size, strength, columns } = rule {
            let unit = scales[0] / size;
            let scratch = Slot::default();
            let turned =
                rt::Orthonormalize { weights, start, columns, unit, strength, random, scratch };
            let row = taps * usize::from(weights.channels);
            let scratch = cx.scratch((turned.vectors() * turned.vectors() + row) * 4);
            cx.push(id, rt::Orthonormalize { scratch, ..turned });
        }
        Ok(())
    }
}

/// Whether the device can heed `rule` while it trains `weights`.
///
/// # Errors
/// Why not, and what to do.
fn suited(
    weights: &Tensor,
    rule: Rule,
    dense: bool,
    optimizer: &Optimizer,
) -> Result<(), &'static str> {
    if !optimizer.is_plain() {
        return Err("its update takes neither momentum nor batches: leave them out");
    }
    if !dense {
        return Err("single weights and rules of an update are for layers of one group");
    }
    let rows = weights.shape[0];
    match rule {
        Rule::Orthonormal { columns, .. } => {
            let vectors = if columns { weights.elements() / rows } else { rows };
            if vectors > rt::Orthonormalize::MOST_VECTORS {
                return Err("at most 64 vectors are kept orthonormal: take a lower rank");
            }
            if (1..rows).any(|o| weights.scale_of(o) != weights.scale_of(0)) {
                return Err("what is kept orthonormal needs one scale for all rows");
            }
            Ok(())
        }
        Rule::Plain | Rule::Normed { .. } => Ok(()),
    }
}
