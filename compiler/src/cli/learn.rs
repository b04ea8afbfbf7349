//! What `simulate` and `demo` share: a round of learning, with accuracy before and after.

use anyhow::{Context, Result};
use offshoot::ir::Graph;
use offshoot::reference::FloatTraining;
use offshoot_simulator::data::{Dataset, Split};
use offshoot_simulator::{Memories, ProgramFile, Round, Simulation};
use serde::Serialize;

use super::output::progress;

/// Share of test samples that are classified right.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Accuracy {
    /// Before training.
    pub before: f64,
    /// After training.
    pub after: f64,
}

/// What a round reports.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// On the test split.
    pub accuracy: Accuracy,
    /// Mean loss of the last epoch's samples, each before its update.
    pub loss: f64,
    /// Steps taken.
    pub steps: usize,
    /// FNV-1a hash of all trainable state, in hexadecimal.
    pub state_hash: String,
    /// The same round in float.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<Accuracy>,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Test accuracy after each epoch, where it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<f64>,
}

/// One learner: the integer program or its float reference.
trait Learner {
    fn train(&mut self, key: usize, sample: &[i8], label: u16, rate: f32) -> Result<f32>;
    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<u16>;
}

impl Learner for Simulation<'_> {
    fn train(&mut self, key: usize, sample: &[i8], label: u16, rate: f32) -> Result<f32> {
        Ok(Simulation::train(self, key, sample, label, rate)?.loss)
    }

    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<u16> {
        Ok(Simulation::infer(self, key, sample)?)
    }
}

impl Learner for FloatTraining<'_> {
    fn train(&mut self, key: usize, sample: &[i8], label: u16, rate: f32) -> Result<f32> {
        Ok(FloatTraining::train(self, key, sample, label, rate))
    }

    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<u16> {
        Ok(FloatTraining::infer(self, key, sample))
    }
}

/// Share of `split` that `learner` classifies right; samples are numbered from `key`.
fn accuracy(learner: &mut dyn Learner, split: &Split, key: usize) -> Result<f64> {
    let mut right = 0;
    let bar = progress(split.len(), "evaluate");
    for index in 0..split.len() {
        let class = learner.infer(key + index, split.input(index))?;
        right += usize::from(class == split.label(index));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(right as f64 / split.len() as f64)
}

/// Accuracy before and after, mean loss of each epoch, and the curve if asked for.
fn learn(
    learner: &mut dyn Learner,
    data: &Dataset,
    round: Round,
    curve: bool,
    what: &str,
) -> Result<(Accuracy, Vec<f64>, Vec<f64>)> {
    // Test samples are numbered after the training samples.
    let held_out = data.train.len();
    let before = accuracy(learner, &data.test, held_out)?;
    let (mut sum, mut losses, mut points) = (0.0, Vec::new(), Vec::new());
    let bar = progress(round.steps, what);
    for (step, (index, rate)) in round.steps().enumerate() {
        let split = &data.train;
        sum += f64::from(learner.train(index, split.input(index), split.label(index), rate)?);
        bar.inc(1);
        let in_epoch = step % round.samples + 1;
        if in_epoch == round.samples || step + 1 == round.steps {
            losses.push(sum / in_epoch as f64);
            sum = 0.0;
            if curve {
                points.push(accuracy(learner, &data.test, held_out)?);
            }
        }
    }
    bar.finish_and_clear();
    let after = match points.last() {
        Some(&last) => last,
        None => accuracy(learner, &data.test, held_out)?,
    };
    Ok((Accuracy { before, after }, losses, points))
}

/// Trains `program` for a round.
pub fn simulate(
    program: &ProgramFile,
    data: &Dataset,
    round: Round,
    curve: bool,
) -> Result<Outcome> {
    let program = program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories)?;
    let (accuracy, losses, curve) = learn(&mut simulation, data, round, curve, "train")?;
    Ok(Outcome {
        accuracy,
        loss: losses.last().copied().unwrap_or(0.0),
        steps: round.steps,
        state_hash: format!("{:016x}", simulation.state_hash()),
        float: None,
        losses,
        curve,
    })
}

/// Trains the graph in float for the same round.
pub fn float(graph: &Graph, data: &Dataset, round: Round) -> Result<Accuracy> {
    let mut training = FloatTraining::new(graph).context("the training graph has no loss")?;
    Ok(learn(&mut training, data, round, false, "float")?.0)
}

/// Accuracy of `program` as it is on a split.
pub fn evaluate(program: &ProgramFile, split: &Split) -> Result<f64> {
    let program = program.program();
    let mut memories = Memories::of(&program);
    accuracy(&mut Simulation::new(program, &mut memories)?, split, 0)
}
