//! Adapters merged into their layers: weights as algebra has them, outputs near those of network and adapter,
//! and what cannot be merged, with the reason.

use offshoot::adapt::{adapt, HeadStart};
use offshoot::adapter::merge::{compare, forward, merge, Comparison, Contender, Given, Merge};
use offshoot::adapter::{recipes, Adapter};
use offshoot::differentiate::differentiate;
use offshoot::ir::{Graph, Node, NodeId, TensorId};
use offshoot::lower::learnt;
use offshoot::ops::{Conv2d, Op, Window};
use offshoot::pipeline::{compile, compile_adapted, Compiled, Layout};
use offshoot::reference::Values;
use offshoot::scheme::{Layer, Layers, Scheme};
use offshoot_runtime::schedule::default_rate;
use offshoot_runtime::Trainer;
use offshoot_simulator::data::Split;
use offshoot_simulator::{Memories, Round, Simulation};
use offshoot_tests::adapters::{adapter, demo, moved, with};
use offshoot_tests::cases::DEMO;

/// The one layer of the demo's network that has no activation.
const LINEAR: &str = "block2_project";

const STEPS: usize = 200;

/// Samples on which integers are compared with real numbers.
const REAL: usize = 60;

/// Recipes that are no affine map, whatever the layer.
const NOT_LINEAR: [&str; 4] = ["clr", "bottleneck", "bottleneck-series", "ladder"];

fn on(layer: &str, short: &str) -> Adapter {
    let layers = Layers::Named(vec![Layer::Name(layer.into())]);
    Adapter { layers, ..adapter(short) }
}

/// The training graph of `graph`, whose own classifier goes on learning.
fn training(graph: &Graph) -> Graph {
    let scheme = Scheme::default();
    let adapted = adapt(graph, HeadStart::Classifier, &scheme).unwrap_or_else(|e| panic!("{e}"));
    differentiate(&adapted, &scheme).unwrap_or_else(|e| panic!("{e}"))
}

/// State after so many steps.
fn trained(compiled: &Compiled, data: &Split, steps: usize) -> Vec<u8> {
    let program = compiled.program.program();
    let rate = default_rate(&program);
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).unwrap();
    let round = Round { seed: 7, ..Round::new(rate, data.len(), steps) };
    for (index, rate) in round.steps() {
        simulation.train(index, data.input(index), data.label(index), rate).unwrap();
    }
    simulation.interpreter().state().to_vec()
}

fn contender<'a>(compiled: &'a Compiled, state: Option<&'a [u8]>) -> Contender<'a> {
    let Compiled { graph, program, .. } = compiled;
    Contender { program, state, scale: graph.tensor(graph.output.unwrap()).scale_of(0) }
}

/// A program with `state`, against another as it was compiled.
fn compared(before: &Compiled, state: &[u8], after: &Compiled, split: &Split) -> Comparison {
    compare(contender(before, Some(state)), contender(after, None), split, &mut ()).unwrap()
}

/// Mean distance of the logits of an integer network from those of `graph` in real numbers.
fn off(graph: &Graph, integers: Contender<'_>, split: &Split) -> f64 {
    let some = split.select(&Vec::from_iter(0..REAL));
    let given = integers.outputs(&some, &mut ()).unwrap();
    let mean = |(at, given): (usize, &Given)| {
        let expected = real(graph, some.input(at), |_| {});
        let pairs = given.logits.iter().zip(&expected);
        pairs.map(|(a, b)| (a - b).abs()).sum::<f64>() / expected.len() as f64
    };
    given.iter().enumerate().map(mean).sum::<f64>() / REAL as f64
}

fn compiled(merged: &Merge) -> Compiled {
    compile_adapted(merged.graph.clone(), &merged.scheme, Layout::default())
        .unwrap_or_else(|e| panic!("{e}"))
}

