//! Every gradient agrees with differences of the loss: op by op, and in whole networks.
//!
//! See [`offshoot_tests::check`] for how they are compared and how closely.

mod activations;
mod losses;

use offshoot::ir::{Graph, TensorId};
use offshoot::ops::Window;
use offshoot_tests::check::{check_network, everything, training};
use offshoot_tests::gradients::{start, Sample};
use offshoot_tests::nets::{self, Conv, Net};

/// Parameters of each kind that are checked in a large network.
const SAMPLE: usize = 200;

/// A convolution, what `build` adds, and a classifier: all trained, all checked.
fn after_a_convolution(seed: u64, build: impl FnOnce(&mut Net, TensorId) -> TensorId) {
    let (mut net, x) = Net::new("op", seed, [6, 5, 3]);
    let x = net.conv(x, Conv::same(4, 3));
    let x = build(&mut net, x);
    all(&net.classifier(x, 3));
}

/// Checks every parameter of a network with everything trained.
fn all(graph: &Graph) {
    check_network(graph, &everything(graph), None).pass();
}

/// Checks a sample of the parameters of a network that is too large to check them all. A network
/// of the data folder is checked in the same way once it is read: one call for each.
fn sampled(graph: &Graph, scheme: &str) {
    let report = check_network(graph, scheme, Some(SAMPLE));
    report.pass();
    for (kind, &count) in &report.checked {
        println!("{}: {count} of {kind}", graph.name);
    }
}

#[test]
fn dense_convolution() {
    after_a_convolution(1, |net, x| net.conv(x, Conv::same(5, 3)));
}

#[test]
fn strided_convolution_with_uneven_padding() {
    after_a_convolution(2, |net, x| {
        let window = Window { kernel: [3, 4], stride: [2, 3], pad: [2, 0, 1, 3], dilation: [1; 2] };
        net.conv(x, Conv { out: 4, window, groups: 1, relu: true })
    });
}

#[test]
fn grouped_convolution() {
    after_a_convolution(3, |net, x| net.conv(x, Conv::same(6, 3).groups(2)));
}

#[test]
fn convolution_with_two_outputs_a_channel() {
    after_a_convolution(4, |net, x| net.conv(x, Conv::same(8, 3).groups(4)));
}

#[test]
fn depthwise_convolution() {
    after_a_convolution(5, |net, x| net.depthwise(x, 1));
    after_a_convolution(6, |net, x| net.depthwise(x, 2));
}

#[test]
fn sum_with_and_without_a_clamp() {
    for relu in [false, true] {
        after_a_convolution(7, |net, x| {
            let y = net.conv(x, Conv::same(4, 3).linear());
            net.add(x, y, relu)
        });
    }
}

#[test]
fn a_tensor_added_to_itself() {
    after_a_convolution(8, |net, x| net.add(x, x, true));
}

#[test]
fn a_tensor_with_four_readers() {
    after_a_convolution(9, |net, x| {
        let [a, b, c] = [3, 1, 1].map(|kernel| net.conv(x, Conv::same(4, kernel).linear()));
        let (ab, cx) = (net.add(a, b, true), net.add(c, x, false));
        net.add(ab, cx, true)
    });
}

#[test]
fn overlapping_and_padded_averages() {
    after_a_convolution(10, |net, x| {
        net.avg_pool(x, Window { kernel: [3, 3], stride: [1, 2], pad: [0; 4], dilation: [1; 2] })
    });
    after_a_convolution(11, |net, x| {
        net.avg_pool(
            x,
            Window { kernel: [3, 2], stride: [2, 1], pad: [1, 0, 1, 1], dilation: [1; 2] },
        )
    });
}

#[test]
fn a_mean_in_the_middle() {
    after_a_convolution(12, |net, x| {
        let pooled = net.avg_pool(x, Window::whole(6, 5));
        net.conv(pooled, Conv::same(6, 1))
    });
}

#[test]
fn change_of_scale_with_and_without_a_clamp() {
    after_a_convolution(13, |net, x| net.requantize(x, true));
    after_a_convolution(14, |net, x| net.requantize(x, false));
}

