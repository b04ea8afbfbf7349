//! What holds of whole programs, whatever the data.

use offshoot::adapt::HeadStart;
use offshoot::ir::{Graph, Quant};
use offshoot::pipeline::{compile, Compiled};
use offshoot::scheme::{Loss, Scheme};
use offshoot_runtime::program::op::Precision;
use offshoot_runtime::program::Op;
use offshoot_runtime::{Slot, Trainer};
use offshoot_simulator::{Memories, Simulation};
use offshoot_tests::calibrate::calibrated;
use offshoot_tests::check::everything;
use offshoot_tests::nets::{self, Conv, Net};
use offshoot_tests::random::Random;

const PRECISIONS: [Precision; 2] = [Precision::Residual, Precision::Stochastic];

/// Networks of this file, each with a scheme that trains all of it.
fn networks() -> Vec<Graph> {
    [nets::residual(90), nets::resnet(91, 6, 3), nets::ds_cnn(92), nets::mixed(93)]
        .map(|graph| calibrated(graph, 5))
        .into()
}

fn compiled(graph: &Graph, classes: usize, precision: Precision, loss: Loss) -> Compiled {
    let mut scheme = Scheme::from_short(&everything(graph)).unwrap();
    (scheme.precision, scheme.loss) = (precision, loss);
    let start = HeadStart::Zero { classes };
    compile(graph, start, &scheme).unwrap_or_else(|e| panic!("{}: {e}", graph.name))
}

/// Samples of a network and the number that each is known by.
fn samples(compiled: &Compiled, count: usize) -> Vec<Vec<i8>> {
    let mut random = Random::new(7);
    let size = compiled.program.header.input.len();
    let mut byte = || random.integer(-128, 127) as i8;
    (0..count).map(|_| (0..size).map(|_| byte()).collect()).collect()
}

/// Where state memory holds what learns, and whether it is the head.
fn trained(compiled: &Compiled) -> Vec<(Slot, bool)> {
    let mut head = None;
    let ops = &compiled.program.ops;
    let error = ops.iter().find_map(|op| match op {
        Op::HeadUpdate(update) => Some(update.error.data),
        _ => None,
    });
    let mut slots = Vec::new();
    for op in ops {
        slots.push(match op {
            Op::ConvUpdate(u) => (u.weights.latent, false),
            Op::DepthwiseUpdate(u) => (u.weights.latent, false),
            Op::HeadUpdate(u) => (u.latent, true),
            Op::BiasUpdate(u) if Some(u.error.data) == error && head.is_none() => {
                head = Some(u.bias);
                (u.bias, true)
            }
            Op::BiasUpdate(u) => (u.bias, false),
            _ => continue,
        });
    }
    assert!(head.is_some(), "the head's bias learns");
    slots
}

/// A sample whose class counts nothing has a gradient of zero: nothing that learns moves, at any
/// rate.
#[test]
fn a_gradient_of_zero_leaves_all_weights() {
    for graph in networks() {
        for precision in PRECISIONS {
            let loss = Loss::Softmax { smoothing: 0.0, weights: vec![0.0, 1.0, 1.0] };
            let compiled = compiled(&graph, 3, precision, loss);
            let program = compiled.program.program();
            let mut memories = Memories::of(&program);
            let mut simulation = Simulation::new(program, &mut memories).unwrap();
            let slots = trained(&compiled);
            let weights = |simulation: &mut Simulation<'_>| -> Vec<Vec<u8>> {
                let state = simulation.interpreter().state();
                slots.iter().map(|(slot, ..)| state[slot.start()..slot.end()].to_vec()).collect()
            };
            let samples = samples(&compiled, 12);
            for (key, sample) in samples.iter().enumerate() {
                // Trained first, so that error scales hold something.
                simulation.train(key, sample, 1 + (key % 2) as u16, 0.01).unwrap();
            }
            let before = weights(&mut simulation);
            for (key, sample) in samples.iter().enumerate() {
                simulation.train(key, sample, 0, 10.0).unwrap();
                assert_eq!(weights(&mut simulation), before, "{} {precision:?}", graph.name);
            }
            simulation.train(0, &samples[0], 1, 0.01).unwrap();
            assert_ne!(weights(&mut simulation), before);
        }
    }
}

