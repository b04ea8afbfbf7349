//! Channels of which a training step passes some: the first so many, or one part of several.
//! Valipour et al., "DyLoRA: Parameter-Efficient Tuning of Pre-trained Models using Dynamic Search-Free Low-Rank
//! Adaptation", 2022; Zhang et al., "MoSA: Mixture of Sparse Adapters for Visual Efficient Tuning", 2023.

use core::ops::Range;

use crate::arena::Arena;
use crate::kernels::ensure;
use crate::machine::{part, typed, typed_mut};
use crate::program::op::Nest;
use crate::random::Xorshift;
use crate::{Fault, Machine, Slot};

/// Channels that pass outside of training.
///
/// # Errors
/// A [`Fault`] where the slot does not fit.
pub(in crate::kernels) fn kept(state: &Arena<'_>, kept: Slot, channels: u16) -> Result<u32, Fault> {
    let kept: &[u32] = typed(part(state.bytes(), kept)?)?;
    let kept = kept.first().ok_or(Fault::Size)?;
    Ok((*kept).max(1).min(channels.into()))
}

/// How many there are to draw from: numbers of first channels, or parts.
fn choices(kept: u32, part: u16) -> u32 {
    kept.div_ceil(u32::from(part).max(1))
}

/// Channels that pass after a draw, which is from 1, and by how many parts they are divided.
pub(in crate::kernels) fn passing(drawn: Option<u32>, kept: u32, part: u16) -> (Range<usize>, i32) {
    let width = u32::from(part);
    let (range, parts) = match (drawn, part) {
        (None, 0) => (0..kept, 1),
        (None, _) => (0..kept, choices(kept, part) as i32),
        (Some(drawn), 0) => (0..drawn, 1),
        (Some(drawn), _) => {
            (drawn.saturating_sub(1).saturating_mul(width)..drawn.saturating_mul(width), 1)
        }
    };
    (range.start as usize..range.end.min(kept) as usize, parts)
}

/// `x / parts`, to the nearest; away from 0 where it is between two.
pub(in crate::kernels) fn share(x: i32, parts: i32) -> i32 {
    (x + x.signum() * (parts / 2)).checked_div(parts).unwrap_or(0)
}

impl Nest {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let kept = kept(&m.state, self.kept, self.channels)?;
        let mut number = None;
        if m.step.rate > 0.0 {
            let ([], [drawn, random]) = m.state.split([], [self.drawn, self.random])?;
            let random = typed_mut::<u32>(random)?.first_mut().ok_or(Fault::Size)?;
            let mut draws = Xorshift::new(*random);
            let from_one = 1 + ((u32::from(draws.bits16()) * choices(kept, self.part)) >> 16);
            *random = draws.state();
            *typed_mut::<u32>(drawn)?.first_mut().ok_or(Fault::Size)? = from_one;
            number = Some(from_one);
        }
        let (passes, parts) = passing(number, kept, self.part);
        let zero = i32::from(self.zero);
        let mut places = (0..self.channels as usize).cycle();
        let mut given = |x: i8| match places.next().is_some_and(|at| passes.contains(&at)) {
            true if parts == 1 => x,
            true => (zero + share(i32::from(x) - zero, parts)) as i8,
            false => zero as i8,
        };
        if self.input == self.output {
            let ([], [y]) = m.arena.split([], [self.output])?;
            typed_mut::<i8>(y)?.iter_mut().for_each(|y| *y = given(*y));
            return Ok(());
        }
        let ([x], [y]) = m.arena.split([self.input], [self.output])?;
        let (x, y): (&[i8], &mut [i8]) = (typed(x)?, typed_mut(y)?);
        ensure(x.len() == y.len())?;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = given(x);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{assert_near, Bench, Random};
    use crate::program::op::{Nest, NestInputGrad};

    const CHANNELS: usize = 6;
    const ELEMENTS: usize = 7 * CHANNELS;

    /// A channel's factor after a draw, 0 being none.
    fn factor(channel: usize, drawn: usize, kept: usize, part: usize) -> f64 {
        let first_of_part = |number: usize| (number - 1) * part;
        match (drawn, part) {
            _ if channel >= kept => 0.0,
            (0, 0) => 1.0,
            (0, part) => 1.0 / kept.div_ceil(part) as f64,
            (number, 0) => f64::from(channel < number),
            (number, _) => {
                f64::from((first_of_part(number)..first_of_part(number + 1)).contains(&channel))
            }
        }
    }

    #[test]
    fn some_channels_pass_and_their_errors() {
        let zero = -9i16;
        let mut random = Random::new(2);
        let (x, e) = (random.int8(ELEMENTS), random.sparse(ELEMENTS, 2));
        let parts = [0u16, 1, 2, 4, 6];
        for (kept, part) in [0u32, 1, 4, 6, 9].into_iter().flat_map(|k| parts.map(|p| (k, p))) {
            let mut bench = Bench::default();
            let nest = Nest {
                input: bench.arena(&x),
                output: bench.room(ELEMENTS),
                channels: CHANNELS as u16,
                part,
                zero,
                kept: bench.state(&[kept]),
                drawn: bench.state(&[77u32]),
                random: bench.state(&[5u32]),
            };
            let gradient = NestInputGrad {
                error: bench.error(&e, -6),
                output: bench.error_out(ELEMENTS),
                channels: CHANNELS as u16,
                part,
                kept: nest.kept,
                drawn: nest.drawn,
                ..NestInputGrad::default()
            };
            let most = kept.clamp(1, CHANNELS as u32) as usize;
            let choices = if part == 0 { most } else { most.div_ceil(part.into()) };
            let mut seen = [0; CHANNELS + 1];
            for rate in [0.0].into_iter().chain([0.1; 600]) {
                bench.step.rate = rate;
                bench.run(nest);
                let drawn = bench.read::<u32>(nest.drawn)[0];
                // Nothing is drawn, and state stays, where there is no training.
                assert_eq!(drawn == 77, rate == 0.0);
                let drawn = if rate == 0.0 { 0 } else { drawn as usize };
                seen[drawn] += 1;
                let factor = |at: usize| factor(at % CHANNELS, drawn, most, part.into());
                let y = bench.read::<i8>(nest.output);
                for at in 0..ELEMENTS {
                    let exact = factor(at) * (f64::from(x[at]) - f64::from(zero));
                    assert_eq!(f64::from(y[at]), exact.round() + f64::from(zero));
                }
                if seen[drawn] < 2 {
                    // The amplitude that runs along has seen nothing yet.
                    let mut once = bench.clone();
                    once.run(gradient);
                    let exact: Vec<f64> =
                        (0..ELEMENTS).map(|at| factor(at) * f64::from(e[at]) / 64.0).collect();
                    let slack = if drawn == 0 { 0.01 } else { 0.0 };
                    assert_near(&once, &gradient.output, &exact, |_| slack);
                }
            }
            // As often each: 600 draws, within five deviations.
            let mean = 600.0 / choices as f64;
            for (number, &count) in seen.iter().enumerate().skip(1) {
                let expected = if number <= choices { mean } else { 0.0 };
                assert!(
                    (f64::from(count) - expected).abs() <= 5.0 * expected.sqrt(),
                    "{number}: {count}"
                );
            }
        }
    }
}
