//! Stochastic gradient descent on one parameter, in place.

use num_traits::Float;

use super::{expect_inputs, rule, Op, Operator, OutputType};
use crate::ir::{Attributes, DType, Node, NodeId, Tensor};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;
use crate::scheme::{Optimizer, OptimizerFile};

/// `p -= clamp(rate * g)`; inputs the parameter and its streamed gradient. A weight moves at
/// most 4 steps of its scale at once; biases are not limited. With momentum or a batch what is
/// clamped goes through an [`Optimizer`]. A [`crate::ir::Rule`] of the parameter may
/// change the rate of rows, or take a step of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Sgd {
    /// How steps become updates.
    pub optimizer: Optimizer,
}

/// Most int8 steps that a weight moves in one update.
pub const LIMIT: f64 = 4.0;

impl Operator for Sgd {
    const NAME: &'static str = "sgd";

    fn attributes(&self) -> Attributes {
        let Optimizer { momentum, momentum_bits, batch } = self.optimizer;
        let mut attributes = Attributes::new();
        if momentum > 0.0 {
            attributes = attributes
                .with_real("momentum", [momentum])
                .with("momentum_bits", [momentum_bits.into()]);
        }
        if batch > 1 {
            attributes = attributes.with("batch", [batch.into()]);
        }
        attributes
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let optimizer = OptimizerFile {
            momentum: attributes.find_real("momentum")?.map(|[momentum]| momentum.into()),
            momentum_bits: attributes.find("momentum_bits")?.map(|[bits]| bits),
            batch: attributes.find("batch")?.map(|[batch]| batch),
        };
        Ok(Sgd { optimizer: optimizer.optimizer().map_err(|why| why.to_string())? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        let (parameter, gradient) = (inputs[0], inputs[1]);
        if parameter.trained.is_none() {
            return Err(format!("`{}` is not trained", parameter.name));
        }
        if gradient.dtype != DType::Stream || gradient.elements() != parameter.trained_elements() {
            return Err(format!(
                "`{}` trains {} elements, its gradient has {}",
                parameter.name,
                parameter.trained_elements(),
                gradient.elements()
            ));
        }
        Ok(Vec::new())
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let parameter = node.inputs[0];
        let tensor = values.graph().tensor(parameter);
        let batch = T::from(self.optimizer.batch).unwrap_or_else(T::one);
        let rate = values.step.rate / batch;
        let mut kept = values.take_kept(parameter);
        let due = kept.count(self.optimizer.batch);
        let gradient = values.get(node.inputs[1]).to_vec();
        let indices = trained_indices(tensor);
        let per_row = tensor.elements() / tensor.shape[0].max(1);
        let limited = tensor.dtype != DType::I32;
        let steps: Vec<T> = (0..tensor.shape[0])
            .map(|row| T::from(tensor.scale_of(row)).unwrap_or_else(T::one))
            .collect();
        let limit = T::from(LIMIT).unwrap_or_else(T::one) / batch;
        let momentum = T::from(self.optimizer.momentum).unwrap_or_else(T::zero);
        if !self.optimizer.is_plain() {
            kept.sum.resize(gradient.len(), T::zero());
            kept.velocity.resize(gradient.len(), T::zero());
        }
        let degenerate = T::from(crate::lower::DEGENERATE_SCALE).unwrap_or_else(T::zero);
        values.change(parameter, |p| {
            let rates = rule::rates(tensor, p, rate);
            for (n, (&at, &g)) in indices.iter().zip(&gradient).enumerate() {
                let row = at / per_row;
                let step = steps[row];
                if limited && step < degenerate {
                    continue;
                }
                let most = if limited { limit * step } else { T::infinity() };
                let mut u = (rates[row] * g).max(-most).min(most);
                if let Some((sum, velocity)) = kept.sum.get_mut(n).zip(kept.velocity.get_mut(n)) {
                    *sum = *sum + u;
                    if !due {
                        continue;
                    }
                    u = momentum * *velocity + *sum;
                    (*sum, *velocity) = (T::zero(), u);
                }
                p[at] = p[at] - u;
            }
            rule::orthonormalize(tensor, p, rate);
        });
        values.keep(parameter, kept);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (parameter, gradient) = (node.inputs[0], node.inputs[1]);
        let (producer, optimizer) = (cx.producer(gradient), &self.optimizer);
        match producer.map(|p| (p, cx.graph.node(p).op.clone())) {
            Some((p, Op::Conv2dWeightGrad(op))) => {
                op.lower_update(cx, p, parameter, optimizer)?;
            }
            Some((p, Op::HeadWeightGrad(op))) => op.lower_update(cx, p, parameter, optimizer),
            Some((p, Op::BiasGrad(op))) => op.lower_update(cx, p, parameter, optimizer),
            _ => {
                return Err(LowerError::new(cx.graph, id, "its gradient streams from no known op"))
            }
        }
        Ok(())
    }
}

/// Where the trained elements of a parameter lie in it, in the order of its gradient.
pub(crate) fn trained_indices(tensor: &Tensor) -> Vec<usize> {
    if !tensor.picks().is_empty() {
        return tensor.picks().iter().map(|&at| at as usize).collect();
    }
    let channels = tensor.trained.as_ref().and_then(|t| t.channels.as_ref());
    let Some(channels) = channels else {
        return (0..tensor.elements()).collect();
    };
    let chosen = channels.iter().map(|&c| usize::from(c));
    let last = *tensor.shape.last().unwrap_or(&1);
    if last == 1 {
        // Depthwise weights [C, kh, kw, 1]: the channels are rows.
        let row = tensor.elements() / tensor.shape[0].max(1);
        chosen.flat_map(|c| c * row..(c + 1) * row).collect()
    } else {
        let chosen: Vec<usize> = chosen.collect();
        (0..tensor.elements() / last)
            .flat_map(|row| chosen.iter().map(move |c| row * last + c))
            .collect()
    }
}
