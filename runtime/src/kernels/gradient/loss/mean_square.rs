//! Mean square error of a network that is to reproduce its input: loss and the normalised gradient.
//!
//! Differences are counted in 4096ths of the coarser of both steps: each is off by at most one of
//! those, and their squares add up without rounding.

use super::share;
use crate::kernels::ensure;
use crate::machine::{typed, typed_mut};
use crate::program::op::MeanSquare;
use crate::{Fault, Machine};

/// Fraction bits of a difference.
const BITS: u32 = 12;

impl MeanSquare {
    /// Sets the step's loss and gamma.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let ([x, y], [error]) = m.arena.split([self.x, self.y], [self.error])?;
        let (x, y, error): (&[i8], &[i8], &mut [i8]) = (typed(x)?, typed(y)?, typed_mut(error)?);
        ensure(x.len() == y.len() && error.len() == y.len() && !y.is_empty())?;
        let real = |q: i8, k: usize| {
            self.scales[k].scale_wide(i32::from(q) - i32::from(self.zeros[k]), BITS as i32)
        };
        let delta = |x: i8, y: i8| i64::from(real(y, 1)) - i64::from(real(x, 0));

        // Cannot overflow: the verifier bounds scales and length.
        let (mut peak, mut sum) = (0, 0u64);
        for (&x, &y) in x.iter().zip(y) {
            let size = delta(x, y).unsigned_abs();
            peak = peak.max(size);
            sum = sum.saturating_add(size.saturating_mul(size));
        }
        for (e, (&x, &y)) in error.iter_mut().zip(x.iter().zip(y)) {
            *e = share(delta(x, y), peak);
        }

        let (count, step) = (y.len() as f32, self.unit / (1 << BITS) as f32);
        m.step.gamma = 2.0 * peak as f32 * step / count * (128.0 / 127.0);
        m.step.loss = sum as f32 / count * step * step;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::Multiplier;
    use crate::kernels::testing::{Bench, Random};

    /// Runs the op; gives error, gamma and loss.
    fn run(x: &[i8], y: &[i8], zeros: [i16; 2], scales: [f64; 2]) -> (Vec<i8>, f32, f32) {
        let mut bench = Bench::default();
        let unit = scales[0].max(scales[1]);
        let op = MeanSquare {
            x: bench.arena(x),
            y: bench.arena(y),
            error: bench.room(y.len()),
            zeros,
            scales: scales.map(|s| Multiplier::from_f64(s / unit)),
            unit: unit as f32,
        };
        bench.run(op);
        (bench.read(op.error), bench.step.gamma, bench.step.loss)
    }

    #[test]
    fn gradient_and_loss_agree_with_float() {
        for seed in 0..300 {
            let r = &mut Random::new(seed);
            let n = 1 + r.below(700);
            let (x, y) = (r.int8(n), r.int8(n));
            let zeros = [r.within(-128, 127) as i16, r.within(-128, 127) as i16];
            let scales = [[0.39, 0.4], [0.001, 0.02], [3.0, 0.7], [1.0, 1.0]][r.below(4)];
            let (e, gamma, loss) = run(&x, &y, zeros, scales);
            let real = |q: i8, k: usize| scales[k] * f64::from(i16::from(q) - zeros[k]);
            let delta: Vec<f64> =
                x.iter().zip(&y).map(|(&x, &y)| real(y, 1) - real(x, 0)).collect();
            let exact = delta.iter().map(|d| d * d).sum::<f64>() / n as f64;
            assert!((loss as f64 / exact - 1.0).abs() < 1e-3, "seed {seed}: {loss}, {exact}");
            let unit = gamma as f64 / 128.0;
            let step = scales[0].max(scales[1]) / 4096.0;
            for (e, d) in e.iter().zip(&delta) {
                let off = (*e as f64 * unit - 2.0 * d / n as f64).abs();
                let allowed = 0.501 * unit + 4.0 * step / n as f64;
                assert!(off < allowed, "seed {seed}: {off}, {allowed}");
            }
        }
    }

    #[test]
    fn what_is_reproduced_has_no_loss() {
        let x = [-128, 0, 5, 127];
        assert_eq!(run(&x, &x, [3, 3], [0.5, 0.5]), (vec![0; 4], 0.0, 0.0));
    }

    #[test]
    fn extremes_do_not_overflow() {
        let n = MeanSquare::MOST_ELEMENTS as usize;
        let (e, gamma, loss) = run(&vec![-128; n], &vec![127; n], [127, -128], [1.0, 1.0]);
        assert!(e.iter().all(|&e| e == 127));
        assert!((loss / (510.0 * 510.0) - 1.0).abs() < 1e-5);
        assert!((gamma * n as f32 / 1020.0 * 127.0 / 128.0 - 1.0).abs() < 1e-5);
    }
}
