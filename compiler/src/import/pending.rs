//! Operators between a `DequantizeLinear` and a `QuantizeLinear`: what is known of a node of the IR
//! before its result is quantised, and the node once it is.

use std::sync::Arc;

use super::error::Problem;
use super::layout::View;
use super::value::{Activation, Form, Value};
use super::Importer;
use crate::ir::{DType, Data, Fold, Quant, Tensor, TensorId};
use crate::ops::window::Window;
use crate::ops::{Add, AvgPool, Clamp, Conv2d, Op, Requantize, Softmax};

/// The range of no activation.
const FREE: [f32; 2] = [f32::NEG_INFINITY, f32::INFINITY];

/// An operator whose result is not yet quantised, or in a network of real numbers not yet read.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Name of the node.
    pub name: String,
    /// Its operator in the file.
    pub op: &'static str,
    /// What it computes.
    pub kind: Kind,
    /// Layout of its result.
    pub view: View,
    /// Range of its activation.
    pub range: [f32; 2],
}

/// What an operator computes.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A convolution or fully connected layer.
    Conv(Convolution),
    /// A sum of two activations.
    Add {
        /// One.
        a: TensorId,
        /// The other.
        b: TensorId,
    },
    /// An average.
    AvgPool {
        /// The map.
        x: TensorId,
        /// Its windows.
        window: Window,
    },
    /// An activation by itself.
    Requantize {
        /// What it reads.
        x: TensorId,
    },
    /// Softmax over channels.
    Softmax {
        /// What it reads.
        x: TensorId,
    },
}

/// A convolution or fully connected layer.
#[derive(Clone, Debug)]
pub struct Convolution {
    /// What it reads.
    pub x: TensorId,
    /// Kernel, stride, padding.
    pub window: Window,
    /// Channel groups.
    pub groups: usize,
    /// Name of the weights.
    pub weights_name: String,
    /// Weights `[O, kh, kw, I/groups]`, int8 or real.
    pub weights: Data,
    /// Shape of the weights.
    pub shape: [usize; 4],
    /// Scale of the weights, one or one for each output channel; 1 of real ones.
    pub scale: Vec<f32>,
    /// Scale of the input; 1 where it is real.
    pub x_scale: f32,
    /// Bias in steps of input scale times weight scale.
    pub bias: Vec<f64>,
}

impl Pending {
    /// An operator without activation.
    pub fn new(name: &str, op: &'static str, kind: Kind, view: View) -> Box<Pending> {
        Box::new(Pending { name: name.into(), op, kind, view, range: FREE })
    }

    /// The clamp of its activation in steps of `quant`; where the activation is only implied, by a
    /// zero point at the end of int8, the whole of int8. Of a real result, its range.
    fn clamp(&self, quant: Option<&Quant>) -> Option<Clamp> {
        let Some(quant) = quant else {
            return (!self.is_free()).then_some(Clamp::Real(self.range));
        };
        if self.is_free() && quant.zero != -128 {
            return None;
        }
        let scale = f64::from(quant.scale_of(0));
        let step = |bound: f32| {
            let q = (f64::from(bound) / scale).round() + f64::from(quant.zero);
            q.clamp(-128.0, 127.0) as i8
        };
        Some(Clamp::Steps(self.range.map(step)))
    }

    /// Whether no activation follows yet.
    pub fn is_free(&self) -> bool {
        self.range == FREE
    }
}

impl Convolution {
    /// Step of the bias of channel `o`.
    pub fn bias_scale(&self, o: usize) -> f64 {
        let scale = if self.scale.len() == 1 { self.scale[0] } else { self.scale[o] };
        f64::from(self.x_scale) * f64::from(scale)
    }

    /// Adds `steps` to the bias.
    ///
    /// # Errors
    /// Where int32 does not hold the sum.
    pub fn add_bias(&mut self, steps: &[f64]) -> Result<(), Problem> {
        for (channel, (bias, step)) in self.bias.iter_mut().zip(steps).enumerate() {
            *bias += step;
            if self.weights.dtype() == DType::F32 {
                continue;
            }
            let value = bias.round();
            if !(f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&value) {
                return Err(Problem::Bias { channel, value });
            }
        }
        Ok(())
    }
}

