//! Any bytes are safe as trainable state: with whatever comes from flash or from a host, a program runs
//! and learns, however badly.

use offshoot::adapt::HeadStart;
use offshoot::ir::Graph;
use offshoot::pipeline::{compile, Compiled};
use offshoot::scheme::{Loss, Scheme};
use offshoot_runtime::Trainer;
use offshoot_simulator::{Memories, Simulation};
use offshoot_tests::calibrate::calibrated;
use offshoot_tests::cases::DEMO;
use offshoot_tests::check::everything;
use offshoot_tests::nets;
use offshoot_tests::random::Random;
use offshoot_tests::trace::made_up;

const STATES: usize = 60;
const STEPS: usize = 12;

/// All of `graph` trained by `loss`, as `how` says.
fn trained(graph: &Graph, loss: Loss, how: &str) -> Compiled {
    let scheme = Scheme::from_short(&format!("{},{how}", everything(graph))).expect("a scheme");
    let scheme = Scheme { loss, ..scheme };
    compile(graph, HeadStart::Classifier, &scheme).unwrap_or_else(|e| panic!("{e}"))
}

/// Trains from states of all kinds, at rates of all sizes.
fn survives(name: &str, compiled: &Compiled) {
    let program = compiled.program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).unwrap();
    let samples = made_up(compiled, STEPS);
    let mut random = Random::new(8);
    let mut moved = 0;
    for kind in 0..STATES {
        let state = simulation.interpreter().state_mut();
        match kind {
            0 => state.fill(0xFF),
            1 => state.fill(0x80),
            2 => state.fill(0x7F),
            3 => state.fill(0),
            // Infinity and no number, as f32.
            4 => {
                state.chunks_mut(4).for_each(|c| c.copy_from_slice(&[0, 0, 0x80, 0x7F][..c.len()]))
            }
            5 => {
                state.chunks_mut(4).for_each(|c| c.copy_from_slice(&[1, 0, 0x80, 0xFF][..c.len()]))
            }
            6 => state.chunks_mut(4).for_each(|c| c.copy_from_slice(&[0, 0, 0, 0x80][..c.len()])),
            _ => state.iter_mut().for_each(|byte| *byte = random.below(256) as u8),
        }
        for (step, (sample, label)) in samples.iter().enumerate() {
            let rate = [0.0, 0.01, 1e30, f32::MAX, f32::MIN_POSITIVE][random.below(5)];
            let before = simulation.state_hash();
            let key = kind * STEPS + step;
            simulation.infer(key, sample).unwrap();
            simulation.train(key, sample, *label, rate).unwrap();
            moved += usize::from(simulation.state_hash() != before);
        }
    }
    println!("{name}: {STATES} states, {STEPS} steps each, {moved} of them changed something");
    assert!(moved > STATES);
}

#[test]
fn a_network_runs_with_any_state() {
    survives("demo", &DEMO.compile(None));
    let small = "momentum=0.9,momentum-bits=8,batch=3,stochastic";
    let weights = vec![0.5, 3.0, 1.0, 20.0];
    let softmax = Loss::Softmax { smoothing: 0.1, weights };
    let residual = calibrated(nets::residual(13), 1);
    survives("residual", &trained(&residual, softmax, "momentum=0.9,batch=4"));
    survives("sigmoid", &trained(&residual, Loss::Sigmoid, small));
    let mixed = calibrated(nets::mixed(12), 1);
    survives("mixed", &trained(&mixed, Loss::Sigmoid, "momentum=0.5"));
    survives("denoiser", &trained(&calibrated(nets::denoiser(14), 1), Loss::MeanSquare, small));
}
