//! Cross-entropies: from logits and a label to the gradient that starts the backward pass.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;
use offshoot_runtime::Slot;

use super::{expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `dy = w (softmax(x) - t)`; the loss is `-w sum t ln softmax(x)`. The target t is
/// `(1 - smoothing) onehot(label) + smoothing / classes`, w the weight of the label's class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SoftmaxCrossEntropy {
    /// Part of the target that is spread over all classes.
    pub smoothing: f32,
    /// Weight of each class; empty: 1.
    pub weights: Vec<f32>,
}

/// `dy = sigmoid(x) - onehot(label)`; the loss is `sum ln(1 + exp z)`, where z is `-x` for the label
/// and x for all other classes.
#[derive(Clone, Debug, PartialEq)]
pub struct SigmoidCrossEntropy;

/// How many classes logits have.
fn classes(logits: &Tensor) -> Result<usize, String> {
    expect_dtype(logits, DType::I32)?;
    match nhwc(logits)? {
        [1, 1, classes] if classes >= 2 => Ok(classes),
        shape => {
            Err(format!("logits have shape {shape:?}, expected one pixel of 2 or more classes"))
        }
    }
}

/// The unit of logits in sixteenths.
fn sixteenths(cx: &Lowering<'_>, logits: TensorId) -> Multiplier {
    Multiplier::from_f64(16.0 * f64::from(cx.graph.tensor(logits).scale_of(0)))
}

impl Operator for SoftmaxCrossEntropy {
    const NAME: &'static str = "softmax_cross_entropy";

    fn attributes(&self) -> Attributes {
        let mut attributes = Attributes::new();
        if self.smoothing != 0.0 {
            attributes = attributes.with_real("smoothing", [self.smoothing]);
        }
        if !self.weights.is_empty() {
            attributes = attributes.with_real("weights", self.weights.iter().copied());
        }
        attributes
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [smoothing] = attributes.find_real("smoothing")?.unwrap_or_default();
        if !(0.0..1.0).contains(&smoothing) {
            return Err(format!("a smoothing of {smoothing} is outside 0..1"));
        }
        let weights = attributes.find_reals("weights")?.unwrap_or_default();
        match weights.iter().find(|w| !(w.is_finite() && **w >= 0.0)) {
            Some(weight) => Err(format!("a class cannot weigh {weight}")),
            None => Ok(SoftmaxCrossEntropy { smoothing, weights }),
        }
    }

    fn is_loss(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        let classes = classes(inputs[0])?;
        if !self.weights.is_empty() && self.weights.len() != classes {
            return Err(format!(
                "{} class weights do not fit {classes} classes",
                self.weights.len()
            ));
        }
        Ok(vec![(DType::Error, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let x = values.get(node.inputs[0]);
        let label = values.step.label;
        let most = x.iter().copied().fold(T::neg_infinity(), T::max);
        let exps: Vec<T> = x.iter().map(|&x| (x - most).exp()).collect();
        let total = exps.iter().fold(T::zero(), |sum, &e| sum + e);
        let real = |v: f64| T::from(v).unwrap_or_else(T::nan);
        let weight = self.weights.get(label).map_or(T::one(), |&w| real(w.into()));
        let everywhere = real(f64::from(self.smoothing) / x.len() as f64);
        let on_label = real(1.0 - f64::from(self.smoothing));
        let far = total.ln() + most;
        let of_all = x.iter().fold(T::zero(), |sum, &x| sum + far - x);
        let loss = weight * (on_label * (far - x[label]) + everywhere * of_all);
        let target = |k| everywhere + if k == label { on_label } else { T::zero() };
        let p = exps.iter().map(|&e| e / total).enumerate();
        let dy = p.map(|(k, p)| weight * (p - target(k))).collect();
        values.step.loss = loss;
        values.set(node.outputs[0], dy);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let sixteenths = sixteenths(cx, node.inputs[0]);
        let (logits, error) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        let smoothing = (f64::from(self.smoothing) * 65536.0).round().min(65535.0) as u16;
        let weights = match self.weights.as_slice() {
            [] => Slot::default(),
            weights => cx.factors(weights),
        };
        cx.push(id, rt::SoftmaxCrossEntropy { logits, error, weights, sixteenths, smoothing });
        Ok(())
    }
}

impl Operator for SigmoidCrossEntropy {
    const NAME: &'static str = "sigmoid_cross_entropy";

    fn from_attributes(_attributes: &Attributes) -> Result<Self, String> {
        Ok(SigmoidCrossEntropy)
    }

    fn is_loss(&self) -> bool {
        true
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        classes(inputs[0])?;
        Ok(vec![(DType::Error, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let x = values.get(node.inputs[0]);
        let label = values.step.label;
        let sign = |k| if k == label { -T::one() } else { T::one() };
        let z: Vec<T> = x.iter().enumerate().map(|(k, &x)| sign(k) * x).collect();
        // Of what is at most 1: no exponential overflows.
        let small = |z: T| (-z.abs()).exp();
        let part = |z: T| z.max(T::zero()) + small(z).ln_1p();
        let loss = z.iter().fold(T::zero(), |sum, &z| sum + part(z));
        let size = |z: T| (if z < T::zero() { small(z) } else { T::one() }) / (T::one() + small(z));
        let dy = z.iter().enumerate().map(|(k, &z)| sign(k) * size(z)).collect();
        values.step.loss = loss;
        values.set(node.outputs[0], dy);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let sixteenths = sixteenths(cx, node.inputs[0]);
        let (logits, error) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        cx.push(id, rt::SigmoidCrossEntropy { logits, error, sixteenths });
        Ok(())
    }
}