impl Importer<'_> {
    /// Makes a result that is not quantised a real tensor, called `name`.
    pub fn settle(&mut self, pending: Box<Pending>, name: &str) -> Result<Activation, Problem> {
        let view = pending.view.clone();
        let tensor = self.finish(pending, None, name)?;
        let activation = Activation { tensor, view, form: Form::Dequantized };
        self.values.insert(name.into(), Value::Activation(activation.clone()));
        Ok(activation)
    }

    /// Notes that node `name` became part of the constants of node `into`.
    pub fn note_fold(&mut self, name: &str, op: &str, into: &str) {
        self.graph.folded.push(Fold { node: name.into(), op: op.into(), into: into.into() });
    }

    /// Adds the node for `pending`, its result quantised to `quant`, or real, and called `name`.
    ///
    /// # Errors
    /// What the IR has no node for.
    pub fn finish(
        &mut self,
        mut pending: Box<Pending>,
        quant: Option<Quant>,
        name: &str,
    ) -> Result<TensorId, Problem> {
        let clamp = pending.clamp(quant.as_ref());
        let [h, w, c] = pending.view.size;
        let shape = vec![1, h, w, c];
        let (op, inputs): (Op, Vec<TensorId>) = match pending.kind {
            Kind::Conv(conv) => {
                let (window, groups, x) = (conv.window, conv.groups, conv.x);
                let [weights, bias] = self.add_constants(conv, &pending.name);
                (Conv2d { window, groups, clamp }.into(), vec![x, weights, bias])
            }
            Kind::Add { a, b } => (Add { clamp }.into(), vec![a, b]),
            Kind::Requantize { x } => (Requantize { clamp }.into(), vec![x]),
            Kind::AvgPool { x, window } => {
                if quant.is_none() && !pending.is_free() {
                    // The average is a node of its own, and so is what clamps it.
                    let range = std::mem::replace(&mut pending.range, FREE);
                    let (view, label) = (pending.view.clone(), format!("{}.clamp", pending.name));
                    let x = self.finish(pending, None, &format!("{name}.average"))?;
                    let mut clamp = Pending::new(&label, "Clip", Kind::Requantize { x }, view);
                    clamp.range = range;
                    return self.finish(clamp, None, name);
                }
                if clamp.is_some_and(|range| range != Clamp::Steps([-128, 127])) {
                    return Err(Problem::Other(format!(
                        "node {:?} ({}) is followed by an activation before it is quantised; quantise the average first",
                        pending.name, pending.op
                    )));
                }
                if window.pad != [0; 4] && self.graph.tensor(x).quant != quant {
                    return Err(Problem::Other(format!(
                        "node {:?} ({}) averages over padding and changes the scale; quantise its result like its input",
                        pending.name, pending.op
                    )));
                }
                (AvgPool { window }.into(), vec![x])
            }
            Kind::Softmax { x } => (Softmax.into(), vec![x]),
        };
        let dtype = if quant.is_some() { DType::I8 } else { DType::F32 };
        let output = Tensor { quant, ..Tensor::computed(name, dtype, shape) };
        Ok(self.graph.add_op(pending.name, op, inputs, output))
    }

    /// Adds the weights and bias of a convolution called `node`.
    fn add_constants(&mut self, conv: Convolution, node: &str) -> [TensorId; 2] {
        let channels = conv.shape[0];
        let label = format!("{node}.bias");
        if conv.weights.dtype() == DType::F32 {
            let bias = Data::F32(Arc::new(conv.bias.iter().map(|&b| b as f32).collect()));
            let weights = Tensor::real(conv.weights_name, conv.shape.to_vec(), conv.weights);
            let bias = Tensor::real(label, vec![channels], bias);
            return [self.graph.add_tensor(weights), self.graph.add_tensor(bias)];
        }
        let bias: Vec<i32> = conv.bias.iter().map(|b| b.round() as i32).collect();
        let scale = |scales: usize| (0..scales).map(|o| conv.bias_scale(o) as f32).collect();
        let bias_quant = match conv.scale.len() {
            1 => Quant { scale: scale(1), zero: 0, axis: 0 },
            _ => Quant::per_axis(scale(channels), 0),
        };
        let bias = Tensor::constant(label, vec![channels], Data::I32(Arc::new(bias)), bias_quant);
        let weights = Tensor::constant(
            conv.weights_name,
            conv.shape.to_vec(),
            conv.weights,
            Quant::per_axis(conv.scale, 0),
        );
        [self.graph.add_tensor(weights), self.graph.add_tensor(bias)]
    }
}
