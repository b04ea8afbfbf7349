//! int8 softmax in fixed point, to the bit what TensorFlow Lite's reference kernel gives: but for
//! rows whose exponentials sum to 512 or more, where that kernel shifts by more than 31 bits and
//! this one rounds to nothing.
//!
//! Numbers are named by their integer bits: `q0` is a fraction with 31 bits behind the point,
//! `q5` has 26, `q12` (the sum of exponentials) 19. A product of `qa` and `qb` is `q(a+b)`.

use crate::fixed::{doubling_high_mul as mul, shift_right_rounding, shift_rounding};
use crate::kernels::ensure;
use crate::machine::{typed, typed_mut};
use crate::program::op::Softmax;
use crate::{Fault, Machine};

/// Integer bits of the sum of exponentials.
const SUM_BITS: i32 = 12;

impl Softmax {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let depth = self.depth as usize;
        let ([x], [y]) = m.arena.split([self.input], [self.output])?;
        let x: &[i8] = typed(x)?;
        let y: &mut [i8] = typed_mut(y)?;
        ensure(x.len() == y.len() && depth > 0 && x.len().is_multiple_of(depth))?;
        for (x, y) in x.chunks_exact(depth).zip(y.chunks_exact_mut(depth)) {
            self.row(x, y);
        }
        Ok(())
    }

    fn row(&self, x: &[i8], y: &mut [i8]) {
        let greatest = x.iter().copied().max().unwrap_or_default() as i32;
        // Exponential of an element as q0; nothing where it is too small to matter.
        let exponential = |x: i8| {
            let difference = x as i32 - greatest;
            let kept = difference >= self.diff_min;
            kept.then(|| exp_of_negative(self.scale.scale(difference)))
        };
        let mut sum = 0i32;
        for e in x.iter().filter_map(|&x| exponential(x)) {
            sum = sum.saturating_add(shift_right_rounding(e, SUM_BITS as u32));
        }
        // sum = (1 + fraction) * 2^over in real units.
        let zeros = sum.leading_zeros();
        let over = SUM_BITS - zeros as i32;
        let fraction = sum.wrapping_shl(zeros) & i32::MAX;
        let scale = reciprocal_of_one_plus(fraction);
        for (y, &x) in y.iter_mut().zip(x) {
            *y = match exponential(x) {
                Some(e) => {
                    let share = shift_rounding(mul(scale, e), over + 31 - 8);
                    share.saturating_add(i8::MIN as i32).clamp(-128, 127) as i8
                }
                None => i8::MIN,
            };
        }
    }
}

/// `exp(a)` as q0 for a q5 `a <= 0`.
///
/// `a` is split into a part in [-1/4, 0), for which a Taylor series around -1/8 does, and a
/// multiple of 1/4, whose bits each contribute a constant factor.
fn exp_of_negative(a: i32) -> i32 {
    /// `exp(-2^n)` as q0, n from -2 to 4.
    const FACTORS: [i32; 7] =
        [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];
    const QUARTER: i32 = 1 << 24;
    if a == 0 {
        return i32::MAX;
    }
    let small = (a & (QUARTER - 1)) - QUARTER;
    let steps = small.wrapping_sub(a);
    let mut result = exp_near_zero(small << 5);
    for (n, &factor) in FACTORS.iter().enumerate() {
        if steps >> (24 + n) & 1 == 1 {
            result = mul(result, factor);
        }
    }
    result
}

/// `exp(a)` as q0 for a q0 `a` in [-1/4, 0): five terms of the series around -1/8.
fn exp_near_zero(a: i32) -> i32 {
    const EXP_MINUS_EIGHTH: i32 = 1_895_147_668;
    const THIRD: i32 = 715_827_883;
    let x = a.wrapping_add(1 << 28);
    let x2 = mul(x, x);
    let x3 = mul(x2, x);
    let x4 = mul(x2, x2);
    let cubic = mul(shift_right_rounding(x4, 2).wrapping_add(x3), THIRD);
    let tail = shift_right_rounding(cubic.wrapping_add(x2), 1);
    EXP_MINUS_EIGHTH.wrapping_add(mul(EXP_MINUS_EIGHTH, x.wrapping_add(tail)))
}

