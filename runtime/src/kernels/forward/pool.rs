//! Averages: over sliding windows in int8, and over the whole map in 8.7 fixed point.

use super::output::Output;
use super::{ensure, LANES};
use crate::kernels::window::Reach;
use crate::machine::{typed, typed_mut};
use crate::program::op::{AvgPool, Geometry, PoolMean, FEATURE_BITS};
use crate::{Fault, Machine};

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
        for oy in 0..ys.h as usize {
            let v = self.geometry.rows(oy);
            for ox in 0..ys.w as usize {
                let h = self.geometry.columns(ox);
                let count = ((v.to - v.from) * (h.to - h.from)) as i32;
                ensure(count > 0)?;
                let pixel = (oy * ys.w as usize + ox) * channels;
                let mut store = |c: usize, sums: &[i32]| {
                    for (n, &sum) in sums.iter().enumerate() {
                        let scaled = if own_scale {
                            rounded_quotient(sum, count) - zero
                        } else {
                            self.scale.scale(sum - count * zero)
                        };
                        y.put(pixel + c + n, scaled);
                    }
                };
                let mut c = 0;
                while c + LANES <= channels {
                    store(c, &sums::<LANES>(x, &self.geometry, v, h, c)?);
                    c += LANES;
                }
                while c < channels {
                    store(c, &sums::<1>(x, &self.geometry, v, h, c)?);
                    c += 1;
                }
            }
        }
        Ok(())
    }
}

/// `round(sum / count)`, half away from zero.
#[inline]
fn rounded_quotient(sum: i32, count: i32) -> i32 {
    let half = count / 2;
    (if sum > 0 { sum + half } else { sum - half }) / count
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
        let pixel = (v.first + line) * geometry.x.w as usize + h.first;
        let x = x.get(pixel * channels + c..).ok_or(Fault::Size)?;
        for x in x.chunks(channels).take(h.to - h.from) {
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
        let scratch = scratch.get_mut(..4 * channels).ok_or(Fault::Size)?;
        let x: &[i8] = typed(x)?;
        let y: &mut [i16] = typed_mut(y)?;
        let sums: &mut [i32] = typed_mut(scratch)?;
        ensure(x.len() == self.x.elements() && y.len() == channels && channels > 0)?;
        ensure(pixels > 0)?;
        sums.fill(0);
        for pixel in x.chunks_exact(channels) {
            for (sum, &x) in sums.iter_mut().zip(pixel) {
                *sum += (x as i16 - self.x_zero) as i32;
            }
        }
        for (y, &sum) in y.iter_mut().zip(sums.iter()) {
            let wide = (sum as i64) << FEATURE_BITS;
            let half = if wide < 0 { -(pixels / 2) } else { pixels / 2 };
            *y = ((wide + half) / pixels) as i16;
        }
        Ok(())
    }
}
