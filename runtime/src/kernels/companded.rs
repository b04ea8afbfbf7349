//! How far a stochastic weight is from the frozen one, in 8 bits: fine near nothing, coarse far from it.
//!
//! Rounding by chance adds noise at every step, and the more the coarser the steps are. Few weights go
//! far in training, and those that do can bear coarser ones. So magnitudes have segments of 32 codes,
//! each with steps twice as long as those of the one before, as speech in telephony has (companding,
//! ITU-T G.711). In units of 2^-[`FRACTION_BITS`] of an int8 step, code `32 k + j` is `(32 + j) 2^k - 32`:
//!
//! | codes | reach, int8 steps | between codes |
//! |---|---|---|
//! | 0 to 31 | 7.75 | 1/4 |
//! | 32 to 63 | 23.5 | 1/2 |
//! | 64 to 95 | 55 | 1 |
//! | 96 to 127 | 118 | 2 |

/// Fraction bits of the finest steps.
pub const FRACTION_BITS: u32 = 2;

/// Fraction bits of a value that is to be rounded, beyond those.
pub const PHASE_BITS: u32 = 16;

/// Codes of a segment, and how many bits those take.
const SEGMENT: u32 = 1 << SEGMENT_BITS;
const SEGMENT_BITS: u32 = 5;

/// The largest magnitude, with what the first segment lies above nothing.
const MOST: u32 = ((2 * SEGMENT - 1) << 3) << PHASE_BITS;

/// The difference that a code stands for, in units of 2^-[`FRACTION_BITS`]: at most 480 up or down.
#[inline]
pub fn expand(code: i8) -> i32 {
    let magnitude = u32::from(code.unsigned_abs());
    let (segment, place) = (magnitude / SEGMENT, magnitude % SEGMENT);
    let value = (((SEGMENT + place) << segment) - SEGMENT) as i32;
    if code < 0 {
        -value
    } else {
        value
    }
}

/// The code of a difference in units of `2^-(FRACTION_BITS + PHASE_BITS)`, rounded up or down by `phase`,
/// which becomes what is left over, in steps of the code's segment. What lies beyond the last code
/// becomes that.
#[inline]
pub fn compress(value: i32, phase: &mut u16) -> i8 {
    // Up is away from nothing for one sign and towards it for the other.
    let mirror = if value < 0 { u16::MAX } else { 0 };
    let magnitude = value.unsigned_abs().saturating_add(SEGMENT << PHASE_BITS).min(MOST);
    let segment = (u32::BITS - 1 - PHASE_BITS - SEGMENT_BITS) - magnitude.leading_zeros();
    let place = (magnitude >> segment) + u32::from(*phase ^ mirror);
    *phase = place as u16 ^ mirror;
    let code = (segment * SEGMENT + (place >> PHASE_BITS) - SEGMENT).min(127) as i8;
    if value < 0 {
        -code
    } else {
        code
    }
}

/// The weight that differs from `frozen` by `code`, rounded to the nearest int8, half up.
#[inline]
pub fn shifted(frozen: i8, code: i8) -> i8 {
    let steps = (expand(code) + (1 << (FRACTION_BITS - 1))) >> FRACTION_BITS;
    (frozen as i32 + steps).clamp(-128, 127) as i8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::Random;

    /// The table of the module's head, by its formula.
    fn real(code: i8) -> f64 {
        let magnitude = f64::from(code.unsigned_abs());
        let segment = (magnitude / 32.0).floor();
        let value = (32.0 + magnitude - 32.0 * segment) * segment.exp2() - 32.0;
        value.copysign(code.into()) / f64::from(1u32 << FRACTION_BITS)
    }

    #[test]
    fn codes_stand_for_what_the_table_says() {
        let unit = f64::from(1u32 << FRACTION_BITS);
        for code in i8::MIN..=i8::MAX {
            assert_eq!(f64::from(expand(code)) / unit, real(code), "{code}");
        }
        for (code, reach) in [(31, 7.75), (63, 23.5), (95, 55.0), (127, 118.0)] {
            assert_eq!(f64::from(expand(code)) / unit, reach);
        }
        assert!((-127..127).all(|code: i8| expand(code) < expand(code + 1)));
    }

    #[test]
    fn codes_come_back_whatever_the_phase() {
        for code in -127..=127 {
            for phase in [0, 1, 0x8000, 0xFFFF] {
                let mut left = phase;
                assert_eq!(compress(expand(code) << PHASE_BITS, &mut left), code);
                assert!(left == phase || code.unsigned_abs() == 127, "{code} {phase}");
            }
        }
    }

    #[test]
    fn values_become_a_code_beside_them() {
        let mut random = Random::new(4);
        for _ in 0..100_000 {
            let value = random.within(expand(-127) << PHASE_BITS, expand(127) << PHASE_BITS);
            let mut phase = random.within(0, 0xFFFF) as u16;
            let code = compress(value, &mut phase);
            let exact = value >> PHASE_BITS;
            let (below, above) = (expand(code.saturating_sub(1)), expand(code.saturating_add(1)));
            assert!((below..=above).contains(&exact), "{value}: {code}");
        }
    }

    #[test]
    fn what_lies_beyond_the_last_code_becomes_that() {
        for (value, code) in [(i32::MAX, 127), (i32::MIN, -127), (480 << PHASE_BITS, 127)] {
            assert_eq!(compress(value, &mut 0xFFFF), code);
            assert_eq!(compress(value, &mut 0), code);
        }
    }

    #[test]
    fn weights_are_frozen_ones_and_a_difference() {
        for frozen in i8::MIN..=i8::MAX {
            assert_eq!(shifted(frozen, 0), frozen);
            for code in i8::MIN..=i8::MAX {
                let exact = (f64::from(frozen) + real(code) + 0.5).floor().clamp(-128.0, 127.0);
                assert_eq!(f64::from(shifted(frozen, code)), exact, "{frozen} {code}");
            }
        }
    }
}
