//! Networks that reproduce their input: what inference says of a sample, and that training on some
//! samples tells them from others.

use offshoot::adapt::HeadStart;
use offshoot::import::import;
use offshoot::ir::Graph;
use offshoot::pipeline::{compile, Compiled};
use offshoot::reference::FloatTraining;
use offshoot::scheme::{Loss, Scheme};
use offshoot_runtime::schedule::default_rate;
use offshoot_runtime::Prediction;
use offshoot_simulator::{Memories, Round, Simulation};
use offshoot_tests::calibrate::calibrated;
use offshoot_tests::check::everything;
use offshoot_tests::random::Random;
use offshoot_tests::{data_dir, nets, skip};

fn compiled(graph: &Graph, scheme: &str) -> Compiled {
    let scheme = Scheme::from_short(&format!("loss=mean-square,{scheme}")).expect("a scheme");
    compile(graph, HeadStart::Classifier, &scheme).unwrap_or_else(|e| panic!("{e}"))
}

/// Samples that lie on a line through the middle of int8, each with some noise.
fn samples(size: usize, count: usize, seed: u64) -> Vec<Vec<i8>> {
    let shape = &mut Random::new(seed);
    let line: Vec<f64> = (0..size).map(|_| shape.real(-60.0, 60.0)).collect();
    let random = &mut Random::new(seed + 1000);
    let one = |random: &mut Random| {
        let along = random.real(-1.0, 1.0);
        line.iter().map(|v| (v * along + random.real(-4.0, 4.0)) as i8).collect()
    };
    (0..count).map(|_| one(random)).collect()
}

fn error(prediction: Prediction) -> f64 {
    match prediction {
        Prediction::Error(error) => error.into(),
        Prediction::Class(class) => panic!("class {class} of a network without classes"),
    }
}

fn mean(simulation: &mut Simulation<'_>, samples: &[Vec<i8>], key: usize) -> f64 {
    let errors = samples.iter().enumerate();
    let errors = errors.map(|(i, s)| error(simulation.infer(key + i, s).expect("a sample")));
    errors.sum::<f64>() / samples.len() as f64
}

/// Mean error of samples like those that were learnt, and of others, before and after.
fn learn(compiled: &Compiled, steps: usize) -> [[f64; 2]; 2] {
    let program = compiled.program.program();
    let size = program.header.input.len();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).expect("a verified program");
    let (known, strange) = (samples(size, 60, 1), samples(size, 20, 2));
    let (train, test) = known.split_at(40);
    let mut both = || [mean(&mut simulation, test, 40), mean(&mut simulation, &strange, 60)];
    let before = both();
    let round = Round::new(default_rate(&program), train.len(), steps);
    for (index, rate) in round.steps() {
        // Whatever the label: it is not looked at.
        let label = index as u16;
        simulation.train(index, &train[index], label, rate).expect("a step");
    }
    let after = [mean(&mut simulation, test, 40), mean(&mut simulation, &strange, 60)];
    println!("known, strange: before {before:.4?}, after {after:.4?}");
    [before, after]
}

#[test]
fn what_is_learnt_is_told_from_what_is_not() {
    for graph in [nets::autoencoder(60), nets::denoiser(61)] {
        let graph = calibrated(graph, 1);
        let [before, after] = learn(&compiled(&graph, &everything(&graph)), 2000);
        assert!(after[0] < 0.7 * before[0], "{before:?} {after:?}");
        let gap = |[known, strange]: [f64; 2]| strange / known;
        assert!(gap(after) > gap(before), "{before:?} {after:?}");
    }
}

#[test]
fn inference_agrees_with_float() {
    let graph = calibrated(nets::autoencoder(62), 1);
    let compiled = compiled(&graph, "biases=1");
    let program = compiled.program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).expect("a verified program");
    let mut float = FloatTraining::new(&compiled.graph).expect("a loss");
    for (key, sample) in samples(24, 20, 3).iter().enumerate() {
        // Twice: the second time what the frozen front gives is recalled.
        for _ in 0..2 {
            let integer = error(simulation.infer(key, sample).expect("a sample"));
            let real = error(float.infer(key, sample));
            assert!((integer / real - 1.0).abs() < 0.05, "{integer}, {real}");
        }
        let report = simulation.train(key, sample, 9, 0.0).expect("a step");
        assert_eq!(f64::from(report.loss), error(simulation.infer(key, sample).expect("a sample")));
        assert_eq!(report.class, 0);
    }
}

#[test]
fn the_loss_is_for_networks_that_reproduce() {
    let refused = |graph: &Graph, start, scheme: &str| {
        let scheme = Scheme::from_short(scheme).expect("a scheme");
        assert_eq!(scheme.loss, Loss::MeanSquare);
        compile(graph, start, &scheme).expect_err("no reconstruction").to_string()
    };
    let why = refused(&nets::flat(1), HeadStart::Classifier, "loss=mean-square,biases=1");
    assert!(why.contains("[1, 1, 1, 4] of [1, 12, 9, 1]"), "{why}");
    let why = refused(&nets::autoencoder(1), HeadStart::Classifier, "loss=mean-square");
    assert!(why.contains("trains nothing"), "{why}");
}

/// The anomaly detector of MLPerf Tiny, 640 features of sound through 8 and back.
#[test]
fn anomaly_detector() {
    let model = data_dir().map(|d| d.join("models/mlperf_tiny/ad01_int8.onnx"));
    let Some(model) = model.filter(|m| m.is_file()) else {
        skip!("there is no models/mlperf_tiny/ad01_int8.onnx")
    };
    let graph = import(&model).unwrap_or_else(|e| panic!("{e}"));
    let compiled = compiled(&graph, "biases=all,9:1/4,8:1");
    assert_eq!(compiled.program.header.classes, 0);
    let [before, after] = learn(&compiled, 200);
    assert!(after[0] < before[0], "{before:?} {after:?}");
}
