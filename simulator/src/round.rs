//! A round of learning: which sample comes when, and at what rate.

use offshoot_runtime::schedule;

/// A round of known length over a set of samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// Samples in the training split.
    pub samples: usize,
    /// Steps in all.
    pub steps: usize,
    /// Learning rate at the start; it falls to 0 along a half cosine.
    pub rate: f32,
    /// Seed of the order.
    pub seed: u64,
}

/// Rate that suits every network and data set measured so far.
pub const DEFAULT_RATE: f32 = 5e-3;

impl Round {
    /// The steps: index of the sample, and rate. Every epoch visits every sample once, in an
    /// order of its own; the last may be cut short.
    pub fn steps(self) -> impl Iterator<Item = (usize, f32)> {
        let mut random = self.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut order: Vec<usize> = (0..self.samples).collect();
        (0..self.steps).map(move |step| {
            let at = step % order.len();
            if at == 0 {
                shuffle(&mut order, &mut random);
            }
            (order[at], schedule::cosine(self.rate, step as u32, self.steps as u32))
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
        let round = Round { samples: 10, steps: 25, rate: 1.0, seed: 3 };
        let order: Vec<usize> = round.steps().map(|(i, _)| i).collect();
        for epoch in order[..20].chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(order[..10], order[10..20]);
        let other: Vec<usize> = Round { seed: 4, ..round }.steps().map(|(i, _)| i).collect();
        assert_ne!(order, other);
    }
}
