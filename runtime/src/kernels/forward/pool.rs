//! Averages: over sliding windows in int8, and over the whole map in 8.7 fixed point.

use super::output::Output;
use super::{blocks, LANES};
use crate::kernels::ensure;
use crate::kernels::window::Reach;
use crate::machine::{typed, typed_mut};
use crate::program::op::{AvgPool, Geometry, PoolMean, FEATURE_BITS};
use crate::{Fault, Machine};
use core::num::NonZero;

impl AvgPool {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let Geometry { x: xs, y: ys, .. } = self.geometry;
        let channels = xs.c as usize;
        let ([x], [y]) = m.arena.split([self.input], [self.output])?;
        let x: &[i8] = typed(x)?;
        let y: &mut [i8] = typed_mut(y)?;
        ensure(x.len() == xs.elements() && y.len() == ys.elements())?;
        ensure(ys.c == xs.c && channels > 0)?;
        let mut y = Output::new(y, &mut [], self.range)?;
        // An unscaled mean is one of raw values: it holds the zero point already.
        let own_scale = self.scale.value == 0;
        let zero = i32::from(if own_scale { self.range.zero } else { self.x_zero });
        let single = if channels < LANES { channels } else { 0 };
        for oy in 0..ys.h as usize {
            let v = self.geometry.rows(oy);
            for ox in 0..ys.w as usize {
                let h = self.geometry.columns(ox);
                let count = ((v.to - v.from) * (h.to - h.from)) as u32;
                let count = NonZero::new(count).ok_or(Fault::Size)?;
                let pixel = (oy * ys.w as usize + ox) * channels;
                let mut store = |c: usize, sums: &[i32]| {
                    for (n, &sum) in sums.iter().enumerate() {
                        let scaled = if own_scale {
                            rounded_quotient(sum, count) - zero
                        } else {
                            self.scale.scale(sum - count.get() as i32 * zero)
                        };
                        y.put(pixel + c + n, scaled);
                    }
                };
                for c in blocks(channels) {
                    store(c, &sums::<LANES>(x, &self.geometry, v, h, c)?);
                }
                for c in 0..single {
                    store(c, &sums::<1>(x, &self.geometry, v, h, c)?);
                }
            }
        }
        Ok(())
    }
}

/// `round(sum / count)`, half away from zero.
#[inline]
fn rounded_quotient(sum: i32, count: NonZero<u32>) -> i32 {
    let size = ((sum.unsigned_abs() + count.get() / 2) / count) as i32;
    if sum > 0 {
        size
    } else {
        -size
    }
}

/// Sums of raw values over one window, for `N` channels from `c` on.
#[inline]
fn sums<const N: usize>(
    x: &[i8],
    geometry: &Geometry,
    v: Reach,
    h: Reach,
    c: usize,
) -> Result<[i32; N], Fault> {
    let channels = geometry.x.c as usize;
    let mut sums = [0i32; N];
    for line in 0..v.to - v.from {
        let pixel = (v.first + line * v.step) * geometry.x.w as usize + h.first;
        let x = x.get(pixel * channels + c..).ok_or(Fault::Size)?;
        for x in x.chunks((channels * h.step).max(1)).take(h.to - h.from) {
            let x = x.first_chunk::<N>().ok_or(Fault::Size)?;
            for (sum, &x) in sums.iter_mut().zip(x) {
                *sum += x as i32;
            }
        }
    }
    Ok(sums)
}

