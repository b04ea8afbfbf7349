//! Training seen step by step, in the simulator and on boards.

use std::path::Path;

use offshoot::pipeline::Compiled;
use offshoot_boards::elf::Sizes;
use offshoot_boards::Board;
use offshoot_runtime::Trainer;
use offshoot_simulator::data::Split;
use offshoot_simulator::{Memories, Round, Simulation};

use crate::boards::start;
use crate::random::Random;

/// Bits of the loss, and hash of all trainable state, after each step.
pub type Trace = Vec<(u32, u64)>;

/// Labelled samples, of a file or made up.
pub trait Samples {
    /// How many there are.
    fn count(&self) -> usize;

    /// Sample number `index`, with its label.
    fn sample(&self, index: usize) -> (&[i8], u16);
}

impl Samples for Split {
    fn count(&self) -> usize {
        self.len()
    }

    fn sample(&self, index: usize) -> (&[i8], u16) {
        (self.input(index), self.label(index))
    }
}

impl Samples for Vec<(Vec<i8>, u16)> {
    fn count(&self) -> usize {
        self.len()
    }

    fn sample(&self, index: usize) -> (&[i8], u16) {
        (&self[index].0, self[index].1)
    }
}

/// `count` random samples of random classes.
pub fn made_up(compiled: &Compiled, count: usize) -> Vec<(Vec<i8>, u16)> {
    let mut random = Random::new(3);
    let header = &compiled.program.header;
    let size = header.input_shape.elements();
    let mut sample = || {
        let pixels = (0..size).map(|_| random.integer(-128, 127) as i8).collect();
        (pixels, random.below(header.classes.max(1).into()) as u16)
    };
    (0..count).map(|_| sample()).collect()
}

/// Order and rates.
pub fn round(data: &dyn Samples, steps: usize) -> Round {
    Round { seed: 7, ..Round::new(0.01, data.count(), steps) }
}

/// Trains in the simulator; `meddle` may change the state before a step.
///
/// # Panics
/// Where a step fails.
pub fn simulated(
    compiled: &Compiled,
    data: &dyn Samples,
    steps: usize,
    meddle: impl Fn(usize, &mut [u8]),
) -> Trace {
    let program = compiled.program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories).unwrap();
    let mut trace = Trace::new();
    for (step, (index, rate)) in round(data, steps).steps().enumerate() {
        meddle(step, simulation.interpreter().state_mut());
        let (sample, label) = data.sample(index);
        let report = simulation.train(index, sample, label, rate).unwrap();
        trace.push((report.loss.to_bits(), simulation.state_hash()));
    }
    trace
}

/// Trains on a board as [`run_on_board`] does.
///
/// # Panics
/// Where the image does not start or a step fails.
pub fn on_board(
    board: Board,
    folder: &Path,
    network: &str,
    compiled: &Compiled,
    data: &dyn Samples,
    steps: usize,
) -> Trace {
    run_on_board(board, folder, network, compiled, data, steps).trace
}

/// What training on a board gave.
#[derive(Debug)]
pub struct Run {
    /// Its steps.
    pub trace: Trace,
    /// What the image takes.
    pub sizes: Sizes,
    /// How deep its stack was, where the board can tell.
    pub stack: Option<u64>,
}

/// Trains on a board, its image, called `network`, being built in `folder`. It has all the memory of
/// its machine: equal bits are what is asked for, not fit.
///
/// # Panics
/// Where the image does not start or a step fails.
pub fn run_on_board(
    board: Board,
    folder: &Path,
    network: &str,
    compiled: &Compiled,
    data: &dyn Samples,
    steps: usize,
) -> Run {
    let board = board.with_all_memory();
    let mut device = start(compiled, &board, folder, network, false);
    let trace = round(data, steps)
        .steps()
        .map(|(index, rate)| {
            let (sample, label) = data.sample(index);
            let stepped = device.client.train(sample, label, rate);
            let stepped = stepped.unwrap_or_else(|e| panic!("{}: {e}", board.name));
            (stepped.loss.to_bits(), stepped.state_hash)
        })
        .collect();
    let stats = device.client.stats().unwrap_or_else(|e| panic!("{}: {e}", board.name));
    let stack = stats.stack.map(|stack| u64::from(stack.used));
    Run { trace, sizes: device.sizes, stack }
}
