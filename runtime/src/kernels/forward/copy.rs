//! Moves of elements from one tensor to another.

use crate::kernels::{ensure, positive};
use crate::machine::{part, typed, typed_mut};
use crate::program::op::{Copy, Path};
use crate::{Fault, Machine, Memory};

impl Path {
    /// Hands every pair of places, where an element comes from and where it goes to, to `f`, a run
    /// of the innermost loop at a time: the first pair, and how many there are.
    #[inline]
    pub(in crate::kernels) fn runs(
        &self,
        mut f: impl FnMut(usize, usize, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let [a, b, c, d, e] = self.size.map(usize::from);
        let place = |at: u32, steps: &[i32; 5], turn: [usize; 4]| {
            let moved = turn.iter().zip(steps).map(|(&t, &s)| t as i64 * i64::from(s)).sum::<i64>();
            usize::try_from(i64::from(at) + moved).map_err(|_| Fault::OutOfBounds)
        };
        let (breadth, depth) = (positive(b)?, positive(d)?);
        for outer in 0..a * b {
            for inner in 0..c * d {
                let turn = [outer / breadth, outer % breadth, inner / depth, inner % depth];
                f(place(self.from_at, &self.from, turn)?, place(self.to_at, &self.to, turn)?, e)?;
            }
        }
        Ok(())
    }
}

impl Copy {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot does not fit its memory, or the path leads out of a tensor.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let writes = [self.output, self.part];
        let (x, [y, part]) = match self.input.memory {
            Memory::Constant => (part(m.constants, self.input)?, m.arena.split([], writes)?.1),
            _ => {
                let ([x], writes) = m.arena.split([self.input], writes)?;
                (x, writes)
            }
        };
        let x: &[i8] = typed(x)?;
        ensure(y.is_empty() != part.is_empty())?;
        let y: &mut [i8] = if part.is_empty() {
            let y: &mut [i8] = typed_mut(y)?;
            y.fill(self.fill);
            y
        } else {
            typed_mut(part)?
        };
        let (x_zero, y_zero) = (i32::from(self.x_zero), i32::from(self.y_zero));
        let (from_step, to_step) = (self.path.from[4] as isize, self.path.to[4] as isize);
        self.path.runs(|from, to, count| {
            if self.scale.value == 0 && (from_step, to_step) == (1, 1) {
                let source = x.get(from..from + count).ok_or(Fault::OutOfBounds)?;
                let place = y.get_mut(to..to + source.len()).ok_or(Fault::OutOfBounds)?;
                place.copy_from_slice(source);
                return Ok(());
            }
            for n in 0..count as isize {
                let from = from.wrapping_add_signed(n * from_step);
                let to = to.wrapping_add_signed(n * to_step);
                let &value = x.get(from).ok_or(Fault::OutOfBounds)?;
                let value = match self.scale.value {
                    0 => value,
                    _ => {
                        let scaled = self.scale.scale(i32::from(value) - x_zero);
                        scaled.saturating_add(y_zero).clamp(-128, 127) as i8
                    }
                };
                *y.get_mut(to).ok_or(Fault::OutOfBounds)? = value;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::Multiplier;
    use crate::kernels::testing::{Bench, Random};
    use crate::Slot;

    /// A transpose of `[3][4][5]` to `[5][3][4]`, its rows the wrong way round.
    fn transpose() -> Path {
        Path {
            size: [1, 1, 3, 4, 5],
            from_at: 0,
            from: [0, 0, 20, 5, 1],
            to_at: 48,
            to: [0, 0, 4, 1, -12],
        }
    }

    #[test]
    fn a_transpose() {
        let mut bench = Bench::default();
        let x = Random::new(1).int8(60);
        let op = Copy {
            input: bench.arena(&x),
            output: bench.room(60),
            path: transpose(),
            ..Copy::default()
        };
        bench.run(op);
        let y: Vec<i8> = bench.read(op.output);
        for (at, &x) in x.iter().enumerate() {
            let (i, j, k) = (at / 20, at / 5 % 4, at % 5);
            assert_eq!(y[(4 - k) * 12 + i * 4 + j], x);
        }
    }

    #[test]
    fn constants_are_moved_too() {
        let mut bench = Bench::default();
        let x = Random::new(3).int8(60);
        let input = bench.constant(&x);
        let op = Copy { input, output: bench.room(60), path: transpose(), ..Copy::default() };
        bench.run(op);
        let mut from_arena = op;
        from_arena.input = bench.arena(&x);
        from_arena.output = bench.room(60);
        bench.run(from_arena);
        assert_eq!(bench.read::<i8>(op.output), bench.read::<i8>(from_arena.output));
    }

    #[test]
    fn parts_padding_and_repetition_at_another_scale() {
        let mut bench = Bench::default();
        let x = Random::new(2).int8(6);
        let scale = Multiplier::from_f64(0.5);
        // Every element twice, from the third place on.
        let path = Path {
            size: [1, 1, 1, 6, 2],
            from: [0, 0, 0, 1, 0],
            to_at: 3,
            to: [0, 0, 0, 2, 1],
            from_at: 0,
        };
        let mut op = Copy {
            input: bench.arena(&x),
            output: bench.room(18),
            part: Slot::default(),
            path,
            fill: 9,
            x_zero: -5,
            scale,
            y_zero: 7,
        };
        let value = |at: usize| (scale.scale(i32::from(x[at]) + 5) + 7) as i8;
        let mut expected = vec![9; 18];
        (0..12).for_each(|n| expected[3 + n] = value(n / 2));
        bench.run(op);
        assert_eq!(bench.read::<i8>(op.output), expected);
        // What a part does not reach stays.
        op.part = bench.arena(&[1i8; 18]);
        op.output = Slot::default();
        bench.run(op);
        expected.iter_mut().for_each(|v| *v = if *v == 9 { 1 } else { *v });
        (0..12).for_each(|n| expected[3 + n] = value(n / 2));
        assert_eq!(bench.read::<i8>(op.part), expected);
    }
}
