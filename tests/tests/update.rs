//! What a training step changes: the trained elements, by rate times gradient, and nothing else.

use offshoot::ir::DType;
use offshoot::lower::lower;
use offshoot::ops::Op;
use offshoot_runtime::program::op as rt;
use offshoot_tests::check::training;
use offshoot_tests::gradients::{analytic, parameters, start, Sample};
use offshoot_tests::nets::{self, Conv, Net};

/// Most steps of its scale that a weight moves at once.
const LIMIT: f64 = 4.0;

#[test]
fn trained_elements_move_against_their_gradient_and_others_stay() {
    let scheme = "biases=2,0:1/3,1:1/2,2:1/2,4:1";
    let graph = training(&nets::residual(50), scheme);
    let sample = Sample::random(&graph, 3);
    let gradients = analytic(&graph, &sample);
    for rate in [0.01, 10.0] {
        let mut values = start(&graph, &sample);
        values.step.rate = rate;
        let before = values.clone();
        values.run(0, graph.nodes().len());
        let mut limited = 0;
        for (parameter, gradient) in parameters(&graph).iter().zip(&gradients) {
            let tensor = graph.tensor(parameter.id);
            let per_row = tensor.elements() / tensor.shape[0];
            let mut expected = before.get(parameter.id).to_vec();
            for (&at, g) in parameter.elements.iter().zip(gradient) {
                let most = match tensor.dtype {
                    DType::I32 => f64::INFINITY,
                    _ => LIMIT * f64::from(tensor.scale_of(at / per_row)),
                };
                limited += usize::from((rate * g).abs() > most);
                expected[at] -= (rate * g).clamp(-most, most);
            }
            let after = values.get(parameter.id);
            assert!(after.iter().zip(&expected).all(|(a, e)| (a - e).abs() < 1e-12));
        }
        assert_eq!(limited > 0, rate == 10.0, "the limit is met at the high rate alone");
        for (id, tensor) in graph.tensors().filter(|(_, t)| t.data.is_some()) {
            let trained = tensor.trained.is_some();
            assert!(trained || values.get(id) == before.get(id), "{:?} moved", tensor.name);
        }
    }
}

/// `a <- a + U / batch` every sample, and every `batch` samples `v <- mu v + a`, `p <- p - v`.
#[test]
fn momentum_and_batches_are_those_of_their_definition() {
    for (momentum, batch) in [(0.9, 1), (0.0, 3), (0.5, 2)] {
        let scheme = format!("biases=2,0:1/3,1:1/2,momentum={momentum},batch={batch}");
        let graph = training(&nets::residual(54), &scheme);
        let momentum = f64::from(momentum as f32);
        let mut values = start(&graph, &Sample::random(&graph, 6));
        let all = parameters(&graph);
        let streams: Vec<_> = graph
            .nodes()
            .filter(|(_, n)| matches!(n.op, Op::Sgd(_)))
            .map(|(_, n)| (n.inputs[0], n.inputs[1]))
            .collect();
        let stream = |id| streams.iter().find(|(p, _)| *p == id).expect("a gradient").1;
        let mut kept: Vec<Vec<[f64; 2]>> =
            all.iter().map(|p| vec![[0.0; 2]; p.elements.len()]).collect();
        for sample in 1..=6 {
            // At another rate each time, for each counts at its own.
            values.step.rate = 0.001 * f64::from(sample);
            let before = values.clone();
            values.run(0, graph.nodes().len());
            for (parameter, kept) in all.iter().zip(&mut kept) {
                let gradient = values.get(stream(parameter.id));
                let mut expected = before.get(parameter.id).to_vec();
                for ((&at, g), [v, a]) in parameter.elements.iter().zip(gradient).zip(kept) {
                    *a += values.step.rate * g / f64::from(batch);
                    if sample % batch == 0 {
                        *v = momentum * *v + *a;
                        *a = 0.0;
                        expected[at] -= *v;
                    }
                }
                let after = values.get(parameter.id);
                assert!(after.iter().zip(&expected).all(|(a, e)| (a - e).abs() < 1e-12));
            }
        }
    }
}

#[test]
fn steps_reduce_the_loss() {
    for (graph, scheme) in [
        (nets::residual(51), "biases=all,1:1/2,5:1"),
        (nets::resnet(52, 6, 3), "4:2/3"),
        (nets::ds_cnn(53), "head"),
    ] {
        let graph = training(&graph, scheme);
        let mut values = start(&graph, &Sample::random(&graph, 4));
        values.step.rate = 0.005;
        let mut losses = Vec::new();
        for _ in 0..30 {
            values.run(0, graph.nodes().len());
            losses.push(values.step.loss);
        }
        assert!(losses[29] < losses[0] * 0.9, "{}: {losses:?}", graph.name);
    }
}

/// The input gradient of a layer uses its weights before their update: in execution order, every
/// reader of a parameter comes before its `sgd`.
#[test]
fn updates_come_last() {
    for seed in 60..80 {
        let net = nets::any(seed);
        let graph = training(&net, &offshoot_tests::check::everything(&net));
        for (id, node) in graph.nodes().filter(|(_, n)| matches!(n.op, Op::Sgd(_))) {
            let readers = &graph.consumers()[node.inputs[0].index()];
            assert!(readers.iter().all(|&reader| reader <= id), "seed {seed}");
            assert!(readers.len() >= 2, "a parameter that only its update reads");
        }
    }
}

/// A channel whose scale says that it holds nothing is not updated, in real numbers or integers:
/// in steps of its weights, the update would be without bound.
#[test]
fn degenerate_channels_stay() {
    let (mut net, x) = Net::new("degenerate", 70, [3, 3, 2]);
    let y = net.conv(x, Conv::same(3, 3));
    let weights = net.graph.nodes().next().expect("the convolution").1.inputs[1];
    let quant = net.graph.tensor_mut(weights).quant.as_mut().expect("quantised weights");
    quant.scale[1] = 1e-7;
    let graph = training(&net.classifier(y, 3), "0:1");

    let weights = graph.nodes().next().expect("the convolution").1.inputs[1];
    let mut values = start(&graph, &Sample::random(&graph, 5));
    values.step.rate = 0.1;
    let before = values.get(weights).to_vec();
    values.run(0, graph.nodes().len());
    let moved = |row: usize| values.get(weights)[row * 18..][..18] != before[row * 18..][..18];
    assert_eq!([0, 1, 2].map(moved), [true, false, true]);

    let lowered = lower(&graph).expect("integer ops");
    let factor = lowered.ops.iter().find_map(|op| match op {
        rt::Op::ConvUpdate(update) => Some(update.factor),
        _ => None,
    });
    let factor = factor.expect("an update of the weights");
    let bytes = lowered.constants[factor.start()..factor.end()].chunks_exact(4);
    let factors: Vec<f32> = bytes.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    assert_eq!([0, 1, 2].map(|row: usize| factors[row] > 0.0), [true, false, true]);
}
