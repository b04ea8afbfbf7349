//! Depthwise convolution: one kernel a channel, channels side by side.

use super::output::Output;
use super::{blocks, LANES};
use crate::kernels::scales::Scales;
use crate::kernels::weights::Rows;
use crate::kernels::window::Reach;
use crate::kernels::x86;
use crate::kernels::{ensure, positive};
use crate::machine::{fixed, typed, typed_mut};
use crate::program::op::{Depthwise, Geometry};
use crate::{Fault, Machine};
use core::num::NonZero;

impl Depthwise {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let Geometry { x: xs, y: ys, window } = self.geometry;
        let channels = xs.c as usize;
        let ([x], [y, mask]) = m.arena.split([self.input], [self.output, self.mask])?;
        let (_, [scratch]) = m.scratch.split([], [self.scratch])?;
        let x: &[i8] = typed(x)?;
        let y: &mut [i8] = typed_mut(y)?;
        let rows = Rows::new(&self.weights, m.constants, &m.state)?;
        let bias: &[i32] = typed(fixed(m.constants, &m.state, self.bias)?)?;
        let scales = Scales::new(&self.scale, m.constants, channels)?;
        ensure(x.len() == xs.elements() && y.len() == ys.elements() && bias.len() == channels)?;
        ensure(ys.c == xs.c && self.weights.channels == xs.c && self.weights.taps == 1)?;
        ensure(self.weights.rows as usize == window.taps() && channels > 0)?;
        let w = rows.all(typed_mut(scratch)?)?;
        let mut y = Output::new(y, mask, self.range)?;
        if x86::depthwise(&self.geometry, x, w, (bias, &scales), self.x_zero, &mut y) {
            return Ok(());
        }
        let kernel = Kernel {
            geometry: self.geometry,
            channels: positive(channels)?,
            pitch: positive(channels * window.dilation[1] as usize)?,
            x,
            w,
            zero: self.x_zero,
        };
        let single = if channels < LANES { channels } else { 0 };
        for oy in 0..ys.h as usize {
            let v = self.geometry.rows(oy);
            for ox in 0..ys.w as usize {
                let h = self.geometry.columns(ox);
                let pixel = (oy * ys.w as usize + ox) * channels;
                let mut store = |c: usize, sums: &[i32]| {
                    let parameters = bias.iter().skip(c).zip(scales.from(c));
                    for ((n, &sum), (&bias, scale)) in sums.iter().enumerate().zip(parameters) {
                        y.put(pixel + c + n, scale.scale(bias.saturating_add(sum)));
                    }
                };
                for c in blocks(channels) {
                    store(c, &kernel.sums::<LANES>(v, h, c)?);
                }
                for c in 0..single {
                    store(c, &kernel.sums::<1>(v, h, c)?);
                }
            }
        }
        Ok(())
    }
}

/// What the sums are computed from.
struct Kernel<'m> {
    geometry: Geometry,
    channels: NonZero<usize>,
    /// Elements from one pixel that a window sees to the next.
    pitch: NonZero<usize>,
    x: &'m [i8],
    w: &'m [i8],
    zero: i16,
}

impl Kernel<'_> {
    /// `sum w (x - zero)` over one window, for `N` channels from `c` on.
    #[inline]
    fn sums<const N: usize>(&self, v: Reach, h: Reach, c: usize) -> Result<[i32; N], Fault> {
        let channels = self.channels.get();
        let mut sums = [0i32; N];
        for (line, ky) in (v.from..v.to).enumerate() {
            let pixel = (v.first + line * v.step) * self.geometry.x.w as usize + h.first;
            let tap = ky * self.geometry.window.kernel[1] as usize + h.from;
            let x = self.x.get(pixel * channels + c..).ok_or(Fault::Size)?;
            let w = self.w.get(tap * channels + c..).ok_or(Fault::Size)?;
            let taps = x.chunks(self.pitch.get()).zip(w.chunks(channels));
            for (x, w) in taps.take(h.to - h.from) {
                let (x, w) = (x.first_chunk::<N>(), w.first_chunk::<N>());
                let (x, w) = (x.ok_or(Fault::Size)?, w.ok_or(Fault::Size)?);
                for ((sum, &x), &w) in sums.iter_mut().zip(x).zip(w) {
                    *sum += (x as i16 - self.zero) as i32 * w as i32;
                }
            }
        }
        Ok(sums)
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{clamped, convolution, Bench, Random};
    use crate::program::op::Depthwise;
    use crate::Slot;

    fn check(seed: u64) {
        let r = &mut Random::new(seed);
        let mut bench = Bench::default();
        let channels = [1, 4, 16, 21, 48][r.below(5)];
        let geometry = r.geometry(channels, channels);
        let x = r.int8(geometry.x.elements());
        let (trained, precision) = r.training(channels);
        let taps = geometry.window.taps();
        let (weights, w) = bench.weights(r, [taps, 1, channels], trained, precision);
        let bias: Vec<i32> = (0..channels).map(|_| r.within(-20000, 20000)).collect();
        let scales: Vec<_> = (0..channels).map(|_| r.multiplier(0.01)).collect();
        let x_zero = r.within(-128, 127) as i16;
        let range = r.range();
        let masked = r.below(4) > 0;
        let op = Depthwise {
            input: bench.arena(&x),
            output: bench.room(geometry.y.elements()),
            mask: if masked {
                bench.room(geometry.y.elements().div_ceil(8))
            } else {
                Slot::default()
            },
            geometry,
            weights,
            bias: bench.state(&bias),
            scale: bench.scales(&scales),
            x_zero,
            range,
            scratch: bench.scratch(if trained > 0 { taps * channels } else { 0 }),
        };
        bench.run(op);

        let mut values =
            convolution(&geometry, channels, &x, x_zero, |c, tap, _| w[tap * channels + c]);
        for (n, v) in values.iter_mut().enumerate() {
            let c = n % channels;
            *v = scales[c].scale(*v as i32 + bias[c]) as i64;
        }
        let (y, mask) = clamped(&values, range);
        assert_eq!(bench.read::<i8>(op.output), y, "seed {seed}: {op:?}");
        assert!(!masked || bench.read::<u8>(op.mask) == mask, "seed {seed}: {op:?}");
    }

    #[test]
    fn equals_the_definition() {
        (0..300).for_each(check);
    }
}
