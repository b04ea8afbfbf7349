//! Input gradient of products.

use super::sink::Sink;
use crate::error_scale::{exponent, write};
use crate::kernels::ensure;
use crate::machine::Machine;
use crate::program::op::MulInputGrad;
use crate::{Fault, Slot};

impl MulInputGrad {
    /// Each element's errors, times what it was multiplied with, summed.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let unit = exponent(&m.state, &self.error)?.saturating_sub(self.fraction.into());
        let errors = [&self.error, &self.skip, &self.output];
        let others = [self.other, Slot::default()];
        let (error, [other, _], mut sink) =
            Sink::open_with(&mut m.arena, &m.state, unit, errors, self.mask, others)?;
        let channels = self.channels as usize;
        ensure(channels > 0 && !error.is_empty() && error.len().is_multiple_of(channels))?;
        let pixels = error.len() / channels;
        ensure(sink.len() == self.steps.elements(pixels, channels))?;
        ensure(other.len() == self.other_steps.elements(pixels, channels))?;
        let zero = i32::from(self.other_zero);
        let value = |pixel: usize, c: usize| {
            let at =
                pixel * self.other_steps.pixel as usize + c * self.other_steps.channel as usize;
            let error = error.get(pixel * channels + c).copied().unwrap_or_default();
            let other = other.get(at).copied().unwrap_or_default() as i8;
            i32::from(error) * (i32::from(other) - zero)
        };
        // Along an axis that the factor was broadcast to, one element gets the sum.
        let spread = |step: u16, count: usize| if step == 0 { (1, count) } else { (count, 1) };
        let (outer_pixels, inner_pixels) = spread(self.steps.pixel, pixels);
        let (outer_channels, inner_channels) = spread(self.steps.channel, channels);
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            for pixel in 0..outer_pixels {
                for c in 0..outer_channels {
                    let mut sum = 0i32;
                    for p in pixel..pixel + inner_pixels {
                        for c in c..c + inner_channels {
                            sum = sum.wrapping_add(value(p, c));
                        }
                    }
                    let at = pixel * self.steps.pixel as usize + c * self.steps.channel as usize;
                    sink.put(quantizer, at, &[self.scale.scale(sum)]);
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, Bench, Random};
    use crate::program::op::Steps;

    #[test]
    fn sums_over_what_a_factor_was_broadcast_to() {
        for seed in 0..60 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let (pixels, channels) = (1 + r.below(12), 2 + r.below(20));
            let all = channels as u16;
            let layout = |n: usize| {
                let [pixel, channel] = [[all, 1], [0, 1], [1, 0], [0, 0]][n];
                Steps { pixel, channel }
            };
            let (own, full) = (layout(r.below(4)), layout(0));
            let [steps, other_steps] = if r.below(2) == 0 { [own, full] } else { [full, own] };
            let e = r.sparse(pixels * channels, 3);
            let other = r.int8(other_steps.elements(pixels, channels));
            let scale = r.multiplier(0.02 * 256.0);
            let op = MulInputGrad {
                error: bench.error(&e, -8),
                output: bench.error_out(steps.elements(pixels, channels)),
                other: bench.arena(&other),
                channels: all,
                steps,
                other_steps,
                other_zero: -11,
                scale,
                fraction: 8,
                ..MulInputGrad::default()
            };
            bench.run(op);
            let at = |s: Steps, i: usize| {
                i / channels * s.pixel as usize + i % channels * s.channel as usize
            };
            let factor = f64::from(scale.value) / 2f64.powi(31 - scale.shift) / 256.0;
            let mut exact = vec![0.0; steps.elements(pixels, channels)];
            for (i, &e) in e.iter().enumerate() {
                let other = f64::from(other[at(other_steps, i)]) + 11.0;
                exact[at(steps, i)] += f64::from(e) / 256.0 * other * factor;
            }
            assert_near(&bench, &op.output, &exact, |_| 2f64.powi(-16));
        }
    }
}
