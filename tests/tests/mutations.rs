//! The checks can fail: each defect that they are there to find is put in, and must be found.

use std::collections::HashSet;

use offshoot::adapt::{adapt, HeadStart};
use offshoot::ir::{Data, Graph, TensorId};
use offshoot::ops::{Function, Op, Window};
use offshoot::reference::Values;
use offshoot::scheme::Scheme;
use offshoot_tests::check::{compare, everything, training};
use offshoot_tests::gradients::{analytic, analytic_with, parameters, Sample};
use offshoot_tests::importance;
use offshoot_tests::nets::{self, Conv, Net};

/// Checks gradients that `wrong` computes in place of the graph's own; both are for one sample.
fn found(graph: &Graph, scheme: &str, wrong: impl Fn(&Graph, &Sample) -> Vec<Vec<f64>>) -> String {
    let training = training(graph, scheme);
    let sample = Sample::random(&training, 7);
    compare(&training, &sample, &analytic(&training, &sample), None).pass();
    let report = compare(&training, &sample, &wrong(&training, &sample), None);
    report.verdict().expect_err("a check that finds the defect")
}

/// `graph` with a gradient sum, the `which`th, that passes on operand `kept` alone.
fn with_half_a_sum(graph: &Graph, which: usize, kept: usize) -> Option<Graph> {
    let sums = graph.nodes().filter(|(_, n)| matches!(n.op, Op::SumGrad(_)));
    let sum = sums.map(|(_, n)| n.clone()).nth(which)?;
    let mut mutant = graph.clone();
    for (id, _) in graph.nodes() {
        for input in mutant.node_mut(id).inputs.iter_mut().filter(|t| **t == sum.outputs[0]) {
            *input = sum.inputs[kept];
        }
    }
    Some(mutant)
}

#[test]
fn a_dropped_residual_gradient_is_found() {
    for graph in [nets::residual(40), nets::resnet(41, 6, 3)] {
        let scheme = everything(&graph);
        let sums =
            training(&graph, &scheme).nodes().filter(|(_, n)| n.op.name() == "sum_grad").count();
        assert_eq!(sums, 2, "one sum for each residual branch");
        for (which, kept) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let why = found(&graph, &scheme, |training, sample| {
                let mutant = with_half_a_sum(training, which, kept).expect("a sum");
                analytic(&mutant, sample)
            });
            assert!(why.contains("gradients are wrong"), "{why}");
        }
    }
}

/// Adds to each saved activation what it holds too much where its zero point is left out.
fn leave_out_zero_points(values: &mut Values<'_, f64>) {
    let graph = values.graph();
    let weight_gradients = graph.nodes().filter(|(_, n)| matches!(n.op, Op::Conv2dWeightGrad(_)));
    let saved: HashSet<TensorId> = weight_gradients.map(|(_, n)| n.inputs[1]).collect();
    for id in saved {
        let tensor = graph.tensor(id);
        let excess = f64::from(tensor.scale_of(0)) * f64::from(tensor.zero());
        assert!(excess != 0.0, "a zero point of 0 would prove nothing");
        values.change(id, |x| x.iter_mut().for_each(|x| *x += excess));
    }
}

#[test]
fn a_zero_point_left_out_of_a_weight_gradient_is_found() {
    let residual = nets::residual(42);
    let all = everything(&residual);
    for scheme in ["0:1", "4:1", "3:1/2", "2:1/2", &all] {
        let why = found(&residual, scheme, |training, sample| {
            analytic_with(training, sample, leave_out_zero_points)
        });
        assert!(why.contains("weights["), "{why}");
    }
}

#[test]
fn a_mask_that_is_left_out_is_found() {
    let graph = nets::ds_cnn(43);
    let why = found(&graph, &everything(&graph), |training, sample| {
        let mut mutant = training.clone();
        for (id, node) in training.nodes() {
            for (at, input) in node.inputs.iter().enumerate() {
                let producer = training.producers()[input.index()].map(|p| training.node(p));
                let masked = producer.filter(|p| matches!(p.op, Op::MaskGrad(_)));
                if let Some(mask) = masked {
                    mutant.node_mut(id).inputs[at] = mask.inputs[0];
                }
            }
        }
        analytic(&mutant, sample)
    });
    assert!(why.contains("gradients are wrong"), "{why}");
}

#[test]
fn gradients_of_other_channels_are_found() {
    let why = found(&nets::resnet(44, 6, 4), "1:1/2", |training, sample| {
        let mut mutant = training.clone();
        let saves = training.nodes().filter(|(_, n)| matches!(n.op, Op::SaveChannels(_)));
        for (id, node) in saves {
            let channels = training.tensor(node.inputs[0]).shape[3] as u16;
            if let Op::SaveChannels(save) = &mut mutant.node_mut(id).op {
                save.channels.iter_mut().for_each(|c| *c = (*c + 1) % channels);
            }
        }
        analytic(&mutant, sample)
    });
    assert!(why.contains("gradients are wrong"), "{why}");
}

