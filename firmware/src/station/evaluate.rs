//! Whether a round of training is kept.

use offshoot_runtime::Prediction;

/// What becomes of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept: a checkpoint is made of it.
    Keep,
    /// State goes back to the newest checkpoint.
    RollBack,
}

/// Judges rounds of training.
pub trait Evaluator {
    /// Whether this labelled sample is to be held out, and not trained on.
    fn hold(&mut self, sample: &[i8], label: u16) -> bool {
        let _ = (sample, label);
        false
    }

    /// Sample number `index` of those to judge by, with its label; `None` after the last.
    fn sample(&self, index: usize) -> Option<(&[i8], u16)>;

    /// What the network makes of sample number `index`, whose label is `label`.
    fn predicted(&mut self, index: usize, prediction: Prediction, label: u16);

    /// What becomes of the round, once all samples were predicted.
    fn verdict(&mut self) -> Verdict;
}

/// Every round is kept.
impl Evaluator for () {
    fn sample(&self, _: usize) -> Option<(&[i8], u16)> {
        None
    }

    fn predicted(&mut self, _: usize, _: Prediction, _: u16) {}

    fn verdict(&mut self) -> Verdict {
        Verdict::Keep
    }
}

/// Samples in memory by which rounds are judged: one is kept if it does not name fewer of them rightly
/// than the best round did, but for `slack`.
#[derive(Clone, Debug)]
pub struct HeldOut<'m> {
    samples: &'m [i8],
    labels: &'m [u16],
    slack: usize,
    right: usize,
    best: usize,
}

impl<'m> HeldOut<'m> {
    /// Whole samples, int8 NHWC as the program's input, and the class of each.
    pub const fn new(samples: &'m [i8], labels: &'m [u16], slack: usize) -> HeldOut<'m> {
        HeldOut { samples, labels, slack, right: 0, best: 0 }
    }

    /// Most samples that a round which was kept has named rightly.
    pub fn best(&self) -> usize {
        self.best
    }
}

impl Evaluator for HeldOut<'_> {
    fn sample(&self, index: usize) -> Option<(&[i8], u16)> {
        let size = self.samples.len().checked_div(self.labels.len())?;
        let start = index.checked_mul(size)?;
        let sample = self.samples.get(start..start.checked_add(size)?)?;
        Some((sample, *self.labels.get(index)?))
    }

    fn predicted(&mut self, index: usize, prediction: Prediction, label: u16) {
        if index == 0 {
            self.right = 0;
        }
        self.right += usize::from(prediction == Prediction::Class(label));
    }

    fn verdict(&mut self) -> Verdict {
        let right = core::mem::take(&mut self.right);
        if right.saturating_add(self.slack) < self.best {
            return Verdict::RollBack;
        }
        self.best = self.best.max(right);
        Verdict::Keep
    }
}
