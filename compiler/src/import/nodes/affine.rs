//! Constants that scale and shift channels: `BatchNormalization`, and `Mul`, `Div`, `Add` and `Sub`
//! with a constant. In a network of real numbers they become part of the layer before them; else they
//! are a depthwise convolution of their own, whose scales hold the factors exactly.

use std::rc::Rc;

use tract_onnx::pb;

use super::conv::expect_channels;
use crate::import::error::Problem;
use crate::import::layout::{Axis, View};
use crate::import::pending::{Convolution, Kind, Pending};
use crate::import::proto;
use crate::import::value::Value;
use crate::import::Importer;
use crate::ir::Data;
use crate::ops::window::Window;

/// Half of int32.
const MOST_BIAS: f64 = (1u64 << 30) as f64;

/// `y = factor x + offset`, in each channel.
struct Affine {
    factor: Vec<f64>,
    offset: Vec<f64>,
}

impl Importer<'_> {
    /// `Mul`, `Div`, `Add` or `Sub` of an activation and a constant.
    pub fn affine(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        op: &'static str,
    ) -> Result<Value, Problem> {
        let real = |value| match value {
            Value::Parameter(p) => Value::Constant(Rc::new(p.real())),
            other => other,
        };
        let values = [self.value(node, 0)?, self.value(node, 1)?].map(real);
        let Some(at) = values.iter().position(|v| matches!(v, Value::Constant(_))) else {
            return Err(Problem::Other(
                "one of its operands must be constant; activations can only be added".into(),
            ));
        };
        let [a, b] = values;
        let (Value::Constant(constant), x) = (if at == 0 { (a, b) } else { (b, a) }) else {
            return Ok(Value::Refused);
        };
        let (view, channels) = self.channels(x, node, 1 - at)?;
        expect_channels(&constant, &view, channels)?;
        let values = constant.finite()?;
        let value = |c: usize| f64::from(values[if values.len() == 1 { 0 } else { c }]);
        let of = |factor: &dyn Fn(f64) -> f64, offset: &dyn Fn(f64) -> f64| Affine {
            factor: (0..channels).map(|c| factor(value(c))).collect(),
            offset: (0..channels).map(|c| offset(value(c))).collect(),
        };
        let affine = match (op, at) {
            ("Mul", _) => of(&|v| v, &|_| 0.0),
            ("Add", _) => of(&|_| 1.0, &|v| v),
            ("Sub", 1) => of(&|_| 1.0, &|v| -v),
            ("Sub", _) => of(&|_| -1.0, &|v| v),
            ("Div", 1) if values.iter().all(|&v| v != 0.0) => of(&|v| 1.0 / v, &|_| 0.0),
            _ => {
                return Err(Problem::Other(format!(
                    "divides {}; only a division by constants other than 0 is supported",
                    if at == 0 { "a constant by an activation" } else { "by 0" }
                )))
            }
        };
        self.apply(node, name, op, 1 - at, affine)
    }

    /// `BatchNormalization` with the statistics that it was trained with.
    pub fn batch_normalization(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
    ) -> Result<Value, Problem> {
        if proto::int(node, "training_mode", 0) != 0 {
            return Err(Problem::Other(
                "is exported for training; export the network for inference".into(),
            ));
        }
        if proto::int(node, "spatial", 1) != 1 {
            return Err(Problem::Attribute {
                name: "spatial",
                value: "0".into(),
                supported: "only 1 is supported: one mean and variance a channel",
            });
        }
        let x = self.value(node, 0)?;
        let (view, channels) = self.channels(x, node, 0)?;
        if view.dims.get(1) != Some(&view.run(&[Axis::C])) {
            let expected = "[batch, channels, height, width]";
            return Err(Problem::Layout { layout: view.to_string(), expected });
        }
        let mut rows = Vec::with_capacity(4);
        for (index, what) in ["scale", "bias", "mean", "variance"].into_iter().enumerate() {
            let constant = self.constant(node, index + 1)?;
            let constant = constant.ok_or_else(|| Problem::Missing(format!("its {what}")))?;
            expect_channels(&constant, &View::row(channels, 1), channels)?;
            let values = constant.finite()?.to_vec();
            rows.push((0..channels).map(move |c| f64::from(values[c % values.len()])));
        }
        let epsilon = f64::from(proto::float(node, "epsilon").unwrap_or(1e-5));
        let mut affine = Affine { factor: Vec::new(), offset: Vec::new() };
        for _ in 0..channels {
            let mut next = rows.iter_mut().map(|row| row.next().unwrap_or(0.0));
            let [scale, bias, mean, variance] = std::array::from_fn(|_| next.next().unwrap_or(0.0));
            let factor = scale / (variance + epsilon).sqrt();
            if !factor.is_finite() {
                return Err(Problem::Other(format!(
                    "has a variance of {variance} beside an epsilon of {epsilon}; their sum must be positive, so train the network again"
                )));
            }
            affine.factor.push(factor);
            affine.offset.push(bias - mean * factor);
        }
        self.apply(node, name, "BatchNormalization", 0, affine)
    }

    /// Layout and channels of an operand.
    fn channels(
        &mut self,
        x: Value,
        node: &pb::NodeProto,
        index: usize,
    ) -> Result<(View, usize), Problem> {
        let name = Self::input_name(node, index).unwrap_or_default();
        let view = match x {
            Value::Pending(pending) if !self.model.real => {
                return Err(Problem::Other(format!(
                    "scales or shifts what {:?} ({}) gives, which is not quantised; fold it into that layer when exporting",
                    pending.name, pending.op
                )))
            }
            Value::Pending(pending) => pending.view,
            other => other.dequantized(name)?.view,
        };
        let channels = view.len(Axis::C);
        Ok((view, channels))
    }

    /// Makes `affine` part of the layer that input `index` comes from, where it can be, else a
    /// layer of its own.
    fn apply(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        op: &'static str,
        index: usize,
        affine: Affine,
    ) -> Result<Value, Problem> {
        if let Value::Pending(mut pending) = self.value(node, index)? {
            if let (true, Kind::Conv(conv)) = (pending.is_free(), &mut pending.kind) {
                fold(conv, &affine);
                let into = pending.name.clone();
                self.note_fold(name, op, &into);
                return Ok(Value::Pending(pending));
            }
        }
        let x = self.activation(node, index)?;
        let channels = affine.factor.len();
        let (weights, scale, x_scale, bias) = match self.model.real {
            true => {
                let weights: Vec<f32> = affine.factor.iter().map(|&f| f as f32).collect();
                (Data::F32(weights.into()), vec![1.0], 1.0, affine.offset)
            }
            false => {
                let x_scale = self.graph.tensor(x.tensor).scale_of(0);
                let (weights, scale, bias) = steps(&affine, x_scale);
                (Data::I8(weights.into()), scale, x_scale, bias)
            }
        };
        let conv = Convolution {
            x: x.tensor,
            window: Window::whole(1, 1),
            groups: channels,
            weights_name: format!("{name}.scale"),
            weights,
            shape: [channels, 1, 1, 1],
            scale,
            x_scale,
            bias,
        };
        Ok(Value::Pending(Pending::new(name, op, Kind::Conv(conv), x.view)))
    }
}

