//! Momentum and batches: what stands between the step of a sample and the parameter.
//!
//! Steps of weights are Q28 here: 28 fraction bits of an int8 step, so that i32 reaches +-8. Those of
//! biases have 4 fraction bits of the bias's unit, whose size is not known beforehand. Whatever is
//! stored with fewer bits is rounded up or down at random, right in the mean: rounded to nearest, a
//! small velocity would never decay, and steps below half a unit would never add up.

use super::{Descent, Stride, CLIP, RESIDUAL_BITS};
use crate::arena::Arena;
use crate::fixed::saturate;
use crate::kernels::companded::{compress, expand, FRACTION_BITS, PHASE_BITS};
use crate::kernels::ensure;
use crate::machine::typed_mut;
use crate::program::op::{Optimizer, Precision};
use crate::random::Xorshift;
use crate::{Fault, Slot};
use core::num::NonZero;

/// Fraction bits of a step of a weight, of the sum of a batch, and of a velocity in 16 and in 8 bits.
pub(super) const STEP_BITS: u32 = 28;
pub(super) const SUM_BITS: u32 = 13;
pub(super) const WIDE_BITS: u32 = 12;
pub(super) const NARROW_BITS: u32 = 7;

/// Fraction bits of everything that belongs to a bias.
pub(super) const BIAS_BITS: u32 = 4;

/// Fraction bits of a momentum.
const MOMENTUM_BITS: u32 = 16;

/// Steps that are taken at once, on the stack.
const BLOCK: usize = 32;

/// How a parameter is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A weight.
    Weight(Precision),
    /// int32.
    Bias,
}

