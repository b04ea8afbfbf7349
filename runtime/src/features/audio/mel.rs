//! Mel scales.

use super::spec::MelScale;

/// Slaney's scale: mels per hertz below the knee, the knee in mels, its frequency.
const LINEAR: f64 = 3.0 / 200.0;
const KNEE: f64 = 15.0;
const KNEE_HZ: f64 = 1000.0;
/// And above it: 27 mels for a factor of 6.4.
const FACTOR: f64 = 6.4;
const STEPS: f64 = 27.0;

impl MelScale {
    /// Hertz to mels.
    pub(super) fn mels(self, hz: f64) -> f64 {
        match self {
            MelScale::Htk => 2595.0 * libm::log10(1.0 + hz / 700.0),
            MelScale::Slaney if hz < KNEE_HZ => hz * LINEAR,
            MelScale::Slaney => KNEE + STEPS * libm::log(hz / KNEE_HZ) / libm::log(FACTOR),
        }
    }

    /// Mels to hertz.
    pub(super) fn hertz(self, mels: f64) -> f64 {
        match self {
            MelScale::Htk => 700.0 * (libm::pow(10.0, mels / 2595.0) - 1.0),
            MelScale::Slaney if mels < KNEE => mels / LINEAR,
            MelScale::Slaney => KNEE_HZ * libm::exp((mels - KNEE) * libm::log(FACTOR) / STEPS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_agree() {
        for scale in [MelScale::Htk, MelScale::Slaney] {
            for hz in [0.0, 20.0, 440.0, 999.0, 1000.0, 1001.0, 7600.0, 22_050.0] {
                assert!((scale.hertz(scale.mels(hz)) - hz).abs() < 1e-9 * (1.0 + hz));
            }
        }
    }

    #[test]
    fn known_values() {
        // The scales' own anchors, and librosa's documentation of `hz_to_mel`.
        assert!((MelScale::Htk.mels(1000.0) - 999.985_5).abs() < 1e-3);
        assert!((MelScale::Slaney.mels(60.0) - 0.9).abs() < 1e-12);
        assert!((MelScale::Slaney.mels(440.0) - 6.6).abs() < 1e-12);
        assert!((MelScale::Slaney.mels(6400.0) - 42.0).abs() < 1e-9);
    }
}
