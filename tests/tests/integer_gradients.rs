//! What the integer program does to its state in one step is what the float graph's gradients ask
//! for.
//!
//! For every parameter of a network, one training step of the compiled program from its first
//! state; the change of the parameter, divided by the rate, is the integer gradient. It is
//! compared with the float gradient of the same graph, sample and label by the cosine of the
//! angle between them and the ratio of their lengths. Errors are int8 (8 bits below the largest of
//! a tensor), activations int8: each layer adds noise of about 1 % of a tensor's largest element,
//! which for these small networks leaves median cosines above 0.9; a wrong sign, scale, zero point,
//! layout or a missing branch does not.

use offshoot::adapt::HeadStart;
use offshoot::ir::{Data, Graph, Tensor};
use offshoot::ops::Op as IrOp;
use offshoot::pipeline::{compile, Compiled};
use offshoot::reference::Values;
use offshoot::scheme::{Loss, Scheme};
use offshoot_runtime::program::Op;
use offshoot_runtime::{Memory, Slot, Trainer};
use offshoot_simulator::{Memories, ProgramFile, Simulation};
use offshoot_tests::calibrate::calibrated;
use offshoot_tests::check::everything;
use offshoot_tests::nets::{self, Conv, Net};
use offshoot_tests::random::Random;

const COSINE: f64 = 0.9;
/// Samples a network is compared on. Where a sample's gradient nearly cancels, or hangs on a unit
/// that is within rounding of its clamp, noise is all there is: the median counts. Of random networks
/// there are some where that holds of one sample in three.
const SAMPLES: u64 = 21;

struct Agreement {
    name: String,
    cosine: f64,
    length: f64,
}

fn sample(graph: &Graph, seed: u64) -> (Vec<i8>, u16) {
    let mut random = Random::new(seed);
    let elements = graph.tensor(graph.input.unwrap()).elements();
    let classes = graph.tensor(graph.output.unwrap()).elements();
    let input = (0..elements).map(|_| random.integer(-128, 127) as i8).collect();
    (input, random.below(classes) as u16)
}

/// Float gradients by the name of the node that streams them, with the parameter.
fn float_gradients<'g>(
    graph: &'g Graph,
    input: &[i8],
    label: u16,
) -> Vec<(String, &'g Tensor, Vec<f64>)> {
    let mut values = Values::<f64>::new(graph);
    let x = graph.input.unwrap();
    let (scale, zero) = (f64::from(graph.tensor(x).scale_of(0)), graph.tensor(x).zero());
    let real = input.iter().map(|&q| scale * f64::from(i32::from(q) - zero)).collect();
    values.set(x, real);
    values.step.label = usize::from(label);
    values.run(0, graph.nodes().len());
    let producers = graph.producers();
    graph
        .nodes()
        .filter(|(_, n)| matches!(n.op, IrOp::Sgd(_)))
        .map(|(_, n)| {
            let stream = graph.node(producers[n.inputs[1].index()].unwrap());
            (stream.name.clone(), graph.tensor(n.inputs[0]), values.get(n.inputs[1]).to_vec())
        })
        .collect()
}

/// State slot that an update op changes, whether it holds depthwise weights, and after how many
/// samples it changes.
fn target(op: &Op) -> Option<(Slot, bool, u16)> {
    match op {
        Op::ConvUpdate(u) => Some((u.weights.latent, false, 1)),
        Op::DepthwiseUpdate(u) => Some((u.weights.latent, true, 1)),
        Op::HeadUpdate(u) => Some((u.latent, false, 1)),
        Op::BiasUpdate(u) => Some((u.bias, false, 1)),
        Op::ConvOptimize(u) => Some((u.update.weights.latent, false, u.optimizer.batch)),
        Op::DepthwiseOptimize(u) => Some((u.update.weights.latent, true, u.optimizer.batch)),
        Op::HeadOptimize(u) => Some((u.update.latent, false, u.optimizer.batch)),
        Op::BiasOptimize(u) => Some((u.update.bias, false, u.optimizer.batch)),
        _ => None,
    }
}

/// One update of `program`, by a batch of one sample: how each element of `slot` moved, in its own
/// units.
fn moved(
    program: &ProgramFile,
    (slot, batch): (Slot, u16),
    wide: bool,
    input: &[i8],
    label: u16,
    rate: f32,
) -> Vec<f64> {
    let program = program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).unwrap();
    let read = |state: &[u8]| -> Vec<f64> {
        let bytes = &state[slot.start()..slot.end()];
        if wide {
            bytes
                .chunks_exact(4)
                .map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap())))
                .collect()
        } else {
            bytes
                .chunks_exact(2)
                .map(|b| f64::from(i16::from_le_bytes(b.try_into().unwrap())) / 256.0)
                .collect()
        }
    };
    let before = read(simulation.interpreter().state());
    for _ in 0..batch {
        simulation.train(0, input, label, rate).unwrap();
    }
    let after = read(simulation.interpreter().state());
    before.iter().zip(after).map(|(b, a)| b - a).collect()
}