impl PoolMean {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let channels = self.x.c as usize;
        let pixels = self.x.positions() as i64;
        let ([x], [y]) = m.arena.split([self.input], [self.output])?;
        let (_, [scratch]) = m.scratch.split([], [self.scratch])?;
        let block = scratch.len() / 4;
        let scratch = scratch.get_mut(..4 * block).ok_or(Fault::Size)?;
        let x: &[i8] = typed(x)?;
        let y: &mut [i16] = typed_mut(y)?;
        let sums: &mut [i32] = typed_mut(scratch)?;
        ensure(x.len() == self.x.elements() && y.len() == channels && channels > 0)?;
        ensure(pixels > 0 && block > 0)?;
        for (at, y) in y.chunks_mut(block).enumerate() {
            sums.fill(0);
            for pixel in x.chunks_exact(channels) {
                for (sum, &x) in sums.iter_mut().zip(pixel.iter().skip(at * block)) {
                    *sum += (x as i16 - self.x_zero) as i32;
                }
            }
            for (y, &sum) in y.iter_mut().zip(sums.iter()) {
                let wide = (sum as i64) << FEATURE_BITS;
                let half = if wide < 0 { -(pixels / 2) } else { pixels / 2 };
                *y = ((wide + half) / pixels) as i16;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::fixed::Multiplier;
    use crate::kernels::testing::{joined, Bench, Random};
    use crate::program::op::{AvgPool, Geometry, PoolMean, Shape};

    /// Raw values that each output element's window holds, by definition.
    fn windows(geometry: &Geometry, x: &[i8]) -> Vec<Vec<f64>> {
        let channels = geometry.x.c as usize;
        let mut all = vec![Vec::new(); geometry.y.elements()];
        for [position, _, pixel] in joined(geometry) {
            for c in 0..channels {
                all[position * channels + c].push(x[pixel * channels + c] as f64);
            }
        }
        all
    }

    #[test]
    fn raw_means_round_half_away_from_zero() {
        for seed in 0..200 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let channels = [1, 5, 16, 35][r.below(4)];
            let geometry = r.geometry(channels, channels);
            let x = r.int8(geometry.x.elements());
            let range = r.range();
            let op = AvgPool {
                input: bench.arena(&x),
                output: bench.room(geometry.y.elements()),
                geometry,
                x_zero: range.zero,
                scale: Multiplier::default(),
                range,
            };
            bench.run(op);
            let mean = |v: &Vec<f64>| (v.iter().sum::<f64>() / v.len() as f64).round();
            let expected: Vec<i8> = windows(&geometry, &x)
                .iter()
                .map(|v| mean(v).clamp(range.min.into(), range.max.into()) as i8)
                .collect();
            assert_eq!(bench.read::<i8>(op.output), expected, "seed {seed}");
        }
    }

    #[test]
    fn rescaled_means_stay_within_one_step_of_the_real_ones() {
        for seed in 0..200 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let channels = [1, 5, 16, 35][r.below(4)];
            let mut geometry = r.geometry(channels, channels);
            geometry.window.pad = [0, 0];
            geometry.window.dilation = [1, 1];
            geometry.window.kernel = [1 + r.below(3) as u16, 1 + r.below(3) as u16];
            geometry.x.h =
                (geometry.y.h - 1) * geometry.window.stride[0] + geometry.window.kernel[0];
            geometry.x.w =
                (geometry.y.w - 1) * geometry.window.stride[1] + geometry.window.kernel[1];
            let x = r.int8(geometry.x.elements());
            let range = r.range();
            let (x_zero, ratio) = (r.within(-128, 127) as i16, 0.73);
            let op = AvgPool {
                input: bench.arena(&x),
                output: bench.room(geometry.y.elements()),
                geometry,
                x_zero,
                scale: Multiplier::from_f64(ratio / geometry.window.taps() as f64),
                range,
            };
            bench.run(op);
            for (y, v) in bench.read::<i8>(op.output).iter().zip(windows(&geometry, &x)) {
                let mean = v.iter().sum::<f64>() / v.len() as f64 - x_zero as f64;
                let real =
                    (mean * ratio + range.zero as f64).clamp(range.min.into(), range.max.into());
                assert!((*y as f64 - real).abs() < 1.0, "seed {seed}: {y} for {real}");
            }
        }
    }

    #[test]
    fn whole_map_means_keep_seven_fraction_bits() {
        for seed in 0..200 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let dimension = |r: &mut Random| 1 + r.below(20) as u16;
            let shape = Shape { h: dimension(r), w: dimension(r), c: dimension(r) };
            let x = r.int8(shape.elements());
            let x_zero = r.within(-128, 127) as i16;
            let op = PoolMean {
                input: bench.arena(&x),
                output: bench.room(2 * shape.c as usize),
                x: shape,
                x_zero,
                // Any room gives the same means.
                scratch: bench.scratch(4 * (1 + r.below(24))),
            };
            bench.run(op);
            let channels = shape.c as usize;
            for (c, y) in bench.read::<i16>(op.output).into_iter().enumerate() {
                let values = x.iter().skip(c).step_by(channels);
                let sum: f64 = values.map(|&x| x as f64 - x_zero as f64).sum();
                assert_eq!(y as f64, (128.0 * sum / shape.positions() as f64).round());
            }
        }
    }

    #[test]
    fn extreme_means_fit() {
        let mut bench = Bench::default();
        let op = PoolMean {
            input: bench.arena(&[127i8; 6]),
            output: bench.room(2),
            x: Shape { h: 2, w: 3, c: 1 },
            x_zero: -128,
            scratch: bench.scratch(4),
        };
        bench.run(op);
        assert_eq!(bench.read::<i16>(op.output), [255 * 128]);
    }
}