/// A program whose constants are what another has learnt gives what that one gives, to the last bit: each
/// trained element is found where the program keeps it, in depthwise and in partly trained weights too.
#[test]
fn what_was_learnt_is_read_as_programs_read_it() {
    let stochastic = DEMO.scheme;
    let residual = stochastic.replace("stochastic", "residual");
    for scheme in [stochastic, &residual, "head"] {
        let program = DEMO.compile(Some(scheme));
        let data = DEMO.samples(&program);
        let state = trained(&program, &data.train, 60);
        let learnt = learnt(&program.graph, &state).unwrap();
        let scheme = Scheme::default();
        let again = compile_adapted(forward(&learnt), &scheme, Layout::default()).unwrap();
        let equal = compared(&program, &state, &again, &data.test);
        assert_eq!((equal.largest, equal.agreement), (0.0, 1.0));
        let untrained = compared(&program, &state, &program, &data.test);
        assert!(untrained.largest > 0.0, "something was learnt");
    }
    let program = DEMO.compile(Some("head"));
    let error = learnt(&program.graph, &[0; 12]).unwrap_err().to_string();
    assert!(error.contains("12 bytes"), "{error}");
}

/// `graph` with no activation in any layer.
fn linear(mut graph: Graph) -> Graph {
    let nodes: Vec<NodeId> = graph.nodes().map(|(id, _)| id).collect();
    for id in nodes {
        let node = graph.node_mut(id);
        if let Op::Conv2d(conv) = &mut node.op {
            conv.clamp = None;
            let y = node.outputs[0];
            // Steps of one sign only would be an activation too.
            graph.tensor_mut(y).quant.as_mut().unwrap().zero = 0;
        }
    }
    graph
}

/// What a graph gives in real numbers for a sample; `change` may put other values for its constants.
fn real(graph: &Graph, sample: &[i8], change: impl Fn(&mut Values<'_, f64>)) -> Vec<f64> {
    let input = graph.tensor(graph.input.unwrap());
    let step = |&q: &i8| f64::from(input.scale_of(0)) * f64::from(i32::from(q) - input.zero());
    let mut values = Values::<f64>::new(graph);
    change(&mut values);
    values.set(graph.input.unwrap(), sample.iter().map(step).collect());
    values.run(0, graph.nodes().len());
    values.get(graph.output.unwrap()).to_vec()
}

fn layer<'g>(graph: &'g Graph, name: &str) -> &'g Node {
    graph.nodes().find(|(_, n)| n.name == name).unwrap().1
}

/// On every layer that the recipe suits, with kernels of 3x3, strides and depthwise ones among them.
#[test]
fn merged_weights_are_those_of_layer_and_adapter() {
    let (graph, data) = demo();
    let graph = linear(graph);
    for recipe in recipes::ALL.iter().filter(|r| !NOT_LINEAR.contains(&r.name())) {
        let before = training(&moved(with(&graph, &adapter(recipe.name()), &data.train)));
        let merged = merge(&before).unwrap_or_else(|e| panic!("{}: {e}", recipe.name()));
        assert_eq!(merged.stays, [], "{}", recipe.name());
        let has_adapter = merged.graph.tensors().any(|(_, t)| t.adapter);
        assert!(!has_adapter, "{}", recipe.name());
        let unrounded = |values: &mut Values<'_, f64>| {
            for one in &merged.merged {
                let inputs = &layer(values.graph(), &one.layer).inputs;
                let (weights, bias) = (inputs[1], inputs[2]);
                values.set(weights, one.weights.clone());
                values.set(bias, one.bias.clone());
            }
        };
        let (mut worst, mut rounded) = (0.0f64, 0.0f64);
        for index in 0..6 {
            let sample = data.test.input(index);
            let expected = real(&before, sample, |_| {});
            let most = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            let error = |given: Vec<f64>| {
                let off = given.iter().zip(&expected).map(|(a, b)| (a - b).abs() / most);
                off.fold(0.0f64, f64::max)
            };
            worst = worst.max(error(real(&merged.graph, sample, unrounded)));
            rounded = rounded.max(error(real(&merged.graph, sample, |_| {})));
        }
        println!(
            "{}: {} layers merged, {} settled; largest relative error {worst:.1e}, with int8 weights {rounded:.1e}",
            recipe.name(),
            merged.merged.len(),
            merged.settled.len()
        );
        assert!(worst < 1e-9, "{}: {worst}", recipe.name());
        assert!(rounded > worst || merged.merged.is_empty());
    }
}

