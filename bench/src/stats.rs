//! Means and spreads.

use serde::{Deserialize, Serialize};

/// Of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation (of a sample: n - 1), where there are two or more.
    pub deviation: Option<f64>,
}

impl Spread {
    /// Of `values`; `None` of none.
    pub fn of(values: &[f64]) -> Option<Spread> {
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        (count > 0).then_some(Spread { count, mean, deviation })
    }
}

/// What two shares of `count` answers may differ by, each `share` in truth, in all but one of a
/// thousand cases: three standard deviations of a difference of two binomial shares. That all
/// answers were right, or none, says no more than that hardly one in `count` is otherwise.
pub fn margin(share: f64, count: usize) -> f64 {
    let least = 1.0 / count.max(2) as f64;
    let share = share.clamp(least, 1.0 - least);
    3.0 * (2.0 * share * (1.0 - share) / count.max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_spreads() {
        assert_eq!(Spread::of(&[]), None);
        let one = Spread::of(&[0.5]).unwrap();
        assert_eq!((one.count, one.mean, one.deviation), (1, 0.5, None));
        let some = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
        assert_eq!(some.mean, 5.0);
        assert!((some.deviation.unwrap() - (32.0f64 / 7.0).sqrt()).abs() < 1e-12);
    }

    #[test]
    fn margins_shrink_with_samples() {
        assert!((margin(0.8, 200) - 0.12).abs() < 1e-9);
        assert!(margin(0.8, 800) < 0.061);
        assert!((0.007..0.008).contains(&margin(1.0, 600)));
        assert!((margin(0.0, 600) - margin(1.0, 600)).abs() < 1e-9);
        assert!(margin(1.0, 0).is_finite());
    }
}
