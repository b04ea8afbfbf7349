//! Input gradient of the trained classifier.

use super::sink::Sink;
use super::CHUNK;
use crate::error_scale::{exponent, write};
use crate::kernels::weights::effective;
use crate::kernels::{ensure, positive};
use crate::machine::table;
use crate::program::op::{Error, HeadInputGrad};
use crate::{Fault, Machine, Slot};

impl HeadInputGrad {
    /// `g_i = sum_k w_ki e_k`, with the weights as they are before this step's update.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let unit = exponent(&m.state, &self.error)?.saturating_add(self.weight_exponent as i32);
        let errors = [&self.error, &Error::default(), &self.output];
        let (error, mut sink) = Sink::open(&mut m.arena, &m.state, unit, errors, Slot::default())?;
        let features = positive(sink.len())?;
        ensure(self.latent.len() == 2 * features.get() * error.len())?;
        write(&mut m.state, &self.output, unit, |quantizer, state| {
            let latent: &[i16] = table(state.bytes(), self.latent)?;
            for at in (0..features.get()).step_by(CHUNK) {
                let mut sums = [0i32; CHUNK];
                for (row, &e) in latent.chunks_exact(features.get()).zip(error) {
                    if e != 0 {
                        for (s, &w) in sums.iter_mut().zip(row.get(at..).unwrap_or_default()) {
                            *s = s.wrapping_add(effective(w) as i32 * e as i32);
                        }
                    }
                }
                let sums = sums.get(..features.get() - at).unwrap_or(&sums);
                sink.put(quantizer, at, sums);
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, Bench, Random};
    use crate::program::op::LOSS_EXPONENT;

    #[test]
    fn agrees_with_a_float_product() {
        let mut random = Random::new(1);
        for (classes, features) in [(2, 1), (10, 31), (5, 32), (37, 160)] {
            let mut bench = Bench::default();
            let e = random.sparse(classes, 3);
            let latent: Vec<i16> =
                (0..classes * features).map(|_| random.within(-32640, 32639) as i16).collect();
            let op = HeadInputGrad {
                error: Error { data: bench.arena(&e), tracker: Slot::default() },
                latent: bench.state(&latent),
                output: bench.error_out(features),
                weight_exponent: -6,
            };
            bench.run(op);
            let exact: Vec<f64> = (0..features)
                .map(|i| {
                    let weight = |k: usize| effective(latent[k * features + i]) as f64 / 64.0;
                    (0..classes).map(|k| weight(k) * e[k] as f64).sum::<f64>()
                        * (LOSS_EXPONENT as f64).exp2()
                })
                .collect();
            assert_near(&bench, &op.output, &exact, |_| 0.0);
        }
    }

    #[test]
    fn sizes_are_checked() {
        let mut bench = Bench::default();
        let op = HeadInputGrad {
            error: Error { data: bench.arena(&[1i8, 2]), tracker: Slot::default() },
            latent: bench.state(&[0i16; 5]),
            output: bench.error_out(3),
            weight_exponent: 0,
        };
        assert_eq!(bench.with(|m| op.run(m)), Err(Fault::Size));
    }
}
