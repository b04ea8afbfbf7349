//! Softmax cross-entropy in integers: prediction, loss and the normalised loss gradient.
//!
//! The gradient of logit k is `w (p_k - t_k)`, with the target `t = (1 - s) onehot + s / K`. `p - t`
//! is exact in units of `1 / (65536 sum)`, sum being that of the exponentials; w, the weight of the
//! sample's class, is part of gamma, so that int8 uses its whole range for every class.

use super::{exp, share, FINE, ONE, UNITS};
use crate::kernels::{argmax, ensure};
use crate::machine::{table, typed, typed_mut};
use crate::program::op::SoftmaxCrossEntropy;
use crate::{Fault, Machine};

/// Bits in which shares of the target are counted.
const SHARE: u32 = 16;

impl SoftmaxCrossEntropy {
    /// Reads the step's label and sets its loss, class and gamma.
    ///
    /// # Errors
    /// [`Fault::Label`] where the label is no class; others only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let weights: &[f32] = table(m.constants, self.weights)?;
        let ([logits], [error]) = m.arena.split([self.logits], [self.error])?;
        let (logits, error): (&[i32], &mut [i8]) = (typed(logits)?, typed_mut(error)?);
        ensure(!logits.is_empty() && logits.len() <= ONE as usize && error.len() == logits.len())?;
        ensure(weights.is_empty() || weights.len() == logits.len())?;
        let label = m.step.label as usize;
        let of_label = *logits.get(label).ok_or(Fault::Label)?;
        let weight = weights.get(label).copied().unwrap_or(1.0);
        let class = argmax(logits);
        let top = *logits.get(class as usize).ok_or(Fault::Size)?;
        // `top` is the greatest, so the difference can only overflow upwards: beyond the table.
        let below =
            |logit: i32| self.sixteenths.scale_wide(top.saturating_sub(logit), FINE as i32).max(0);

        // Cannot overflow: at most 65535 classes of at most 65535, and the top one is 65535.
        let sum: u64 = logits.iter().map(|&l| u64::from(exp(below(l)))).sum();
        let (smoothing, count) = (u64::from(self.smoothing), logits.len() as u64);
        let everywhere = (sum * smoothing + count / 2) / count;
        let on_label = sum * ((1 << SHARE) - smoothing);
        let delta = |k: usize, logit: i32| {
            let target = everywhere + if k == label { on_label } else { 0 };
            (i64::from(exp(below(logit))) << SHARE) - target as i64
        };
        let sizes = logits.iter().enumerate().map(|(k, &l)| delta(k, l).unsigned_abs());
        let peak = sizes.max().unwrap_or(0);
        for (k, (e, &logit)) in error.iter_mut().zip(logits).enumerate() {
            *e = share(delta(k, logit), peak);
        }

