//! Fixed-point arithmetic: Q31 multipliers as TensorFlow Lite defines them, and rounding shifts.

/// A positive real factor `value * 2^(shift - 31)`, `value` in `[2^30, 2^31)` or 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Multiplier {
    /// Q31 mantissa; 0 multiplies everything to 0.
    pub value: i32,
    /// Power of two: positive is left.
    pub shift: i32,
}

impl Multiplier {
    /// The nearest multiplier to `factor`, which is at least 0 and finite; anything else, and what
    /// is too small to matter (below 2^-62), becomes 0, and what is too large saturates at 2^30.
    /// Rounds the mantissa as TensorFlow Lite's `QuantizeMultiplier`.
    pub fn from_f64(factor: f64) -> Multiplier {
        if !(factor > 0.0 && factor.is_finite()) {
            return Multiplier::default();
        }
        let (mantissa, exponent) = libm::frexp(factor);
        let mut value = libm::round(mantissa * 2_147_483_648.0) as i64;
        let mut shift = exponent;
        if value == 1 << 31 {
            value >>= 1;
            shift += 1;
        }
        if shift < -31 {
            return Multiplier::default();
        }
        if shift > 30 {
            return Multiplier { value: i32::MAX, shift: 30 };
        }
        Multiplier { value: value as i32, shift }
    }

    /// The factor, to f32's precision.
    pub fn to_f32(self) -> f32 {
        libm::ldexpf(self.value as f32, self.shift - 31)
    }

    /// As [`Multiplier::from_f64`], from the bits of an f32 alone: exact, and the same on every
    /// core. Negative, NaN and infinite factors give 0, 0 and saturation. Keeps factors down to
    /// 2^-62, which [`Multiplier::scale_wide`] understands.
    pub fn from_f32(factor: f32) -> Multiplier {
        let bits = factor.to_bits();
        if factor.is_nan() || bits >> 31 != 0 || factor < 2.17e-19 {
            return Multiplier::default();
        }
        let exponent = (bits >> 23) as i32 - 126;
        if exponent > 30 {
            return Multiplier { value: i32::MAX, shift: 30 };
        }
        let mantissa = (bits & 0x7F_FFFF) | 0x80_0000;
        Multiplier { value: (mantissa << 7) as i32, shift: exponent }
    }

    /// `round(x * factor)`: TensorFlow Lite's `MultiplyByQuantizedMultiplier` with its two
    /// roundings (doubling high multiply, then a rounding shift), saturating where that overflows.
    #[inline]
    pub fn scale(self, x: i32) -> i32 {
        let left = if self.shift > 0 { self.shift as u32 } else { 0 };
        let right = if self.shift > 0 { 0 } else { -self.shift };
        let shifted = if left == 0 { x } else { saturate((x as i64) << left) };
        shift_right_rounding(doubling_high_mul(shifted, self.value), right as u32)
    }

    /// `round(x * factor * 2^bits)` in one rounding, half away from zero, saturated to i32.
    #[inline]
    pub fn scale_wide(self, x: i32, bits: i32) -> i32 {
        let product = x as i64 * self.value as i64;
        let right = 31 - self.shift - bits;
        if right <= 0 {
            return saturate(product.saturating_mul(1i64 << (-right).min(31)));
        }
        if right > 62 {
            return 0;
        }
        let half = 1i64 << (right - 1);
        saturate((product + half + (product >> 63)) >> right)
    }

    /// `x * factor * 2^bits`, rounded up with the probability that `dither` gives, so that it is right in
    /// the mean; saturated to i32.
    #[inline]
    pub fn scale_dithered(self, x: i32, bits: i32, dither: u16) -> i32 {
        let right = 31 - self.shift - bits;
        if right <= 0 {
            return self.scale_wide(x, bits);
        }
        // Below 2^62: a further shift leaves room for the dither, and a sign that rounds to 0 or -1.
        let product = (x as i64 * self.value as i64) >> (right - 62).clamp(0, 63);
        let right = right.min(62) as u32;
        let dither = if right > 16 {
            (dither as i64) << (right - 16)
        } else {
            dither as i64 >> (16 - right)
        };
        saturate((product + dither) >> right)
    }
}

/// `round(a * b / 2^31)`, saturating: gemmlowp's `SaturatingRoundingDoublingHighMul`.
#[inline]
pub fn doubling_high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    ((a as i64 * b as i64 + (1i64 << 30)) >> 31) as i32
}

