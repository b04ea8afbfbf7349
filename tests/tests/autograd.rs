//! The float reference against PyTorch: losses, gradients and steps of whole networks, as
//! `tests/record/autograd.py` recorded them.

use std::fs::File;
use std::path::Path;

use ndarray::Array1;
use ndarray_npy::NpzReader;
use offshoot::reference::FloatTraining;
use offshoot_tests::cases::{Case, DEMO, MCUNET};
use offshoot_tests::gradients::{analytic, parameters, Parameter, Sample};
use offshoot_tests::vectors::input;

/// As the script has them.
const SAMPLES: usize = 6;
const RATE: f32 = 2e-3;
const KEPT: usize = 200;

/// Samples of `width` by `height` and their labels.
fn sample(index: usize, shape: &[usize], classes: usize) -> (Vec<i8>, u16) {
    (input(index as u32, shape[1], shape[2], shape[3]), (index % classes) as u16)
}

/// What was recorded of `elements` elements: every k-th.
fn kept<T: Copy>(elements: &[T]) -> Vec<T> {
    elements.iter().step_by(elements.len().div_ceil(KEPT)).copied().collect()
}

/// The greatest absolute value.
fn greatest(values: impl Iterator<Item = f64>) -> f64 {
    values.map(f64::abs).fold(0.0, f64::max)
}

/// Greatest distance of two vectors beyond `noise`, as a share of the greatest recorded element.
fn off(ours: &[f64], recorded: &[f32], noise: f64) -> f64 {
    assert_eq!(ours.len(), recorded.len());
    let most = greatest(recorded.iter().map(|&v| v.into()));
    let apart = greatest(ours.iter().zip(recorded).map(|(a, &b)| a - f64::from(b)));
    (apart - noise).max(0.0) / most.max(1e-12)
}

fn agrees(case: &Case) {
    if !case.is_there() {
        return;
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/autograd.npz");
    let mut archive = NpzReader::new(File::open(path).unwrap()).unwrap();
    let mut recorded = |what: &str| -> Vec<f32> {
        let name = format!("{}/{what}", case.name);
        let array: Array1<f32> = archive.by_name(&name).unwrap_or_else(|e| panic!("{name}: {e}"));
        array.to_vec()
    };
    let compiled = case.compile(None);
    let graph = &compiled.graph;
    let shape = &graph.tensor(graph.input.unwrap()).shape;
    let classes = graph.tensor(graph.output.unwrap()).elements();

    // The first gradient, in f64; scales are f32.
    let (first, label) = sample(0, shape, classes);
    let x = graph.tensor(graph.input.unwrap());
    let real = |&q: &i8| f64::from(x.scale_of(0)) * f64::from(i32::from(q) - x.zero());
    let first = Sample { input: first.iter().map(real).collect(), label: label.into() };
    let mut worst = [0.0f64; 3];
    let mut check = |which: usize, what: &str, apart: f64, most: f64| {
        assert!(apart < most, "{}: {what} is off by {apart}", case.name);
        worst[which] = worst[which].max(apart);
    };
    let parameters = parameters(graph);
    let name = |parameter: &Parameter| graph.tensor(parameter.id).name.clone();
    for (parameter, gradient) in parameters.iter().zip(analytic(graph, &first)) {
        let what = format!("{}/gradient", name(parameter));
        check(0, &what, off(&kept(&gradient), &recorded(&what), 0.0), 2e-6);
    }

    // The course, in f32: what it rounds away adds up.
    let mut training = FloatTraining::new(graph).unwrap();
    let before: Vec<Vec<f32>> = parameters.iter().map(|p| training.value(p.id).to_vec()).collect();
    let losses = recorded("loss");
    for (step, &theirs) in losses.iter().enumerate() {
        let (sample, label) = sample(step % SAMPLES, shape, classes);
        let ours = training.train(step % SAMPLES, &sample, label, RATE);
        let apart = f64::from((ours - theirs).abs()) / f64::from(theirs).max(0.1);
        check(1, &format!("the loss of step {step}"), apart, 1e-4);
    }
    for (parameter, before) in parameters.iter().zip(before) {
        let after = training.value(parameter.id);
        let moved = |&at: &usize| f64::from(after[at]) - f64::from(before[at]);
        let moved: Vec<f64> = parameter.elements.iter().map(moved).collect();
        let what = format!("{}/moved", name(parameter));
        // Each step rounds the value, however little it moves.
        let largest = greatest(before.iter().map(|&v| v.into()));
        let noise = losses.len() as f64 * f64::from(f32::EPSILON) * largest;
        // At the edge of a clamp, rounding decides whether it is open: over the course, PyTorch in f32 is
        // off from itself in f64 by 8e-4 in many tensors, and by 5e-2 in one.
        check(2, &what, off(&kept(&moved), &recorded(&what), noise), 3e-3);
    }
    println!(
        "{}: {} tensors; gradients within {:.0e}, losses of {} steps {:.0e}, what moved {:.0e}",
        case.name,
        parameters.len(),
        worst[0],
        losses.len(),
        worst[1],
        worst[2]
    );
}

#[test]
fn demo_network() {
    agrees(&DEMO);
}

#[test]
fn mcunet() {
    agrees(&MCUNET);
}
