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
        let elements: usize = moved.size.iter().map(|&n| n as usize).product();
        let length = sink.len();
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            if elements < length {
                sink.put_each(quantizer, 0, length, |_| 0);
            }
            moved.runs(|from, to, count| {
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
                    sink.put_each(quantizer, from, 1, |_| sum << FRACTION);
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
        // Rows 1 and 2 of [4][6], every second column, each repeated three times, transposed.
        let path = Path {
            size: [2, 3, 1, 1, 3],
            from_at: 6,
            from: [6, 2, 0, 0, 0],
            to_at: 2,
            to: [3, 6, 0, 0, 1],
        };
        let mut bench = Bench::default();
        let e = random.sparse(20, 4);
        let skip = random.sparse(24, 2);
        let op = CopyInputGrad {
            error: bench.error(&e, -9),
            output: bench.error_out(24),
            skip: bench.error(&skip, -10),
            path,
            ..CopyInputGrad::default()
        };
        bench.run(op);
        let mut exact: Vec<f64> = skip.iter().map(|&e| f64::from(e) / 1024.0).collect();
        for row in 0..2 {
            for column in 0..3 {
                for n in 0..3 {
                    let error = e[2 + row * 3 + column * 6 + n];
                    exact[6 + row * 6 + column * 2] += f64::from(error) / 512.0;
                }
            }
        }
        assert_near(&bench, &op.output, &exact, |_| 0.0);
    }
}
