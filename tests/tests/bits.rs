//! One program, the same bits everywhere: after every training step, loss and all trainable state
//! are equal in the simulator, in the emitted crate on this machine, and in the emitted crate on
//! an emulated Cortex-M4 and Cortex-M7; for the demo's network on every core that is emulated. What
//! images around that take is held against `tests/expected`; `OFFSHOOT_BLESS=1` rewrites it.

use std::path::PathBuf;

use offshoot::adapt::HeadStart;
use offshoot::ir::Graph;
use offshoot::pipeline::{compile, Compiled};
use offshoot::scheme::{Loss, Scheme};
use offshoot_boards::emulator::{self, Options};
use offshoot_boards::{emulated, Board};
use offshoot_runtime::program::Init;
use offshoot_runtime::Slot;
use offshoot_simulator::{Memories, Round, Simulation};
use offshoot_tests::boards;
use offshoot_tests::calibrate::calibrated;
use offshoot_tests::cases::{Case, DEMO, DSCNN, GRU, LSTM, MCUNET, MOBILE, RESNET8, TRANSFORMER};
use offshoot_tests::check::everything;
use offshoot_tests::trace::{
    made_up, on_board, round, run_on_board, simulated, Run, Samples, Trace,
};
use offshoot_tests::{nets, sizes};

const STEPS: usize = 20;
const BOARDS: [&str; 3] = ["host", "qemu-mps2-an386", "qemu-mps2-an500"];

/// Where images are built.
fn temporary() -> PathBuf {
    env!("CARGO_TARGET_TMPDIR").into()
}

/// First step at which two traces differ.
fn first_difference(a: &Trace, b: &Trace) -> Option<usize> {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).position(|(a, b)| a != b)
}

fn same_bits_everywhere(case: &Case) {
    if !case.is_there() {
        return;
    }
    let compiled = case.compile(None);
    let data = case.samples(&compiled);
    same_bits(case.name, &compiled, &data.train);
}

fn same_bits(name: &str, compiled: &Compiled, data: &dyn Samples) {
    same_steps(name, compiled, data, STEPS, &BOARDS);
}

fn same_steps(
    name: &str,
    compiled: &Compiled,
    data: &dyn Samples,
    steps: usize,
    boards: &[&str],
) -> Vec<(Board, Run)> {
    let expected = simulated(compiled, data, steps, |_, _| {});
    let distinct: std::collections::BTreeSet<u64> = expected.iter().map(|(_, h)| *h).collect();
    assert_eq!(distinct.len(), steps, "every step must change the state");
    let train = |name_of: &&str| {
        let board = offshoot_boards::find(name_of).unwrap();
        let run = run_on_board(board.clone(), &temporary(), name, compiled, data, steps);
        assert_eq!(first_difference(&expected, &run.trace), None, "{name} on {name_of}");
        let (loss, hash) = run.trace[steps - 1];
        println!(
            "{name} on {name_of}: {steps} steps equal, last loss {}, state {hash:016x}",
            f32::from_bits(loss)
        );
        (board, run)
    };
    boards.iter().map(train).collect()
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn demo_network() {
    let compiled = DEMO.compile(None);
    let data = DEMO.samples(&compiled).train;
    let boards = emulated(offshoot_boards::all().unwrap());
    assert!(!boards.is_empty(), "OFFSHOOT_BOARDS names no emulated board");
    let names: Vec<&str> = boards.iter().map(|board| board.name.as_str()).collect();
    same_steps(DEMO.name, &compiled, &data, STEPS, &["host"]);
    let runs = same_steps(DEMO.name, &compiled, &data, STEPS, &names);
    sizes::hold(runs.iter().map(|(board, run)| (board, run.sizes, run.stack)));
}

/// Chips that are not emulated: their images are built, within the chip's limits, and measured.
#[test]
#[ignore = "needs a cross compiler: cargo xtask test"]
fn demo_network_links_for_chips() {
    let chips: Vec<Board> =
        offshoot_boards::all().unwrap().into_iter().filter(|b| b.probe_rs.is_some()).collect();
    assert!(chips.len() >= 5, "{} chips", chips.len());
    let compiled = DEMO.compile(None);
    let built: Vec<_> = chips
        .iter()
        .map(|board| boards::build(&compiled, board, &temporary(), DEMO.name).unwrap())
        .collect();
    for (board, built) in chips.iter().zip(&built) {
        let error = emulator::start(board, &built.elf, &Options::default()).unwrap_err();
        assert!(error.to_string().contains("offshoot flash"), "{error}");
    }
    sizes::hold(chips.iter().zip(&built).map(|(board, built)| (board, built.sizes, None)));
}

/// No emulated board has a Cortex-M0+ and enough memory, but a Cortex-M3 runs its code: whole-number
/// instructions of the smallest set, and f32 computed by those.
#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn code_of_a_cortex_m0() {
    let compiled = DEMO.compile(None);
    let data = DEMO.samples(&compiled).train;
    let mut board = offshoot_boards::find("qemu-mps2-an385").unwrap();
    board.target = "thumbv6m-none-eabi".to_string();
    let trace = on_board(board, &temporary(), "demo-m0", &compiled, &data, STEPS);
    let expected = simulated(&compiled, &data, STEPS, |_, _| {});
    assert_eq!(first_difference(&expected, &trace), None);
    println!(
        "demo in code of a Cortex-M0+: {STEPS} steps equal, state {:016x}",
        trace[STEPS - 1].1
    );
}