#[test]
fn head_alone() {
    let (net, x) = Net::new("head", 15, [4, 4, 6]);
    check_network(&net.classifier(x, 5), "head", None).pass();
}

#[test]
fn head_with_a_weight_for_every_position() {
    let graph = nets::flat(16);
    all(&graph);
    check_network(&graph, "head", None).pass();
    // Where the map has two readers, the head's gradient is summed with the other's.
    let (mut net, x) = Net::new("branch", 17, [4, 3, 2]);
    let x = net.conv(x, Conv::same(4, 3));
    let y = net.conv(x, Conv::same(4, 3).linear());
    let x = net.add(x, y, true);
    all(&net.flat_classifier(x, 3));
}

#[test]
fn networks_of_random_ops() {
    let mut at_kinks = 0;
    for seed in 100..140 {
        let graph = nets::any(seed);
        let report = check_network(&graph, &everything(&graph), Some(40));
        if report.failures.is_empty() && report.at_kinks() {
            at_kinks += 1;
        } else if let Err(why) = report.verdict() {
            panic!("seed {seed}: {why}");
        }
    }
    // By chance a sample meets the edges of a small network's clamps.
    assert!(at_kinks <= 2, "{at_kinks} networks say little");
}

#[test]
fn tensors_with_readers_of_every_kind() {
    let graph = nets::tangled(19);
    all(&graph);
    check_network(&graph, "1:2/3", None).pass();
}

#[test]
fn residual_network() {
    all(&nets::residual(20));
}

#[test]
fn separable_network() {
    all(&nets::separable(21, 8, 4, 3));
}

#[test]
fn resnet_with_a_convolution_as_shortcut() {
    all(&nets::resnet(22, 6, 3));
}

#[test]
fn keyword_network() {
    all(&nets::ds_cnn(23));
}

#[test]
fn networks_with_gates_attention_and_branches() {
    all(&nets::squeeze_excitation(26));
    all(&nets::transformer(27));
    all(&nets::inception(28));
    all(&nets::mixed(29));
}

#[test]
fn large_networks() {
    let graph = nets::separable(24, 32, 16, 6);
    sampled(&graph, &everything(&graph));
    let graph = nets::resnet(25, 16, 16);
    sampled(&graph, &everything(&graph));
    sampled(&graph, "biases=2,2:1/4,4:1/2");
}

#[test]
fn part_of_the_channels() {
    let resnet = nets::resnet(30, 6, 4);
    check_network(&resnet, "1:1/4,2:1/2,4:3/8", None).pass();
    let residual = nets::residual(31);
    check_network(&residual, "1:1/2,2:1/3,3:1/2,5:2/3,biases=1", None).pass();
    let depthwise_alone = nets::separable(32, 8, 4, 3);
    check_network(&depthwise_alone, "1:1/2,3:1/4", None).pass();
}

#[test]
fn biases_alone() {
    check_network(&nets::residual(33), "biases=all", None).pass();
    check_network(&nets::resnet(34, 6, 3), "biases=3", None).pass();
}

/// The checks above would not see a wrong mask if nothing were ever clamped.
#[test]
fn activations_clamp_at_both_bounds() {
    for graph in [nets::residual(20), nets::resnet(22, 6, 3), nets::ds_cnn(23)] {
        let training = training(&graph, &everything(&graph));
        let sample = Sample::random(&training, graph.source_hash + 1);
        let mut values = start(&training, &sample);
        values.run(0, training.nodes().len());
        let (mut low, mut high, mut all) = (0, 0, 0);
        for (_, node) in training.nodes().filter(|(_, n)| n.op.clamp().is_some()) {
            let [y, mask] = [0, 1].map(|output| values.get(node.outputs[output]));
            let clamped = || y.iter().zip(mask).filter(|(_, &bit)| bit == 0.0);
            low += clamped().filter(|(&y, _)| y == 0.0).count();
            high += clamped().filter(|(&y, _)| y > 0.0).count();
            all += y.len();
        }
        println!("{}: of {all}, {low} clamped below and {high} above", graph.name);
        assert!(low * 10 > all && low * 10 < all * 9 && high > 0, "{low}, {high} of {all}");
    }
}
