//! How well a network does on samples held out.

use offshoot_runtime::Prediction;
use serde::{Deserialize, Serialize};

/// A measure before and after a round of learning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// Before training.
    pub before: f64,
    /// After training.
    pub after: f64,
}

/// How well a network does on a split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// Share of samples that are classified right.
    Accuracy(f64),
    /// Of a network that reproduces its input.
    Reconstruction {
        /// Mean error of all samples.
        error: f64,
        /// Area under the receiver operating characteristic of the error, which is to be small for
        /// class 0 and large for all others; none where the samples are all of one kind.
        auc: Option<f64>,
    },
}

impl Score {
    /// The score of what was predicted for samples of these labels, of which there are some.
    pub fn of(predictions: &[(Prediction, u16)]) -> Score {
        let (mut right, mut errors) = (0usize, Vec::new());
        for &(prediction, label) in predictions {
            match prediction {
                Prediction::Class(class) => right += usize::from(class == label),
                Prediction::Error(error) => errors.push((f64::from(error), label)),
            }
        }
        if errors.is_empty() {
            return Score::Accuracy(right as f64 / predictions.len() as f64);
        }
        let error = errors.iter().map(|(e, _)| e).sum::<f64>() / errors.len() as f64;
        Score::Reconstruction { error, auc: area(&mut errors) }
    }

    /// The measure that training is to change: accuracy or mean error.
    pub fn measure(self) -> f64 {
        match self {
            Score::Accuracy(share) => share,
            Score::Reconstruction { error, .. } => error,
        }
    }
}

/// Probability that a sample of class 0 has a smaller error than one of another class; where they
/// are equal, a half.
fn area(errors: &mut [(f64, u16)]) -> Option<f64> {
    errors.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut normal, mut wins) = (0.0, 0.0);
    for equal in errors.chunk_by(|a, b| a.0 == b.0) {
        let own = equal.iter().filter(|(_, label)| *label == 0).count() as f64;
        wins += (equal.len() as f64 - own) * (normal + 0.5 * own);
        normal += own;
    }
    let pairs = normal * (errors.len() as f64 - normal);
    (pairs > 0.0).then(|| wins / pairs)
}

/// The scores before and after a round, as JSON has them: `accuracy` of a network with classes,
/// else `error` and, where there is one, `auc`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Share of samples classified right.
    pub accuracy: Option<Change>,
    /// Mean error of reconstruction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Change>,
    /// Area under the receiver operating characteristic of that error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auc: Option<Change>,
}

impl Scores {
    /// Of the same samples, before and after.
    pub fn new(before: Score, after: Score) -> Scores {
        let change = Some(Change { before: before.measure(), after: after.measure() });
        match (before, after) {
            (
                Score::Reconstruction { auc: Some(before), .. },
                Score::Reconstruction { auc: Some(after), .. },
            ) => Scores { accuracy: None, error: change, auc: Some(Change { before, after }) },
            (Score::Reconstruction { .. }, _) => Scores { error: change, ..Scores::default() },
            (Score::Accuracy(_), _) => Scores { accuracy: change, ..Scores::default() },
        }
    }

    /// The measure that training is to change.
    pub fn measure(&self) -> Change {
        self.accuracy.or(self.error).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(of: &[(f32, u16)]) -> Score {
        let of: Vec<_> = of.iter().map(|&(e, label)| (Prediction::Error(e), label)).collect();
        Score::of(&of)
    }

    #[test]
    fn accuracy_is_the_share_that_is_right() {
        let seen = [(Prediction::Class(1), 1), (Prediction::Class(0), 1)];
        assert_eq!(Score::of(&seen), Score::Accuracy(0.5));
    }

    #[test]
    fn the_area_counts_pairs_in_order() {
        let auc = |of: &[(f32, u16)]| match errors(of) {
            Score::Reconstruction { auc, .. } => auc,
            Score::Accuracy(_) => None,
        };
        assert_eq!(auc(&[(1.0, 0), (2.0, 0), (3.0, 1), (4.0, 2)]), Some(1.0));
        assert_eq!(auc(&[(3.0, 0), (2.0, 0), (1.0, 1)]), Some(0.0));
        assert_eq!(auc(&[(1.0, 0), (1.0, 1), (0.5, 1), (2.0, 1)]), Some(0.5));
        assert_eq!(auc(&[(1.0, 1), (1.0, 0), (1.0, 0)]), Some(0.5));
        assert_eq!(auc(&[(1.0, 0), (2.0, 0)]), None);
        assert_eq!(errors(&[(1.0, 0), (2.0, 0)]).measure(), 1.5);
    }

    #[test]
    fn json_has_what_was_measured() {
        let json = |before, after| serde_json::to_value(Scores::new(before, after)).unwrap();
        let classes = json(Score::Accuracy(0.25), Score::Accuracy(0.75));
        let expected = serde_json::json!({ "accuracy": { "before": 0.25, "after": 0.75 } });
        assert_eq!(classes, expected);
        let of_one_kind = json(errors(&[(2.0, 0)]), errors(&[(1.0, 0)]));
        let error = serde_json::json!({ "before": 2.0, "after": 1.0 });
        assert_eq!(of_one_kind, serde_json::json!({ "accuracy": null, "error": error }));
        let mixed = [(3.0, 0), (1.0, 1)];
        let mixed = json(errors(&mixed), errors(&[(1.0, 0), (1.0, 1)]));
        assert_eq!(mixed["auc"], serde_json::json!({ "before": 0.0, "after": 0.5 }));
    }
}
