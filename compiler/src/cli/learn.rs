//! What `simulate` and `demo` share: a round of learning, with scores before and after.

use anyhow::{Context, Result};
use offshoot::ir::Graph;
use offshoot::reference::FloatTraining;
use offshoot_runtime::Prediction;
use offshoot_simulator::data::{Dataset, Split};
use offshoot_simulator::{Memories, ProgramFile, Round, Simulation};
use serde::Serialize;

use super::output::progress;
use super::score::{Change, Score, Scores};

/// What a round reports.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Outcome {
    /// On the test split.
    #[serde(flatten)]
    pub scores: Scores,
    /// Mean loss of the last epoch's samples, each before its update.
    pub loss: f64,
    /// Steps taken.
    pub steps: usize,
    /// FNV-1a hash of all trainable state, in hexadecimal.
    pub state_hash: String,
    /// The same round in float: accuracy or mean error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<Change>,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Accuracy or mean error on the test split after each epoch, where it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<f64>,
}

/// One learner: the integer program or its float reference.
trait Learner {
    fn train(&mut self, key: usize, sample: &[i8], label: u16, rate: f32) -> Result<f32>;
    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<Prediction>;
}

impl Learner for Simulation<'_> {
    fn train(&mut self, key: usize, sample: &[i8], label: u16, rate: f32) -> Result<f32> {
        Ok(Simulation::train(self, key, sample, label, rate)?.loss)
    }

    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<Prediction> {
        Ok(Simulation::infer(self, key, sample)?)
    }
}

impl Learner for FloatTraining<'_> {
    fn train(&mut self, key: usize, sample: &[i8], label: u16, rate: f32) -> Result<f32> {
        Ok(FloatTraining::train(self, key, sample, label, rate))
    }

    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<Prediction> {
        Ok(FloatTraining::infer(self, key, sample))
    }
}

/// How well `learner` does on `split`, whose samples are numbered from `key`.
fn score(learner: &mut dyn Learner, split: &Split, key: usize) -> Result<Score> {
    let mut predictions = Vec::with_capacity(split.len());
    let bar = progress(split.len(), "evaluate");
    for index in 0..split.len() {
        predictions.push((learner.infer(key + index, split.input(index))?, split.label(index)));
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Score::of(&predictions))
}

/// Scores before and after, mean loss of each epoch, and the curve if asked for.
fn learn(
    learner: &mut dyn Learner,
    data: &Dataset,
    round: Round,
    curve: bool,
    what: &str,
) -> Result<(Scores, Vec<f64>, Vec<f64>)> {
    // Test samples are numbered after the training samples.
    let held_out = data.train.len();
    let before = score(learner, &data.test, held_out)?;
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
                points.push(score(learner, &data.test, held_out)?);
            }
        }
    }
    bar.finish_and_clear();
    let after = match points.last() {
        Some(&last) => last,
        None => score(learner, &data.test, held_out)?,
    };
    let curve = points.into_iter().map(Score::measure).collect();
    Ok((Scores::new(before, after), losses, curve))
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
    let (scores, losses, curve) = learn(&mut simulation, data, round, curve, "train")?;
    Ok(Outcome {
        scores,
        loss: losses.last().copied().unwrap_or(0.0),
        steps: round.steps,
        state_hash: format!("{:016x}", simulation.state_hash()),
        float: None,
        losses,
        curve,
    })
}

/// Trains the graph in float for the same round.
pub fn float(graph: &Graph, data: &Dataset, round: Round) -> Result<Change> {
    let mut training = FloatTraining::new(graph).context("the training graph has no loss")?;
    Ok(learn(&mut training, data, round, false, "float")?.0.measure())
}

/// How well `program` does on a split as it is.
pub fn evaluate(program: &ProgramFile, split: &Split) -> Result<Score> {
    let program = program.program();
    let mut memories = Memories::of(&program);
    score(&mut Simulation::new(program, &mut memories)?, split, 0)
}