/// A parameter whose activation sits on its bound has no derivative: it must be left out, and
/// a check that leaves out too much must not pass.
#[test]
fn kinks_are_left_out_but_not_many() {
    let (mut net, x) = Net::new("kinks", 45, [2, 2, 2]);
    let y = net.conv(x, Conv::same(3, 1));
    let bias = net.graph.nodes().next().expect("the convolution").1.inputs[2];
    net.graph.tensor_mut(bias).data = Some(Data::I32(vec![0; 3].into()));
    let graph = training(&net.classifier(y, 2), "biases=all");
    let mut sample = Sample::random(&graph, 1);
    sample.input.fill(0.0);
    let report = compare(&graph, &sample, &analytic(&graph, &sample), None);
    assert_eq!((report.excluded, report.failures.len()), (3, 0));
    assert!(report.verdict().unwrap_err().contains("too many"));
}

/// Where two values of a window are equal, one of them wins on either side.
#[test]
fn ties_are_left_out() {
    let (mut net, x) = Net::new("ties", 47, [1, 2, 2]);
    let y = net.conv(x, Conv::same(3, 1).linear());
    let weights = net.graph.nodes().next().expect("the convolution").1.inputs[1];
    net.graph.tensor_mut(weights).data = Some(Data::I8(vec![50; 6].into()));
    let y = net.max_pool(y, Window::whole(1, 2));
    let graph = training(&net.classifier(y, 2), "biases=all,0:1");
    let mut sample = Sample::random(&graph, 1);
    sample.input = vec![1.0, 0.0, 0.0, 1.0];
    let report = compare(&graph, &sample, &analytic(&graph, &sample), None);
    // All weights, but no bias: that moves both.
    assert_eq!((report.excluded, report.failures.len()), (6, 0));
    assert_eq!(report.checked.get("bias"), Some(&3));
}

/// A function has no derivative at its corner.
#[test]
fn corners_are_left_out() {
    let (mut net, x) = Net::new("corners", 48, [2, 2, 2]);
    let y = net.conv(x, Conv::same(3, 1).linear());
    let bias = net.graph.nodes().next().expect("the convolution").1.inputs[2];
    net.graph.tensor_mut(bias).data = Some(Data::I32(vec![0; 3].into()));
    let y = net.unary(y, Function::LeakyRelu(0.1));
    let graph = training(&net.classifier(y, 2), "biases=all");
    let mut sample = Sample::random(&graph, 1);
    sample.input.fill(0.0);
    let report = compare(&graph, &sample, &analytic(&graph, &sample), None);
    assert_eq!((report.excluded, report.failures.len()), (3, 0));
}

/// Weights whose greatest channels are the last: `[O, kh, kw, I]` grows along `axis`.
fn growing(graph: &mut Graph, weights: TensorId, axis: usize) {
    let shape = graph.tensor(weights).shape.clone();
    let inner: usize = shape[axis + 1..].iter().product();
    let elements = graph.tensor(weights).elements();
    let data = (0..elements).map(|at| (10 + 20 * (at / inner % shape[axis])) as i8);
    graph.tensor_mut(weights).data = Some(Data::I8(std::sync::Arc::new(data.collect())));
    let scale = &mut graph.tensor_mut(weights).quant.as_mut().expect("quantised weights").scale;
    scale.fill(0.01);
}

#[test]
fn the_first_channels_in_place_of_the_greatest_are_found() {
    let (mut net, x) = Net::new("channels", 46, [4, 4, 4]);
    let y = net.conv(x, Conv::same(4, 3));
    let z = net.depthwise(y, 1);
    let nodes: Vec<TensorId> = net.graph.nodes().map(|(_, n)| n.inputs[1]).collect();
    growing(&mut net.graph, nodes[0], 3);
    growing(&mut net.graph, nodes[1], 0);
    let graph = net.classifier(z, 3);
    let scheme = Scheme::from_short("0:1/2,1:1/2").expect("a scheme");
    let mut adapted = adapt(&graph, HeadStart::Classifier, &scheme).expect("a classifier");
    let layers: Vec<TensorId> = adapted.nodes().take(2).map(|(_, n)| n.inputs[1]).collect();
    for weights in layers {
        importance::check(&adapted, weights).expect("the compiler's own choice");
        let trained = adapted.tensor_mut(weights).trained.as_mut().expect("trained weights");
        let channels = trained.channels.as_mut().expect("part of the channels");
        assert_eq!(*channels, [2, 3], "the greatest are the last");
        *channels = vec![0, 1];
        importance::check(&adapted, weights).expect_err("a check that finds the defect");
    }
}

#[test]
fn chosen_channels_matter_most_in_random_networks() {
    for seed in 200..220 {
        let graph = nets::resnet(seed, 4, 5);
        let scheme = "0:1/3,1:2/5,2:3/5,3:1/5,4:1/2,5:1/10";
        let training = training(&graph, scheme);
        for parameter in parameters(&training) {
            if training.tensor(parameter.id).shape.len() == 4 {
                importance::check(&training, parameter.id).expect("the most important channels");
            }
        }
    }
}
