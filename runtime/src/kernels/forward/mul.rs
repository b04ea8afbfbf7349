//! Product of two tensors.

use super::output::Output;
use crate::kernels::ensure;
use crate::machine::{typed, typed_mut};
use crate::program::op::{Mul, Steps};
use crate::{Fault, Machine};

impl Steps {
    /// Elements of a tensor that is laid over `pixels` by `channels` so.
    pub fn elements(&self, pixels: usize, channels: usize) -> usize {
        let along = |step: u16, count: usize| (count - 1) * step as usize;
        if pixels == 0 || channels == 0 {
            return 0;
        }
        along(self.pixel, pixels) + along(self.channel, channels) + 1
    }
}

impl Mul {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        if self.a == self.output {
            let ([b], [y]) = m.arena.split([self.b], [self.output])?;
            return self.product(typed(b)?, typed_mut(y)?, |y, i| y.get(i));
        }
        let ([a, b], [y]) = m.arena.split([self.a, self.b], [self.output])?;
        ensure(a.len() == y.len())?;
        let a: &[i8] = typed(a)?;
        self.product(typed(b)?, typed_mut(y)?, |_, i| a.get(i).copied().unwrap_or_default())
    }

    /// The product, the elements of whose first factor `a` gives.
    fn product(
        &self,
        b: &[i8],
        y: &mut [i8],
        a: impl Fn(&Output<'_>, usize) -> i8,
    ) -> Result<(), Fault> {
        let channels = self.channels as usize;
        ensure(channels > 0 && y.len().is_multiple_of(channels))?;
        let pixels = y.len() / channels;
        ensure(b.len() == self.steps.elements(pixels, channels))?;
        let mut y = Output::new(y, &mut [], self.range)?;
        let [a_zero, b_zero] = self.zeros.map(i32::from);
        for pixel in 0..pixels {
            let first = pixel * self.steps.pixel as usize;
            for c in 0..channels {
                let at = pixel * channels + c;
                let b = b.get(first + c * self.steps.channel as usize).ok_or(Fault::Size)?;
                let product = (i32::from(a(&y, at)) - a_zero) * (i32::from(*b) - b_zero);
                y.put(at, self.scale.scale(product));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{clamped, Bench, Random};

    #[test]
    fn agrees_with_the_definition_in_all_broadcasts() {
        for seed in 0..100 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let (pixels, channels) = (1 + r.below(12), 1 + r.below(20));
            let all = channels as u16;
            let [pixel, channel] = [[all, 1], [0, 1], [1, 0], [0, 0]][r.below(4)];
            let steps = Steps { pixel, channel };
            let a = r.int8(pixels * channels);
            let b = r.int8(steps.elements(pixels, channels));
            let zeros = [r.within(-128, 127) as i16, r.within(-128, 127) as i16];
            let (scale, range) = (r.multiplier(0.004), r.range());
            let op = Mul {
                a: bench.arena(&a),
                b: bench.arena(&b),
                output: bench.room(a.len()),
                channels: all,
                steps,
                zeros,
                scale,
                range,
            };
            let value = |at: usize| {
                let from = at / channels * pixel as usize + at % channels * channel as usize;
                let [a, b] = [i32::from(a[at]), i32::from(b[from])];
                let product = (a - i32::from(zeros[0])) * (b - i32::from(zeros[1]));
                i64::from(scale.scale(product))
            };
            let values: Vec<i64> = (0..a.len()).map(value).collect();
            bench.run(op);
            assert_eq!(bench.read::<i8>(op.output), clamped(&values, range).0, "seed {seed}");
        }
    }
}
