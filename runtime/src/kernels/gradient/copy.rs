//! Input gradient of moves.

use super::sink::Sink;
use super::FRACTION;
use crate::error_scale::{exponent, write};
use crate::kernels::ensure;
use crate::machine::Machine;
use crate::program::op::{CopyInputGrad, Path};
use crate::Fault;

impl CopyInputGrad {
    /// Each element gets the errors of the places that it was moved to.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let unit = exponent(&m.state, &self.error)?.saturating_sub(FRACTION);
        let errors = [&self.error, &self.skip, &self.output];
        let (error, mut sink) = Sink::open(&mut m.arena, &m.state, unit, errors, self.mask)?;
        ensure(!error.is_empty() && sink.len() > 0)?;
        // Loops that repeat an element are run for each element by themselves.
        let (mut moved, mut repeated) = (self.path, self.path);
        for (axis, &step) in self.path.from.iter().enumerate() {
            let other = if step == 0 { &mut moved } else { &mut repeated };
            other.size[axis] = 1;
        }
        let repeated = Path { to_at: 0, from_at: 0, ..repeated };
        // Neighbours among the elements, the fewest calls for them.
        if let Some(axis) = (0..5).find(|&axis| moved.size[axis] > 1 && moved.from[axis] == 1) {
            moved.size.swap(axis, 4);
            moved.from.swap(axis, 4);
            moved.to.swap(axis, 4);
        }
        let neighbours = moved.from[4] == 1 && repeated.size == [1; 5];
        let elements: usize = moved.size.iter().map(|&n| n as usize).product();
        let length = sink.len();
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            if elements < length {
                sink.put_each(quantizer, 0, length, |_| 0);
            }
            moved.runs(|from, to, count| {
                if neighbours {
                    let place =
                        |n: usize| to.wrapping_add_signed(n as isize * moved.to[4] as isize);
                    let last = place(count.saturating_sub(1));
                    ensure(from + count <= length && to.max(last) < error.len())?;
                    sink.put_each(quantizer, from, count, |n| {
                        i32::from(error.get(place(n)).copied().unwrap_or_default()) << FRACTION
                    });
                    return Ok(());
                }
                for n in 0..count as isize {
                    let from = from.wrapping_add_signed(n * moved.from[4] as isize);
                    let to = to.wrapping_add_signed(n * moved.to[4] as isize);
                    let mut sum = 0i32;
                    repeated.runs(|_, further, count| {
                        for n in 0..count as isize {
                            let step = n * repeated.to[4] as isize;
                            let at = (to + further).wrapping_add_signed(step);
                            sum += i32::from(*error.get(at).ok_or(Fault::OutOfBounds)?);
                        }
                        Ok(())
                    })?;
                    ensure(from < length)?;
                    sink.put(quantizer, from, &[sum << FRACTION]);
                }
                Ok(())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, Bench, Random};

    #[test]
    fn errors_go_back_and_add_up() {
        let mut random = Random::new(7);
        let rows = Path { size: [2, 3, 1, 1, 3], from_at: 6, to_at: 2, ..Path::default() };
        let paths = [
            // Rows 1 and 2 of [4][6], every second column, each repeated three times, transposed.
            Path { from: [6, 2, 0, 0, 0], to: [3, 6, 0, 0, 1], ..rows },
            // Neighbours by the last loop, by the first, and by none.
            Path { from: [9, 3, 0, 0, 1], to: [9, 1, 0, 0, 3], from_at: 0, ..rows },
            Path { from: [1, 6, 0, 0, 2], to: [9, 3, 0, 0, 1], from_at: 2, ..rows },
            Path { from: [9, 3, 0, 0, -1], to: [9, 1, 0, 0, 3], from_at: 2, ..rows },
        ];
        for (path, masked) in paths.into_iter().flat_map(|path| [(path, false), (path, true)]) {
            let mut bench = Bench::default();
            let e = random.sparse(20, 4);
            let skip = random.sparse(24, 2);
            let bits = random.mask(24);
            let mut op = CopyInputGrad {
                error: bench.error(&e, -9),
                output: bench.error_out(24),
                skip: bench.error(&skip, -10),
                path,
                ..CopyInputGrad::default()
            };
            if masked {
                op.mask = bench.arena(&bits);
            }
            bench.run(op);
            let mut exact = [0.0; 24];
            let [a, b, .., c] = path.size.map(i32::from);
            for turn in 0..a * b * c {
                let turn = [turn / (b * c), turn / c % b, 0, 0, turn % c];
                let place = |at: u32, steps: [i32; 5]| {
                    let moved: i32 = steps.iter().zip(turn).map(|(step, t)| step * t).sum();
                    at as usize + moved as usize
                };
                let error = e[place(path.to_at, path.to)];
                exact[place(path.from_at, path.from)] += f64::from(error) / 512.0;
            }
            for (at, exact) in exact.iter_mut().enumerate() {
                *exact += f64::from(skip[at]) / 1024.0;
                if masked && bits[at / 8] >> (at % 8) & 1 == 0 {
                    *exact = 0.0;
                }
            }
            assert_near(&bench, &op.output, &exact, |_| 0.0);
        }
    }
}
