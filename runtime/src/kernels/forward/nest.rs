//! Channels of which the first can do without the rest.
//! Valipour et al., "DyLoRA: Parameter-Efficient Tuning of Pre-trained Models using Dynamic Search-Free Low-Rank
//! Adaptation", 2022.

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

impl Nest {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let mut passing = kept(&m.state, self.kept, self.channels)?;
        if m.step.rate > 0.0 {
            let ([], [drawn, random]) = m.state.split([], [self.drawn, self.random])?;
            let random = typed_mut::<u32>(random)?.first_mut().ok_or(Fault::Size)?;
            let mut draws = Xorshift::new(*random);
            passing = 1 + ((u32::from(draws.bits16()) * passing) >> 16);
            *random = draws.state();
            *typed_mut::<u32>(drawn)?.first_mut().ok_or(Fault::Size)? = passing;
        }
        let (passes, zero) = (passing as usize, self.zero as i8);
        let mut places = (0..self.channels as usize).cycle();
        let mut stopped = || places.next().is_some_and(|channel| channel >= passes);
        if self.input == self.output {
            let ([], [y]) = m.arena.split([], [self.output])?;
            for y in typed_mut::<i8>(y)?.iter_mut().filter(|_| stopped()) {
                *y = zero;
            }
            return Ok(());
        }
        let ([x], [y]) = m.arena.split([self.input], [self.output])?;
        let (x, y): (&[i8], &mut [i8]) = (typed(x)?, typed_mut(y)?);
        ensure(x.len() == y.len())?;
        for (y, &x) in y.iter_mut().zip(x) {
            *y = if stopped() { zero } else { x };
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{assert_near, Bench, Random};
    use crate::program::op::{Nest, NestInputGrad};

    #[test]
    fn the_first_channels_pass_and_their_errors() {
        let (channels, pixels, zero) = (6u16, 7, -9i16);
        let mut random = Random::new(2);
        let (x, e) = (random.int8(42), random.sparse(42, 2));
        for kept in [0u32, 1, 4, 6, 9] {
            let mut bench = Bench::default();
            let nest = Nest {
                input: bench.arena(&x),
                output: bench.room(42),
                channels,
                zero,
                kept: bench.state(&[kept]),
                drawn: bench.state(&[77u32]),
                random: bench.state(&[5u32]),
            };
            let gradient = NestInputGrad {
                error: bench.error(&e, -6),
                output: bench.error_out(42),
                channels,
                kept: nest.kept,
                drawn: nest.drawn,
                ..NestInputGrad::default()
            };
            let most = kept.clamp(1, 6) as usize;
            let mut seen = [0; 7];
            for rate in [0.0].into_iter().chain([0.1; 600]) {
                bench.step.rate = rate;
                bench.run(nest);
                let drawn = bench.read::<u32>(nest.drawn)[0];
                // Nothing is drawn, and state stays, where there is no training.
                let passes = if rate == 0.0 { most } else { drawn as usize };
                assert_eq!(drawn == 77, rate == 0.0);
                let y = bench.read::<i8>(nest.output);
                let passed = |at: usize| at % 6 < passes;
                for at in 0..pixels * 6 {
                    assert_eq!(y[at], if passed(at) { x[at] } else { zero as i8 });
                }
                if rate > 0.0 {
                    seen[passes] += 1;
                }
                if seen[passes] < 2 {
                    // The amplitude that runs along has seen nothing yet.
                    let mut once = bench.clone();
                    once.run(gradient);
                    let exact: Vec<f64> = (0..42)
                        .map(|at| if passed(at) { f64::from(e[at]) / 64.0 } else { 0.0 })
                        .collect();
                    assert_near(&once, &gradient.output, &exact, |_| 0.0);
                }
            }
            // As often each: 600 draws, within five deviations.
            let mean = 600.0 / most as f64;
            for (rank, &count) in seen.iter().enumerate() {
                let expected = if (1..=most).contains(&rank) { mean } else { 0.0 };
                assert!(
                    (f64::from(count) - expected).abs() <= 5.0 * expected.sqrt(),
                    "{rank}: {count}"
                );
            }
        }
    }
}
