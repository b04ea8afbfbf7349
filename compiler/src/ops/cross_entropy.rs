//! Softmax cross-entropy: from logits and a label to the gradient that starts the backward pass.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;
use offshoot_runtime::Slot;

use super::{expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::ir::{Attributes, DType, Node, NodeId, Tensor};
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
        let scale = cx.graph.tensor(node.inputs[0]).scale_of(0) as f64;
        let sixteenths = Multiplier::from_f64(16.0 * scale);
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