/// Printed: accuracy of network with adapter and merged, equal predictions, mean and largest difference of logits in
/// parts of their standard deviation, how far both are off from real numbers, and what is saved; in percent.
#[test]
fn merged_networks_give_nearly_what_adapters_gave() {
    let (graph, data) = demo();
    for steps in [0, STEPS, 1000] {
        println!("after {steps} steps on {LINEAR}, held-out samples {}:", data.test.len());
        for recipe in recipes::ALL.iter().filter(|r| !NOT_LINEAR.contains(&r.name())) {
            let attached = with(&graph, &on(LINEAR, recipe.name()), &data.train);
            let scheme = Scheme::default();
            let before = compile(&attached, HeadStart::Classifier, &scheme).unwrap();
            let state = trained(&before, &data.train, steps);
            let learnt = learnt(&before.graph, &state).unwrap();
            let merged = merge(&learnt).unwrap();
            assert_eq!(merged.stays, []);
            assert_eq!(merged.merged.len() + merged.settled.len(), 1, "{}", recipe.name());
            let after = compiled(&merged);
            let seen = compared(&before, &state, &after, &data.test);
            let pair = off(&learnt, contender(&before, Some(&state)), &data.test);
            let alone = off(&after.graph, contender(&after, None), &data.test);
            let sram = |c: &Compiled| c.program.header.arena + c.program.header.state;
            println!(
                "| `{}` | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} | {:.1} | {:.1} | {} | {} |",
                recipe.name(),
                100.0 * seen.accuracy.before,
                100.0 * seen.accuracy.after,
                100.0 * seen.agreement,
                100.0 * seen.relative(seen.mean),
                100.0 * seen.relative(seen.largest),
                100.0 * seen.relative(pair),
                100.0 * seen.relative(alone),
                sram(&before) - sram(&after),
                before.placed.macs.iter().sum::<u64>() - after.placed.macs.iter().sum::<u64>(),
            );
            let name = recipe.name();
            if steps == 0 {
                assert!(
                    seen.agreement == 1.0 && seen.relative(seen.mean) < 0.005,
                    "{name}: {seen:?}"
                );
            }
            // What an adapter's tensors have no room for they clip; what is merged has none of them.
            assert!(alone <= 1.05 * pair, "{name}: off by {alone}, with adapter by {pair}");
            if seen.relative(pair) < 0.03 {
                assert!(seen.agreement > 0.95 && seen.fall() <= 1.0, "{name}: {seen:?}");
                assert!(seen.relative(seen.mean) < 0.03, "{name}: {seen:?}");
            }
        }
    }
}

/// What cannot be merged stays, and goes on learning beside what was merged; loss and optimizer too.
#[test]
fn what_cannot_be_merged_stays_and_learns() {
    let (graph, data) = demo();
    let attached = with(&graph, &adapter("lora"), &data.train);
    let scheme = Scheme::from_short("biases=2,smoothing=0.1,batch=4").unwrap();
    let before = compile(&attached, HeadStart::Classifier, &scheme).unwrap();
    let state = trained(&before, &data.train, STEPS);
    let merged = merge(&learnt(&before.graph, &state).unwrap()).unwrap();
    let layers: Vec<&str> = merged.merged.iter().map(|m| m.layer.as_str()).collect();
    assert_eq!(layers, [LINEAR]);
    assert_eq!(merged.settled, [LINEAR, "last"]);
    let stays: Vec<&str> = merged.stays.iter().map(|s| s.layer.as_str()).collect();
    assert_eq!(stays, ["stem", "block1_pw", "block2_expand", "last"]);
    assert_eq!((&merged.scheme.loss, merged.scheme.optimizer), (&scheme.loss, scheme.optimizer));
    let after = compiled(&merged);
    let seen = compared(&before, &state, &after, &data.test);
    println!("{seen:?}");
    assert!(seen.agreement > 0.95 && seen.fall() <= 1.0, "{seen:?}");
    let learns = |c: &Compiled| c.graph.tensors().filter(|(_, t)| t.trained.is_some()).count();
    // Two factors of four layers, and the head; before, those of five, and two biases.
    assert_eq!((learns(&after), learns(&before)), (10, 14));
    let fresh = trained(&after, &data.train, 0);
    assert_ne!(trained(&after, &data.train, 3), fresh);
}

/// The node that `name` names.
fn id(graph: &Graph, name: &str) -> NodeId {
    graph.nodes().find(|(_, n)| n.name == name).unwrap_or_else(|| panic!("no node {name}")).0
}

fn output(graph: &Graph, name: &str) -> TensorId {
    graph.node(id(graph, name)).outputs[0]
}

