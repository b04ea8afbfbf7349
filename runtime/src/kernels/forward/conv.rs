//! Convolution, dense or grouped, and with it the fully connected layer.
//!
//! Output channels are the outer loop: a weight row is fetched (and, where trained, assembled)
//! once and then meets every window. `sum w (x - z)` is computed as `sum w x - z sum w`, with the
//! second sum taken once a row; only windows that reach over the left or right edge need their
//! own. A window is a few contiguous runs of x and of the row.

use super::dot::{dot, total};
use super::output::Output;
use crate::kernels::scales::Scales;
use crate::kernels::weights::Rows;
use crate::kernels::window::Reach;
use crate::kernels::x86;
use crate::kernels::{ensure, positive};
use crate::machine::{fixed, typed, typed_mut};
use crate::program::op::{Conv, Geometry, Window};
use crate::{Fault, Machine};
use core::num::NonZero;

/// Windows that are computed side by side.
const TILE: usize = 4;

impl Conv {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let Geometry { x: xs, y: ys, window } = self.geometry;
        let groups = self.groups as usize;
        let channels = self.weights.channels as usize;
        let outputs = ys.c as usize;
        let ([x], [y, mask]) = m.arena.split([self.input], [self.output, self.mask])?;
        let (_, [scratch]) = m.scratch.split([], [self.scratch])?;
        let x: &[i8] = typed(x)?;
        let y: &mut [i8] = typed_mut(y)?;
        let buffer: &mut [i8] = typed_mut(scratch)?;
        let rows = Rows::new(&self.weights, m.constants, &m.state)?;
        let bias: &[i32] = typed(fixed(m.constants, &m.state, self.bias)?)?;
        let scales = Scales::new(&self.scale, m.constants, outputs)?;
        ensure(x.len() == xs.elements() && y.len() == ys.elements() && bias.len() == outputs)?;
        ensure(groups > 0 && channels * groups == xs.c as usize && outputs.is_multiple_of(groups))?;
        ensure(self.weights.rows == ys.c && self.weights.taps as usize == window.taps())?;
        ensure(self.weights.latent.is_empty() || buffer.len() >= window.taps() * channels)?;
        let mut y = Output::new(y, mask, self.range)?;
        let parameters = (bias, &scales);
        if x86::conv(&self.geometry, groups, x, (&rows, buffer), parameters, self.x_zero, &mut y) {
            return Ok(());
        }
        let windows = Windows::new(self.geometry, x, channels, groups, self.x_zero)?;
        let depth = positive(outputs / groups)?;
        for (o, (&bias, scale)) in bias.iter().zip(scales.from(0)).enumerate() {
            let row = rows.row(o, buffer)?;
            let first = o / depth * channels;
            windows.each(row, first, |position, sum| {
                y.put(position * outputs + o, scale.scale(bias.saturating_add(sum)));
            })?;
        }
        Ok(())
    }
}

/// Whether every window is one pixel, in the order in which pixels lie.
fn is_pointwise(geometry: &Geometry, groups: usize) -> bool {
    let Geometry { x, y, window } = geometry;
    let plain = Window { kernel: [1, 1], stride: [1, 1], pad: [0, 0], dilation: [1, 1] };
    groups == 1 && *window == plain && (x.h, x.w) == (y.h, y.w)
}

/// The windows of one input tensor.
struct Windows<'m> {
    geometry: Geometry,
    x: &'m [i8],
    /// Channels a group has, and all channels.
    channels: usize,
    pixel: NonZero<usize>,
    dense: bool,
    pointwise: bool,
    zero: i32,
}

