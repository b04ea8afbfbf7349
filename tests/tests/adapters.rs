//! Adapters of every recipe: the network as it was where they add nothing, gradients as numerical
//! differentiation has them, and the same bits in the simulator, in emitted code and on a core.

use std::collections::BTreeSet;
use std::path::Path;

use offshoot::adapt::{layers, HeadStart};
use offshoot::adapter::{attach, recipes};
use offshoot::ir::{verify, Graph};
use offshoot::lower::learnt;
use offshoot::ops::Op;
use offshoot::pipeline::{compile, compile_inference, Compiled};
use offshoot::quantize::outputs;
use offshoot::scheme::{Layer, Layers, Scheme};
use offshoot_runtime::learnt::cut;
use offshoot_runtime::{Prediction, Trainer};
use offshoot_simulator::data::{Dataset, Split};
use offshoot_simulator::{Memories, Simulation};
use offshoot_tests::adapters::{adapter, demo, moved, with};
use offshoot_tests::check::check_network;
use offshoot_tests::trace::{on_board, round, simulated, Samples};

const STEPS: usize = 20;

/// What the integer network gives for some samples.
fn given(graph: &Graph, samples: &Split) -> Vec<Vec<f32>> {
    let input = graph.tensor(graph.input.unwrap());
    let real = |&q: &i8| input.scale_of(0) * (i32::from(q) - input.zero()) as f32;
    let reals = (0..samples.len().min(60)).map(|i| samples.input(i).iter().map(real).collect());
    outputs(graph, &reals.collect::<Vec<_>>()).unwrap()
}

#[test]
fn adapters_start_as_the_network_that_they_are_put_to() {
    let (graph, Dataset { train: samples, .. }) = demo();
    let before = given(&graph, &samples);
    assert!(before.windows(2).all(|p| p[0] != p[1]), "outputs that tell samples apart");
    for recipe in recipes::ALL {
        let attached = with(&graph, &adapter(recipe.name()), &samples);
        assert_eq!(layers(&attached).len(), layers(&graph).len(), "{}", recipe.name());
        assert_eq!(given(&attached, &samples), before, "{}", recipe.name());
    }
}

#[test]
fn gradients_of_every_recipe_are_right() {
    let (graph, Dataset { train: samples, .. }) = demo();
    for recipe in recipes::ALL {
        let attached = moved(with(&graph, &adapter(recipe.name()), &samples));
        print!("{}: ", recipe.name());
        check_network(&attached, "head", Some(60)).pass();
    }
}

/// The demo's network with an adapter of each recipe: one after the other, on layers in turn.
fn all_at_once(graph: &Graph, samples: &Split, precision: &str) -> Graph {
    let count = layers(graph).len() - 1;
    let mut attached = graph.clone();
    for (at, recipe) in recipes::ALL.iter().enumerate() {
        let mut adapter = adapter(&format!("{},{precision}", recipe.name()));
        let from_end = (0..count).map(|i| count - 1 - (at + i) % count);
        let fitting = from_end.into_iter().find_map(|layer| {
            adapter.layers = Layers::Named(vec![Layer::Index(layer)]);
            attach(&attached, &adapter, true, samples).ok()
        });
        attached = fitting.unwrap_or_else(|| panic!("{} suits no layer", recipe.name()));
        verify(&attached).unwrap_or_else(|e| panic!("{}: {e}", recipe.name()));
    }
    attached
}

fn all_compiled(precision: &str) -> (Compiled, Split) {
    let (graph, Dataset { train: samples, .. }) = demo();
    let attached = all_at_once(&graph, &samples, precision);
    let compiled = compile(&attached, HeadStart::Classifier, &Scheme::default());
    let compiled = compiled.unwrap_or_else(|e| panic!("{e}"));
    (compiled, samples)
}

/// Every recipe trains: each of its trained constants is another after some steps.
#[test]
fn every_recipe_learns() {
    let (graph, Dataset { train: samples, .. }) = demo();
    for recipe in recipes::ALL {
        for precision in ["residual", "stochastic"] {
            let spec = adapter(&format!("{},{precision}", recipe.name()));
            let attached = with(&graph, &spec, &samples);
            let compiled = compile(&attached, HeadStart::Classifier, &Scheme::default()).unwrap();
            let trace = simulated(&compiled, &samples, STEPS, |_, _| {});
            let distinct: BTreeSet<u64> = trace.iter().map(|(_, hash)| *hash).collect();
            assert_eq!(
                distinct.len(),
                STEPS,
                "{}: every step must change the state",
                recipe.name()
            );
            println!(
                "{} {precision}: {} bytes trained, SRAM {}",
                recipe.name(),
                compiled.placed.trainable,
                compiled.program.header.arena + compiled.program.header.state
            );
        }
    }
}

