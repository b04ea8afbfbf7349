//! Whether samples are still what they were.
//!
//! Each statistic of a sample is compared with what it was over the first samples, the reference, by two
//! cumulative sums (Page 1954): of what it is above the reference's mean, and below it, in its standard
//! deviations, less a slack. Neither grows while nothing changes. Samples are taken to come in no order:
//! one class after the other looks like a change, and is one.

use super::told::{Flag, Statistic};

/// Deviation that is not counted: half of the smallest change, in standard deviations, that is to be
/// found quickly.
const SLACK: f32 = 0.5;
/// A sum that is a change. Values that have changed by one standard deviation reach it after 32 samples;
/// normal ones that have not, hardly ever, but where the mean of a short reference is off: of 256 samples
/// and off by twice its standard error, once in some hundred thousand.
const LIMIT: f32 = 16.0;
/// The most that one sample counts, so that single strange ones are no change.
const MOST: f32 = 3.0;
/// Least deviation of the reference, as a part of its mean: of what did not vary at all.
const LEAST: f32 = 1e-3;

/// What is known of one statistic.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    observed: u32,
    mean: f32,
    /// Sum of squared deviations while the reference is taken; then one over the standard deviation.
    spread: f32,
    above: f32,
    below: f32,
}

impl Sums {
    /// Takes a value; whether it is one too many that is off.
    fn observe(&mut self, value: f32, reference: u32) -> bool {
        if !value.is_finite() {
            return false;
        }
        self.observed = self.observed.saturating_add(1);
        if self.observed <= reference {
            // Welford's recurrence.
            let off = value - self.mean;
            self.mean += off / self.observed as f32;
            self.spread += off * (value - self.mean);
            if self.observed == reference {
                let deviation = libm::sqrtf(self.spread / reference as f32);
                let least = (LEAST * self.mean.abs()).max(f32::MIN_POSITIVE);
                self.spread = 1.0 / deviation.max(least);
            }
            return false;
        }
        let off = ((value - self.mean) * self.spread).clamp(-MOST, MOST);
        self.above = (self.above + off - SLACK).max(0.0);
        self.below = (self.below - off - SLACK).max(0.0);
        self.above.max(self.below) > LIMIT
    }
}

/// Looks at samples, and at what the network makes of them.
#[derive(Debug)]
pub(super) struct Detector {
    /// Samples of the reference.
    reference: u32,
    sums: [Sums; Statistic::ALL.len()],
    /// Samples since the reference was begun.
    pub(super) observed: u32,
    pub(super) flag: Option<Flag>,
    /// Of the sample that comes: whether it was looked at, its values, their sum, and that of their squares.
    seen: bool,
    values: u32,
    sum: i64,
    squares: u64,
}

impl Detector {
    pub(super) fn new(reference: u16) -> Detector {
        Detector {
            reference: u32::from(reference.max(2)),
            sums: Default::default(),
            observed: 0,
            flag: None,
            seen: false,
            values: 0,
            sum: 0,
            squares: 0,
        }
    }

    /// Takes the reference anew, and forgets what was flagged.
    pub(super) fn rebase(&mut self) {
        *self = Detector::new(self.reference as u16);
    }

    /// Takes values of the sample that comes, from `offset` of it on.
    pub(super) fn stage(&mut self, offset: usize, values: impl Iterator<Item = i8>) {
        if offset == 0 {
            (self.seen, self.values, self.sum, self.squares) = (false, 0, 0, 0);
        }
        for value in values.map(i64::from) {
            self.values = self.values.saturating_add(1);
            self.sum += value;
            self.squares += (value * value) as u64;
        }
    }

    /// The sample is complete, and `confidence` what the network makes of it, where it was asked. Its values
    /// count once, however often it is used.
    pub(super) fn observe(&mut self, confidence: Option<f32>) {
        let new = !core::mem::replace(&mut self.seen, true);
        self.observed = self.observed.saturating_add(u32::from(new));
        let count = self.values.max(1) as f32;
        let mean = self.sum as f32 / count;
        let contrast = libm::sqrtf((self.squares as f32 / count - mean * mean).max(0.0));
        let values = [Some(mean).filter(|_| new), Some(contrast).filter(|_| new), confidence];
        for ((sums, statistic), value) in self.sums.iter_mut().zip(Statistic::ALL).zip(values) {
            let off = value.is_some_and(|value| sums.observe(value, self.reference));
            if off && self.flag.is_none() {
                self.flag = Some(Flag { statistic, at: self.observed });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// About normal: twelve uniform numbers.
    fn normal(state: &mut u32) -> f32 {
        let mut sum = -6.0;
        for _ in 0..12 {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            sum += (*state >> 8) as f32 / (1 << 24) as f32;
        }
        sum
    }

    #[test]
    fn sums_stay_low_until_something_changes() {
        for seed in 1..=20 {
            let (mut sums, mut state) = (Sums::default(), seed);
            for i in 0..10_000 {
                assert!(!sums.observe(5.0 + 2.0 * normal(&mut state), 256), "seed {seed}, {i}");
            }
            let found = (0..100).find(|_| sums.observe(7.0 + 2.0 * normal(&mut state), 256));
            assert!(found.is_some_and(|at| at < 60), "seed {seed}, {found:?}");
        }
    }

    #[test]
    fn what_never_varied_may_not_begin_to() {
        let mut sums = Sums::default();
        assert!((0..1000).all(|_| !sums.observe(40.0, 10)));
        assert!((0..8).any(|_| sums.observe(41.0, 10)));
    }

    #[test]
    fn single_strange_values_and_no_numbers_are_no_change() {
        let (mut sums, mut state) = (Sums::default(), 3);
        for i in 0..5_000 {
            let value = match i % 97 {
                0 if i > 300 => 1e6,
                1 => f32::NAN,
                _ => normal(&mut state),
            };
            assert!(!sums.observe(value, 256), "{i}");
        }
    }

    #[test]
    fn mean_and_contrast_are_those_of_the_sample() {
        let flagged = |second: [i8; 4]| {
            let mut detector = Detector::new(50);
            for i in 0..100 {
                let sample = if i < 50 { [1, -1, 3, -3] } else { second };
                for (offset, value) in sample.into_iter().enumerate() {
                    detector.stage(offset, [value].into_iter());
                }
                detector.observe(None);
            }
            detector.flag.map(|flag| flag.statistic)
        };
        assert_eq!(flagged([1, -1, 3, -3]), None);
        assert_eq!(flagged([2, 0, 4, -2]), Some(Statistic::Mean));
        assert_eq!(flagged([3, -3, 6, -6]), Some(Statistic::Contrast));
    }
}
