//! Losses beside plain softmax cross-entropy: op by op as the rest, and in a whole network.

use offshoot::ir::Graph;
use offshoot::scheme::{Loss, Scheme};
use offshoot_tests::check::{check_scheme, everything};
use offshoot_tests::nets;

/// Checks every parameter of a network with everything trained by `loss`.
fn all(graph: &Graph, loss: Loss) {
    let scheme = Scheme { loss, ..Scheme::from_short(&everything(graph)).expect("a scheme") };
    check_scheme(graph, &scheme, None).pass();
}

#[test]
fn smoothed_targets_and_class_weights() {
    for smoothing in [0.0, 0.1, 0.75] {
        for weights in [vec![], vec![0.5, 3.0, 1.25, 2.0]] {
            all(&nets::residual(50), Loss::Softmax { smoothing, weights });
        }
    }
}

#[test]
fn independent_classes() {
    all(&nets::residual(51), Loss::Sigmoid);
    all(&nets::flat(52), Loss::Sigmoid);
}

#[test]
fn networks_that_reproduce_their_input() {
    for seed in 53..56 {
        all(&nets::autoencoder(seed), Loss::MeanSquare);
        all(&nets::denoiser(seed), Loss::MeanSquare);
    }
}
