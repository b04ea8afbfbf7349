//! Softmax cross-entropy in integers: prediction, loss and the normalised loss gradient.
//!
//! Probabilities come from a table of `exp(-n/16)` with straight lines between its entries: at
//! most 0.05 % too large, which is far below what the int8 gradient can show.

use crate::kernels::{argmax, ensure};
use crate::machine::{typed, typed_mut};
use crate::program::op::SoftmaxCrossEntropy;
use crate::{Fault, Machine};

/// `exp` of 0 in the table: one.
const ONE: u16 = u16::MAX;

/// Fraction bits of a logit in sixteenths.
const FINE: u32 = 8;

/// `round(65535 exp(-n/16))`, computed with integers so that every build has the same bytes.
static EXP: [u16; 256] = {
    /// `exp(-1/16)` in Q64.
    const STEP: u128 = 0xF07D_5FDE_3815_1E73;
    const PLACES: u32 = 40;
    let mut table = [0; 256];
    let mut value = (ONE as u128) << PLACES;
    let mut n = 0;
    while n < table.len() {
        table[n] = ((value + (1 << (PLACES - 1))) >> PLACES) as u16;
        value = (value * STEP) >> 64;
        n += 1;
    }
    table
};

/// `65535 exp(-fine / 4096)`; 0 for what lies beyond the table.
fn exp(fine: i32) -> u32 {
    let (n, part) = ((fine >> FINE) as usize, (fine & ((1 << FINE) - 1)) as u32);
    match (EXP.get(n), EXP.get(n + 1)) {
        (Some(&a), Some(&b)) => {
            let line = a as u32 * ((1 << FINE) - part) + b as u32 * part;
            (line + (1 << (FINE - 1))) >> FINE
        }
        _ => 0,
    }
}

impl SoftmaxCrossEntropy {
    /// Reads the step's label and sets its loss, class and gamma.
    ///
    /// # Errors
    /// [`Fault::Label`] where the label is no class; others only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let ([logits], [error]) = m.arena.split([self.logits], [self.error])?;
        let (logits, error): (&[i32], &mut [i8]) = (typed(logits)?, typed_mut(error)?);
        ensure(!logits.is_empty() && logits.len() <= ONE as usize && error.len() == logits.len())?;
        let label = m.step.label as usize;
        let of_label = *logits.get(label).ok_or(Fault::Label)?;
        let class = argmax(logits);
        let top = logits[class as usize];
        // `top` is the greatest, so the difference can only overflow upwards: beyond the table.
        let below =
            |logit: i32| self.sixteenths.scale_wide(top.saturating_sub(logit), FINE as i32).max(0);

        // Cannot overflow: at most 65535 classes of at most 65535, and the top one is 65535.
        let sum: u32 = logits.iter().map(|&l| exp(below(l))).sum();
        let of = |k: usize, logit: i32| {
            let p = exp(below(logit));
            if k == label {
                sum - p
            } else {
                p
            }
        };
        let peak = logits.iter().enumerate().map(|(k, &l)| of(k, l)).max().unwrap_or(0);
        for (k, (e, &logit)) in error.iter_mut().zip(logits).enumerate() {
            let twice = 2 * peak as u64;
            let size = match twice {
                0 => 0,
                _ => ((254 * of(k, logit) as u64 + peak as u64) / twice) as i8,
            };
            *e = if k == label { -size } else { size };
        }

