//! Which gradient sums and clamp masks are absorbed by the op that computes their last term.

use std::collections::{HashMap, HashSet};

use crate::ir::{Graph, NodeId, TensorId};
use crate::ops::Op;

/// How an op finishes the error tensor it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The finished tensor.
    pub output: TensorId,
    /// A term to add before rounding.
    pub skip: Option<TensorId>,
    /// A mask to apply.
    pub mask: Option<TensorId>,
}

/// What is fused in a graph.
#[derive(Debug, Default)]
pub struct Fusion {
    finish: HashMap<NodeId, Finish>,
    absorbed: HashSet<NodeId>,
}

/// Whether an op can add a second term and apply a mask to what it computes.
fn can_finish(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv2dInputGrad(_)
            | Op::PoolInputGrad(_)
            | Op::MaxPoolInputGrad(_)
            | Op::UnaryInputGrad(_)
            | Op::NestInputGrad(_)
            | Op::MulInputGrad(_)
            | Op::MatMulInputGrad(_)
            | Op::NormalizeInputGrad(_)
            | Op::SoftmaxInputGrad(_)
            | Op::CopyInputGrad(_)
            | Op::FlattenInputGrad(_)
            | Op::SumGrad(_)
            | Op::MaskGrad(_)
    )
}

impl Fusion {
    /// Finds what can be fused. A sum goes to the later of its two terms' producers, if that
    /// computes it for the sum alone; a mask goes to the producer of what it masks, likewise.
    pub fn of(graph: &Graph) -> Fusion {
        let (producers, consumers) = (graph.producers(), graph.consumers());
        let mut fusion = Fusion::default();
        // Where the tensor that a node finally writes is computed: chains end at their host.
        let mut host_of: HashMap<TensorId, NodeId> = HashMap::new();
        for (id, node) in graph.nodes().filter(|(_, n)| can_finish(&n.op)) {
            let private = |t: TensorId| consumers[t.index()].len() == 1;
            let host = |t: &TensorId| {
                let producer = host_of.get(t).copied().or(producers[t.index()])?;
                (private(*t) && can_finish(&graph.node(producer).op)).then_some(producer)
            };
            let output = node.outputs[0];
            let mut own = Finish { output, skip: None, mask: None };
            match node.op {
                Op::SumGrad(_) => {
                    let hosts = [host(&node.inputs[0]), host(&node.inputs[1])];
                    // The other term must be there when the host runs: the later one hosts.
                    let choice = usize::from(hosts[1] > hosts[0]);
                    let other = node.inputs[1 - choice];
                    let computed = host_of.get(&other).copied().or(producers[other.index()]);
                    let ready = |h: NodeId| computed.is_none_or(|c| c < h);
                    match hosts[choice] {
                        Some(h) if fusion.free_to_add(h) && ready(h) => {
                            fusion.extend(h, output, Some(other), None);
                            fusion.absorbed.insert(id);
                            host_of.insert(output, h);
                            continue;
                        }
                        _ => own.skip = Some(node.inputs[1]),
                    }
                }
                Op::MaskGrad(_) => match host(&node.inputs[0]) {
                    // The mask comes from the forward pass: it is always there.
                    Some(h) if fusion.finish.get(&h).is_none_or(|f| f.mask.is_none()) => {
                        fusion.extend(h, output, None, Some(node.inputs[1]));
                        fusion.absorbed.insert(id);
                        host_of.insert(output, h);
                        continue;
                    }
                    _ => own.mask = Some(node.inputs[1]),
                },
                _ => {}
            }
            fusion.finish.insert(id, own);
        }
        fusion
    }

    /// A sum after a mask, or a third term, cannot be added.
    fn free_to_add(&self, host: NodeId) -> bool {
        self.finish.get(&host).is_none_or(|f| f.skip.is_none() && f.mask.is_none())
    }

    fn extend(
        &mut self,
        host: NodeId,
        output: TensorId,
        skip: Option<TensorId>,
        mask: Option<TensorId>,
    ) {
        let finish = self.finish.entry(host).or_insert(Finish { output, skip: None, mask: None });
        finish.output = output;
        finish.skip = finish.skip.or(skip);
        finish.mask = finish.mask.or(mask);
    }

    /// How node `id` finishes what it computes.
    pub fn finish(&self, graph: &Graph, id: NodeId) -> Finish {
        let plain = Finish { output: graph.node(id).outputs[0], skip: None, mask: None };
        self.finish.get(&id).copied().unwrap_or(plain)
    }

    /// Whether another op does the work of node `id`.
    pub fn is_absorbed(&self, id: NodeId) -> bool {
        self.absorbed.contains(&id)
    }
}
