//! Rules of update that the product does not have.

/// Fraction bits of a weight.
const ONE: f64 = 256.0;

/// As the product limits steps.
const CLIP: f64 = 4.0;

/// Rounds to the nearest int8, saturating; what rounds away is lost.
pub fn nearest(weight: i16, step: f64) -> i16 {
    let exact = f64::from(weight) / ONE - step.clamp(-CLIP, CLIP);
    (exact.round().clamp(-127.0, 127.0) as i16) << 8
}

/// As a C compiler turns a float into an int8: the result, not the step, is truncated toward zero,
/// and what leaves the range wraps. Weights decay.
pub fn truncating(weight: i16, step: f64) -> i16 {
    let exact = f64::from(weight) / ONE - step;
    i16::from(exact as i32 as i8) << 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_loses_small_steps() {
        assert_eq!(nearest(5 << 8, 0.4), 5 << 8);
        assert_eq!(nearest(5 << 8, 0.6), 4 << 8);
        assert_eq!(nearest(5 << 8, 100.0), 1 << 8);
        assert_eq!(nearest(126 << 8, -3.0), 127 << 8);
    }

    #[test]
    fn truncating_decays_and_wraps() {
        assert_eq!(truncating(5 << 8, 1e-9), 4 << 8);
        assert_eq!(truncating(-5 << 8, -1e-9), -4 << 8);
        assert_eq!(truncating(5 << 8, -1e-9), 5 << 8);
        assert_eq!(truncating(127 << 8, -5.0), -124 << 8);
        assert_eq!(truncating(7 << 8, 0.0), 7 << 8);
    }
}
