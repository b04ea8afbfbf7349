//! Constants that scale and shift channels: `BatchNormalization`, and `Mul`, `Div`, `Add` and `Sub`
//! with a constant. In a network of real numbers they become part of the layer before them; else they
//! are a depthwise convolution of their own, whose scales hold the factors exactly.

use tract_onnx::pb;

use super::conv::expect_channelwise;
use crate::import::constant::Constant;
use crate::import::error::Problem;
use crate::import::layout::{channels_first, View};
use crate::import::pending::{Convolution, Kind, Pending};
use crate::import::proto;
use crate::import::value::{Activation, Value};
use crate::import::Importer;
use crate::ir::Data;
use crate::ops::window::Window;

/// Half of int32.
const MOST_BIAS: f64 = (1u64 << 30) as f64;

/// `y = factor x + offset`, in each channel.
pub struct Affine {
    pub factor: Vec<f64>,
    pub offset: Vec<f64>,
}

impl Importer<'_> {
    /// `Mul`, `Div`, `Add` or `Sub` of an activation and operand `at`, a constant for each channel.
    pub fn affine(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        op: &'static str,
        at: usize,
        constant: &Constant,
    ) -> Result<Value, Problem> {
        let x = self.value(node, 1 - at)?;
        let channels = self.affine_view(&x, node, 1 - at)?.size[2];
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
        self.apply(node, name, op, (1 - at, x), affine)
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
        let mut x = self.value(node, 0)?;
        let mut view = self.affine_view(&x, node, 0)?;
        if view.dims.get(1) != Some(&view.channels()) {
            let settled = self.settled(x, Self::input_name(node, 0).unwrap_or_default())?;
            let settled = self.arrange(settled, &channels_first(view.dims.len()), name)?;
            view = settled.view.clone();
            x = Value::Activation(settled);
        }
        let channels = view.size[2];
        let mut rows = Vec::with_capacity(4);
        for (index, what) in ["scale", "bias", "mean", "variance"].into_iter().enumerate() {
            let constant = self.constant(node, index + 1)?;
            let constant = constant.ok_or_else(|| Problem::Missing(format!("its {what}")))?;
            expect_channelwise(&constant, &View::row(channels, 1))?;
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
        self.apply(node, name, "BatchNormalization", (0, x), affine)
    }

    /// Layout of an operand that is scaled or shifted.
    pub fn affine_view(
        &mut self,
        x: &Value,
        node: &pb::NodeProto,
        index: usize,
    ) -> Result<View, Problem> {
        let name = Self::input_name(node, index).unwrap_or_default();
        match x {
            Value::Pending(pending) if !self.model.real => {
                Err(Problem::Other(format!(
                    "scales or shifts what {:?} ({}) gives, which is not quantised; fold it into that layer when exporting",
                    pending.name, pending.op
                )))
            }
            Value::Pending(pending) => Ok(pending.view.clone()),
            other => Ok(other.clone().dequantized(name)?.view),
        }
    }

    /// Makes `affine` part of the layer that a node's input comes from, where it can be, else a layer
    /// of its own.
    fn apply(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        op: &'static str,
        (index, x): (usize, Value),
        affine: Affine,
    ) -> Result<Value, Problem> {
        if let Value::Pending(pending) = &x {
            let mut pending = pending.clone();
            let kept = self.options.keep_batch_normalization && op == "BatchNormalization";
            if let (true, false, Kind::Conv(conv)) = (pending.is_free(), kept, &mut pending.kind) {
                fold(conv, &affine);
                let into = pending.name.clone();
                self.note_fold(name, op, &into);
                return Ok(Value::Pending(pending));
            }
        }
        let x = self.settled(x, Self::input_name(node, index).unwrap_or_default())?;
        Ok(Value::Pending(self.affine_layer(name, op, x, &affine)))
    }

    /// A layer that scales and shifts each channel.
    pub fn affine_layer(
        &self,
        name: &str,
        op: &'static str,
        x: Activation,
        affine: &Affine,
    ) -> Box<Pending> {
        let channels = affine.factor.len();
        let (weights, scale, x_scale, bias) = match self.model.real {
            true => {
                let weights: Vec<f32> = affine.factor.iter().map(|&f| f as f32).collect();
                (Data::F32(weights.into()), vec![1.0], 1.0, affine.offset.clone())
            }
            false => {
                let x_scale = self.graph.tensor(x.tensor).scale_of(0);
                let (weights, scale, bias) = steps(affine, x_scale);
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
        Pending::new(name, op, Kind::Conv(conv), x.view)
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
