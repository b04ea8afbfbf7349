//! Recordings at another rate.
//!
//! Band-limited interpolation: every output sample is the sum of input samples around its time,
//! weighted by a sinc that a Hann window ends after [`ZEROS`] zero crossings. The sinc passes what
//! is below half of the lower of both rates. Weights for one time sum to 1. In f64, with `libm`.

use std::collections::BTreeMap;
use std::f64::consts::PI;

/// Zero crossings of the sinc to either side.
pub const ZEROS: usize = 16;

/// `samples` at `to` samples a second, where they were at `from`; both are positive.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == to {
        return samples.to_vec();
    }
    let common = gcd(from, to);
    let (up, down) = (u64::from(to / common), u64::from(from / common));
    let count = (samples.len() as u64 * up).div_ceil(down);
    // Zero crossings per input sample.
    let cutoff = (f64::from(to) / f64::from(from)).min(1.0);
    let reach = (ZEROS as f64 / cutoff).ceil() as i64;
    let mut phases: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    (0..count)
        .map(|n| {
            let (whole, phase) = ((n * down / up) as i64, n * down % up);
            let taps = phases
                .entry(phase)
                .or_insert_with(|| weights(phase as f64 / up as f64, cutoff, reach));
            let first = whole + 1 - reach;
            let sum: f64 = taps
                .iter()
                .enumerate()
                .filter_map(|(k, w)| {
                    let at = usize::try_from(first + k as i64).ok()?;
                    samples.get(at).map(|&x| w * f64::from(x))
                })
                .sum();
            sum as f32
        })
        .collect()
}

/// Weights of the `2 reach` samples around a time that lies `fraction` after one of them.
fn weights(fraction: f64, cutoff: f64, reach: i64) -> Vec<f64> {
    let weight = |k: i64| {
        let crossings = ((k - reach + 1) as f64 - fraction) * cutoff;
        let share = crossings / ZEROS as f64;
        if share.abs() >= 1.0 {
            return 0.0;
        }
        let sinc = match crossings {
            0.0 => 1.0,
            x => libm::sin(PI * x) / (PI * x),
        };
        sinc * (0.5 + 0.5 * libm::cos(PI * share))
    };
    let taps: Vec<f64> = (0..2 * reach).map(weight).collect();
    let sum: f64 = taps.iter().sum();
    taps.iter().map(|w| w / sum).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    match b {
        0 => a,
        _ => gcd(b, a % b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    fn tone(hz: f64, rate: u32, len: usize) -> Vec<f32> {
        (0..len).map(|i| (TAU * hz * i as f64 / f64::from(rate)).sin() as f32).collect()
    }

    #[test]
    fn tones_keep_their_shape() {
        for (from, to) in [(8_000, 16_000), (44_100, 16_000), (48_000, 16_000), (22_050, 16_000)] {
            for hz in [100.0, 1_000.0, 3_000.0] {
                let len = from as usize / 2;
                let out = resample(&tone(hz, from, len), from, to);
                assert_eq!(out.len(), (len * to as usize).div_ceil(from as usize));
                let exact = tone(hz, to, out.len());
                // Away from the ends, where the recording begins and stops.
                for i in 100..out.len() - 100 {
                    assert!((out[i] - exact[i]).abs() < 2e-3, "{from} {to} {hz}: {i}");
                }
            }
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        // The window's slope is an eighth of the band wide on either side of its end.
        let out = resample(&tone(11_000.0, 44_100, 22_050), 44_100, 16_000);
        let loudest = out[100..out.len() - 100].iter().fold(0f32, |m, x| m.max(x.abs()));
        assert!(loudest < 2e-3, "{loudest}");
    }

    #[test]
    fn a_constant_stays() {
        let out = resample(&[0.5; 1000], 44_100, 8_000);
        assert!(out[40..out.len() - 40].iter().all(|x| (x - 0.5).abs() < 1e-6));
    }
}