/// Weights of one step size a channel, which makes each of them exact, their scales, and the biases in
/// steps of `x_scale` times those.
fn steps(affine: &Affine, x_scale: f32) -> (Vec<i8>, Vec<f32>, Vec<f64>) {
    let mut all = (Vec::new(), Vec::new(), Vec::new());
    for (&factor, &offset) in affine.factor.iter().zip(&affine.offset) {
        // A small factor beside a large offset: the step is such that the bias does not run over.
        let step =
            (factor.abs() / 127.0).max(offset.abs() / (f64::from(x_scale) * MOST_BIAS)) as f32;
        let step = if step > 0.0 { step } else { 1.0 };
        all.0.push((factor / f64::from(step)).round() as i8);
        all.1.push(step);
        all.2.push(offset / (f64::from(x_scale) * f64::from(step)));
    }
    all
}

fn fold(conv: &mut Convolution, affine: &Affine) {
    let Data::F32(weights) = &conv.weights else { return };
    let row = (weights.len() / conv.shape[0].max(1)).max(1);
    let scaled = |(at, &w): (usize, &f32)| (f64::from(w) * affine.factor[at / row]) as f32;
    conv.weights = Data::F32(weights.iter().enumerate().map(scaled).collect::<Vec<f32>>().into());
    for (bias, (factor, offset)) in
        conv.bias.iter_mut().zip(affine.factor.iter().zip(&affine.offset))
    {
        *bias = *bias * factor + offset;
    }
}
