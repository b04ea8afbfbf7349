//! Update of the trained classifier.

use super::rule::{Descent, Held, Optimized, Pace};
use crate::kernels::ensure;
use crate::machine::{typed, typed_mut};
use crate::program::op::{HeadOptimize, HeadUpdate, Precision};
use crate::{Fault, Machine};

impl HeadUpdate {
    /// Steps the weights of every class.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let pace = Pace::new(&m.step, &m.state, &self.error)?;
        let stride = pace.times(self.factor);
        let ([error, input], []) = m.arena.split([self.error.data, self.input], [])?;
        let ([], [latent]) = m.state.split([], [self.latent])?;
        let (error, input): (&[i8], &[i16]) = (typed(error)?, typed(input)?);
        let latent: &mut [i16] = typed_mut(latent)?;
        ensure(!input.is_empty() && latent.len() == input.len() * error.len())?;
        for (row, &e) in latent.chunks_exact_mut(input.len()).zip(error) {
            if e != 0 {
                for (w, &x) in row.iter_mut().zip(input) {
                    *w = stride.residual(*w, x as i32 * e as i32);
                }
            }
        }
        Ok(())
    }
}

impl HeadOptimize {
    /// Takes the weights of every class one sample further.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let HeadOptimize { update, optimizer } = self;
        let pace = Pace::new(&m.step, &m.state, &update.error)?;
        let stride = pace.shared(optimizer.batch).times(update.factor);
        let ([error, input], []) = m.arena.split([update.error.data, update.input], [])?;
        let (error, input): (&[i8], &[i16]) = (typed(error)?, typed(input)?);
        let held = Held::Weight(Precision::Residual);
        let mut latent = Optimized::open(&mut m.state, update.latent, held, optimizer)?;
        latent.ensure_len(input.len() * error.len())?;
        for (class, &e) in error.iter().enumerate() {
            if e != 0 || !latent.rests() {
                latent.advance(class * input.len(), input.len(), |j| {
                    let x = input.get(j).copied().unwrap_or_default();
                    (stride, i32::from(x) * i32::from(e))
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Bench, Random};
    use crate::program::op::Error;
    use crate::Slot;

    #[test]
    fn agrees_with_a_float_step() {
        let mut random = Random::new(12);
        let (mut clipped, mut free) = (0, 0);
        for (classes, features) in [(2, 1), (10, 48), (3, 7)] {
            let mut bench = Bench::default();
            let e = random.sparse(classes, 4);
            let x: Vec<i16> = (0..features).map(|_| random.within(-32640, 32767) as i16).collect();
            let latent: Vec<i16> =
                (0..classes * features).map(|_| random.within(-32640, 32639) as i16).collect();
            let op = HeadUpdate {
                error: Error { data: bench.arena(&e), tracker: Slot::default() },
                input: bench.arena(&x),
                latent: bench.state(&latent),
                factor: 0.05,
            };
            bench.step.rate = 0.01;
            bench.step.gamma = 0.5;
            bench.run(op);
            let pace = 0.01 * 0.5 / 128.0;
            for (n, &m) in bench.read::<i16>(op.latent).iter().enumerate() {
                let g = e[n / features] as f64 * x[n % features] as f64;
                let step = 256.0 * pace * 0.05 * g;
                *(if step.abs() > 1024.0 { &mut clipped } else { &mut free }) += 1;
                let exact = latent[n] as f64 - step.clamp(-1024.0, 1024.0);
                let exact = exact.clamp(-32640.0, 32639.0);
                assert!((m as f64 - exact).abs() <= 0.5001, "{m} {exact}");
            }
        }
        assert!(free > 0 && clipped > 0);
    }
}
