//! The loop itself.

use offshoot_simulator::data::{Dataset, Split};
use offshoot_simulator::Round;

use super::{Accuracy, LearnError, Learner, Watch};

/// What a round gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// On the test split.
    pub accuracy: Accuracy,
    /// Mean loss of each epoch's samples, each before its update.
    pub losses: Vec<f64>,
    /// Test accuracy after each epoch, where it was asked for.
    pub curve: Vec<f64>,
}

/// Share of `split` that `learner` classifies right; samples are numbered from `key`.
///
/// # Errors
/// Where samples do not fit the learner.
pub fn accuracy(
    learner: &mut dyn Learner,
    split: &Split,
    key: usize,
    watch: &mut dyn Watch,
) -> Result<f64, LearnError> {
    let mut right = 0;
    watch.begin("evaluate", split.len());
    for index in 0..split.len() {
        let class = learner.infer(key + index, split.input(index))?;
        right += usize::from(class == split.label(index));
        watch.step();
    }
    watch.end();
    Ok(right as f64 / split.len() as f64)
}

/// Trains `learner` for a round, with accuracy before and after, and after every epoch if `curve`.
/// `what` is what a watcher calls it.
///
/// # Errors
/// Where samples do not fit the learner.
pub fn learn(
    learner: &mut dyn Learner,
    data: &Dataset,
    round: Round,
    curve: bool,
    what: &str,
    watch: &mut dyn Watch,
) -> Result<Course, LearnError> {
    // Test samples are numbered after the training samples.
    let held_out = data.train.len();
    let before = accuracy(learner, &data.test, held_out, watch)?;
    let (mut sum, mut losses, mut points) = (0.0, Vec::new(), Vec::new());
    let begin = |watch: &mut dyn Watch, done: usize| watch.begin(what, round.steps - done);
    begin(watch, 0);
    for (step, (index, rate)) in round.steps().enumerate() {
        let split = &data.train;
        sum += f64::from(learner.train(index, split.input(index), split.label(index), rate)?);
        watch.step();
        let in_epoch = step % round.samples + 1;
        if in_epoch == round.samples || step + 1 == round.steps {
            losses.push(sum / in_epoch as f64);
            sum = 0.0;
            if curve {
                watch.end();
                points.push(accuracy(learner, &data.test, held_out, watch)?);
                begin(watch, step + 1);
            }
        }
    }
    watch.end();
    let after = match points.last() {
        Some(&last) => last,
        None => accuracy(learner, &data.test, held_out, watch)?,
    };
    Ok(Course { accuracy: Accuracy { before, after }, losses, curve: points })
}