/// `round(x / 2^bits)`, half away from zero: gemmlowp's `RoundingDivideByPOT`. `bits <= 31`.
#[inline]
pub fn shift_right_rounding(x: i32, bits: u32) -> i32 {
    // What is shifted out, against half of it: a tie moves away from zero. Stays in 32 bits.
    let bits = bits.min(31);
    let lost = x & ((1u32 << bits) - 1) as i32;
    let half = (((1u32 << bits) - 1) >> 1) as i32 + (x < 0) as i32;
    (x >> bits) + (lost > half) as i32
}

/// `round(x * 2^-bits)`, half away from zero, for either sign of `bits`; saturates.
#[inline]
pub fn shift_rounding(x: i32, bits: i32) -> i32 {
    if bits > 31 {
        0
    } else if bits >= 0 {
        shift_right_rounding(x, bits as u32)
    } else {
        saturate((x as i64) << (-bits).min(31))
    }
}

/// Clamps to the range of i32.
#[inline]
pub fn saturate(x: i64) -> i32 {
    x.clamp(i32::MIN as i64, i32::MAX as i64) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipliers_agree_with_real_arithmetic() {
        for factor in [1.0, 0.5, 0.000_123, 0.999_999_9, 3.75, 1e-6] {
            let m = Multiplier::from_f64(factor);
            for x in [0, 1, -1, 12_345, -98_765, 4_000_000] {
                let exact = x as f64 * factor;
                assert!((m.scale(x) as f64 - exact).abs() <= 1.0, "{x} * {factor}");
                assert_eq!(m.scale_wide(x, 0) as f64, exact.abs().round().copysign(exact));
            }
        }
    }

    #[test]
    fn dithered_products_are_right_in_the_mean() {
        let mut random = crate::random::Xorshift::new(5);
        for (factor, x, bits) in
            [(0.3, 1, 0), (0.3, -1, 0), (1e-3, 77, 4), (0.7, -9, 1), (3.0, 5, 0)]
        {
            let m = Multiplier::from_f64(factor);
            let trials = 100_000;
            let all = (0..trials).map(|_| i64::from(m.scale_dithered(x, bits, random.bits16())));
            let mean = all.sum::<i64>() as f64 / trials as f64;
            let exact = factor * x as f64 * f64::from(bits).exp2();
            assert!((mean - exact).abs() < 0.008, "{exact}: {mean}");
        }
        let m = Multiplier::from_f32(0.5);
        for dither in [0, u16::MAX] {
            assert_eq!(m.scale_dithered(i32::MAX, -100, dither), 0);
            assert_eq!(m.scale_dithered(i32::MAX, 40, dither), i32::MAX);
            assert_eq!(m.scale_dithered(i32::MIN, 40, dither), i32::MIN);
            assert_eq!(m.scale_dithered(0, 7, dither), 0);
        }
    }

    #[test]
    fn degenerate_factors_become_zero_or_saturate() {
        assert_eq!(Multiplier::from_f64(0.0).scale(1000), 0);
        assert_eq!(Multiplier::from_f64(f64::NAN).scale(1000), 0);
        assert_eq!(Multiplier::from_f64(1e-30).scale(i32::MAX), 0);
        assert_eq!(Multiplier::from_f32(1e-30).scale_wide(i32::MAX, 0), 0);
        assert_eq!(Multiplier::from_f32(f32::INFINITY).scale_wide(2, 0), i32::MAX);
        assert_eq!(Multiplier::from_f32(-1.0).scale_wide(2, 0), 0);
        assert_eq!(Multiplier::from_f32(f32::NAN).scale_wide(2, 0), 0);
    }

    #[test]
    fn from_f32_is_exact() {
        for factor in [1.0f32, 0.1, 7.25e-5, 123.456] {
            let m = Multiplier::from_f32(factor);
            let back = m.value as f64 * (m.shift as f64 - 31.0).exp2();
            assert_eq!(back, factor as f64);
        }
    }

    #[test]
    fn shifts_round_half_away_from_zero() {
        assert_eq!(shift_rounding(5, 1), 3);
        assert_eq!(shift_rounding(-5, 1), -3);
        assert_eq!(shift_rounding(-6, 2), -2);
        assert_eq!(shift_rounding(6, 2), 2);
        assert_eq!(shift_rounding(3, -2), 12);
        assert_eq!(shift_rounding(i32::MAX, -4), i32::MAX);
        assert_eq!(shift_rounding(i32::MIN, 40), 0);
    }
}
