//! Product of two activations.

use super::output::Output;
use crate::kernels::contraction::Sums;
use crate::machine::{typed, typed_mut};
use crate::program::op::MatMul;
use crate::{Fault, Machine};

impl MatMul {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot does not fit its memory, or the loops leave a tensor.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let ([a, b], [y]) = m.arena.split([self.a, self.b], [self.output])?;
        let factors: [&[i8]; 2] = [typed(a)?, typed(b)?];
        let elements = y.len();
        let mut y = Output::new(typed_mut(y)?, &mut [], self.range)?;
        let (sums, zeros) = (Sums::of(&self.loops), self.zeros.map(i32::from));
        for place in 0..elements {
            let sum = sums.at(place, factors, zeros)?.ok_or(Fault::Size)?;
            y.put(place, self.scale.scale(sum));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{clamped, contractions, products, Bench, Random};

    #[test]
    fn agrees_with_the_definition() {
        for (seed, loops) in contractions().into_iter().enumerate() {
            let r = &mut Random::new(seed as u64);
            let mut bench = Bench::default();
            let length = |s: crate::program::op::Strides| s.last(loops.size) as usize + 1;
            let (a, b) = (r.int8(length(loops.a) + 3), r.int8(length(loops.b)));
            let zeros = [r.within(-128, 127) as i16, r.within(-128, 127) as i16];
            let mut sums = vec![0i64; length(loops.y)];
            for [at_a, at_b, at_y] in products(&loops) {
                let a = i64::from(a[at_a]) - i64::from(zeros[0]);
                sums[at_y] += a * (i64::from(b[at_b]) - i64::from(zeros[1]));
            }
            let scale =
                r.multiplier(100.0 / sums.iter().fold(1.0, |m, s| s.abs().max(m as i64) as f64));
            let op = MatMul {
                a: bench.arena(&a),
                b: bench.arena(&b),
                output: bench.room(sums.len()),
                loops,
                zeros,
                scale,
                range: r.range(),
            };
            bench.run(op);
            let scaled: Vec<i64> = sums.iter().map(|&s| scale.scale(s as i32).into()).collect();
            let expected = clamped(&scaled, op.range).0;
            assert_eq!(bench.read::<i8>(op.output), expected, "case {seed}");
        }
    }

    /// A matrix of which every row is multiplied with every row.
    #[test]
    fn a_tensor_with_itself() {
        let mut bench = Bench::default();
        let a = [1i8, 2, 3, -4, 5, 6];
        let slot = bench.arena(&a);
        let strides = |step| crate::program::op::Strides { at: 0, step };
        let op = MatMul {
            a: slot,
            b: slot,
            output: bench.room(4),
            loops: crate::program::op::Contraction {
                size: [1, 2, 2, 3],
                a: strides([0, 3, 0, 1]),
                b: strides([0, 0, 3, 1]),
                y: strides([4, 2, 1, 0]),
            },
            zeros: [0, 0],
            scale: crate::fixed::Multiplier::from_f64(1.0),
            range: crate::program::op::Range { zero: 0, min: -128, max: 127 },
        };
        bench.run(op);
        assert_eq!(bench.read::<i8>(op.output), [14, 24, 24, 77]);
    }
}
