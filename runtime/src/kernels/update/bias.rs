//! Bias update.

use super::rule::{Descent, Held, Optimized, Pace};
use crate::arena::Arena;
use crate::kernels::ensure;
use crate::machine::{table, typed, typed_mut};
use crate::program::op::{BiasOptimize, BiasUpdate};
use crate::{Fault, Machine};

impl BiasUpdate {
    /// Sums the error over pixels and steps each bias.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let pace = Pace::new(&m.step, &m.state, &self.error)?;
        let factors: &[f32] = table(m.constants, self.factor)?;
        let sums = self.sums(factors.len(), &mut m.arena, &mut m.scratch)?;
        let ([], [bias]) = m.state.split([], [self.bias])?;
        let bias: &mut [i32] = typed_mut(bias)?;
        ensure(bias.len() == sums.len())?;
        for ((b, &sum), &factor) in bias.iter_mut().zip(sums).zip(factors) {
            *b = pace.times(factor).bias(*b, sum);
        }
        Ok(())
    }

    /// The error summed over pixels.
    fn sums<'s>(
        &self,
        channels: usize,
        arena: &mut Arena<'_>,
        scratch: &'s mut Arena<'_>,
    ) -> Result<&'s [i32], Fault> {
        let ([error], []) = arena.split([self.error.data], [])?;
        let ([], [sums]) = scratch.split([], [self.scratch])?;
        let error: &[i8] = typed(error)?;
        let sums: &mut [i32] = typed_mut(sums)?;
        ensure(channels > 0 && error.len().is_multiple_of(channels))?;
        let sums = sums.get_mut(..channels).ok_or(Fault::Size)?;
        sums.fill(0);
        for pixel in error.chunks_exact(channels) {
            for (s, &e) in sums.iter_mut().zip(pixel) {
                *s = s.wrapping_add(e as i32);
            }
        }
        Ok(sums)
    }
}

impl BiasOptimize {
    /// Takes each bias one sample further.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let BiasOptimize { update, optimizer } = self;
        let pace = Pace::new(&m.step, &m.state, &update.error)?.shared(optimizer.batch);
        let factors: &[f32] = table(m.constants, update.factor)?;
        let sums = update.sums(factors.len(), &mut m.arena, &mut m.scratch)?;
        let mut bias = Optimized::open(&mut m.state, update.bias, Held::Bias, optimizer)?;
        bias.ensure_len(sums.len())?;
        bias.descend(0, sums, |channel| {
            pace.times(factors.get(channel).copied().unwrap_or_default())
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Bench, Random};

    #[test]
    fn agrees_with_a_float_step() {
        let mut random = Random::new(11);
        for (pixels, channels) in [(1, 1), (12, 5), (64, 33)] {
            let mut bench = Bench::default();
            let e = random.sparse(pixels * channels, 3);
            let bias: Vec<i32> = (0..channels).map(|_| random.within(-9999, 9999)).collect();
            let mut factors: Vec<f32> =
                (0..channels).map(|_| random.within(1, 9000) as f32).collect();
            factors[channels / 2] = 0.0;
            let op = BiasUpdate {
                error: bench.error(&e, -8),
                bias: bench.state(&bias),
                factor: bench.constant(&factors),
                scratch: bench.scratch(4 * channels),
            };
            bench.step.rate = 0.005;
            bench.step.gamma = 0.7;
            bench.run(op);
            for (c, &b) in bench.read::<i32>(op.bias).iter().enumerate() {
                let sum: f64 = (0..pixels).map(|p| e[p * channels + c] as f64).sum();
                let exact = bias[c] as f64 - 0.005 * 0.7 / 256.0 * factors[c] as f64 * sum;
                assert!((b as f64 - exact).abs() <= 0.5 + 1e-6 * exact.abs() + 1e-3);
                assert!(factors[c] != 0.0 || b == bias[c]);
            }
        }
    }
}
