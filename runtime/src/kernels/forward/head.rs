//! The classifier that is trained: int32 logits.

use crate::fixed::saturate;
use crate::kernels::ensure;
use crate::kernels::weights::effective;
use crate::machine::{typed, typed_mut};
use crate::program::op::Head;
use crate::{Fault, Machine};

/// Terms that a 32-bit sum holds: each is below `2^7 * 2^15` in size.
const BLOCK: usize = 256;

impl Head {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let ([f], [logits]) = m.arena.split([self.input], [self.output])?;
        let ([latent, bias], []) = m.state.split([self.latent, self.bias], [])?;
        let features: &[i16] = typed(f)?;
        let logits: &mut [i32] = typed_mut(logits)?;
        let (latent, bias): (&[i16], &[i32]) = (typed(latent)?, typed(bias)?);
        ensure(!features.is_empty() && bias.len() == logits.len())?;
        ensure(latent.len() == features.len() * logits.len())?;
        let rows = latent.chunks_exact(features.len());
        for ((logit, &bias), row) in logits.iter_mut().zip(bias).zip(rows) {
            *logit = saturate(bias as i64 + dot(row, features));
        }
        Ok(())
    }
}

/// Dot product of the weights that `row` stands for and `features`.
#[inline]
fn dot(row: &[i16], features: &[i16]) -> i64 {
    let blocks = row.chunks(BLOCK).zip(features.chunks(BLOCK));
    blocks
        .map(|(m, f)| {
            let terms = m.iter().zip(f).map(|(&m, &f)| effective(m) as i32 * f as i32);
            terms.sum::<i32>() as i64
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{Bench, Random};
    use crate::program::op::Head;

    #[test]
    fn logits_are_dot_products_of_rounded_weights() {
        for (seed, features) in [(1, 1), (2, 255), (3, 256), (4, 700)] {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let f: Vec<i16> = (0..features).map(|_| r.within(-32640, 32640) as i16).collect();
            let latent: Vec<i16> =
                (0..5 * features).map(|_| r.within(-32640, 32639) as i16).collect();
            let bias: Vec<i32> = (0..5).map(|_| r.within(-1_000_000, 1_000_000)).collect();
            let op = Head {
                input: bench.arena(&f),
                latent: bench.state(&latent),
                bias: bench.state(&bias),
                output: bench.room(20),
            };
            bench.run(op);
            for (n, logit) in bench.read::<i32>(op.output).into_iter().enumerate() {
                let row = latent.iter().skip(n * features).zip(&f);
                let sum: f64 =
                    row.map(|(&m, &f)| (m as f64 / 256.0 + 0.5).floor() * f as f64).sum();
                assert_eq!(logit as f64, sum + bias[n] as f64);
            }
        }
    }

    #[test]
    fn logits_saturate() {
        let mut bench = Bench::default();
        let op = Head {
            input: bench.arena(&[i16::MIN; 1000]),
            latent: bench.state(&[[i16::MIN; 1000], [i16::MAX; 1000]]),
            bias: bench.state(&[0i32, 0]),
            output: bench.room(8),
        };
        bench.run(op);
        assert_eq!(bench.read::<i32>(op.output), [i32::MAX, i32::MIN]);
    }
}
