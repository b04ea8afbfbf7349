//! How trained values step: the one place for learning-rate scaling, clipping and rounding.
//! `optimizer` has what momentum and batches add.

mod optimizer;
#[cfg(test)]
mod optimizer_tests;

pub use optimizer::{Held, Optimized};

use crate::arena::Arena;
use crate::error_scale::exponent;
use crate::fixed::Multiplier;
use crate::kernels::companded::{compress, expand, FRACTION_BITS, PHASE_BITS};
use crate::kernels::ensure;
use crate::machine::typed_mut;
use crate::program::op::{Error, Precision, Weights};
use crate::random::Xorshift;
use crate::{Fault, Slot, Step};

/// A weight moves by at most this many int8 steps in one update.
const CLIP: i32 = 4;

/// Fraction bits of a residual weight.
pub const RESIDUAL_BITS: i32 = 8;

/// What applies the gradients of weights, row by row.
pub trait Descent {
    /// Whether a row without a gradient stays as it is.
    fn rests(&self) -> bool;

    /// [`Fault::Size`] unless there are `count` weights.
    ///
    /// # Errors
    /// That.
    fn ensure_len(&self, count: usize) -> Result<(), Fault>;

    /// Steps the weights from `at` on, one for each of `sums`, with the stride of each; none where they are
    /// not all there.
    fn descend(&mut self, at: usize, sums: &[i32], stride: impl Fn(usize) -> Stride);
}

/// `rate * gamma * 2^exponent`: what a summed error counts in this step.
///
/// The power of two is kept apart, so that no product leaves the range of f32.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: f32,
    exponent: i32,
}

impl Pace {
    /// The pace of updates that read `error`.
    ///
    /// # Errors
    /// A [`Fault`] where the tracker of `error` lies outside state memory.
    pub fn new(step: &Step, state: &Arena<'_>, error: &Error) -> Result<Pace, Fault> {
        Ok(Pace { rate: step.rate * step.gamma, exponent: exponent(state, error)? })
    }

    /// `rate * 2^exponent`.
    #[cfg(test)]
    pub fn at(rate: f32, exponent: i32) -> Pace {
        Pace { rate, exponent }
    }

    /// The pace at which each sample of a batch counts.
    pub fn shared(self, batch: u16) -> Pace {
        Pace { rate: self.rate / batch as f32, ..self }
    }

    /// The pace of a value whose gradient counts `factor`.
    #[inline]
    pub fn times(self, factor: f32) -> Stride {
        Stride { multiplier: Multiplier::from_f32(self.rate * factor), exponent: self.exponent }
    }
}

/// A pace and a factor in fixed point.
#[derive(Clone, Copy, Debug)]
pub struct Stride {
    multiplier: Multiplier,
    exponent: i32,
}

impl Stride {
    /// Whether every step is 0, whatever the gradient.
    pub fn is_zero(self) -> bool {
        self.multiplier.value == 0
    }

    /// A stride of `2^-bits` a unit of the sum.
    pub fn of_bits(bits: i32) -> Stride {
        Pace { rate: 1.0, exponent: -bits }.times(1.0)
    }

    /// Distance to step for a summed gradient, in units of `2^-bits`.
    #[inline]
    fn step(self, sum: i32, bits: i32) -> i32 {
        self.multiplier.scale_wide(sum, self.exponent.saturating_add(bits))
    }

    /// The same, rounded up with the probability that `dither` gives.
    #[inline]
    fn dithered(self, sum: i32, bits: i32, dither: u16) -> i32 {
        self.multiplier.scale_dithered(sum, self.exponent.saturating_add(bits), dither)
    }

    /// An int32 bias after its step.
    #[inline]
    pub fn bias(self, b: i32, sum: i32) -> i32 {
        b.saturating_sub(self.step(sum, 0))
    }

    /// A residual weight after its step: what rounds away stays in its low byte.
    #[inline]
    pub fn residual(self, m: i16, sum: i32) -> i16 {
        let clip = CLIP << RESIDUAL_BITS;
        let step = self.step(sum, RESIDUAL_BITS).clamp(-clip, clip);
        (m as i32 - step).clamp(-32640, 32639) as i16
    }

    /// The code of a weight's difference from the frozen one after its step, rounded up or down by `phase`,
    /// which becomes what is left over, for the next weight of the row.
    ///
    /// From a first phase that is uniform all are, so that each weight is right in the mean, and the
    /// sum of any run of weights in one segment of codes is off by less than one of their steps, where
    /// independent rounding would be off by the root of their number (systematic sampling, Madow
    /// 1949). What the ends of the range and the clip stop is lost apart from that.
    #[inline]
    pub fn stochastic(self, code: i8, sum: i32, phase: &mut u16) -> i8 {
        const BITS: i32 = (FRACTION_BITS + PHASE_BITS) as i32;
        let clip = CLIP << BITS;
        let step = self.step(sum, BITS).clamp(-clip, clip);
        compress((expand(code) << PHASE_BITS) - step, phase)
    }
}

/// Trained weights in state memory, to be updated in place.
#[derive(Debug)]
pub enum Latent<'m> {
    /// int16, 8.8.
    Residual(&'m mut [i16]),
    /// Codes of differences from the frozen weights, or of numbers whose signs count, with the random state
    /// that rounds them.
    Stochastic(&'m mut [i8], &'m mut u32),
}

