//! Gradients that meet where the forward graph branched.

use super::sink::Sink;
use crate::error_scale::{exponent, write};
use crate::fixed::shift_rounding;
use crate::kernels::ensure;
use crate::program::op::SumGrad;
use crate::{Fault, Machine};

/// Two terms shifted this far apart still add up within 31 bits.
const SPAN: i32 = 22;

impl SumGrad {
    /// Adds the two terms exactly, unless one is beyond `SPAN` binary places below the other,
    /// and rounds the sum once.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let own = exponent(&m.state, &self.error)?;
        let other = match self.skip.data.is_empty() {
            true => own,
            false => exponent(&m.state, &self.skip)?,
        };
        let unit = own.min(other).max(own.max(other).saturating_sub(SPAN));
        let errors = [&self.error, &self.skip, &self.output];
        let (error, mut sink) = Sink::open(&mut m.arena, &m.state, unit, errors, self.mask)?;
        ensure(error.len() == sink.len())?;
        let down = unit.saturating_sub(own);
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            sink.put_each(quantizer, 0, error.len(), |i| {
                shift_rounding(error.get(i).copied().unwrap_or_default().into(), down)
            });
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, near, Bench, Random};
    use crate::program::op::Error;

    #[test]
    fn adds_in_real_units_through_the_mask() {
        let mut random = Random::new(2);
        for (k_a, k_b) in [(-10, -10), (-10, -7), (-30, -3), (0, -60)] {
            let mut bench = Bench::default();
            let (a, b) = (random.sparse(50, 2), random.sparse(50, 2));
            let bits = random.mask(50);
            let mut op = SumGrad {
                error: bench.error(&a, k_a),
                skip: bench.error(&b, k_b),
                mask: bench.arena(&bits),
                output: bench.error_out(50),
            };
            bench.run(op);
            let real = |e: &[i8], k: i32, i: usize| e[i] as f64 * (k as f64).exp2();
            let passes = |i: usize| bits[i / 8] >> (i % 8) & 1 == 1;
            let exact: Vec<f64> = (0..50)
                .map(|i| if passes(i) { real(&a, k_a, i) + real(&b, k_b, i) } else { 0.0 })
                .collect();
            assert_near(&bench, &op.output, &exact, |_| 1e-4);
            let first = bench.read::<i8>(op.output.data);
            bench.run(op);
            assert_eq!(bench.read::<i8>(op.output.data), first);

            op.skip = Error::default();
            bench.run(op);
            assert_eq!(near(&bench, &op.output, &exact, |_| 1e-4), k_b == -60, "{k_a} {k_b}");
        }
    }
}
