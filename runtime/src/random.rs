//! Pseudo-random bits for stochastic rounding: xorshift32, kept in trainable state.

/// What a generator starts from whose state is 0, where xorshift would stay.
const SEED: u32 = 0x9E37_79B9;

/// Marsaglia's xorshift32 (13, 17, 5): every state but 0, once a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xorshift(u32);

impl Xorshift {
    /// Continues from a state; 0 stands for a fixed seed.
    pub const fn new(state: u32) -> Self {
        Xorshift(if state == 0 { SEED } else { state })
    }

    /// What to continue from: never 0.
    pub const fn state(self) -> u32 {
        self.0
    }

    /// 16 fresh bits.
    #[inline]
    pub fn bits16(&mut self) -> u16 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 16) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_published_sequence() {
        let mut random = Xorshift::new(2_463_534_242);
        random.bits16();
        assert_eq!(random.state(), 723_471_715);
        random.bits16();
        assert_eq!(random.state(), 2_497_366_906);
    }

    #[test]
    fn is_seeded_and_even() {
        let mut random = Xorshift::new(0);
        let mut counts = [0u32; 16];
        for _ in 0..160_000 {
            let bits = random.bits16();
            for (n, count) in counts.iter_mut().enumerate() {
                *count += (bits >> n & 1) as u32;
            }
        }
        assert!(counts.iter().all(|&c| (79_000..81_000).contains(&c)), "{counts:?}");
    }
}
