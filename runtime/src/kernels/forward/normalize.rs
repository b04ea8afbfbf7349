//! Normalisation over the channels of each pixel.

use super::output::Output;
use crate::fixed::Multiplier;
use crate::kernels::ensure;
use crate::machine::{typed, typed_mut};
use crate::program::op::Normalize;
use crate::{Fault, Machine};

impl Normalize {
    /// Sums are integers and exact: with S the sum and Q the sum of squares of D channels, an element
    /// q lies `(D q - S) / D` steps from the mean, and the variance is `(D Q - S^2) / D^2`. Once a
    /// pixel, f32 turns the variance into a multiplier.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let depth = self.depth as usize;
        let ([x], [y, kept]) = m.arena.split([self.input], [self.output, self.reciprocal])?;
        let (x, kept): (&[i8], &mut [f32]) = (typed(x)?, typed_mut(kept)?);
        ensure(depth > 0 && x.len() == y.len() && x.len().is_multiple_of(depth))?;
        ensure(kept.is_empty() || kept.len() == x.len() / depth)?;
        let mut y = Output::new(typed_mut(y)?, &mut [], self.range)?;
        let step = self.x_scale / f32::from(self.depth);
        for (pixel, row) in x.chunks_exact(depth).enumerate() {
            let sum = row.iter().fold(0, |sum: i32, &q| sum.wrapping_add(q.into()));
            let squares =
                row.iter().fold(0, |sum: i32, &q| sum.wrapping_add(i32::from(q) * i32::from(q)));
            let spread = i64::from(self.depth) * i64::from(squares) - i64::from(sum).pow(2);
            let variance = step * step * spread as f32;
            let reciprocal = 1.0 / libm::sqrtf(variance + self.epsilon);
            let scale = Multiplier::from_f32(reciprocal * step / self.y_scale);
            for (c, &q) in row.iter().enumerate() {
                let off = (i32::from(self.depth) * i32::from(q)).wrapping_sub(sum);
                y.put(pixel * depth + c, scale.scale_wide(off, 0));
            }
            if let Some(kept) = kept.get_mut(pixel) {
                *kept = reciprocal;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{Bench, Random};
    use crate::program::op::Range;
    use crate::Slot;

    /// What the kernel gives, with the reciprocal deviations.
    fn normalized(
        x: &[i8],
        depth: usize,
        [x_scale, y_scale, epsilon]: [f32; 3],
    ) -> (Vec<i8>, Vec<f32>) {
        let mut bench = Bench::default();
        let op = Normalize {
            input: bench.arena(x),
            output: bench.room(x.len()),
            reciprocal: bench.room(x.len() / depth * 4),
            depth: depth as u16,
            x_scale,
            y_scale,
            epsilon,
            range: Range { zero: -5, min: -120, max: 127 },
        };
        bench.run(op);
        let (y, kept) = (bench.read(op.output), bench.read(op.reciprocal));
        bench.run(Normalize { reciprocal: Slot::default(), ..op });
        assert_eq!(bench.read::<i8>(op.output), y, "what is kept must change nothing");
        (y, kept)
    }

    #[test]
    fn stays_within_half_a_step_of_real_numbers() {
        for seed in 0..60 {
            let r = &mut Random::new(seed);
            let depth = [1, 2, 7, 64, 4096][r.below(5)];
            let scales = [[0.03, 0.02, 1e-5], [1e-3, 0.05, 1e-3], [4.0, 0.1, 1e-12]][r.below(3)];
            // Values around a mean, near together in some rows.
            let (mean, width) = (r.within(-100, 100), [3, 27][r.below(2)]);
            let x: Vec<i8> =
                (0..3 * depth).map(|_| r.within(mean - width, mean + width) as i8).collect();
            let (y, kept) = normalized(&x, depth, scales);
            let [x_scale, y_scale, epsilon] = scales.map(f64::from);
            for (pixel, row) in x.chunks_exact(depth).enumerate() {
                let real: Vec<f64> = row.iter().map(|&q| x_scale * f64::from(q)).collect();
                let count = depth as f64;
                let mean = real.iter().sum::<f64>() / count;
                let variance = real.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
                let reciprocal = 1.0 / (variance + epsilon).sqrt();
                let off = (f64::from(kept[pixel]) - reciprocal).abs() / reciprocal;
                assert!(off < 1e-6, "seed {seed}: {off}");
                for (&y, v) in y[pixel * depth..].iter().zip(&real) {
                    let exact = (v - mean) * reciprocal / y_scale - 5.0;
                    let off = (f64::from(y) - exact.clamp(-120.0, 127.0)).abs();
                    assert!(off < 0.501, "seed {seed}: {y} for {exact}");
                }
            }
        }
    }

    /// Nothing to divide by, and the most there can be.
    #[test]
    fn constant_and_extreme_rows() {
        for depth in [1, 4096] {
            let (y, kept) = normalized(&vec![77; depth], depth, [0.05, 0.03, f32::MIN_POSITIVE]);
            assert!(y.iter().all(|&y| y == -5) && kept[0].is_finite(), "{depth}: {kept:?}");
        }
        let mut x = vec![-128i8; 4096];
        x[9] = 127;
        let (y, _) = normalized(&x, 4096, [0.05, 0.03, 1e-5]);
        // One of 4096 lies 64 deviations above the mean.
        assert_eq!((y[9], y[8]), (127, -6));
        x[2048..].fill(127);
        let (y, kept) = normalized(&x, 4096, [0.05, 0.01, 1e-5]);
        assert_eq!((y[4000], y[0]), (95, -105));
        assert!((kept[0] * 0.05 * 127.5 - 1.0).abs() < 1e-3);
    }
}
