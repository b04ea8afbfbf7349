//! Update of the trained classifier.

use super::rule::Pace;
use crate::kernels::gradient::ensure;
use crate::machine::{typed, typed_mut};
use crate::program::op::HeadUpdate;
use crate::{Fault, Machine};

impl HeadUpdate {
    /// Steps the weights and biases of every class.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let pace = Pace::new(&m.step, &m.state, &self.error)?;
        let (of_weight, of_bias) = (pace.times(self.weight_factor), pace.times(self.bias_factor));
        let ([error, input], []) = m.arena.split([self.error.data, self.input], [])?;
        let ([], [latent, bias]) = m.state.split([], [self.latent, self.bias])?;
        let (error, input): (&[i8], &[i16]) = (typed(error)?, typed(input)?);
        let (latent, bias): (&mut [i16], &mut [i32]) = (typed_mut(latent)?, typed_mut(bias)?);
        ensure(!input.is_empty() && bias.len() == error.len())?;
        ensure(latent.len() == input.len() * error.len())?;
        let rows = latent.chunks_exact_mut(input.len());
        for ((row, b), &e) in rows.zip(bias).zip(error) {
            if e != 0 {
                for (w, &x) in row.iter_mut().zip(input) {
                    *w = of_weight.residual(*w, x as i32 * e as i32);
                }
                *b = of_bias.bias(*b, e as i32);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::gradient::rig::{Random, Rig};
    use crate::program::op::Error;
    use crate::Slot;

    #[test]
    fn agrees_with_a_float_step() {
        let mut random = Random::new(12);
        let (mut clipped, mut free) = (0, 0);
        for (classes, features) in [(2, 1), (10, 48), (3, 7)] {
            let mut rig = Rig::default();
            let e = random.int8s(classes, 4);
            let x: Vec<i16> = (0..features).map(|_| random.between(-32640, 32767) as i16).collect();
            let latent: Vec<i16> =
                (0..classes * features).map(|_| random.between(-32640, 32639) as i16).collect();
            let bias: Vec<i32> = (0..classes).map(|_| random.between(-999, 999)).collect();
            let op = HeadUpdate {
                error: Error { data: rig.arena(&e), tracker: Slot::default() },
                input: rig.arena(&x),
                latent: rig.state(&latent),
                bias: rig.state(&bias),
                weight_factor: 0.05,
                bias_factor: 9e5,
            };
            rig.step.rate = 0.01;
            rig.step.gamma = 0.5;
            rig.run(|m| op.run(m)).unwrap();
            let pace = 0.01 * 0.5 / 128.0;
            for (n, &m) in rig.read::<i16>(op.latent).iter().enumerate() {
                let g = e[n / features] as f64 * x[n % features] as f64;
                let step = 256.0 * pace * 0.05 * g;
                *(if step.abs() > 1024.0 { &mut clipped } else { &mut free }) += 1;
                let exact = latent[n] as f64 - step.clamp(-1024.0, 1024.0);
                let exact = exact.clamp(-32640.0, 32639.0);
                assert!((m as f64 - exact).abs() <= 0.5001, "{m} {exact}");
            }
            for (k, &b) in rig.read::<i32>(op.bias).iter().enumerate() {
                let exact = bias[k] as f64 - pace * 9e5 * e[k] as f64;
                assert!((b as f64 - exact).abs() <= 0.501);
            }
        }
        assert!(free > 0 && clipped > 0);
    }
}
