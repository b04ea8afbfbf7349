//! Input gradient of normalisation.

use super::sink::Sink;
use crate::error_scale::{exponent, write};
use crate::fixed::Multiplier;
use crate::kernels::{ensure, positive};
use crate::machine::{typed, Machine};
use crate::program::op::NormalizeInputGrad;
use crate::Fault;

impl NormalizeInputGrad {
    /// With y in real units: `dx = r/D (D e - sum e) - (r/D sum(e y)) y`. Sums are integers; once a
    /// pixel, f32 turns both factors into multipliers.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let (depth, fraction) = (self.depth as usize, i32::from(self.fraction));
        let unit = exponent(&m.state, &self.error)?.saturating_sub(fraction);
        let errors = [&self.error, &self.skip, &self.output];
        let others = [self.normal, self.reciprocal];
        let (error, [normal, kept], mut sink) =
            Sink::open_with(&mut m.arena, &m.state, unit, errors, self.mask, others)?;
        let (normal, kept): (&[i8], &[f32]) = (typed(normal)?, typed(kept)?);
        ensure(sink.len() == error.len() && normal.len() == error.len())?;
        let each = positive(depth)?;
        ensure(error.len().is_multiple_of(depth) && kept.len() == error.len() / depth)?;
        // Steps of y from its zero point.
        let steps = |y: i8| i32::from(y) - i32::from(self.y_zero);
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            let rows = error.chunks_exact(each.get()).zip(normal.chunks_exact(each.get()));
            for (pixel, ((e, y), &reciprocal)) in rows.zip(kept).enumerate() {
                let sum = e.iter().fold(0, |sum: i32, &e| sum.wrapping_add(e.into()));
                let products = e.iter().zip(y).map(|(&e, &y)| i32::from(e) * steps(y));
                let product = products.fold(0, i32::wrapping_add);
                let share = reciprocal / f32::from(self.depth);
                let along = share * (self.y_scale * self.y_scale) * product.unsigned_abs() as f32;
                let (own, along) = (Multiplier::from_f32(share), Multiplier::from_f32(along));
                sink.put_each(quantizer, pixel * depth, depth, |c| {
                    let (e, y) = (e.get(c).copied().unwrap_or_default(), y.get(c).copied());
                    let off = (i32::from(self.depth) * i32::from(e)).wrapping_sub(sum);
                    let y = y.map_or(0, steps) * product.signum();
                    let along = along.scale_wide(y, fraction);
                    own.scale_wide(off, fraction).saturating_sub(along)
                });
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, near, Bench, Random};

    #[test]
    fn agrees_with_the_definition() {
        for seed in 0..60 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let (pixels, depth) = (1 + r.below(5), [1, 2, 9, 64, 4096][r.below(5)]);
            let e = r.sparse(pixels * depth, 3);
            let skip = r.sparse(pixels * depth, 2);
            let y = r.int8(pixels * depth);
            let kept: Vec<f32> = (0..pixels).map(|_| r.within(10, 4000) as f32 / 1000.0).collect();
            let op = NormalizeInputGrad {
                error: bench.error(&e, -8),
                output: bench.error_out(e.len()),
                skip: bench.error(&skip, -7),
                normal: bench.arena(&y),
                reciprocal: bench.arena(&kept),
                depth: depth as u16,
                y_zero: -3,
                y_scale: 0.013,
                fraction: 12,
                ..NormalizeInputGrad::default()
            };
            bench.run(op);
            let mut exact: Vec<f64> = skip.iter().map(|&e| f64::from(e) / 128.0).collect();
            for (pixel, &kept) in kept.iter().enumerate() {
                let at = pixel * depth;
                let e: Vec<f64> = e[at..at + depth].iter().map(|&e| f64::from(e) / 256.0).collect();
                let y: Vec<f64> =
                    y[at..at + depth].iter().map(|&y| 0.013 * (f64::from(y) + 3.0)).collect();
                let sum: f64 = e.iter().sum();
                let product: f64 = e.iter().zip(&y).map(|(e, y)| e * y).sum();
                let count = depth as f64;
                for c in 0..depth {
                    let whole = count * e[c] - sum - y[c] * product;
                    exact[at + c] += f64::from(kept) / count * whole;
                }
            }
            // Factors are rounded to 24 bits, sums twice to a 4096th of the error's step.
            assert_near(&bench, &op.output, &exact, |_| 2f64.powi(-19));
        }
    }

    /// Whatever lies in memory: nothing overflows, and what is too large saturates.
    #[test]
    fn extreme_values_saturate() {
        for (kept, counts) in [
            (0.0, false),
            (f32::MIN_POSITIVE, false),
            (1e30, true),
            (f32::INFINITY, true),
            (f32::NAN, false),
            (-1.0, false),
        ] {
            let mut bench = Bench::default();
            let op = NormalizeInputGrad {
                error: bench.error(&[127; 4096], -8),
                output: bench.error_out(4096),
                normal: bench.arena(&[-128i8; 4096]),
                reciprocal: bench.arena(&[kept]),
                depth: 4096,
                y_zero: 127,
                y_scale: 1.0,
                fraction: 24,
                ..NormalizeInputGrad::default()
            };
            bench.run(op);
            let zero = near(&bench, &op.output, &[0.0; 4096], |_| 0.0);
            assert_eq!(zero, !counts, "{kept}");
        }
    }
}
