//! A round of learning: samples in order, with scores before and after.
//!
//! The same loop trains the integer program and its float reference, for every command that
//! trains and for the benchmark: what they report can be compared.

mod course;
mod kept;
mod score;

use offshoot_runtime::{hash, Fault, Prediction};
use offshoot_simulator::data::{Dataset, Split};
use offshoot_simulator::{Memories, ProgramFile, Round, Simulation};

use crate::emit::EmitError;
use crate::ir::Graph;
use crate::reference::FloatTraining;

pub use course::{learn, score, Course};
pub use kept::{Keep, Write};
pub use score::{Change, Score, Scores};

/// What a round of the integer program reports.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Outcome {
    /// On the test split.
    #[serde(flatten)]
    pub scores: Scores,
    /// Mean loss of the last epoch's samples, each before its update.
    pub loss: f64,
    /// Steps taken, those before it went on included.
    pub steps: usize,
    /// Step of the round that was the first to be taken.
    pub first_step: usize,
    /// FNV-1a hash of all trainable state, in hexadecimal.
    pub state_hash: String,
    /// That state.
    #[serde(skip)]
    pub state: Vec<u8>,
    /// The same round in float: accuracy or mean error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub float: Option<Change>,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
    /// Accuracy or mean error on the test split after each epoch, where it was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub curve: Vec<f64>,
}

/// A round cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// A sample does not fit the program.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The graph computes no loss.
    #[error("the training graph has no loss; compile the model again, with a head")]
    NoLoss,
    /// A checkpoint cannot be written.
    #[error(transparent)]
    Keep(#[from] EmitError),
}

/// What learns: the integer program, or its float reference.
///
/// Samples have numbers, so that what a frozen front gives for them is computed once.
pub trait Learner {
    /// Goes back to what the compiler gave it; what is known of samples stays known.
    ///
    /// # Errors
    /// A [`LearnError`] only if the program was not verified.
    fn reset(&mut self) -> Result<(), LearnError>;

    /// One step on sample number `key`; gives the loss before it.
    ///
    /// # Errors
    /// A [`LearnError`] where sample or label do not fit.
    fn train(
        &mut self,
        key: usize,
        sample: &[i8],
        label: u16,
        rate: f32,
    ) -> Result<f32, LearnError>;

    /// What it makes of sample number `key`.
    ///
    /// # Errors
    /// A [`LearnError`] where the sample does not fit.
    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<Prediction, LearnError>;
}

/// Who is told how far a round is; `()` where nobody asks.
pub trait Watch {
    /// Work of so many steps begins.
    fn begin(&mut self, what: &str, steps: usize);
    /// A step is done.
    fn step(&mut self);
    /// The work is done.
    fn end(&mut self);
}

impl Watch for () {
    fn begin(&mut self, _what: &str, _steps: usize) {}
    fn step(&mut self) {}
    fn end(&mut self) {}
}

impl Learner for Simulation<'_> {
    fn reset(&mut self) -> Result<(), LearnError> {
        Ok(Simulation::reset(self)?)
    }

    fn train(
        &mut self,
        key: usize,
        sample: &[i8],
        label: u16,
        rate: f32,
    ) -> Result<f32, LearnError> {
        Ok(Simulation::train(self, key, sample, label, rate)?.loss)
    }

    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<Prediction, LearnError> {
        Ok(Simulation::infer(self, key, sample)?)
    }
}

impl Learner for FloatTraining<'_> {
    fn reset(&mut self) -> Result<(), LearnError> {
        FloatTraining::reset(self);
        Ok(())
    }

    fn train(
        &mut self,
        key: usize,
        sample: &[i8],
        label: u16,
        rate: f32,
    ) -> Result<f32, LearnError> {
        Ok(FloatTraining::train(self, key, sample, label, rate))
    }

    fn infer(&mut self, key: usize, sample: &[i8]) -> Result<Prediction, LearnError> {
        Ok(FloatTraining::infer(self, key, sample))
    }
}

/// Trains `program` for a round, with a score after every epoch if `curve`, as `keep` says where state
/// comes from and goes to.
///
/// # Errors
/// Where samples or state do not fit the program, or a checkpoint cannot be written.
pub fn simulate(
    program: &ProgramFile,
    data: &Dataset,
    round: Round,
    curve: bool,
    keep: Keep<'_>,
    watch: &mut dyn Watch,
) -> Result<Outcome, LearnError> {
    let program = program.program();
    let mut memories = Memories::of(&program);
    let simulation = Simulation::new(program, &mut memories)?;
    let mut learner = kept::Kept::new(simulation, round.taken, keep)?;
    let Course { scores, losses, curve } = learn(&mut learner, data, round, curve, "train", watch)?;
    let state = learner.state().to_vec();
    Ok(Outcome {
        scores,
        loss: losses.last().copied().unwrap_or(0.0),
        steps: round.steps,
        first_step: round.taken,
        state_hash: format!("{:016x}", hash::fnv1a(hash::EMPTY, &state)),
        state,
        float: None,
        losses,
        curve,
    })
}

/// Trains the graph in float for the same round.
///
/// # Errors
/// Where it has no loss.
pub fn float(
    graph: &Graph,
    data: &Dataset,
    round: Round,
    watch: &mut dyn Watch,
) -> Result<Change, LearnError> {
    let mut training = FloatTraining::new(graph).ok_or(LearnError::NoLoss)?;
    Ok(learn(&mut training, data, round, false, "float", watch)?.scores.measure())
}

/// How well `program` does on a split as it is.
///
/// # Errors
/// Where samples do not fit the program.
pub fn evaluate(
    program: &ProgramFile,
    split: &Split,
    watch: &mut dyn Watch,
) -> Result<Score, LearnError> {
    let program = program.program();
    let mut memories = Memories::of(&program);
    score(&mut Simulation::new(program, &mut memories)?, split, 0, watch)
}