fn compare(compiled: &Compiled, program: &ProgramFile, seed: u64) -> Vec<Agreement> {
    assert_eq!(program.header.input.memory, Memory::Arena);
    let (input, label) = sample(&compiled.graph, seed);
    let gradients = float_gradients(&compiled.graph, &input, label);
    let updates = program.ops.iter().zip(&compiled.placed.names);
    let updates: Vec<(String, Slot, bool, u16)> = updates
        .filter_map(|(op, name)| {
            target(op).map(|(slot, dw, batch)| (name.clone(), slot, dw, batch))
        })
        .collect();
    assert_eq!(updates.len(), gradients.len());
    let mut agreements = Vec::new();
    for (name, parameter, float) in gradients {
        let found = updates.iter().find(|(n, ..)| *n == name).unwrap();
        let &(_, slot, depthwise, batch) = found;
        let wide = matches!(parameter.data, Some(Data::I32(_)));
        let rows = if wide {
            float.len()
        } else if depthwise {
            float.len() / (parameter.shape[1] * parameter.shape[2])
        } else {
            parameter.shape[0]
        };
        let per_row = float.len() / rows;
        let selected =
            parameter.trained.as_ref().and_then(|t| t.channels.clone()).filter(|_| depthwise);
        let scale = |at: usize| {
            let row = at / per_row;
            f64::from(parameter.scale_of(selected.as_ref().map_or(row, |s| usize::from(s[row]))))
        };
        // A rate at which the largest move is about 3 steps: within the limit, far above rounding.
        let steps = float.iter().enumerate().map(|(at, g)| g.abs() / scale(at));
        let most = steps.fold(0.0, f64::max);
        if most == 0.0 {
            continue;
        }
        let rate = (if wide { 20000.0 } else { 3.0 }) / most;
        let mut moves = moved(program, (slot, batch), wide, &input, label, rate as f32);
        if depthwise {
            // State holds [taps][channels], the gradient [channels][taps].
            let by_tap = moves.clone();
            for (at, m) in moves.iter_mut().enumerate() {
                *m = by_tap[at % per_row * rows + at / per_row];
            }
        }
        let integer: Vec<f64> =
            moves.iter().enumerate().map(|(at, m)| m * scale(at) / rate).collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let (aa, bb) = (dot(&float, &float).sqrt(), dot(&integer, &integer).sqrt());
        let cosine = dot(&float, &integer) / (aa * bb).max(1e-300);
        agreements.push(Agreement { name, cosine, length: bb / aa });
    }
    agreements
}

fn compiled(graph: &Graph) -> Compiled {
    compiled_for(graph, Loss::default())
}

/// Everything in `graph` trained by `loss`.
fn compiled_for(graph: &Graph, loss: Loss) -> Compiled {
    let scheme = Scheme { loss, ..Scheme::from_short(&everything(graph)).unwrap() };
    compile(graph, HeadStart::Classifier, &scheme).unwrap_or_else(|e| panic!("{e}"))
}

fn worst(agreements: &[Agreement]) -> f64 {
    agreements.iter().map(|a| a.cosine).fold(1.0, f64::min)
}

/// A classifier behind a mean over more pixels than 1 / count has 15 bits for.
fn wide_map(seed: u64) -> Graph {
    let (mut net, x) = Net::new("wide-map", seed, [25, 28, 2]);
    let x = net.conv(x, Conv::same(4, 3));
    let x = net.conv(x, Conv::same(6, 3));
    net.classifier(x, 4)
}

fn networks() -> Vec<(&'static str, Graph)> {
    [
        ("residual", nets::residual(3)),
        ("separable", nets::separable(4, 12, 8, 2)),
        ("resnet", nets::resnet(5, 8, 8)),
        ("ds-cnn", nets::ds_cnn(6)),
        ("flat", nets::flat(7)),
        ("squeeze-excitation", nets::squeeze_excitation(8)),
        ("transformer", nets::transformer(9)),
        ("inception", nets::inception(10)),
        ("mixed", nets::mixed(11)),
        ("wide-map", wide_map(12)),
    ]
    .map(|(name, graph)| (name, calibrated(graph, 1)))
    .into()
}

#[test]
fn integer_updates_follow_float_gradients() {
    for (name, graph) in networks() {
        agree(name, &compiled(&graph));
    }
}

