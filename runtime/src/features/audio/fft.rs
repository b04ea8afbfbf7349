//! The Fourier transform of real samples: one of half the size over complex numbers, in place.

/// A quarter of a cosine's period, both ends included: all twiddles follow from it by symmetry.
#[derive(Clone, Copy)]
pub(super) struct Twiddles<'t> {
    quarter: &'t [f32],
}

impl<'t> Twiddles<'t> {
    /// Over `cos(2 pi k / n)` for `k` in `0..=n / 4`.
    pub(super) fn new(quarter: &'t [f32]) -> Self {
        Twiddles { quarter }
    }

    /// Cosine and sine of `2 pi k / n` for `k` from 0 to `n / 4`, every `step`th.
    #[inline]
    fn pairs(self, step: usize) -> impl Iterator<Item = (f32, f32)> + 't {
        let (cosines, sines) = (self.quarter.iter(), self.quarter.iter().rev());
        cosines.step_by(step.max(1)).zip(sines.step_by(step.max(1))).map(|(&c, &s)| (c, s))
    }
}

/// Puts real samples `2 k` and `2 k + 1`, which are given in order, where the transform wants
/// them: as complex number `k`, in bit-reversed order. `buffer` holds as many values as the
/// transform, a power of two of at least 16; samples that do not come are zeros.
pub(super) fn load(buffer: &mut [f32], mut samples: impl Iterator<Item = f32>) {
    let half = buffer.len() / 2;
    let unused = usize::BITS - half.trailing_zeros();
    let (numbers, _) = buffer.as_chunks_mut::<2>();
    for k in 0..half {
        let number = [samples.next().unwrap_or(0.0), samples.next().unwrap_or(0.0)];
        if let Some(to) = numbers.get_mut(k.reverse_bits() >> unused) {
            *to = number;
        }
    }
}

/// The power spectrum of what [`load`] put into `buffer`, in place: bin `k` comes to lie at index
/// `2 k`, and the last one at index 1.
pub(super) fn power(buffer: &mut [f32], twiddles: Twiddles<'_>) {
    complex(buffer, twiddles);
    let square = |re: f32, im: f32| re * re + im * im;
    let (numbers, _) = buffer.as_chunks_mut::<2>();
    let half = numbers.len();
    let Some(first) = numbers.first_mut() else { return };
    let [re, im] = *first;
    *first = [square(re + im, 0.0), square(re - im, 0.0)];
    for (low, (cosine, sine)) in (1..=half / 2).zip(twiddles.pairs(1).skip(1)) {
        let high = half - low;
        let (Some(&[a, b]), Some(&[c, d])) = (numbers.get(low), numbers.get(high)) else { return };
        // Transforms of the even samples and of the odd ones, each hermitian.
        let (even_re, even_im) = (0.5 * (a + c), 0.5 * (b - d));
        let (odd_re, odd_im) = (0.5 * (b + d), 0.5 * (c - a));
        let (re, im) = (cosine * odd_re + sine * odd_im, cosine * odd_im - sine * odd_re);
        // The last time they are the same.
        let powers =
            [(low, square(even_re + re, even_im + im)), (high, square(even_re - re, even_im - im))];
        for (at, power) in powers {
            if let Some([to, _]) = numbers.get_mut(at) {
                *to = power;
            }
        }
    }
}

/// Decimation in time over numbers in bit-reversed order: radix 2, but for the first two stages at
/// once, which multiply by nothing.
fn complex(buffer: &mut [f32], twiddles: Twiddles<'_>) {
    let n = buffer.len();
    for block in buffer.as_chunks_mut::<8>().0 {
        let [a, b, c, d, e, f, g, h] = *block;
        let (sum, difference) = ((a + c, b + d), (a - c, b - d));
        let (other, turned) = ((e + g, f + h), (f - h, g - e));
        *block = [
            sum.0 + other.0,
            sum.1 + other.1,
            difference.0 + turned.0,
            difference.1 + turned.1,
            sum.0 - other.0,
            sum.1 - other.1,
            difference.0 - turned.0,
            difference.1 - turned.1,
        ];
    }
    let mut span = 8;
    while span < n {
        for block in buffer.chunks_exact_mut((2 * span).max(1)) {
            // A quarter turn on, cosine and sine change places: one pair serves two butterflies.
            let mut quarters = block.chunks_exact_mut((span / 2).max(1));
            let [low, low_on, high, high_on] =
                [(); 4].map(|()| quarters.next().unwrap_or_default().as_chunks_mut::<2>().0);
            let first = low.iter_mut().zip(high);
            let second = low_on.iter_mut().zip(high_on);
            for (((a, b), (c, d)), (cosine, sine)) in
                first.zip(second).zip(twiddles.pairs(n / span))
            {
                butterfly(a, b, cosine, -sine);
                butterfly(c, d, -sine, -cosine);
            }
        }
        span *= 2;
    }
}

/// `a, b` to `a + w b, a - w b`.
#[inline]
fn butterfly(a: &mut [f32; 2], b: &mut [f32; 2], w_re: f32, w_im: f32) {
    let (re, im) = (b[0] * w_re - b[1] * w_im, b[0] * w_im + b[1] * w_re);
    (b[0], b[1]) = (a[0] - re, a[1] - im);
    (a[0], a[1]) = (a[0] + re, a[1] + im);
}

#[cfg(test)]
mod tests {
    use super::super::tables;
    use super::*;
    use crate::random::Xorshift;
    use std::f64::consts::TAU;

    fn spectrum(samples: &[f32], n: usize) -> Vec<f32> {
        let mut quarter = vec![0.0; n / 4 + 1];
        tables::quarter(&mut quarter);
        let mut buffer = vec![0.0; n];
        load(&mut buffer, samples.iter().copied());
        power(&mut buffer, Twiddles::new(&quarter));
        (0..n / 2).map(|k| buffer[2 * k]).chain([buffer[1]]).collect()
    }

    /// Against the definition, as magnitudes: f32 loses at most 1e-6 of what all samples together
    /// could give.
    #[test]
    fn agrees_with_the_definition() {
        let mut random = Xorshift::new(11);
        for n in [16, 32, 64, 256, 512, 2048] {
            for len in [n, n - 5, n / 2 + 1, 1] {
                let samples: Vec<f32> =
                    (0..len).map(|_| f32::from(random.bits16() as i16) / 32768.0).collect();
                let most: f64 = samples.iter().map(|&x| f64::from(x).abs()).sum();
                for (k, &found) in spectrum(&samples, n).iter().enumerate() {
                    let (mut re, mut im) = (0.0, 0.0);
                    for (i, &x) in samples.iter().enumerate() {
                        let angle = TAU * ((i * k) % n) as f64 / n as f64;
                        re += f64::from(x) * angle.cos();
                        im -= f64::from(x) * angle.sin();
                    }
                    let (exact, found) = (re.hypot(im), f64::from(found).sqrt());
                    assert!((found - exact).abs() < 1e-6 * most, "{n} {len} bin {k}");
                }
            }
        }
    }

    #[test]
    fn a_tone_lies_in_its_bin_alone() {
        let n = 512;
        for bin in [1, 7, 128, 255] {
            let tone = |i: usize| (TAU * (i * bin % n) as f64 / n as f64).cos() as f32;
            let samples: Vec<f32> = (0..n).map(tone).collect();
            let spectrum = spectrum(&samples, n);
            assert!((spectrum[bin].sqrt() - 256.0).abs() < 1e-3);
            let rest: f32 = spectrum.iter().sum::<f32>() - spectrum[bin];
            assert!(rest / spectrum[bin] < 1e-11, "{rest}");
        }
    }
}
