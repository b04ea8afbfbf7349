//! What holds of every update, over many random draws.

use super::rule::{Pace, Stride};
use crate::kernels::companded::{expand, FRACTION_BITS};
use crate::kernels::testing::Random;
use crate::random::Xorshift;

const DRAWS: usize = 1_000_000;

/// A real number in [0, 1).
fn share(random: &mut Random) -> f64 {
    f64::from(random.within(0, 0xFFFF)) / 65536.0
}

/// The difference from the frozen weight that a code stands for, in int8 steps.
fn steps(code: i8) -> f64 {
    f64::from(expand(code)) / f64::from(1 << FRACTION_BITS)
}

/// A stride under which a sum of 1 is a step of `size`, and what that is to the last bit.
fn stride(size: f64) -> (Stride, f64) {
    let size = size as f32;
    (Pace::at(size, 0).times(1.0), f64::from(size))
}

/// Rounding by chance is right on average. An outcome is off by a Bernoulli variable, whose
/// deviation is at most half of what codes are apart, 2 steps at most, so the mean of n of them has one
/// of at most `1 / sqrt(n)`; five of those are exceeded once in 1.7 million. Dither has 16 bits, and
/// so many a value has where codes are nearest, hence `2^-14` more.
#[test]
fn stochastic_rounding_is_unbiased() {
    let (mut random, mut dither) = (Random::new(1), Xorshift::new(9));
    let bound = 5.0 / (DRAWS as f64).sqrt() + 1.0 / 16384.0;
    for largest in [3.9, 0.5, 0.05, 0.002] {
        let mut off = [0.0; 2];
        for draw in 0..DRAWS {
            let (stride, size) = stride(largest * share(&mut random));
            let code = random.within(-120, 120) as i8;
            let sum = if draw % 2 == 0 { 1 } else { -1 };
            let after = stride.stochastic(code, sum, &mut dither.bits16());
            let moved = steps(code) - steps(after);
            off[draw % 2] += moved - size * f64::from(sum);
        }
        // Up and down alone, so that they cannot make up for each other.
        for off in off {
            let mean = off / (DRAWS / 2) as f64;
            assert!(mean.abs() < bound * 2f64.sqrt(), "steps up to {largest}: {mean} {bound}");
        }
    }
}

/// Along a row each weight is right in the mean, and so is the sum of its steps, in every single step: of
/// weights whose codes are equally far apart, here a quarter of a step, it is off by less than that.
#[test]
fn rows_of_stochastic_weights_step_by_their_sum() {
    const ROW: usize = 64;
    let (mut random, mut dither) = (Random::new(6), Xorshift::new(11));
    let trials = DRAWS / ROW;
    let strides: Vec<(Stride, f64)> =
        (0..ROW).map(|_| stride(share(&mut random) * share(&mut random))).collect();
    let sums: Vec<i32> = (0..ROW).map(|_| [-1, 1, 1][random.within(0, 2) as usize]).collect();
    let exact = |j: usize| strides[j].1 * f64::from(sums[j]);
    let wanted: f64 = (0..ROW).map(exact).sum();
    let mut moved = [0.0; ROW];
    for _ in 0..trials {
        let mut phase = dither.bits16();
        let mut row = 0.0;
        for (j, moved) in moved.iter_mut().enumerate() {
            let step = steps(5) - steps(strides[j].0.stochastic(5, sums[j], &mut phase));
            *moved += step;
            row += step;
        }
        // A step is rounded to 2^-18 first.
        assert!((row - wanted).abs() < 0.25 + ROW as f64 / 524_288.0, "{row} {wanted}");
    }
    let bound = 5.0 * 0.125 / (trials as f64).sqrt() + 1.0 / 65536.0;
    for (j, moved) in moved.into_iter().enumerate() {
        let mean = moved / trials as f64;
        assert!((mean - exact(j)).abs() < bound, "{j}: {mean} {}", exact(j));
    }
}