#[test]
fn integer_updates_follow_float_gradients_of_other_losses() {
    let graph = calibrated(nets::residual(3), 1);
    let weights = vec![0.5, 3.0, 1.0, 20.0];
    agree("smoothed", &compiled_for(&graph, Loss::Softmax { smoothing: 0.2, weights }));
    agree("sigmoid", &compiled_for(&graph, Loss::Sigmoid));
    let autoencoder = calibrated(nets::autoencoder(4), 1);
    agree("autoencoder", &compiled_for(&autoencoder, Loss::MeanSquare));
    let denoiser = calibrated(nets::denoiser(5), 1);
    agree("denoiser", &compiled_for(&denoiser, Loss::MeanSquare));
}

/// The first update by momentum is that of no momentum; that of a batch of one sample that of the
/// sample.
#[test]
fn integer_updates_follow_float_gradients_with_an_optimizer() {
    for (how, seed) in
        [("momentum=0.9", 3), ("batch=4", 3), ("momentum=0.5,momentum-bits=8,batch=3", 4)]
    {
        let graph = calibrated(nets::separable(seed, 12, 8, 2), 1);
        let scheme = Scheme::from_short(&format!("{},{how}", everything(&graph))).unwrap();
        let compiled = compile(&graph, HeadStart::Classifier, &scheme);
        agree(how, &compiled.unwrap_or_else(|e| panic!("{e}")));
    }
}

/// Checks that every parameter moves as its float gradient says.
fn agree(name: &str, compiled: &Compiled) {
    let runs: Vec<Vec<Agreement>> =
        (0..SAMPLES).map(|seed| compare(compiled, &compiled.program, seed)).collect();
    assert!(!runs[0].is_empty());
    for parameter in &runs[0] {
        let of = |f: fn(&Agreement) -> f64| {
            let same = runs.iter().flatten().filter(|a| a.name == parameter.name);
            median(same.map(f).collect())
        };
        let (cosine, length) = (of(|a| a.cosine), of(|a| a.length));
        println!("{name} {}: cosine {cosine:.4}, length {length:.3}", parameter.name);
        assert!(cosine > COSINE, "{name} {}: cosine {cosine}", parameter.name);
        assert!((0.7..1.4).contains(&length), "{name} {}: length {length}", parameter.name);
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The comparison fails where a branch's gradient is not added, and where an update forgets the
/// zero point of its input.
#[test]
fn a_dropped_branch_or_zero_point_is_found() {
    let compiled = compiled(&calibrated(nets::residual(3), 1));
    let spoilt = |spoil: &dyn Fn(&mut Op) -> bool| {
        let mut program = compiled.program.clone();
        let changed = program.ops.iter_mut().filter_map(|op| spoil(op).then_some(())).count();
        assert!(changed > 0, "there was nothing to spoil");
        worst(&compare(&compiled, &program, 0))
    };
    let whole = spoilt(&|op| matches!(op, Op::SoftmaxCrossEntropy(_)));
    assert!(whole > COSINE);
    let branch = spoilt(&|op| match op {
        Op::ConvInputGrad(g) if !g.skip.data.is_empty() => {
            g.skip = Default::default();
            true
        }
        Op::SumGrad(g) if !g.skip.data.is_empty() => {
            g.skip = Default::default();
            true
        }
        _ => false,
    });
    println!("whole {whole:.3}, without a branch {branch:.3}");
    assert!(branch < COSINE, "dropping a branch left cosines of {branch}");
    let zero = spoilt(&|op| match op {
        Op::ConvUpdate(u) if u.x_zero != 0 => {
            u.x_zero = 0;
            true
        }
        _ => false,
    });
    println!("without zero points {zero:.3}");
    assert!(zero < COSINE, "dropping zero points left cosines of {zero}");
}

/// It also fails where a product of activations, or a normalisation, is gone back through wrongly.
#[test]
fn wrong_gradients_of_attention_are_found() {
    let compiled = compiled(&calibrated(nets::transformer(9), 1));
    let spoilt = |spoil: &dyn Fn(&mut Op)| {
        let mut program = compiled.program.clone();
        program.ops.iter_mut().for_each(spoil);
        worst(&compare(&compiled, &program, 0))
    };
    let whole = spoilt(&|_| ());
    let zero = spoilt(&|op| {
        if let Op::MatMulInputGrad(g) = op {
            g.other_zero = 0;
        }
    });
    let mean = spoilt(&|op| {
        if let Op::NormalizeInputGrad(g) = op {
            g.y_zero = 40;
        }
    });
    println!("whole {whole:.3}, without zero points {zero:.3}, with a shifted mean {mean:.3}");
    assert!(whole > COSINE && zero < COSINE && mean < COSINE);
}
