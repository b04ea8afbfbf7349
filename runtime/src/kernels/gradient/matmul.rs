//! Input gradient of products of two activations.

use super::sink::Sink;
use crate::error_scale::{exponent, write};
use crate::kernels::contraction::Sums;
use crate::machine::{typed, Machine};
use crate::program::op::MatMulInputGrad;
use crate::{Fault, Slot};

impl MatMulInputGrad {
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
        let factors = [error, typed(other)?];
        let (sums, zeros) = (Sums::of(&self.loops), [0, i32::from(self.other_zero)]);
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            for place in 0..sink.len() {
                let sum = sums.at(place, factors, zeros)?.unwrap_or_default();
                sink.put(quantizer, place, &[self.scale.scale(sum)]);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, contractions, products, Bench, Random};
    use crate::program::op::{Contraction, Strides};

    #[test]
    fn sums_over_the_loops_that_do_not_index_the_factor() {
        for (seed, forward) in contractions().into_iter().enumerate() {
            for second in [false, true] {
                let r = &mut Random::new(seed as u64 + 50);
                let mut bench = Bench::default();
                let (own, other) =
                    if second { (forward.b, forward.a) } else { (forward.a, forward.b) };
                let loops = Contraction { a: forward.y, b: other, y: own, ..forward };
                let length = |s: Strides| s.last(loops.size) as usize + 1;
                let e = r.sparse(length(loops.a), 3);
                let values = r.int8(length(other) + 2);
                // Elements behind the last that a loop meets get what the other path brings.
                let skip = r.sparse(length(own) + 3, 2);
                let mask = r.mask(skip.len());
                let scale = r.multiplier(0.02 * 256.0);
                let op = MatMulInputGrad {
                    error: bench.error(&e, -8),
                    output: bench.error_out(skip.len()),
                    skip: bench.error(&skip, -6),
                    mask: bench.arena(&mask),
                    other: bench.arena(&values),
                    loops,
                    other_zero: -11,
                    scale,
                    fraction: 8,
                };
                bench.run(op);
                let factor = f64::from(scale.value) / 2f64.powi(31 - scale.shift) / 256.0;
                let mut exact: Vec<f64> = skip.iter().map(|&e| f64::from(e) / 64.0).collect();
                for [from, by, to] in products(&loops) {
                    let other = f64::from(values[by]) + 11.0;
                    exact[to] += f64::from(e[from]) / 256.0 * other * factor;
                }
                for (i, g) in exact.iter_mut().enumerate() {
                    *g *= f64::from(mask[i / 8] >> (i % 8) & 1);
                }
                assert_near(&bench, &op.output, &exact, |_| 2f64.powi(-16));
            }
        }
    }
}
