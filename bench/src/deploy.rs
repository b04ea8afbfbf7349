//! A network as it is deployed: trained at a desk in float, then quantised again. Activations keep
//! their scales, which the float reference keeps to as well.

use std::sync::Arc;

use anyhow::{ensure, Context, Result};
use offshoot::adapt::HeadStart;
use offshoot::ir::{Data, Graph, Node, NodeId, Quant, Tensor};
use offshoot::learn::Watch;
use offshoot::ops::Op;
use offshoot::pipeline::compile;
use offshoot::reference::FloatTraining;
use offshoot::scheme::Scheme;
use offshoot_simulator::data::Split;
use offshoot_simulator::Round;

use crate::plan::Base;

/// Smallest step of weights.
const LEAST_STEP: f32 = 1e-6;

/// Trains `graph` as `base` says, with a new head of so many `classes`, and gives it back as a
/// network that knows them. The order of samples is that of one seed, whatever a tier's are.
pub fn deployed(
    graph: &Graph,
    base: &Base,
    classes: u16,
    samples: &Split,
    watch: &mut dyn Watch,
) -> Result<Graph> {
    let scheme = Scheme::from_short(&base.update)?;
    let compiled = compile(graph, HeadStart::Zero { classes: classes.into() }, &scheme)?;
    let mut training =
        FloatTraining::new(&compiled.graph).context("the training graph has no loss")?;
    let count = samples.len();
    let round = Round::new(base.rate, count, count * base.epochs);
    watch.begin("base", round.steps);
    for (index, rate) in round.steps() {
        training.train(index, samples.input(index), samples.label(index), rate);
        watch.step();
    }
    watch.end();
    written_back(graph, &compiled.graph, &training)
}

/// `graph` with what `training` made of the constants of `trained`.
fn written_back(graph: &Graph, trained: &Graph, training: &FloatTraining<'_>) -> Result<Graph> {
    let mut graph = graph.clone();
    let mut convs: Vec<NodeId> =
        graph.nodes().filter(|(_, n)| matches!(n.op, Op::Conv2d(_))).map(|(id, _)| id).collect();
    let classifier = convs.pop().context("the network has no classifier")?;
    for (_, node) in trained.nodes() {
        let target = match &node.op {
            Op::Head(_) => Some(classifier),
            Op::Conv2d(_) => convs.iter().copied().find(|&id| graph.node(id).name == node.name),
            _ => continue,
        };
        let target = target.with_context(|| format!("layer {:?} is not there", node.name))?;
        let [weights, biases] = [1, 2].map(|at| training.value(node.inputs[at]));
        quantized(&mut graph, target, weights, biases)
            .with_context(|| format!("layer {:?}", node.name))?;
    }
    // The scores' own scales stay as they were: a trained head takes the place of what gives them.
    let classes = graph.tensor(graph.node(classifier).inputs[1]).shape[0];
    let after: Vec<Node> = graph.nodes().skip(classifier.index()).map(|(_, n)| n.clone()).collect();
    for &scores in after.iter().flat_map(|node| &node.outputs) {
        if let Some(last) = graph.tensor_mut(scores).shape.last_mut() {
            *last = classes;
        }
    }
    Ok(graph)
}

/// Gives a layer other weights and biases, each row of weights in steps that reach its largest.
fn quantized(graph: &mut Graph, layer: NodeId, weights: &[f32], biases: &[f32]) -> Result<()> {
    let inputs = graph.node(layer).inputs.clone();
    let readers = graph.consumers();
    let own = inputs[1..].iter().all(|t| readers[t.index()].len() == 1);
    ensure!(own, "it shares its constants with another layer");
    let old = graph.tensor(inputs[1]);
    let row = old.elements() / old.shape[0].max(1);
    ensure!(weights.len() == biases.len() * row, "it has other inputs now");
    let shape = [&[biases.len()], &old.shape[1..]].concat();
    let most = weights.chunks_exact(row).map(|w| w.iter().fold(0.0f32, |m, v| m.max(v.abs())));
    let steps: Vec<f32> = most.map(|most| (most / 127.0).max(LEAST_STEP)).collect();
    let x = graph.tensor(inputs[0]).scale_of(0);
    let units: Vec<f32> = steps.iter().map(|step| step * x).collect();
    let rows = weights.chunks_exact(row).zip(&steps);
    let weights = rows.flat_map(|(w, step)| w.iter().map(move |v| (v / step).round() as i8));
    let weights = Data::I8(Arc::new(weights.collect()));
    let biases = biases.iter().zip(&units).map(|(v, unit)| (v / unit).round() as i32);
    let biases = Data::I32(Arc::new(biases.collect()));
    let mut put = |at: usize, shape: Vec<usize>, data: Data, scales: Vec<f32>| {
        let name = graph.tensor(inputs[at]).name.clone();
        let quant = Quant::per_axis(scales, 0);
        *graph.tensor_mut(inputs[at]) = Tensor::constant(name, shape, data, quant);
    };
    put(2, vec![units.len()], biases, units);
    put(1, shape, weights, steps);
    Ok(())
}

#[cfg(test)]
mod tests {
    use offshoot::import::import;
    use offshoot::learn::{evaluate, Score};
    use offshoot_runtime::program::op::Shape;
    use offshoot_runtime::program::Header;
    use offshoot_simulator::data;

    use super::*;
    use crate::plan::find;

    #[test]
    fn a_deployed_network_knows_what_it_was_taught() {
        let graph = import(&find("demo/digits_int8qdq.onnx").unwrap()).unwrap();
        let input_shape = Shape { h: 8, w: 8, c: 1 };
        let header = Header { input_shape, classes: 10, ..Header::default() };
        let path = find("demo/digits_rotated.npz").unwrap();
        let mut samples = data::load(&path, &header, &data::Options::default()).unwrap();
        samples.train = samples.train.select(&samples.train.spread(400));
        let base =
            Base { update: "biases=all,last:1,block2_project:1".into(), epochs: 4, rate: 5e-3 };
        let known = deployed(&graph, &base, 10, &samples.train, &mut ()).unwrap();
        let right = |graph: &Graph, start| {
            let program = compile(graph, start, &Scheme::default()).unwrap().program;
            match evaluate(&program, &samples.test, &mut ()).unwrap() {
                Score::Accuracy(share) => share,
                score => panic!("{score:?}"),
            }
        };
        let before = right(&graph, HeadStart::Classifier);
        let after = right(&known, HeadStart::Classifier);
        assert!(before < 0.3 && after > 0.6, "{before} {after}");
        // With an eleventh class, of which nothing is known, the ten are still told apart.
        assert!(right(&known, HeadStart::Extended { new: 1 }) > 0.5);
    }
}