/// Of every recipe the gain changes how steps move the network.
#[test]
fn every_recipe_heeds_the_gain() {
    let (graph, Dataset { train: samples, .. }) = demo();
    for recipe in recipes::ALL {
        let last = |gain: &str| {
            let spec = adapter(&format!("{},gain={gain}", recipe.name()));
            let attached = with(&graph, &spec, &samples);
            let compiled = compile(&attached, HeadStart::Classifier, &Scheme::default()).unwrap();
            simulated(&compiled, &samples, 2, |_, _| {}).pop()
        };
        assert_ne!(last("1"), last("2"), "{}", recipe.name());
    }
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn adapters_train_to_the_same_bits_everywhere() {
    for precision in ["residual", "stochastic"] {
        let (compiled, samples) = all_compiled(precision);
        let expected = simulated(&compiled, &samples, STEPS, |_, _| {});
        for name in ["host", "qemu-mps2-an386"] {
            let board = offshoot_boards::find(name).unwrap();
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
            let network = format!("adapters-{precision}");
            let trace = on_board(board, folder, &network, &compiled, &samples, STEPS);
            assert_eq!(trace, expected, "{precision} on {name}");
            println!(
                "{} recipes, {precision}, on {name}: {STEPS} steps equal, state {:016x}",
                recipes::ALL.len(),
                trace[STEPS - 1].1
            );
        }
    }
}

/// With a rank that was cut, the board's program gives what the network gives without the other channels.
#[test]
fn a_rank_can_be_cut_and_comes_back() {
    let (graph, Dataset { train: samples, .. }) = demo();
    let attached = with(&graph, &adapter("dylora,rank=4"), &samples);
    let compiled = compile(&attached, HeadStart::Classifier, &Scheme::default()).unwrap();
    let program = compiled.program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).unwrap();
    for (index, rate) in round(&samples, 300).steps() {
        let (sample, label) = samples.sample(index);
        simulation.train(index, sample, label, rate).unwrap();
    }
    let trained = simulation.interpreter().state().to_vec();
    let mut seen = BTreeSet::new();
    for rank in [1, 2, 3, 4, 9] {
        assert!(cut(simulation.interpreter(), rank));
        let state = simulation.interpreter().state().to_vec();
        assert_eq!(state == trained, rank == 4, "{rank}");
        let alone = learnt(&compiled.graph, &state).unwrap();
        let kept = alone.nodes().filter_map(|(_, node)| match &node.op {
            Op::Nest(nest) => Some(nest.kept),
            _ => None,
        });
        assert!(kept.into_iter().all(|kept| kept == usize::from(rank).min(4)), "{rank}");
        let alone = compile_inference(&alone).unwrap();
        let (program, mut memories) =
            (alone.program.program(), Memories::of(&alone.program.program()));
        let mut fresh = Simulation::new(program, &mut memories).unwrap();
        let classes = |simulation: &mut Simulation<'_>| -> Vec<Prediction> {
            (0..200).map(|i| simulation.infer(i, samples.sample(i).0).unwrap()).collect()
        };
        let expected = classes(&mut fresh);
        assert_eq!(classes(&mut simulation), expected, "{rank}");
        seen.insert(format!("{expected:?}"));
    }
    assert!(seen.len() > 1 && seen.len() < 5, "9 gives what 4 gives, and 1 something else");
}

/// What cannot be done is said, with what can.
#[test]
fn what_does_not_suit_is_named() {
    let (graph, Dataset { train: samples, .. }) = demo();
    let says = |short: &str| {
        let mut adapter = adapter(short.trim_start_matches("@"));
        if short.starts_with('@') {
            adapter.layers = Layers::Named(vec![Layer::Name("nowhere".into())]);
        }
        attach(&graph, &adapter, true, &samples).unwrap_err().to_string()
    };
    assert!(says("lora,layers=99").contains("99"));
    assert!(says("@lora").contains("nowhere"));
    let few = samples.select(&[0, 1, 2]);
    let error = attach(&graph, &adapter("lora"), true, &few).unwrap_err().to_string();
    assert!(error.contains("3 are too few"), "{error}");
    let mut depthwise = adapter("lora");
    depthwise.layers = Layers::Named(vec![Layer::Name("block1_dw".into())]);
    let error = attach(&graph, &depthwise, true, &samples).unwrap_err().to_string();
    assert!(error.contains("block1_dw") && error.contains("one group"), "{error}");
}