#[derive(Debug)]
enum Parameter<'m> {
    Residual(&'m mut [i16]),
    Stochastic(&'m mut [i8]),
    Bias(&'m mut [i32]),
}

#[derive(Debug)]
enum Velocity<'m> {
    None,
    Narrow(&'m mut [i8]),
    Wide(&'m mut [i16]),
    Bias(&'m mut [i32]),
}

#[derive(Debug)]
enum Sum<'m> {
    None,
    Weights(&'m mut [i16]),
    Biases(&'m mut [i32]),
}

/// A parameter in state memory with what an optimizer keeps beside it.
#[derive(Debug)]
pub struct Optimized<'m> {
    parameter: Parameter<'m>,
    velocity: Velocity<'m>,
    sum: Sum<'m>,
    random: &'m mut u32,
    momentum: i32,
    batch: NonZero<u16>,
    /// Whether this sample is the last of its batch.
    due: bool,
}

impl<'m> Optimized<'m> {
    /// Resolves the state of `parameter` and counts the sample.
    ///
    /// # Errors
    /// A [`Fault`] where a slot does not fit its memory.
    pub fn open(
        state: &'m mut Arena<'_>,
        parameter: Slot,
        held: Held,
        optimizer: &Optimizer,
    ) -> Result<Optimized<'m>, Fault> {
        let Optimizer { velocity, sum, counter, random, .. } = *optimizer;
        let slots = [parameter, velocity, sum, counter, random];
        let ([], [parameter, velocity, sum, counter, random]) = state.split([], slots)?;
        let due = match typed_mut::<u32>(counter)? {
            [] => true,
            [count, ..] => {
                // A count that was restored damaged ends its batch.
                let due = *count >= u32::from(optimizer.batch).saturating_sub(1);
                *count = if due { 0 } else { *count + 1 };
                due
            }
        };
        Ok(Optimized {
            parameter: match held {
                Held::Weight(Precision::Residual) => Parameter::Residual(typed_mut(parameter)?),
                Held::Weight(_) => Parameter::Stochastic(typed_mut(parameter)?),
                Held::Bias => Parameter::Bias(typed_mut(parameter)?),
            },
            velocity: match optimizer.bits {
                8 => Velocity::Narrow(typed_mut(velocity)?),
                16 => Velocity::Wide(typed_mut(velocity)?),
                Optimizer::BIAS_BITS => Velocity::Bias(typed_mut(velocity)?),
                _ => Velocity::None,
            },
            sum: match held {
                _ if sum.is_empty() => Sum::None,
                Held::Weight(_) => Sum::Weights(typed_mut(sum)?),
                Held::Bias => Sum::Biases(typed_mut(sum)?),
            },
            random: typed_mut::<u32>(random)?.first_mut().ok_or(Fault::Size)?,
            momentum: optimizer.momentum.into(),
            batch: NonZero::new(optimizer.batch).unwrap_or(NonZero::<u16>::MIN),
            due,
        })
    }

    /// Takes `count` values from `at` on one sample further; `step` gives the stride of each, at the
    /// [pace that a batch shares](super::Pace::shared), and its summed gradient.
    pub fn advance(&mut self, at: usize, count: usize, step: impl Fn(usize) -> (Stride, i32)) {
        let mut random = Xorshift::new(*self.random);
        let mut memory = [0; BLOCK];
        for from in (0..count).step_by(BLOCK) {
            let Some(block) = memory.get_mut(..BLOCK.min(count - from)) else { break };
            let clip = (((CLIP as u32) << STEP_BITS) / NonZero::<u32>::from(self.batch)) as i32;
            for (n, u) in block.iter_mut().enumerate() {
                let (stride, sum) = step(from + n);
                *u = match self.parameter {
                    Parameter::Bias(_) => stride.dithered(sum, BIAS_BITS as i32, random.bits16()),
                    _ => stride.step(sum, STEP_BITS as i32).max(-clip).min(clip),
                };
            }
            self.gather(at + from, block, &mut random);
            if self.due {
                self.accelerate(at + from, block, &mut random);
                self.apply(at + from, block, &mut random);
            }
        }
        *self.random = random.state();
    }

    /// Adds the steps of a sample to those of its batch; at its end they become the sum.
    fn gather(&mut self, at: usize, steps: &mut [i32], random: &mut Xorshift) {
        const SHIFT: u32 = STEP_BITS - SUM_BITS;
        let clip = CLIP << STEP_BITS;
        match &mut self.sum {
            Sum::None => {}
            Sum::Weights(sums) => {
                for (u, a) in steps.iter_mut().zip(from(sums, at)) {
                    *u = u.saturating_add(i32::from(*a) << SHIFT).clamp(-clip, clip);
                    *a = if self.due { 0 } else { saturate16(rounded(*u, SHIFT, random)) };
                }
            }
            Sum::Biases(sums) => {
                for (u, a) in steps.iter_mut().zip(from(sums, at)) {
                    *u = u.saturating_add(*a);
                    *a = if self.due { 0 } else { *u };
                }
            }
        }
    }

    /// Adds the velocity to the steps, and keeps the sum as the next velocity.
    fn accelerate(&mut self, at: usize, steps: &mut [i32], random: &mut Xorshift) {
        let momentum = self.momentum;
        match &mut self.velocity {
            Velocity::None => {}
            Velocity::Narrow(all) => {
                const SHIFT: u32 = STEP_BITS - NARROW_BITS;
                for (u, v) in steps.iter_mut().zip(from(all, at)) {
                    let kept = (i32::from(*v) * momentum) << (SHIFT - MOMENTUM_BITS);
                    *u = u.saturating_add(kept);
                    *v = rounded(*u, SHIFT, random).clamp(-127, 127) as i8;
                }
            }
            Velocity::Wide(all) => {
                const SHIFT: u32 = STEP_BITS - WIDE_BITS;
                for (u, v) in steps.iter_mut().zip(from(all, at)) {
                    *u = u.saturating_add(i32::from(*v) * momentum);
                    *v = saturate16(rounded(*u, SHIFT, random));
                }
            }
            Velocity::Bias(all) => {
                for (u, v) in steps.iter_mut().zip(from(all, at)) {
                    let kept = i64::from(*v) * i64::from(momentum) + i64::from(random.bits16());
                    *u = saturate((kept >> MOMENTUM_BITS) + i64::from(*u));
                    *v = *u;
                }
            }
        }
    }

    /// Takes the steps off the parameter.
    fn apply(&mut self, at: usize, steps: &[i32], random: &mut Xorshift) {
        match &mut self.parameter {
            Parameter::Residual(all) => {
                const SHIFT: u32 = STEP_BITS - RESIDUAL_BITS as u32;
                for (&u, m) in steps.iter().zip(from(all, at)) {
                    let after = i32::from(*m) - rounded(u, SHIFT, random);
                    *m = after.clamp(-32640, 32639) as i16;
                }
            }
            Parameter::Stochastic(all) => {
                const SHIFT: u32 = STEP_BITS - FRACTION_BITS - PHASE_BITS;
                for (&u, code) in steps.iter().zip(from(all, at)) {
                    let after = (expand(*code) << PHASE_BITS).saturating_sub(u >> SHIFT);
                    *code = compress(after, &mut random.bits16());
                }
            }
            Parameter::Bias(all) => {
                for (&u, b) in steps.iter().zip(from(all, at)) {
                    *b = b.saturating_sub(rounded(u, BIAS_BITS, random));
                }
            }
        }
    }
}

impl Descent for Optimized<'_> {
    fn rests(&self) -> bool {
        !self.due
    }

    fn ensure_len(&self, count: usize) -> Result<(), Fault> {
        let parameters = match &self.parameter {
            Parameter::Residual(all) => all.len(),
            Parameter::Stochastic(all) => all.len(),
            Parameter::Bias(all) => all.len(),
        };
        let velocities = match &self.velocity {
            Velocity::None => count,
            Velocity::Narrow(all) => all.len(),
            Velocity::Wide(all) => all.len(),
            Velocity::Bias(all) => all.len(),
        };
        let sums = match &self.sum {
            Sum::None => count,
            Sum::Weights(all) => all.len(),
            Sum::Biases(all) => all.len(),
        };
        ensure(parameters == count && velocities == count && sums == count)
    }

    fn descend(&mut self, at: usize, sums: &[i32], stride: impl Fn(usize) -> Stride) {
        self.advance(at, sums.len(), |j| (stride(j), sums.get(j).copied().unwrap_or_default()));
    }
}

/// The elements from `at` on.
#[inline]
fn from<T>(all: &mut [T], at: usize) -> &mut [T] {
    all.get_mut(at..).unwrap_or_default()
}

/// `value / 2^bits`, rounded up with the probability of what is cut off; `bits` from 1 to 31.
#[inline]
fn rounded(value: i32, bits: u32, random: &mut Xorshift) -> i32 {
    let dither = u32::from(random.bits16()) << 16 >> (32 - bits);
    value.saturating_add(dither as i32) >> bits
}

#[inline]
fn saturate16(value: i32) -> i16 {
    value.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}
