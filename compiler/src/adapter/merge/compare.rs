//! A network with its adapters and the one that they were merged into, on the same samples.

use offshoot_runtime::{Fault, Prediction, Trainer};
use offshoot_simulator::data::Split;
use offshoot_simulator::{Memories, ProgramFile, Simulation};
use serde::Serialize;

use crate::learn::{Change, LearnError, Score, Watch};

/// A program with a head, as it is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Contender<'a> {
    /// The program.
    pub program: &'a ProgramFile,
    /// Its state, in place of what the compiler gave.
    pub state: Option<&'a [u8]>,
    /// What a step of its logits stands for.
    pub scale: f32,
}

/// How alike two networks are on some samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// How many samples there were.
    pub samples: usize,
    /// Share of samples that each classifies right.
    pub accuracy: Change,
    /// Share of samples that both put into one class.
    pub agreement: f64,
    /// Mean difference of a logit.
    pub mean: f64,
    /// Largest difference of a logit.
    pub largest: f64,
    /// Standard deviation of all logits of the first.
    pub spread: f64,
}

impl Comparison {
    /// Points of accuracy that the second lacks; negative where it has more.
    pub fn fall(&self) -> f64 {
        // Of whole samples, so that one point is one.
        let samples = self.samples.max(1) as f64;
        100.0 * ((self.accuracy.before - self.accuracy.after) * samples).round() / samples
    }

    /// `difference` as a share of [`Comparison::spread`]; 0 where all logits are equal.
    pub fn relative(&self, difference: f64) -> f64 {
        if self.spread > 0.0 {
            difference / self.spread
        } else {
            0.0
        }
    }
}

/// Compares `before`, with adapters, and `after`, without, on `split`, which holds some samples.
///
/// # Errors
/// Where samples or state do not fit a program.
pub fn compare(
    before: Contender<'_>,
    after: Contender<'_>,
    split: &Split,
    watch: &mut dyn Watch,
) -> Result<Comparison, LearnError> {
    watch.begin("compare", 2 * split.len());
    let before = before.outputs(split, watch)?;
    let after = after.outputs(split, watch)?;
    watch.end();
    let labelled = |given: &[Given]| -> Vec<(Prediction, u16)> {
        given.iter().enumerate().map(|(at, given)| (given.class, split.label(at))).collect()
    };
    let score = |given: &[Given]| Score::of(&labelled(given)).measure();
    let equal = before.iter().zip(&after).filter(|(a, b)| a.class == b.class).count();
    let pairs = before.iter().zip(&after).flat_map(|(a, b)| a.logits.iter().zip(&b.logits));
    let differences: Vec<f64> = pairs.map(|(a, b)| (a - b).abs()).collect();
    let logits = || before.iter().flat_map(|given| given.logits.iter().copied());
    let count = differences.len().max(1) as f64;
    let mean = logits().sum::<f64>() / count;
    let variance = logits().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    Ok(Comparison {
        samples: split.len(),
        accuracy: Change { before: score(&before), after: score(&after) },
        agreement: equal as f64 / split.len() as f64,
        mean: differences.iter().sum::<f64>() / count,
        largest: differences.iter().copied().fold(0.0, f64::max),
        spread: variance.sqrt(),
    })
}

/// What a network makes of a sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Given {
    /// The class that it puts it into.
    pub class: Prediction,
    /// Its logits, in their own unit.
    pub logits: Vec<f64>,
}

impl Contender<'_> {
    /// What it makes of the samples of `split`.
    ///
    /// # Errors
    /// Where samples or state do not fit the program.
    pub fn outputs(&self, split: &Split, watch: &mut dyn Watch) -> Result<Vec<Given>, LearnError> {
        let program = self.program.program();
        let (mut memories, output) = (Memories::of(&program), program.header.output);
        let mut simulation = Simulation::new(program, &mut memories)?;
        if let Some(state) = self.state {
            let place = simulation.interpreter().state_mut();
            if place.len() != state.len() {
                return Err(Fault::Size.into());
            }
            place.copy_from_slice(state);
        }
        let mut all = Vec::with_capacity(split.len());
        for index in 0..split.len() {
            let class = simulation.infer(index, split.input(index))?;
            let ([held], []) = simulation.interpreter().machine().arena.split([output], [])?;
            let step = |&bytes: &[u8; 4]| f64::from(i32::from_le_bytes(bytes));
            let logits = held.as_chunks().0.iter().map(|b| step(b) * f64::from(self.scale));
            all.push(Given { class, logits: logits.collect() });
            watch.step();
        }
        Ok(all)
    }
}