/// Rounding to the nearest 1/256 is off by at most half of that, evenly to both sides: the mean of n
/// has a deviation of `1 / (256 sqrt(12 n))`. Of biases, in whole steps, `1 / sqrt(12 n)`.
#[test]
fn nearest_rounding_is_unbiased() {
    let mut random = Random::new(2);
    let (mut weights, mut biases) = (0.0, 0.0);
    for _ in 0..DRAWS {
        let (weight_stride, size) = stride(3.9 * share(&mut random));
        let sum = if random.within(0, 1) == 0 { 1 } else { -1 };
        let m = random.within(-30000, 30000) as i16;
        let moved = f64::from(m) - f64::from(weight_stride.residual(m, sum));
        let off = moved - 256.0 * size * f64::from(sum);
        assert!(off.abs() <= 0.5, "{off}");
        weights += off / 256.0;

        let (bias_stride, size) = stride(900.0 * share(&mut random));
        let b = random.within(-30000, 30000);
        let off = f64::from(b) - f64::from(bias_stride.bias(b, sum)) - size * f64::from(sum);
        assert!(off.abs() <= 0.5, "{off}");
        biases += off;
    }
    let bound = 5.0 / (12.0 * DRAWS as f64).sqrt();
    assert!((weights / DRAWS as f64).abs() < bound / 256.0, "{weights}");
    assert!((biases / DRAWS as f64).abs() < bound, "{biases}");
}

/// Whatever the sum and the size of the step, a value moves against its gradient or stays, a weight
/// by at most four steps, and stops at the end of its range.
#[test]
fn saturation_never_wraps() {
    let mut random = Random::new(3);
    let ends = [i32::MIN, -1, 1, i32::MAX];
    let against = |sum: i32, moved: i64| moved == 0 || (moved < 0) == (sum > 0);
    for draw in 0..DRAWS {
        let bits = random.within(-60, 60) as f32;
        let pace = Pace::at(libm::exp2f(bits), random.within(-100, 100));
        let stride = pace.times(random.within(1, 1000) as f32);
        let sum = match draw % 2 {
            0 => ends[random.within(0, 3) as usize],
            _ => random.within(-1_000_000, 1_000_000),
        };
        let near_end = |random: &mut Random, ends: [i32; 2]| match random.within(0, 2) {
            0 => ends[0] + random.within(0, 3),
            1 => ends[1] - random.within(0, 3),
            _ => random.within(ends[0], ends[1]),
        };
        let m = near_end(&mut random, [-32640, 32639]);
        let after = i32::from(stride.residual(m as i16, sum));
        assert!((-32640..=32639).contains(&after) && (after - m).abs() <= 4 * 256);
        assert!(against(sum, i64::from(after - m)), "{m} {after} {sum}");

        let code = near_end(&mut random, [-127, 127]) as i8;
        let mut phase = random.within(0, 0xFFFF) as u16;
        let after = stride.stochastic(code, sum, &mut phase);
        // Four steps, and what rounding to codes that are two apart adds.
        assert!(after >= -127 && (steps(after) - steps(code)).abs() < 6.0);
        assert!(against(sum, i64::from(after) - i64::from(code)), "{code} {after} {sum}");

        let b = near_end(&mut random, [i32::MIN, i32::MAX]);
        let moved = i64::from(stride.bias(b, sum)) - i64::from(b);
        assert!(against(sum, moved), "{b} {moved} {sum}");
    }
}

/// No gradient, no step: at any rate, and whatever the dither.
#[test]
fn a_gradient_of_zero_changes_nothing() {
    let mut random = Random::new(4);
    for _ in 0..DRAWS {
        let pace = Pace::at(random.within(0, i32::MAX) as f32, random.within(-100, 100));
        let stride = pace.times(random.within(0, 1000) as f32);
        let (m, w) = (random.within(-32640, 32639) as i16, random.within(-127, 127) as i8);
        let b = random.within(i32::MIN, i32::MAX);
        assert_eq!(stride.residual(m, 0), m);
        let phase = random.within(0, 0xFFFF) as u16;
        let mut next = phase;
        assert_eq!((stride.stochastic(w, 0, &mut next), next), (w, phase));
        assert_eq!(stride.bias(b, 0), b);
    }
}
