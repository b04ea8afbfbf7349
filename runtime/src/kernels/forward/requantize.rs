//! From one int8 scale to another.

use super::output::Output;
use crate::kernels::ensure;
use crate::machine::{typed, typed_mut};
use crate::program::op::Requantize;
use crate::{Fault, Machine};

impl Requantize {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let writes = [self.output, self.mask];
        let scaled = |x: i8| self.scale.scale(i32::from(x) - i32::from(self.x_zero));
        if self.input == self.output {
            let ([], [y, mask]) = m.arena.split([], writes)?;
            let mut y = Output::new(typed_mut(y)?, mask, self.range)?;
            for i in 0..y.len() {
                y.put(i, scaled(y.get(i)));
            }
            return Ok(());
        }
        let ([x], [y, mask]) = m.arena.split([self.input], writes)?;
        let x: &[i8] = typed(x)?;
        let mut y = Output::new(typed_mut(y)?, mask, self.range)?;
        ensure(x.len() == y.len())?;
        for (i, &x) in x.iter().enumerate() {
            y.put(i, scaled(x));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{clamped, Bench, Random};
    use crate::program::op::Requantize;

    #[test]
    fn rescales_and_clamps() {
        for seed in 0..50 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let x = r.int8(77);
            let (x_zero, scale, range) = (r.within(-128, 127) as i16, r.multiplier(0.8), r.range());
            let op = Requantize {
                input: bench.arena(&x),
                output: bench.room(77),
                mask: bench.room(10),
                x_zero,
                scale,
                range,
            };
            let real: Vec<i64> =
                x.iter().map(|&x| scale.scale(x as i32 - x_zero as i32) as i64).collect();
            let (y, mask) = clamped(&real, range);
            bench.run(op);
            assert_eq!(bench.read::<i8>(op.output), y);
            assert_eq!(bench.read::<u8>(op.mask), mask);
        }
    }
}