        let all_below: i64 = logits.iter().map(|&l| i64::from(below(l))).sum();
        let smoothing = f32::from(self.smoothing) / (1 << SHARE) as f32;
        let of_label = (1.0 - smoothing) * (below(of_label) as f32 / UNITS);
        let of_all = smoothing * (all_below as f32 / count as f32 / UNITS);
        m.step.class = class;
        m.step.gamma = peak as f32 / (sum << SHARE) as f32 * (128.0 / 127.0) * weight;
        m.step.loss = (libm::logf(sum as f32 / ONE as f32) + of_label + of_all) * weight;
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
        smoothed(logits, scale, label, 0, &[])
    }

    fn smoothed(
        logits: &[i32],
        scale: f64,
        label: u16,
        smoothing: u16,
        weights: &[f32],
    ) -> (Vec<i8>, f32, f32, u16) {
        let mut bench = Bench::default();
        let op = SoftmaxCrossEntropy {
            logits: bench.arena(logits),
            error: bench.arena(&vec![0i8; logits.len()]),
            weights: bench.constant(weights),
            sixteenths: Multiplier::from_f64(16.0 * scale),
            smoothing,
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
    fn smoothed_and_weighted_gradients_agree_with_float() {
        let mut random = Random::new(5);
        let (mut worst_gradient, mut worst_loss) = (0.0f64, 0.0f64);
        for case in 0..2000 {
            let classes = 2 + random.below(30);
            let scale = [1e-4, 0.003, 1.0 / 16.0, 0.5][case % 4];
            let spread = (8.0 / scale) as i32;
            let logits: Vec<i32> = (0..classes).map(|_| random.within(-spread, spread)).collect();
            let label = random.below(classes) as u16;
            let smoothing = random.below(65536) as u16;
            let weights: Vec<f32> =
                (0..classes).map(|_| random.within(0, 400) as f32 / 100.0).collect();
            let weight = f64::from(weights[label as usize]);
            let (e, gamma, loss, _) = smoothed(&logits, scale, label, smoothing, &weights);
            let share = f64::from(smoothing) / 65536.0;
            // Every class has its part of the loss and of the gradient of plain cross-entropy.
            let (mut delta, mut exact_loss) = (vec![0.0; classes], 0.0);
            for k in 0..classes {
                let part = share / classes as f64 + f64::from(k == label as usize) * (1.0 - share);
                let (of_k, loss) = exact(&logits, scale, k as u16);
                exact_loss += weight * part * loss;
                delta.iter_mut().zip(of_k).for_each(|(d, of_k)| *d += weight * part * of_k);
            }
            let unit = gamma as f64 / 128.0;
            let peak = delta.iter().fold(0.0, |a: f64, d| a.max(d.abs()));
            for (e, d) in e.iter().zip(&delta) {
                let off = (*e as f64 * unit - d).abs() - 0.5 * unit;
                worst_gradient = worst_gradient.max(off / weight.max(1.0));
            }
            worst_loss = worst_loss.max((loss as f64 - exact_loss).abs() / weight.max(1.0));
            // Whatever the weight, the error uses the whole range.
            let used = e.iter().map(|e| e.unsigned_abs()).max();
            assert!(used == Some(127) || peak < 1e-4 * weight);
        }
        assert!(worst_gradient < 3e-4, "{worst_gradient}");
        assert!(worst_loss < 1e-3, "{worst_loss}");
    }

    /// Smoothing and weights of nothing are none: to the bit.
    #[test]
    fn weights_of_one_change_nothing() {
        let logits = [300, -2000, 5, 1200];
        let plain = run(&logits, 0.003, 2);
        assert_eq!(smoothed(&logits, 0.003, 2, 0, &[1.0; 4]), plain);
        let (e, gamma, loss, class) = smoothed(&logits, 0.003, 2, 0, &[9.0, 9.0, 2.0, 9.0]);
        assert_eq!((e, gamma, loss, class), (plain.0, 2.0 * plain.1, 2.0 * plain.2, plain.3));
    }

    /// A class that weighs nothing changes nothing.
    #[test]
    fn a_weight_of_zero_leaves_a_class_out() {
        let (_, gamma, loss, _) = smoothed(&[5, 9], 0.1, 0, 6554, &[0.0, 1.0]);
        assert_eq!((gamma, loss), (0.0, 0.0));
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
        let far = [i32::MAX, i32::MIN, i32::MIN];
        let (e, gamma, loss, _) = smoothed(&far, 1.0, 0, u16::MAX, &[]);
        assert_eq!(e, [127, -64, -64]);
        assert!((gamma - 2.0 / 3.0 * 128.0 / 127.0).abs() < 1e-4 && loss > 1e5);
    }

    #[test]
    fn a_label_that_is_no_class_is_refused() {
        let mut bench = Bench::default();
        let op = SoftmaxCrossEntropy {
            logits: bench.arena(&[1i32, 2]),
            error: bench.arena(&[0i8; 2]),
            sixteenths: Multiplier { value: 1 << 30, shift: 0 },
            ..SoftmaxCrossEntropy::default()
        };
        bench.step.label = 2;
        assert_eq!(bench.with(|m| op.run(m)), Err(Fault::Label));
    }
}
