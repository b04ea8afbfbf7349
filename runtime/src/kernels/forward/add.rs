//! Elementwise sum of two tensors of different scales.

use super::output::Output;
use crate::kernels::{ensure, mask, x86};
use crate::machine::{typed, typed_mut};
use crate::program::op::Add;
use crate::{Fault, Machine};

/// How far terms are shifted up before they are scaled, so that the scaling's rounding is lost
/// in the bits that the sum's own scaling drops.
const LEFT_SHIFT: u32 = 20;

/// Elements that are read ahead where a sum takes the place of a term: whole bytes of a mask.
const BLOCK: usize = 64;

impl Add {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let writes = [self.output, self.mask];
        let over = [self.a, self.b].map(|term| term == self.output);
        if over == [false, false] {
            let ([a, b], [y, mask]) = m.arena.split([self.a, self.b], writes)?;
            return self.sum(typed(a)?, typed(b)?, typed_mut(y)?, mask);
        }
        let other = if over[0] { self.b } else { self.a };
        let ([other], [y, mask]) = m.arena.split([other], writes)?;
        self.sum_over(over[0], typed(other)?, typed_mut(y)?, mask)
    }

    /// The sum in the place of one of its terms, the first or the second, which is read a block ahead.
    fn sum_over(
        &self,
        first: bool,
        other: &[i8],
        y: &mut [i8],
        mask: &mut [u8],
    ) -> Result<(), Fault> {
        ensure(mask.is_empty() || mask.len() == mask::bytes(y.len()))?;
        ensure(other.len() == y.len())?;
        let mut masks = mask.chunks_mut(mask::bytes(BLOCK));
        for (y, other) in y.chunks_mut(BLOCK).zip(other.chunks(BLOCK)) {
            let mut block = [0; BLOCK];
            block.iter_mut().zip(&*y).for_each(|(to, &from)| *to = from);
            let own = block.get(..y.len()).ok_or(Fault::Size)?;
            let (a, b) = if first { (own, other) } else { (other, own) };
            self.sum(a, b, y, masks.next().unwrap_or_default())?;
        }
        Ok(())
    }

    fn sum(&self, a: &[i8], b: &[i8], y: &mut [i8], mask: &mut [u8]) -> Result<(), Fault> {
        ensure(a.len() == b.len() && a.len() == y.len())?;
        let mut y = Output::new(y, mask, self.range)?;
        let term =
            |x: i8, n: usize| self.scales[n].scale((x as i32 - self.zeros[n] as i32) << LEFT_SHIFT);
        let done = x86::add::<{ LEFT_SHIFT as i32 }>(self, a, b, &mut y);
        for (i, (&a, &b)) in a.iter().zip(b).enumerate().skip(done) {
            y.put(i, self.y_scale.scale(term(a, 0).saturating_add(term(b, 1))));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::fixed::Multiplier;
    use crate::kernels::testing::{clamped, Bench, Random};
    use crate::program::op::{Add, Range};

    #[test]
    fn sums_real_values() {
        for seed in 0..100 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let (a, b) = (r.int8(203), r.int8(203));
            let zeros = [r.within(-128, 127) as i16, r.within(-128, 127) as i16];
            let [s_a, s_b, s_y] = [0; 3].map(|_| 0.01 + r.within(0, 1000) as f64 / 1000.0);
            let twice = 2.0 * s_a.max(s_b);
            let range = r.range();
            let op = Add {
                a: bench.arena(&a),
                b: bench.arena(&b),
                output: bench.room(203),
                mask: bench.room(26),
                zeros,
                scales: [s_a / twice, s_b / twice].map(Multiplier::from_f64),
                y_scale: Multiplier::from_f64(twice / (f64::from(1 << 20) * s_y)),
                range,
            };
            bench.run(op);
            let real: Vec<f64> = a
                .iter()
                .zip(&b)
                .map(|(&a, &b)| {
                    let a = (a as i32 - zeros[0] as i32) as f64 * s_a;
                    let b = (b as i32 - zeros[1] as i32) as f64 * s_b;
                    (a + b) / s_y
                })
                .collect();
            // Fixed point may only differ where the real sum lies between two steps.
            let y = bench.read::<i8>(op.output);
            for (y, v) in y.iter().zip(&real) {
                let v = (v + range.zero as f64).clamp(range.min.into(), range.max.into());
                assert!((*y as f64 - v).abs() < 0.501, "seed {seed}: {y} for {v}");
            }
            let rounded: Vec<i64> = real.iter().map(|v| v.round() as i64).collect();
            let close = |v: &f64| (v.abs().fract() - 0.5).abs() < 1e-3;
            if !real.iter().any(close) {
                let (expected, mask) = clamped(&rounded, range);
                assert_eq!((y, bench.read::<u8>(op.mask)), (expected, mask), "seed {seed}");
            }
        }
    }

    #[test]
    fn equal_scales_add_exactly() {
        let mut bench = Bench::default();
        let op = Add {
            a: bench.arena(&[-128i8, 100, 5, 0]),
            b: bench.arena(&[-128i8, 100, -7, 0]),
            output: bench.room(4),
            mask: bench.room(1),
            zeros: [0, 0],
            scales: [Multiplier::from_f64(0.5); 2],
            y_scale: Multiplier::from_f64(2.0 / f64::from(1 << 20)),
            range: Range { zero: 0, min: -128, max: 127 },
        };
        bench.run(op);
        assert_eq!(bench.read::<i8>(op.output), [-128, 127, -2, 0]);
        assert_eq!(bench.read::<u8>(op.mask), [0b1100]);
    }
}
