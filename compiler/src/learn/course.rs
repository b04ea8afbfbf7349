//! The loop itself.

use offshoot_simulator::data::{Dataset, Split};
use offshoot_simulator::Round;

use super::{LearnError, Learner, Score, Scores, Watch};

/// What a round gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// On the test split.
    pub scores: Scores,
    /// Mean loss of each epoch's samples, each before its update.
    pub losses: Vec<f64>,
    /// Accuracy or mean error on the test split after each epoch, where it was asked for.
    pub curve: Vec<f64>,
}

/// How well `learner` does on `split`, whose samples are numbered from `key`.
///
/// # Errors
/// Where samples do not fit the learner.
pub fn score(
    learner: &mut dyn Learner,
    split: &Split,
    key: usize,
    watch: &mut dyn Watch,
) -> Result<Score, LearnError> {
    let mut predictions = Vec::with_capacity(split.len());
    watch.begin("evaluate", split.len());
    for index in 0..split.len() {
        predictions.push((learner.infer(key + index, split.input(index))?, split.label(index)));
        watch.step();
    }
    watch.end();
    Ok(Score::of(&predictions))
}

/// Trains `learner` for a round, with scores before and after, and after every epoch if `curve`.
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
    let before = score(learner, &data.test, held_out, watch)?;
    let (mut sum, mut losses, mut points) = (0.0, Vec::new(), Vec::new());
    let begin = |watch: &mut dyn Watch, done: usize| watch.begin(what, round.steps - done);
    let mut summed = 0u32;
    begin(watch, round.taken);
    for (step, (index, rate)) in (round.taken..).zip(round.steps()) {
        let split = &data.train;
        sum += f64::from(learner.train(index, split.input(index), split.label(index), rate)?);
        summed += 1;
        watch.step();
        let in_epoch = step % round.samples + 1;
        if in_epoch == round.samples || step + 1 == round.steps {
            losses.push(sum / f64::from(summed));
            (sum, summed) = (0.0, 0);
            if curve {
                watch.end();
                points.push(score(learner, &data.test, held_out, watch)?);
                begin(watch, step + 1);
            }
        }
    }
    watch.end();
    let after = match points.last() {
        Some(&last) => last,
        None => score(learner, &data.test, held_out, watch)?,
    };
    let curve = points.into_iter().map(Score::measure).collect();
    Ok(Course { scores: Scores::new(before, after), losses, curve })
}