/// What differs in one step of a thousand would still be found.
#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn demo_network_for_2000_steps() {
    let compiled = DEMO.compile(None);
    let data = DEMO.samples(&compiled).train;
    same_steps("demo-long", &compiled, &data, 2000, &["qemu-mps2-an386"]);
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn mcunet() {
    same_bits_everywhere(&MCUNET);
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn resnet8() {
    same_bits_everywhere(&RESNET8);
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn ds_cnn() {
    same_bits_everywhere(&DSCNN);
}

/// Maxima, functions, products, moves, normalisation and attention, which no network above has.
#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn ops_between_activations() {
    let graph = calibrated(nets::mixed(12), 1);
    let scheme = Scheme::from_short(&everything(&graph)).expect("a scheme");
    let compiled =
        compile(&graph, HeadStart::Classifier, &scheme).unwrap_or_else(|e| panic!("{e}"));
    let used = |name: &str| compiled.program.ops.iter().any(|op| op.name() == name);
    for op in ["MaxPool", "Table", "Mul", "Copy", "MatMul", "Normalize", "Softmax"] {
        assert!(used(op), "no {op}");
        let gradient = format!("{op}InputGrad");
        assert!(used(gradient.as_str()), "no {gradient}");
    }
    same_bits("mixed", &compiled, &made_up(&compiled, STEPS));
}

/// `graph` with everything trained by `loss`, in the way that `how` says in short form.
fn trained_by(graph: &Graph, loss: Loss, how: &str) -> Compiled {
    let scheme = format!("{},{how}", everything(graph));
    let scheme = Scheme::from_short(&scheme).expect("a scheme");
    let scheme = Scheme { loss, ..scheme };
    compile(graph, HeadStart::Classifier, &scheme).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn losses_and_optimizers_beside_the_plain_ones() {
    let graph = calibrated(nets::residual(13), 1);
    let weights = vec![0.5, 3.0, 1.0, 20.0];
    let smoothed = trained_by(&graph, Loss::Softmax { smoothing: 0.1, weights }, "batch=4");
    same_bits("smoothed", &smoothed, &made_up(&smoothed, STEPS));
    let sigmoid = trained_by(&graph, Loss::Sigmoid, "momentum=0.9,batch=3");
    same_bits("sigmoid", &sigmoid, &made_up(&sigmoid, STEPS));
    let reproducing = trained_by(
        &calibrated(nets::denoiser(14), 1),
        Loss::MeanSquare,
        "stochastic,momentum=0.9,momentum-bits=8,batch=2",
    );
    same_bits("denoiser", &reproducing, &made_up(&reproducing, STEPS));
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn networks_of_pytorch() {
    for case in [TRANSFORMER, LSTM, GRU, MOBILE] {
        same_bits_everywhere(&case);
    }
}

/// The comparison can fail: one bit of one trained parameter, flipped before step 10, is found at
/// step 10 and not earlier, whichever parameter it is.
#[test]
fn one_flipped_update_is_found() {
    let compiled = DEMO.compile(None);
    let data = DEMO.samples(&compiled).train;
    let expected = simulated(&compiled, &data, STEPS, |_, _| {});
    let parameters: Vec<Slot> = compiled
        .program
        .init
        .iter()
        .map(|init| match init {
            Init::Copy { to, .. } => *to,
            Init::Latent(weights) => weights.latent,
        })
        .collect();
    let some = [0, parameters.len() / 3, parameters.len() / 2, parameters.len() - 1];
    for slot in some.map(|i| parameters[i]) {
        let at = slot.start() + slot.len() / 2;
        let flipped = simulated(&compiled, &data, STEPS, |step, state| {
            if step == 10 {
                state[at] ^= 1;
            }
        });
        assert_eq!(first_difference(&expected, &flipped), Some(10), "byte {at}");
    }
}

/// The cache of the frozen front changes no bit: the plain interpreter gives the same.
#[test]
fn cached_front_changes_nothing() {
    use offshoot_runtime::{hash, Trainer};
    let compiled = DEMO.compile(Some("last:1,biases=1"));
    let data = DEMO.samples(&compiled).train;
    let samples = 5;
    let round = Round { samples, ..round(&data, STEPS) };
    let program = compiled.program.program();
    let (mut a, mut b) = (Memories::of(&program), Memories::of(&program));
    let mut cached = Simulation::new(program, &mut a).unwrap();
    let mut plain = Simulation::new(program, &mut b).unwrap();
    for (index, rate) in round.steps() {
        let (sample, label) = data.sample(index);
        let first = cached.train(index, sample, label, rate).unwrap();
        let plain = plain.interpreter();
        plain.input().copy_from_slice(sample);
        let second = plain.train(label, rate).unwrap();
        assert_eq!(first.loss.to_bits(), second.loss.to_bits());
        assert_eq!(cached.state_hash(), hash::fnv1a(hash::EMPTY, plain.state()));
    }
}