#[test]
fn what_is_refused_is_named_with_its_reason() {
    let (graph, data) = demo();
    let says = |graph: &Graph| merge(&training(graph)).unwrap_err().to_string();
    let refused = |graph: &Graph, layer: &str, short: &str, change: &dyn Fn(&mut Graph)| {
        let mut attached = with(graph, &on(layer, short), &data.train);
        change(&mut attached);
        let said = says(&attached);
        assert!(said.contains(&format!("{layer:?}")), "{said}");
        println!("{said}");
        said
    };
    let as_it_is = |_: &mut Graph| {};
    for (layer, recipe, node, reason) in [
        ("last", "lora", "last", "has an activation"),
        (LINEAR, "bottleneck", "block2_project.bottleneck.down", "clamps within the adapter"),
        (LINEAR, "clr", "block2_project.clr.kernels", "3x3 kernel"),
        (LINEAR, "ladder", "block2_project.ladder.rung", "clamps within the adapter"),
    ] {
        let said = refused(&graph, layer, recipe, &as_it_is);
        assert!(said.contains(node) && said.contains(reason), "{recipe}: {said}");
    }
    let free = linear(graph.clone());
    let conv = |graph: &mut Graph, name: &str, change: &dyn Fn(&mut Conv2d)| {
        let id = id(graph, name);
        let node = graph.node_mut(id);
        let Op::Conv2d(conv) = &mut node.op else { panic!("{name}") };
        change(conv);
        node.inputs[1]
    };
    let said = refused(&free, "stem", "lora", &|graph| {
        let weights = conv(graph, "stem.lora.down", &|conv| conv.window = Window::whole(1, 1));
        let tensor = graph.tensor_mut(weights);
        let rows = tensor.shape[0];
        tensor.data = tensor.data.as_ref().map(|data| data.pick(0..rows));
        tensor.shape = vec![rows, 1, 1, 1];
    });
    assert!(said.contains("by another window"), "{said}");
    let said = refused(&free, "block1_dw", "scale", &|graph| {
        let weights = conv(graph, "block1_dw.scale.scale", &|conv| conv.groups = 1);
        let tensor = graph.tensor_mut(weights);
        let channels = tensor.shape[0];
        tensor.data = tensor.data.as_ref().map(|d| d.pick((0..channels * channels).map(|_| 0)));
        tensor.shape = vec![channels, 1, 1, channels];
    });
    assert!(said.contains("that the layer keeps apart"), "{said}");
    let said = refused(&free, LINEAR, "ladder", &|graph| {
        conv(graph, "block2_project.ladder.rung", &|conv| conv.clamp = None);
    });
    assert!(said.contains("ladder.mean") && said.contains("averages over pixels"), "{said}");
    // The residual sum reads what the layer gave before the adapter.
    let said = refused(&free, LINEAR, "lora", &|graph| {
        let (y, sum) = (output(graph, LINEAR), output(graph, "block2_project.lora.sum"));
        let id = graph.nodes().find(|(_, n)| n.inputs.contains(&sum)).unwrap().0;
        graph.node_mut(id).inputs = vec![sum, y];
    });
    assert!(said.contains("reads its result"), "{said}");
    // The adapter reads the result of another layer of as many channels.
    let said = refused(&free, LINEAR, "lora-sequential", &|graph| {
        let other = output(graph, "block1_pw");
        let id = id(graph, "block2_project.lora-sequential.down.after");
        graph.node_mut(id).inputs[0] = other;
    });
    assert!(said.contains("neither what the layer reads nor"), "{said}");
    let said = refused(&free, LINEAR, "compacter", &|graph| {
        let id = id(graph, "block2_project.compacter.groups");
        let Op::Copy(copy) = &mut graph.node_mut(id).op else { panic!() };
        // From the last pixel to the first.
        copy.path.from_at = u32::from(copy.path.size[2] - 1) * copy.path.from[2] as u32;
        copy.path.from[2] = -copy.path.from[2];
    });
    assert!(said.contains("all pixels alike"), "{said}");

    let none = says(&graph);
    assert!(none.contains("no adapter to merge"), "{none}");
    let untrained = merge(&graph).unwrap_err().to_string();
    assert!(untrained.contains("no loss"), "{untrained}");
}
