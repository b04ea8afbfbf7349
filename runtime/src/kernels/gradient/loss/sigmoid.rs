//! Sigmoid cross-entropy in integers: classes that are independent of each other.
//!
//! With `z = x` for a class that the sample is not of and `z = -x` for the one it is of, the loss is
//! `sum ln(1 + exp z)` and the size of the gradient `sigmoid z`, which is
//! `E / (1 + E)` or `1 / (1 + E)` for `E = exp(-|z|)` from the table. The table's error leaves at
//! most 1.4e-4 in a sigmoid, and 2.7e-4 in each class's part of the loss.

use super::{exp, share, FINE, ONE, UNITS};
use crate::kernels::{argmax, ensure};
use crate::machine::{typed, typed_mut};
use crate::program::op::SigmoidCrossEntropy;
use crate::{Fault, Machine};

/// Fraction bits of a sigmoid.
const BITS: u32 = 24;

/// `2^BITS sigmoid(z / 4096)`.
fn sigmoid(z: i32) -> u32 {
    let small = exp(z.saturating_abs());
    let whole = u64::from(u32::from(ONE) + small);
    let part = if z < 0 { small } else { ONE.into() };
    (((u64::from(part) << BITS) + whole / 2) / whole) as u32
}

/// `ln` of a product of factors `1 + E`, taken once: the product itself is kept in integers.
#[derive(Clone, Copy, Debug)]
struct Product {
    /// In [1, 2), with 31 fraction bits.
    mantissa: u32,
    exponent: u32,
}

impl Product {
    const ONE: Product = Product { mantissa: 1 << 31, exponent: 0 };

    /// Times `1 + small / 65535`. Rounds down, by less than 2^-31 of the product.
    fn times(self, small: u32) -> Product {
        // 65535 becomes 65536.
        let factor = (1 << 16) + u64::from(small + (small >> 15));
        let product = (u64::from(self.mantissa) * factor) >> 16;
        let carry = (product >> 32) as u32;
        Product { mantissa: (product >> carry) as u32, exponent: self.exponent + carry }
    }

    fn ln(self) -> f32 {
        let mantissa = self.mantissa as f32 / (1u32 << 31) as f32;
        libm::logf(mantissa) + self.exponent as f32 * core::f32::consts::LN_2
    }
}

impl SigmoidCrossEntropy {
    /// Reads the step's label and sets its loss, class and gamma.
    ///
    /// # Errors
    /// [`Fault::Label`] where the label is no class; others only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let ([logits], [error]) = m.arena.split([self.logits], [self.error])?;
        let (logits, error): (&[i32], &mut [i8]) = (typed(logits)?, typed_mut(error)?);
        ensure(error.len() == logits.len())?;
        let label = m.step.label as usize;
        logits.get(label).ok_or(Fault::Label)?;
        let z = |k: usize, logit: i32| {
            let fine = self.sixteenths.scale_wide(logit, FINE as i32);
            if k == label {
                fine.saturating_neg()
            } else {
                fine
            }
        };

        let (mut peak, mut above, mut product) = (0, 0i64, Product::ONE);
        for (k, &logit) in logits.iter().enumerate() {
            let z = z(k, logit);
            peak = peak.max(sigmoid(z));
            above += i64::from(z.max(0));
            product = product.times(exp(z.saturating_abs()));
        }
        for (k, (e, &logit)) in error.iter_mut().zip(logits).enumerate() {
            let size = i64::from(sigmoid(z(k, logit)));
            *e = share(if k == label { -size } else { size }, peak.into());
        }

        m.step.class = argmax(logits);
        m.step.gamma = peak as f32 / (1 << BITS) as f32 * (128.0 / 127.0);
        m.step.loss = product.ln() + above as f32 / UNITS;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixed::Multiplier;
    use crate::kernels::testing::{Bench, Random};

