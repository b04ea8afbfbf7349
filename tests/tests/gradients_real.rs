//! The pruned backward graph of whole real networks against numerical differentiation.

use offshoot::import::import;
use offshoot_tests::cases::{Case, DEMO, DSCNN, MCUNET, RESNET8};
use offshoot_tests::check::check_network;

/// Parameters of each kind that are checked.
const SAMPLE: usize = 200;

fn gradients_agree(case: &Case) {
    let Some(model) = case.model_path() else { return };
    let graph = import(&model).unwrap_or_else(|e| panic!("{e}"));
    let report = check_network(&graph, case.scheme, Some(SAMPLE));
    for (kind, &count) in &report.checked {
        println!("{}: {count} of {kind}", case.name);
    }
    report.pass();
}

#[test]
fn demo_network() {
    gradients_agree(&DEMO);
}

#[test]
fn mcunet() {
    gradients_agree(&MCUNET);
}

#[test]
fn resnet8() {
    gradients_agree(&RESNET8);
}

#[test]
fn ds_cnn() {
    gradients_agree(&DSCNN);
}
