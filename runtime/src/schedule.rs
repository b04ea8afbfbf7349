//! Learning rates: what rate a step of a round of known length takes.

/// Rate of `step` (from 0) of `steps`: a half cosine from `base` to 0.
pub fn cosine(base: f32, step: u32, steps: u32) -> f32 {
    let share = step as f32 / steps.max(1) as f32;
    base * 0.5 * (1.0 + libm::cosf(core::f32::consts::PI * share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn falls_from_base_to_nothing() {
        assert_eq!(cosine(0.01, 0, 100), 0.01);
        assert!((cosine(0.01, 50, 100) - 0.005).abs() < 1e-8);
        assert!(cosine(0.01, 99, 100) < 1e-5);
        assert!((0..99).all(|s| cosine(1.0, s, 100) > cosine(1.0, s + 1, 100)));
    }
}
