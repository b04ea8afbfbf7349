//! What guards tell.

use serde::{Deserialize, Serialize};

/// What is watched of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statistic {
    /// Mean of a sample's values.
    Mean,
    /// Their standard deviation.
    Contrast,
    /// By how much the greatest output exceeds the next, or how far off a reconstruction is.
    Confidence,
}

impl Statistic {
    pub(super) const ALL: [Statistic; 3] =
        [Statistic::Mean, Statistic::Contrast, Statistic::Confidence];
}

/// Samples are no longer what they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flag {
    /// What was seen first.
    pub statistic: Statistic,
    /// Samples by then, those of the reference included.
    pub at: u32,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// Errors on the held-out samples after the best round so far: how many are taken for another class, or the sum
    /// of what reconstructions are off by.
    pub before: f32,
    /// And after this one.
    pub after: f32,
    /// Samples that both are of.
    pub of: u16,
    /// Whether the round was kept, or else taken back.
    pub kept: bool,
}

/// What became of a labelled sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Admission {
    /// It is to be trained on.
    Train,
    /// It is held out.
    Hold,
    /// Learning rests: no drift so far.
    Rest,
    /// Learning was stopped: drift.
    Stop,
}

/// How guards fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// Samples that are held out.
    pub held_out: u16,
    /// Samples that may be trained on again.
    pub replay: u16,
    /// Steps on those.
    pub replayed: u32,
    /// Labelled samples that were turned away.
    pub refused: u32,
    /// Rounds that were kept.
    pub kept: u32,
    /// Rounds that were taken back.
    pub taken_back: u32,
    /// How the last round ended.
    pub last: Option<Verdict>,
    /// Samples that were looked at for drift, since the reference was begun.
    pub observed: u32,
    /// Drift.
    pub drift: Option<Flag>,
}