/// A channel whose scale says that it holds nothing keeps its weights through hundreds of steps at a
/// high rate, while its neighbours' move. Its bias, which is all that it says, may learn.
#[test]
fn a_degenerate_channel_never_moves() {
    let (mut net, x) = Net::new("degenerate", 94, [6, 6, 3]);
    let (rows, dead) = (4, 2);
    let x = net.conv(x, Conv::same(rows, 3));
    let y = net.conv(x, Conv::same(5, 1));
    let mut graph = calibrated(net.classifier(y, 3), 5);
    let [input, weights, bias] = {
        let node = graph.nodes().next().unwrap().1;
        [node.inputs[0], node.inputs[1], node.inputs[2]]
    };
    let mut scales: Vec<f32> = (0..rows).map(|o| graph.tensor(weights).scale_of(o)).collect();
    scales[dead] = 1e-8;
    let products = scales.iter().map(|s| s * graph.tensor(input).scale_of(0)).collect();
    graph.tensor_mut(weights).quant = Some(Quant::per_axis(scales, 0));
    graph.tensor_mut(bias).quant = Some(Quant::per_axis(products, 0));
    for precision in PRECISIONS {
        let compiled = compiled(&graph, 3, precision, Loss::default());
        let latent = compiled.program.ops.iter().find_map(|op| match op {
            Op::ConvUpdate(u) if usize::from(u.geometry.y.c) == rows => Some(u.weights.latent),
            _ => None,
        });
        let latent = latent.expect("the first layer learns");
        let program = compiled.program.program();
        let mut memories = Memories::of(&program);
        let mut simulation = Simulation::new(program, &mut memories).unwrap();
        let before = simulation.interpreter().state().to_vec();
        let moved = |state: &[u8], row: usize| {
            let of_row = |state: &[u8]| {
                let weights = &state[latent.start()..latent.end()];
                weights[row * weights.len() / rows..][..weights.len() / rows].to_vec()
            };
            of_row(state) != of_row(&before)
        };
        let samples = samples(&compiled, 10);
        for step in 0..400 {
            let key = step % samples.len();
            simulation.train(key, &samples[key], (key % 3) as u16, 0.05).unwrap();
            assert!(!moved(simulation.interpreter().state(), dead), "{precision:?} {step}");
        }
        let after = simulation.interpreter().state();
        assert!((0..rows).any(|row| moved(after, row)), "no row moved");
    }
}

/// Classes have no order: other numbers for them give the same losses and the same network, with the
/// head's rows in that order.
#[test]
fn permuting_classes_permutes_results() {
    let permutation = [3u16, 0, 4, 1, 2];
    let classes = permutation.len();
    for graph in networks() {
        for precision in PRECISIONS {
            let compiled = compiled(&graph, classes, precision, Loss::default());
            let samples = samples(&compiled, 15);
            let slots = trained(&compiled);
            let learn = |name: &dyn Fn(u16) -> u16| {
                let program = compiled.program.program();
                let mut memories = Memories::of(&program);
                let mut simulation = Simulation::new(program, &mut memories).unwrap();
                let mut losses = Vec::new();
                for step in 0..60 {
                    let key = step % samples.len();
                    let label = name((key % classes) as u16);
                    let report = simulation.train(key, &samples[key], label, 0.01).unwrap();
                    losses.push(report.loss.to_bits());
                }
                let said = samples.iter().enumerate();
                let said: Vec<_> = said.map(|(key, s)| simulation.infer(key, s).unwrap()).collect();
                (losses, said, simulation.interpreter().state().to_vec())
            };
            let plain = learn(&|label| label);
            let permuted = learn(&|label| permutation[usize::from(label)]);
            assert_eq!(plain.0, permuted.0, "{} {precision:?}", graph.name);
            for (said, permuted) in plain.1.iter().zip(&permuted.1) {
                use offshoot_runtime::Prediction::Class;
                let (&Class(said), &Class(permuted)) = (said, permuted) else { panic!("a class") };
                assert_eq!(permutation[usize::from(said)], permuted);
            }
            for &(slot, head) in &slots {
                let [plain, permuted] =
                    [&plain.2, &permuted.2].map(|state| &state[slot.start()..slot.end()]);
                if !head {
                    assert_eq!(plain, permuted);
                    continue;
                }
                let row = plain.len() / classes;
                for (class, &name) in permutation.iter().enumerate() {
                    let name = usize::from(name);
                    assert_eq!(plain[class * row..][..row], permuted[name * row..][..row]);
                }
            }
        }
    }
}