    /// Runs the op; gives error, gamma, loss and class.
    fn run(logits: &[i32], scale: f64, label: u16) -> (Vec<i8>, f32, f32, u16) {
        let mut bench = Bench::default();
        let op = SigmoidCrossEntropy {
            logits: bench.arena(logits),
            error: bench.arena(&vec![0i8; logits.len()]),
            sixteenths: Multiplier::from_f64(16.0 * scale),
        };
        bench.step.label = label;
        bench.with(|m| op.run(m)).unwrap();
        (bench.read(op.error), bench.step.gamma, bench.step.loss, bench.step.class)
    }

    #[test]
    fn sigmoid_is_as_exact_as_it_says() {
        let mut worst = 0.0f64;
        for z in -80_000..80_000 {
            let exact = 1.0 / (1.0 + (-f64::from(z) / 4096.0).exp());
            worst = worst.max((f64::from(sigmoid(z)) / f64::from(1 << BITS) - exact).abs());
        }
        assert!(worst < 1.4e-4, "{worst}");
        let extremes = [i32::MIN, -1_000_000, 0, i32::MAX];
        assert_eq!(extremes.map(sigmoid), [0, 0, 1 << (BITS - 1), 1 << BITS]);
    }

    #[test]
    fn gradient_and_loss_agree_with_float() {
        let mut random = Random::new(6);
        let (mut worst_gradient, mut worst_loss) = (0.0f64, 0.0f64);
        for case in 0..2000 {
            let classes = 2 + random.below(30);
            let scale = [1e-4, 0.003, 1.0 / 16.0, 0.5][case % 4];
            let spread = ([8.0, 2.0][case / 4 % 2] / scale) as i32;
            let logits: Vec<i32> = (0..classes).map(|_| random.within(-spread, spread)).collect();
            let label = random.below(classes) as u16;
            let (e, gamma, loss, class) = run(&logits, scale, label);
            let z = |k: usize| {
                let x = f64::from(logits[k]) * scale;
                if k == label as usize {
                    -x
                } else {
                    x
                }
            };
            let unit = gamma as f64 / 128.0;
            for (k, &e) in e.iter().enumerate() {
                let size = 1.0 / (1.0 + (-z(k)).exp());
                let delta = if k == label as usize { -size } else { size };
                worst_gradient = worst_gradient.max((e as f64 * unit - delta).abs() - 0.5 * unit);
            }
            let exact: f64 =
                (0..classes).map(|k| z(k).max(0.0) + (-z(k).abs()).exp().ln_1p()).sum();
            worst_loss = worst_loss.max((loss as f64 - exact).abs() / classes as f64);
            assert_eq!(class, argmax(&logits));
            let peak = e.iter().map(|e| e.unsigned_abs()).max();
            assert!(peak == Some(127) || gamma == 0.0);
        }
        assert!(worst_gradient < 2e-4, "{worst_gradient}");
        assert!(worst_loss < 4e-4, "{worst_loss}");
    }

    #[test]
    fn extremes_neither_overflow_nor_divide_by_zero() {
        let (e, gamma, loss, class) = run(&[i32::MAX, i32::MIN], 1.0, 0);
        assert_eq!((e, gamma, loss, class), (vec![0, 0], 0.0, 0.0, 0));
        let (e, gamma, loss, class) = run(&[i32::MAX, i32::MIN], 1.0, 1);
        assert_eq!((e, class), (vec![127, -127], 0));
        assert!(gamma > 1.0 && loss > 1e5);
        // Many classes of which each is undecided: the product of their factors is 2^65535.
        let (e, gamma, loss, _) = run(&vec![0; 65535], 1.0, 7);
        assert_eq!((e[7], e[8]), (-127, 127));
        assert!((gamma - 0.5 * 128.0 / 127.0).abs() < 1e-4);
        assert!((loss / (65535.0 * core::f32::consts::LN_2) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn a_label_that_is_no_class_is_refused() {
        let mut bench = Bench::default();
        let op = SigmoidCrossEntropy {
            logits: bench.arena(&[1i32, 2]),
            error: bench.arena(&[0i8; 2]),
            sixteenths: Multiplier { value: 1 << 30, shift: 0 },
        };
        bench.step.label = 2;
        assert_eq!(bench.with(|m| op.run(m)), Err(Fault::Label));
    }
}
