//! Input gradient of a depthwise convolution.

use super::sink::Sink;
use crate::error_scale::{exponent, write};
use crate::kernels::scales::Scales;
use crate::kernels::scratch::depthwise_input_grad;
use crate::kernels::weights::Rows;
use crate::kernels::x86;
use crate::kernels::{ensure, positive};
use crate::machine::typed_mut;
use crate::program::op::DepthwiseInputGrad;
use crate::{Fault, Machine};

impl DepthwiseInputGrad {
    /// Sums `w e` over the outputs that saw a pixel, scales the sum by its channel, adds the skip
    /// branch and rounds into the output's exponent.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let (x, y, window) = (self.geometry.x, self.geometry.y, self.geometry.window);
        let unit = exponent(&m.state, &self.error)?.saturating_sub(self.fraction as i32);
        let errors = [&self.error, &self.skip, &self.output];
        let (error, mut sink) = Sink::open(&mut m.arena, &m.state, unit, errors, self.mask)?;
        let (channels, columns) = (x.c as usize, positive(x.w as usize)?);
        let (taps, across) = (window.taps(), window.kernel[1] as usize);
        ensure(x.c == y.c && channels == self.weights.channels as usize && channels > 0)?;
        ensure(sink.len() == x.elements() && error.len() == y.elements())?;
        ensure(!error.is_empty())?;
        ensure(self.weights.rows as usize == taps && self.weights.taps == 1)?;
        let scales = Scales::new(&self.scale, m.constants, channels)?;
        let (_, [scratch]) = m.scratch.split([], [self.scratch])?;
        ensure(scratch.len() >= depthwise_input_grad(&self.weights))?;
        let (sums, buffer) = scratch.split_at_mut_checked(4 * channels).ok_or(Fault::Size)?;
        let (sums, buffer): (&mut [i32], &mut [i8]) = (typed_mut(sums)?, typed_mut(buffer)?);
        write(&mut m.state, &self.output, unit, |quantizer, state| {
            let rows = Rows::new(&self.weights, m.constants, state)?;
            let weights = rows.all(buffer)?;
            let to = (&mut sink, &mut *quantizer);
            if x86::depthwise_input(&self.geometry, error, weights, &scales, to) {
                return Ok(());
            }
            for pixel in 0..x.positions() {
                sums.fill(0);
                for (r, ky) in self.geometry.rows_seeing(pixel / columns) {
                    for (c, kx) in self.geometry.columns_seeing(pixel % columns) {
                        let at = (r * y.w as usize + c) * channels;
                        let tap = (ky * across + kx) * channels;
                        let error = error.get(at..at + channels).ok_or(Fault::OutOfBounds)?;
                        let weights = weights.get(tap..tap + channels).ok_or(Fault::OutOfBounds)?;
                        for ((s, &e), &w) in sums.iter_mut().zip(error).zip(weights) {
                            *s = s.wrapping_add(e as i32 * w as i32);
                        }
                    }
                }
                let at = pixel * channels;
                for ((c, sum), scale) in sums.iter_mut().enumerate().zip(scales.from(0)) {
                    if sink.passes(at + c) {
                        *sum = scale.scale_wide(*sum, 0);
                    }
                }
                sink.put(quantizer, at, sums);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::Multiplier;
    use crate::kernels::testing::{assert_near, joined, near, shapes, Bench, Random};
    use crate::program::op::{Error, Precision, Weights};
    use crate::Slot;

    #[test]
    fn agrees_with_a_float_gradient() {
        let mut random = Random::new(9);
        for (mut g, trained) in shapes().into_iter().flat_map(|g| [(g, 0), (g, 1), (g, 4)]) {
            g.y.c = g.x.c;
            let channels = g.x.c as usize;
            let (k, k_skip, fraction) = (-9, -7, 10);
            let mut bench = Bench::default();
            let e = random.sparse(g.y.elements(), 3);
            let skip = random.sparse(g.x.elements(), 3);
            let bits = random.mask(g.x.elements());
            let scales: Vec<f64> =
                (0..channels).map(|_| 1e-3 * (1 + random.below(30)) as f64).collect();
            let multipliers: Vec<_> =
                scales.iter().map(|s| Multiplier::from_f64(s * 1024.0)).collect();
            let taps = g.window.taps();
            let (weights, dense) =
                bench.weights(&mut random, [taps, 1, channels], trained, Precision::Stochastic);
            let mut op = DepthwiseInputGrad {
                error: bench.error(&e, k),
                output: bench.error_out(g.x.elements()),
                skip: bench.error(&skip, k_skip),
                mask: bench.arena(&bits),
                geometry: g,
                weights,
                scale: bench.scales(&multipliers),
                fraction,
                scratch: bench
                    .scratch(4 * channels + if trained > 0 { taps * channels } else { 0 }),
            };
            bench.run(op);

            let mut exact: Vec<f64> =
                skip.iter().map(|&e| e as f64 * (k_skip as f64).exp2()).collect();
            for [at, tap, pixel] in joined(&g) {
                for n in 0..channels {
                    exact[pixel * channels + n] += dense[tap * channels + n] as f64
                        * e[at * channels + n] as f64
                        * scales[n]
                        * (k as f64).exp2();
                }
            }
            for (i, g) in exact.iter_mut().enumerate() {
                *g *= (bits[i / 8] >> (i % 8) & 1) as f64;
            }
            let slack = |_| 0.51 * ((k - fraction as i32) as f64).exp2();
            assert_near(&bench, &op.output, &exact, slack);

            if trained > 1 {
                op.weights =
                    Weights { latent: Slot::default(), selected: Slot::default(), ..weights };
                bench.run(op);
                assert!(!near(&bench, &op.output, &exact, slack));
                op.weights = weights;
            }
            op.skip = Error::default();
            bench.run(op);
            assert!(!near(&bench, &op.output, &exact, slack));
        }
    }
}
