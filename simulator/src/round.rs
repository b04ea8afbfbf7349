//! A round of learning: which sample comes when, and at what rate.

use std::str::FromStr;

use offshoot_runtime::schedule::Schedule;
use serde::{Deserialize, Serialize};

/// How the rate of a round falls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// To 0 along a half cosine.
    #[default]
    Cosine,
    /// Not at all, but for the last fifth of the steps, in which it falls to 0 along a straight
    /// line: what a device does that does not know how many samples will come.
    Cooldown,
}

impl Decay {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Decay::Cosine => "cosine",
            Decay::Cooldown => "cooldown",
        }
    }
}

impl FromStr for Decay {
    type Err = String;

    fn from_str(text: &str) -> Result<Decay, String> {
        let all = [Decay::Cosine, Decay::Cooldown];
        all.into_iter().find(|d| d.name() == text).ok_or_else(|| "write cosine or cooldown".into())
    }
}

/// A round over a set of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// Samples in the training split.
    pub samples: usize,
    /// Steps in all.
    pub steps: usize,
    /// Steps of those that were taken before: the round goes on behind them.
    pub taken: usize,
    /// Learning rate at the start.
    pub rate: f32,
    /// How it falls.
    pub decay: Decay,
    /// Steps in which it rises first.
    pub warm_up: usize,
    /// Seed of the order.
    pub seed: u64,
}

impl Round {
    /// A round with the first seed, along a half cosine from `rate`.
    pub fn new(rate: f32, samples: usize, steps: usize) -> Round {
        let decay = Decay::default();
        Round { samples, steps, taken: 0, rate, decay, warm_up: 0, seed: 1 }
    }

    /// The steps that are left: index of the sample, and rate. Every epoch visits every sample once, in an
    /// order of its own; the last may be cut short.
    pub fn steps(self) -> impl Iterator<Item = (usize, f32)> {
        let mut random = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut order: Vec<usize> = (0..self.samples).collect();
        let indices = (0..self.steps).map(move |step| {
            let at = step % order.len();
            if at == 0 {
                shuffle(&mut order, &mut random);
            }
            order[at]
        });
        indices.zip(self.rates()).skip(self.taken)
    }

    fn rates(self) -> impl Iterator<Item = f32> {
        let (rate, steps) = (self.rate, self.steps as u32);
        let mut schedule = match self.decay {
            Decay::Cosine => Schedule::cosine(rate, steps),
            Decay::Cooldown => Schedule::open(rate),
        };
        schedule = schedule.warm_up(self.warm_up as u32);
        let last = steps.div_ceil(5);
        std::iter::from_fn(move || {
            if self.decay == Decay::Cooldown && schedule.taken() == steps - last {
                schedule.settle(last);
            }
            schedule.next()
        })
    }
}

/// Fisher-Yates with xorshift64.
fn shuffle(order: &mut [usize], random: &mut u64) {
    for last in (1..order.len()).rev() {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        order.swap(last, (*random % (last as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_permutations_and_seeds_differ() {
        let round = Round { seed: 3, ..Round::new(0.01, 10, 25) };
        let order: Vec<usize> = round.steps().map(|(i, _)| i).collect();
        for epoch in order[..20].chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(order[..10], order[10..20]);
        let left: Vec<usize> = Round { taken: 12, ..round }.steps().map(|(i, _)| i).collect();
        assert_eq!(left, order[12..]);
        let other: Vec<usize> = Round { seed: 4, ..round }.steps().map(|(i, _)| i).collect();
        assert_ne!(order, other);
    }

    #[test]
    fn a_cooldown_takes_the_last_fifth() {
        for steps in [1, 4, 5, 103] {
            let round = Round { decay: Decay::Cooldown, ..Round::new(1.0, 10, steps) };
            let rates: Vec<f32> = round.steps().map(|(_, rate)| rate).collect();
            assert_eq!(rates.len(), steps);
            assert!(rates[..=steps - steps.div_ceil(5)].iter().all(|&rate| rate == 1.0));
            assert!(rates[steps - steps.div_ceil(5)..].windows(2).all(|pair| pair[0] > pair[1]));
        }
    }
}