impl<'m> Windows<'m> {
    fn new(
        geometry: Geometry,
        x: &'m [i8],
        channels: usize,
        groups: usize,
        zero: i16,
    ) -> Result<Windows<'m>, Fault> {
        let pixel = positive(geometry.x.c as usize)?;
        let dense = groups == 1 && geometry.window.dilation[1] == 1;
        let pointwise = is_pointwise(&geometry, groups);
        Ok(Windows { geometry, x, channels, pixel, dense, pointwise, zero: zero.into() })
    }

    /// Hands `sum w (x - zero)` of every output position to `put`; the row's group begins at
    /// input channel `first`.
    #[inline]
    fn each(&self, row: &[i8], first: usize, mut put: impl FnMut(usize, i32)) -> Result<(), Fault> {
        let Geometry { y, window, .. } = self.geometry;
        let (height, width) = (window.kernel[0] as usize, window.kernel[1] as usize);
        let across = y.w as usize;
        let step = window.stride[1] as usize * self.pixel.get();
        let whole = -self.zero * total(row);
        if self.pointwise {
            self.pixels(row, whole, put);
            return Ok(());
        }
        let inside = |r: Reach| r.from == 0 && r.to == width;
        for oy in 0..y.h as usize {
            let v = self.geometry.rows(oy);
            let base = if v.from == 0 && v.to == height {
                whole
            } else {
                let line = width * self.channels;
                -self.zero * total(row.get(v.from * line..v.to * line).ok_or(Fault::Size)?)
            };
            let mut ox = 0;
            while ox < across {
                let h = self.geometry.columns(ox);
                let at = oy * across + ox;
                let last = ox + TILE - 1;
                let mut sums = [base; TILE];
                let mut count = TILE;
                if inside(h) && last < across && inside(self.geometry.columns(last)) {
                    self.window(row, first, v, h, step, &mut sums)?;
                } else {
                    let mut sum = [if inside(h) { base } else { self.correction(row, v, h)? }];
                    self.window(row, first, v, h, step, &mut sum)?;
                    sums[0] = sum[0];
                    count = 1;
                }
                // One call only, so that it is compiled into the loop.
                for (n, &sum) in sums.iter().take(count).enumerate() {
                    put(at + n, sum);
                }
                ox += count;
            }
        }
        Ok(())
    }

    /// [`Windows::each`] where every window is one pixel: no edges, no runs.
    #[inline]
    fn pixels(&self, row: &[i8], base: i32, mut put: impl FnMut(usize, i32)) {
        let mut pixels = self.x.chunks_exact(self.pixel.get());
        let mut at = 0;
        while pixels.len() >= TILE {
            let tile = [(); TILE].map(|()| pixels.next().unwrap_or_default());
            let mut sums = [base; TILE];
            dot(row, tile, &mut sums);
            for sum in sums {
                put(at, sum);
                at += 1;
            }
        }
        for pixel in pixels {
            let mut sum = [base];
            dot(row, [pixel], &mut sum);
            put(at, sum[0]);
            at += 1;
        }
    }

    /// Adds `sum w x` of `N` windows, `step` elements apart, to `sums`.
    #[inline]
    fn window<const N: usize>(
        &self,
        row: &[i8],
        first: usize,
        v: Reach,
        h: Reach,
        step: usize,
        sums: &mut [i32; N],
    ) -> Result<(), Fault> {
        let width = self.geometry.window.kernel[1] as usize;
        let taps = h.to - h.from;
        // With one group and no dilation the taps of a line follow each other without a gap.
        let (runs, length) =
            if self.dense { (1, taps * self.channels) } else { (taps, self.channels) };
        for (line, ky) in (v.from..v.to).enumerate() {
            let pixel = (v.first + line * v.step) * self.geometry.x.w as usize + h.first;
            for run in 0..runs {
                let at = (ky * width + h.from) * self.channels + run * length;
                let w = row.get(at..at + length).ok_or(Fault::Size)?;
                let start = (pixel + run * h.step) * self.pixel.get() + first;
                let mut x = [w; N];
                for (n, x) in x.iter_mut().enumerate() {
                    let start = start + n * step;
                    *x = self.x.get(start..start + length).ok_or(Fault::Size)?;
                }
                dot(w, x, sums);
            }
        }
        Ok(())
    }

    /// `-zero * sum w` over the part of a window that lies inside.
    fn correction(&self, row: &[i8], v: Reach, h: Reach) -> Result<i32, Fault> {
        let width = self.geometry.window.kernel[1] as usize;
        let mut sum = 0;
        for ky in v.from..v.to {
            let (from, to) = ((ky * width + h.from), (ky * width + h.to));
            let w = row.get(from * self.channels..to * self.channels).ok_or(Fault::Size)?;
            sum += total(w);
        }
        Ok(-self.zero * sum)
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{clamped, convolution, Bench, Random};
    use crate::program::op::Conv;
    use crate::{Memory, Slot};

    /// A random convolution, compared with its definition.
    fn check(seed: u64) {
        let r = &mut Random::new(seed);
        let mut bench = Bench::default();
        let groups = [1, 1, 2, 3][r.below(4)];
        let channels = [1, 3, 8, 17, 40][r.below(5)];
        let (inputs, outputs) = (channels * groups, groups * (1 + r.below(4)));
        let mut geometry = r.geometry(inputs, outputs);
        if r.below(3) == 0 {
            geometry.window.kernel = [1, 1];
            geometry.window.stride = [1, 1];
            geometry.window.pad = [0, 0];
            (geometry.y.h, geometry.y.w) = (geometry.x.h, geometry.x.w);
        }
        let x = r.int8(geometry.x.elements());
        let (trained, precision) = r.training(channels);
        let taps = geometry.window.taps();
        let (weights, w) = bench.weights(r, [outputs, taps, channels], trained, precision);
        let bias: Vec<i32> = (0..outputs).map(|_| r.within(-20000, 20000)).collect();
        let scales: Vec<_> = (0..outputs).map(|_| r.multiplier(0.004)).collect();
        let x_zero = r.within(-128, 127) as i16;
        let range = r.range();
        let bias_memory = [Memory::Constant, Memory::State][r.below(2)];
        let masked = r.below(4) > 0;
        let op = Conv {
            input: bench.arena(&x),
            output: bench.room(geometry.y.elements()),
            mask: if masked {
                bench.room(geometry.y.elements().div_ceil(8))
            } else {
                Slot::default()
            },
            geometry,
            groups: groups as u16,
            weights,
            bias: bench.put(bias_memory, &bias),
            scale: bench.scales(&scales),
            x_zero,
            range,
            scratch: bench.scratch(if trained > 0 { taps * channels } else { 0 }),
        };
        bench.run(op);

        let mut values = convolution(&geometry, groups, &x, x_zero, |o, tap, i| {
            w[(o * taps + tap) * channels + i]
        });
        for (n, v) in values.iter_mut().enumerate() {
            let o = n % outputs;
            *v = scales[o].scale(*v as i32 + bias[o]) as i64;
        }
        let (y, mask) = clamped(&values, range);
        assert_eq!(bench.read::<i8>(op.output), y, "seed {seed}: {op:?}");
        assert!(!masked || bench.read::<u8>(op.mask) == mask, "seed {seed}: {op:?}");
    }

    #[test]
    fn equals_the_definition() {
        (0..400).for_each(check);
    }
}