/// `1 / (1 + x)` as q0 for a q0 `x` in [0, 1): three Newton steps for the reciprocal of
/// `(1 + x) / 2`, in q2.
fn reciprocal_of_one_plus(x: i32) -> i32 {
    const Q2_ONE: i32 = 1 << 29;
    const Q2_48_17THS: i32 = 1_515_870_810;
    const Q2_MINUS_32_17THS: i32 = -1_010_580_540;
    // Of two numbers that are at least 0: halves round up.
    let half = ((x as i64 + i32::MAX as i64 + 1) / 2) as i32;
    let mut y = Q2_48_17THS.wrapping_add(mul(half, Q2_MINUS_32_17THS));
    for _ in 0..3 {
        let rest = Q2_ONE.wrapping_sub(mul(half, y));
        y = y.wrapping_add(shift_rounding(mul(y, rest), -2));
    }
    // y / 2 from q2 to q0.
    shift_rounding(y, -1)
}

#[cfg(test)]
mod tests {
    use crate::fixed::Multiplier;
    use crate::kernels::testing::{Bench, Random};
    use crate::program::op::Softmax;

    fn softmax(x: &[i8], depth: usize, scale: f64) -> Vec<i8> {
        let mut bench = Bench::default();
        let scale = Multiplier::from_f64((scale * f64::from(1 << 26)).min(2_147_483_647.0));
        let op = Softmax {
            input: bench.arena(x),
            output: bench.room(x.len()),
            depth: depth as u16,
            scale,
            diff_min: -(31.0 * f64::from(1 << 26) / 2f64.powi(scale.shift)).floor() as i32,
        };
        bench.run(op);
        bench.read(op.output)
    }

    /// What TensorFlow Lite 2.15's reference kernel gives.
    #[test]
    fn equals_the_reference_kernel() {
        let x = [13, 13, -10, -25, 0, -26, -4, 9, -21, 0];
        let y = [-56, -56, -121, -126, -108, -127, -115, -80, -126, -108];
        assert_eq!(softmax(&x, 10, 1_717_986_944.0 / 2f64.powi(34)), y);
        let x = [24, -114, -52, -69, 106, 9, -24, -16, 15];
        let y = [72, -115, -84, -121, 90, -97, -69, -59, 0];
        assert_eq!(softmax(&x, 3, 1_374_389_632.0 / 2f64.powi(36)), y);
        let x = [120, 126, -44, 29, -94, -34, 5, 4, -23, -8];
        let y = [-42, -38, -105, -87, -113, -86, -70, -71, -82, -76];
        assert_eq!(softmax(&x, 5, 1_099_511_552.0 / 2f64.powi(37)), y);
    }

    #[test]
    fn stays_within_half_a_step_of_real_softmax() {
        for seed in 0..50 {
            let r = &mut Random::new(seed);
            let (depth, scale) = (1 + r.below(60), [0.004, 0.05, 0.3, 2.0][r.below(4)]);
            let x = r.int8(depth * 3);
            let y = softmax(&x, depth, scale);
            for (x, y) in x.chunks(depth).zip(y.chunks(depth)) {
                let exponentials: Vec<f64> = x.iter().map(|&x| (x as f64 * scale).exp()).collect();
                let sum: f64 = exponentials.iter().sum();
                for (e, &y) in exponentials.iter().zip(y) {
                    let real = (256.0 * e / sum).min(255.0);
                    assert!((y as f64 + 128.0 - real).abs() < 0.52, "seed {seed}");
                }
            }
        }
    }

    /// Many equal scores: shares below a step round to nothing.
    #[test]
    fn long_rows_do_not_wrap() {
        assert!(softmax(&[7; 1000], 1000, 0.01).iter().all(|&y| y == -128));
        assert!(softmax(&[7; 4000], 4000, 0.01).iter().all(|&y| y == -128));
    }
}
