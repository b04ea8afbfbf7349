//! Operators between a `DequantizeLinear` and a `QuantizeLinear`: what is known of a node of the IR
//! before its result is quantised, and the node once it is.

use std::sync::Arc;

use super::error::Problem;
use super::layout::View;
use super::nodes::padding;
use super::value::{Activation, Form, Value};
use super::Importer;
use crate::ir::{DType, Data, Fold, Quant, Tensor, TensorId};
use crate::ops::window::Window;
use crate::ops::{Add, Clamp, Conv2d, Op, Requantize};

/// The quantisation of what `Softmax` gives, by TensorFlow Lite: scale and zero point.
pub const PROBABILITY: (f32, i32) = (1.0 / 256.0, -128);

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
    /// An activation by itself.
    Requantize {
        /// What it reads.
        x: TensorId,
    },
    /// `x` where it is positive, else `x` times a factor of its channel.
    PRelu {
        /// What it reads.
        x: TensorId,
        /// Of what is negative: the factors as a layer, whose input is not set.
        slope: Convolution,
    },
    /// Zeros around a map: rows above, columns to the left, rows below, columns to the right.
    Pad {
        /// The map.
        x: Activation,
        /// How many.
        pads: [usize; 4],
    },
    /// Any other op, which does not clamp.
    Op {
        /// The op.
        op: Op,
        /// What it reads.
        inputs: Vec<TensorId>,
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

    /// An op of the IR without activation.
    pub fn op(
        name: &str,
        operator: &'static str,
        op: Op,
        inputs: Vec<TensorId>,
        view: View,
    ) -> Box<Pending> {
        Pending::new(name, operator, Kind::Op { op, inputs }, view)
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

    /// Multiplies the weights, which have no bias yet.
    ///
    /// # Errors
    /// A factor that weights cannot have.
    pub fn scale_by(&mut self, factor: f64) -> Result<(), Problem> {
        if factor == 1.0 {
            return Ok(());
        }
        if !(factor.is_finite() && factor > 0.0) {
            return Err(Problem::Attribute {
                name: "alpha",
                value: factor.to_string(),
                supported: "it must be positive",
            });
        }
        match &self.weights {
            Data::F32(values) => {
                let scaled = values.iter().map(|&w| (f64::from(w) * factor) as f32);
                self.weights = Data::F32(scaled.collect::<Vec<f32>>().into());
            }
            _ => self.scale.iter_mut().for_each(|s| *s = (f64::from(*s) * factor) as f32),
        }
        Ok(())
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

    /// Adds the node for `pending`, its result quantised to `quant`, or real, and called like the node:
    /// a step on the way to what the file's node gives.
    pub fn step(
        &mut self,
        pending: Box<Pending>,
        quant: Option<Quant>,
    ) -> Result<Activation, Problem> {
        let (view, name) = (pending.view.clone(), pending.name.clone());
        let tensor = self.finish(pending, quant, &name)?;
        Ok(Activation { tensor, view, form: Form::Dequantized })
    }

    /// The quantisation of an activation, where it is not real.
    pub fn quant_of(&self, x: &Activation) -> Option<Quant> {
        self.graph.tensor(x.tensor).quant.clone()
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
        if let Kind::Pad { x, pads } = &pending.kind {
            let (op, inputs) = (padding(x, pads, &pending.view)?.into(), vec![x.tensor]);
            pending.kind = Kind::Op { op, inputs };
        }
        let needed = match (&quant, &pending.kind) {
            (Some(_), Kind::Op { op, inputs }) => {
                let inputs: Vec<&Tensor> = inputs.iter().map(|&x| self.graph.tensor(x)).collect();
                op.quantization(&inputs)
            }
            _ => None,
        };
        let plain = matches!(pending.kind, Kind::Op { .. });
        if needed.is_some() && needed != quant || plain && !pending.is_free() {
            // The op is a node of its own, and so is what clamps and rescales it.
            let range = std::mem::replace(&mut pending.range, FREE);
            let (view, label) = (pending.view.clone(), format!("{}.clamp", pending.name));
            let x = self.finish(pending, needed.or(quant.clone()), &format!("{name}.free"))?;
            let mut clamp = Pending::new(&label, "Clip", Kind::Requantize { x }, view);
            clamp.range = range;
            return self.finish(clamp, quant, name);
        }
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
            Kind::PRelu { x, slope } => {
                let halves = self.halves(&pending.name, &pending.view, x, slope, &quant)?;
                (Add { clamp }.into(), halves.to_vec())
            }
            Kind::Op { op, inputs } => (op, inputs),
            // Made a `Copy` above.
            Kind::Pad { x, .. } => (Requantize { clamp }.into(), vec![x.tensor]),
        };
        let dtype = if quant.is_some() { DType::I8 } else { DType::F32 };
        let output = Tensor { quant, ..Tensor::computed(name, dtype, shape) };
        Ok(self.graph.add_op(pending.name, op, inputs, output))
    }

    /// What is positive of `x`, and what is negative times the factors of its channels, the latter
    /// quantised to `quant`.
    fn halves(
        &mut self,
        name: &str,
        view: &View,
        x: TensorId,
        slope: Convolution,
        quant: &Option<Quant>,
    ) -> Result<[TensorId; 2], Problem> {
        let own = self.graph.tensor(x).quant.clone();
        let mut half = |what: &str, range: [f32; 2]| {
            let name = format!("{name}.{what}");
            let mut pending = Pending::new(&name, "PRelu", Kind::Requantize { x }, view.clone());
            pending.range = range;
            self.finish(pending, own.clone(), &name)
        };
        let positive = half("positive", [0.0, f32::INFINITY])?;
        let x = half("negative", [f32::NEG_INFINITY, 0.0])?;
        let label = format!("{name}.slope");
        let kind = Kind::Conv(Convolution { x, ..slope });
        let pending = Pending::new(&label, "PRelu", kind, view.clone());
        Ok([positive, self.finish(pending, quant.clone(), &label)?])
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
