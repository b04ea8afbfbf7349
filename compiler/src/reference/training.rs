//! Trains a graph in float: the same scheme, samples, order and rates as the integer program.

use std::collections::HashMap;

use offshoot_runtime::{kernels, Prediction};

use crate::ir::{Graph, NodeId, Tensor, TensorId};

use super::Values;

/// What is done to the values that a node of the forward pass has computed.
pub type Alter = fn(&Tensor, &mut [f32]);

/// A training graph at work in f32.
#[derive(Debug)]
pub struct FloatTraining<'g> {
    values: Values<'g, f32>,
    input: TensorId,
    output: TensorId,
    /// Whether what is predicted is the loss itself.
    judged: bool,
    /// Nodes before the first that reads something trained.
    prefix: usize,
    /// Nodes of the forward pass.
    forward: usize,
    carried: Vec<TensorId>,
    cache: HashMap<usize, Vec<Vec<f32>>>,
    alter: Option<Alter>,
}

impl<'g> FloatTraining<'g> {
    /// `graph` must be verified and have a loss.
    pub fn new(graph: &'g Graph) -> Option<Self> {
        let (input, output) = graph.input.zip(graph.output)?;
        let trains =
            |id: &NodeId| graph.node(*id).inputs.iter().any(|t| graph.tensor(*t).trained.is_some());
        let ids: Vec<NodeId> = graph.nodes().map(|(id, _)| id).collect();
        let is_loss = |id: &NodeId| graph.node(*id).op.is_loss();
        let loss = ids.iter().position(is_loss)?;
        // As in the program: a loss that needs no label is what inference gives.
        let judged = !graph.has_logits();
        let forward = loss + usize::from(judged);
        let prefix = ids.iter().position(trains).unwrap_or(forward).min(forward);
        let producers = graph.producers();
        // The sample itself is among what later nodes read where the first layer is trained.
        let early =
            |t: TensorId| t == input || producers[t.index()].is_some_and(|p| p.index() < prefix);
        let mut carried: Vec<TensorId> = graph
            .nodes()
            .skip(prefix)
            .flat_map(|(_, n)| n.inputs.iter().copied())
            .filter(|&t| early(t))
            .collect();
        carried.sort_unstable();
        carried.dedup();
        let values = Values::new(graph);
        Some(FloatTraining {
            values,
            input,
            output,
            judged,
            prefix,
            forward,
            carried,
            cache: HashMap::new(),
            alter: None,
        })
    }

    /// The same with every result of the forward pass altered as soon as it is there, to see what
    /// that costs. Gradients take no notice of it.
    pub fn altered(self, alter: Alter) -> Self {
        FloatTraining { alter: Some(alter), cache: HashMap::new(), ..self }
    }

    fn run(&mut self, from: usize, to: usize) {
        let Some(alter) = self.alter else { return self.values.run(from, to) };
        let graph = self.values.graph();
        for (id, node) in graph.nodes().take(to.min(self.forward)).skip(from) {
            self.values.run(id.index(), id.index() + 1);
            if let Some(&y) = node.outputs.first() {
                self.values.change(y, |values| alter(graph.tensor(y), values));
            }
        }
        self.values.run(from.max(self.forward), to);
    }

    /// Puts trained values back to what the graph gave them.
    pub fn reset(&mut self) {
        let graph = self.values.graph();
        let fresh = Values::<f32>::new(graph);
        self.values.forget();
        for (id, _) in graph.tensors().filter(|(_, t)| t.trained.is_some()) {
            self.values.set(id, fresh.get(id).to_vec());
        }
    }

    /// What a constant has been trained to, or another tensor's latest value.
    pub fn value(&self, tensor: TensorId) -> &[f32] {
        self.values.get(tensor)
    }

    fn front(&mut self, key: usize, sample: &[i8]) {
        if let Some(kept) = self.cache.get(&key) {
            for (&t, value) in self.carried.iter().zip(kept) {
                let mut memory = self.values.take(t);
                memory.clone_from(value);
                self.values.set(t, memory);
            }
            return;
        }
        let tensor = self.values.graph().tensor(self.input);
        let (scale, zero) = (tensor.scale_of(0), tensor.zero() as f32);
        let real = sample.iter().map(|&q| scale * (f32::from(q) - zero)).collect();
        self.values.set(self.input, real);
        self.run(0, self.prefix);
        let kept = self.carried.iter().map(|&t| self.values.get(t).to_vec()).collect();
        self.cache.insert(key, kept);
    }

    /// One training step on sample number `key`; gives the loss before it.
    pub fn train(&mut self, key: usize, sample: &[i8], label: u16, rate: f32) -> f32 {
        self.front(key, sample);
        self.values.step.label = usize::from(label);
        self.values.step.rate = rate;
        let nodes = self.values.graph().nodes().len();
        self.run(self.prefix, nodes);
        self.values.step.loss
    }

    /// What the network makes of sample number `key`.
    pub fn infer(&mut self, key: usize, sample: &[i8]) -> Prediction {
        self.values.step.rate = 0.0;
        self.front(key, sample);
        self.run(self.prefix, self.forward);
        if self.judged {
            return Prediction::Error(self.values.step.loss);
        }
        Prediction::Class(kernels::argmax(self.values.get(self.output)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapt::HeadStart;
    use crate::scheme::Scheme;
    use crate::{import, pipeline};

    const MODEL: &[u8] = include_bytes!("../../../demo/digits_int8qdq.onnx");

    #[test]
    fn samples_are_recalled_and_training_is_undone() {
        let graph = import::import_bytes("digits_int8qdq.onnx", MODEL).unwrap();
        for scheme in ["biases=all,stem:1", "biases=2", "head", "momentum=0.9,batch=2"] {
            let scheme = Scheme::from_short(scheme).unwrap();
            let compiled = pipeline::compile(&graph, HeadStart::Classifier, &scheme).unwrap();
            let mut training = FloatTraining::new(&compiled.graph).unwrap();
            let samples = [[100; 64], std::array::from_fn(|i| (i % 17) as i8 * 7)];
            // At a rate of 0 losses are those of the samples alone.
            let losses = |training: &mut FloatTraining<'_>| {
                [0, 1, 0, 1].map(|key| training.train(key, &samples[key], 3, 0.0).to_bits())
            };
            let fresh = losses(&mut training);
            assert_ne!(fresh[0], fresh[1]);
            assert_eq!(fresh[..2], fresh[2..]);
            training.train(0, &samples[0], 3, 0.01);
            assert_ne!(losses(&mut training), fresh);
            training.reset();
            assert_eq!(losses(&mut training), fresh);
        }
    }
}