impl<'m> Latent<'m> {
    /// Resolves the trained part of `weights`; `random` is read for stochastic precision only.
    ///
    /// # Errors
    /// A [`Fault`] where a slot does not fit its memory.
    pub fn open(
        state: &'m mut Arena<'_>,
        weights: &Weights,
        random: Slot,
    ) -> Result<Latent<'m>, Fault> {
        let ([], [latent, random]) = state.split([], [weights.latent, random])?;
        match weights.precision {
            Precision::Residual | Precision::Picked => Ok(Latent::Residual(typed_mut(latent)?)),
            Precision::Stochastic | Precision::Sign => {
                let random = typed_mut::<u32>(random)?.first_mut().ok_or(Fault::Size)?;
                Ok(Latent::Stochastic(typed_mut(latent)?, random))
            }
        }
    }
}

impl Latent<'_> {
    /// Weight `at` in 8.8, which began as `start`; not of signs.
    #[inline]
    pub fn weight(&self, at: usize, start: i8) -> i32 {
        match self {
            Latent::Residual(all) => all.get(at).copied().unwrap_or_default().into(),
            Latent::Stochastic(all, _) => {
                let gone = expand(all.get(at).copied().unwrap_or_default());
                (i32::from(start) << RESIDUAL_BITS)
                    + (gone << (RESIDUAL_BITS as u32 - FRACTION_BITS))
            }
        }
    }
}

impl Descent for Latent<'_> {
    fn rests(&self) -> bool {
        true
    }

    fn ensure_len(&self, count: usize) -> Result<(), Fault> {
        ensure(match self {
            Latent::Residual(all) => all.len() == count,
            Latent::Stochastic(all, _) => all.len() == count,
        })
    }

    fn descend(&mut self, at: usize, sums: &[i32], stride: impl Fn(usize) -> Stride) {
        match self {
            Latent::Residual(all) => {
                let Some(weights) = all.get_mut(at..at + sums.len()) else { return };
                for (j, (m, &sum)) in weights.iter_mut().zip(sums).enumerate() {
                    *m = stride(j).residual(*m, sum);
                }
            }
            Latent::Stochastic(all, state) => {
                let mut random = Xorshift::new(**state);
                let Some(weights) = all.get_mut(at..at + sums.len()) else { return };
                let mut phase = random.bits16();
                for (j, (code, &sum)) in weights.iter_mut().zip(sums).enumerate() {
                    *code = stride(j).stochastic(*code, sum, &mut phase);
                }
                **state = random.state();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::weights::effective;

    /// A stride under which a sum of 1 is a step of `size`.
    fn stride(size: f32) -> Stride {
        Pace { rate: size * 1024.0, exponent: -10 }.times(1.0)
    }

    #[test]
    fn residual_weights_lose_no_small_steps() {
        for (size, count, moved) in [(0.01, 1000, 10), (0.004, 2500, 10), (0.3, 100, 30)] {
            for sign in [-1, 1] {
                let mut m = 20 << 8;
                for _ in 0..count {
                    m = stride(size).residual(m, sign);
                }
                let off = effective(m) as i32 - (20 - sign * moved);
                // What a step of 1/256 rounds away is lost at most, each time.
                assert!(off.abs() <= 1 + count / 512, "{size}: off by {off}");
            }
        }
    }

    #[test]
    fn a_thousand_hundredths_are_ten() {
        let (mut m, mut random) = (0i16, Xorshift::new(3));
        for _ in 0..1000 {
            let size = 0.02 * (random.bits16() as f32 / 65536.0);
            m = stride(size).residual(m, -1);
        }
        assert!((m as f64 / 256.0 - 10.0).abs() < 0.5, "{m}");
    }

    #[test]
    fn stochastic_weights_move_by_the_mean() {
        let mut random = Xorshift::new(1);
        for size in [0.01f32, 0.37, 1.5, -0.002] {
            let (sum, size) = (if size < 0.0 { -1 } else { 1 }, size.abs());
            let trials = 200_000;
            let moved: i32 = (0..trials)
                .map(|_| 5 - expand(stride(size).stochastic(5, sum, &mut random.bits16())))
                .sum();
            let mean = moved as f64 / trials as f64 / 4.0;
            let wanted = size as f64 * sum as f64;
            assert!((mean - wanted).abs() < 0.004, "{wanted}: {mean}");
        }
        assert_eq!(stride(0.0).stochastic(-7, 100, &mut 0xFFFF), -7);
        // Two steps, of four codes each; farther off, of two.
        assert_eq!(stride(1.0).stochastic(7, 2, &mut 0), -1);
        assert_eq!(stride(1.0).stochastic(63, 2, &mut 0), 59);
    }

    #[test]
    fn steps_are_clipped_and_weights_stay_in_range() {
        assert_eq!(stride(100.0).residual(0, 1), -1024);
        assert_eq!(stride(100.0).residual(32639, -1), 32639);
        assert_eq!(stride(100.0).residual(-32600, 1), -32640);
        assert_eq!(stride(100.0).stochastic(0, -1, &mut 0xFFFF), 16);
        assert_eq!(stride(100.0).stochastic(-126, 1, &mut 0), -127);
        assert_eq!(stride(1e9).bias(i32::MIN + 5, 1000), i32::MIN);
    }

    #[test]
    fn extreme_exponents_do_not_vanish_in_float() {
        let tiny = Pace { rate: 1e-6, exponent: -110 }.times(1e-3);
        assert_eq!(tiny.bias(3, i32::MAX), 3);
        let small = Pace { rate: 1.0, exponent: -140 }.times(0.5);
        assert!(!small.is_zero() && small.bias(3, i32::MAX) == 3);
        assert!(Pace { rate: 1.0, exponent: 0 }.times(0.0).is_zero());
    }
}