        m.step.class = class;
        m.step.gamma = peak as f32 / sum as f32 * (128.0 / 127.0);
        m.step.loss = libm::logf(sum as f32 / ONE as f32) + below(of_label) as f32 / 4096.0;
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
        let op = SoftmaxCrossEntropy {
            logits: bench.arena(logits),
            error: bench.arena(&vec![0i8; logits.len()]),
            sixteenths: Multiplier::from_f64(16.0 * scale),
        };
        bench.step.label = label;
        bench.with(|m| op.run(m)).unwrap();
        (bench.read(op.error), bench.step.gamma, bench.step.loss, bench.step.class)
    }

    /// Exact loss and `p - onehot`.
    fn exact(logits: &[i32], scale: f64, label: u16) -> (Vec<f64>, f64) {
        let top = *logits.iter().max().unwrap() as f64;
        let p: Vec<f64> = logits.iter().map(|&l| ((l as f64 - top) * scale).exp()).collect();
        let sum: f64 = p.iter().sum();
        let loss = sum.ln() + (top - logits[label as usize] as f64) * scale;
        let mut delta: Vec<f64> = p.iter().map(|p| p / sum).collect();
        delta[label as usize] -= 1.0;
        (delta, loss)
    }

    #[test]
    fn table_holds_the_exponential() {
        for (n, &t) in EXP.iter().enumerate() {
            assert_eq!(t as f64, (65535.0 * (-(n as f64) / 16.0).exp()).round(), "{n}");
        }
    }

    #[test]
    fn gradient_and_loss_agree_with_float() {
        let mut random = Random::new(4);
        let (mut worst_gradient, mut worst_loss) = (0.0f64, 0.0f64);
        for case in 0..2000 {
            let classes = 2 + random.below(30);
            let scale = [1e-4, 0.003, 1.0 / 16.0, 0.5][case % 4];
            let spread = (8.0 / scale) as i32;
            let logits: Vec<i32> = (0..classes).map(|_| random.within(-spread, spread)).collect();
            let label = random.below(classes) as u16;
            let (e, gamma, loss, class) = run(&logits, scale, label);
            let (delta, exact_loss) = exact(&logits, scale, label);
            // What int8 cannot show is half a step of gamma / 128; the table's share is the rest.
            for (e, d) in e.iter().zip(&delta) {
                let off = (*e as f64 * gamma as f64 / 128.0 - d).abs();
                worst_gradient = worst_gradient.max(off - 0.5 * gamma as f64 / 128.0);
            }
            worst_loss = worst_loss.max((loss as f64 - exact_loss).abs());
            assert_eq!(class, argmax(&logits));
            // Below what the table resolves, a gradient is none.
            let peak = delta.iter().fold(0.0, |a: f64, d| a.max(d.abs()));
            let used = e.iter().map(|e| e.unsigned_abs()).max();
            assert!(used == Some(127) || peak < 1e-4 && used == Some(0));
        }
        assert!(worst_gradient < 3e-4, "{worst_gradient}");
        assert!(worst_loss < 1e-3, "{worst_loss}");
    }

    #[test]
    fn extremes_neither_overflow_nor_divide_by_zero() {
        let (e, gamma, loss, class) = run(&[i32::MAX, i32::MIN], 1.0, 0);
        assert_eq!((e, gamma, loss, class), (vec![0, 0], 0.0, 0.0, 0));
        let (e, gamma, loss, class) = run(&[i32::MAX, i32::MIN], 1.0, 1);
        assert_eq!((e, class), (vec![127, -127], 0));
        assert!(gamma > 1.0 && loss > 1e5);
        assert_eq!(run(&[3], 1.0, 0).1, 0.0);
        let many = vec![0; 65535];
        let (_, gamma, loss, _) = run(&many, 1.0, 7);
        assert!((gamma - 128.0 / 127.0).abs() < 1e-4 && (loss - 65535f32.ln()).abs() < 1e-4);
    }

    #[test]
    fn a_label_that_is_no_class_is_refused() {
        let mut bench = Bench::default();
        let op = SoftmaxCrossEntropy {
            logits: bench.arena(&[1i32, 2]),
            error: bench.arena(&[0i8; 2]),
            sixteenths: Multiplier { value: 1 << 30, shift: 0 },
        };
        bench.step.label = 2;
        assert_eq!(bench.with(|m| op.run(m)), Err(Fault::Label));
    }
}
