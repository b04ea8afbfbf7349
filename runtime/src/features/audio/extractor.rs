//! Samples in, frames of features out.

use super::fft;
use super::spec::{AudioSpec, LogUnit, SpecError, Spectrum};
use super::tables::Tables;

/// Computes features of a stream of samples. It holds a frame, a transform and a frame's features.
pub struct Extractor<'m> {
    spec: AudioSpec,
    tables: Tables<'m>,
    history: &'m mut [f32],
    spectrum: &'m mut [f32],
    bands: &'m mut [f32],
    coefficients: &'m mut [f32],
    /// Samples in `history`.
    filled: usize,
    /// Samples to leave out before the next frame begins.
    skip: usize,
    /// The sample before this one.
    previous: f32,
}

impl AudioSpec {
    /// Values of working memory.
    pub const fn work_len(&self) -> usize {
        self.frame as usize + self.fft as usize + self.bands as usize + self.mfcc as usize
    }
}

impl<'m> Extractor<'m> {
    /// An extractor with `tables` that [`AudioSpec::fill_tables`] filled for this specification
    /// and `work` of [`AudioSpec::work_len`].
    ///
    /// # Errors
    /// What is wrong with the specification, or with the length of a slice.
    pub fn new(
        spec: &AudioSpec,
        tables: &'m [f32],
        work: &'m mut [f32],
    ) -> Result<Extractor<'m>, SpecError> {
        spec.check()?;
        let needed = spec.work_len();
        if work.len() != needed {
            return Err(SpecError::Work { found: work.len(), needed });
        }
        let mut rest = work;
        let [history, spectrum, bands, coefficients] =
            [spec.frame, spec.fft, spec.bands, spec.mfcc]
                .map(|length| rest.split_off_mut(..length.into()).unwrap_or_default());
        let tables = spec.tables(tables)?;
        let (filled, skip, previous) = (0, 0, 0.0);
        let spec = *spec;
        Ok(Extractor {
            spec,
            tables,
            history,
            spectrum,
            bands,
            coefficients,
            filled,
            skip,
            previous,
        })
    }

    /// Forgets all samples: the next is the first of another recording.
    pub fn reset(&mut self) {
        (self.filled, self.skip, self.previous) = (0, 0, 0.0);
    }

    /// Takes a sample (full scale is 1), and gives features where it completes a frame.
    #[inline]
    pub fn push(&mut self, sample: f32) -> Option<&[f32]> {
        let emphasized = sample - self.spec.pre_emphasis * self.previous;
        self.previous = sample;
        if self.skip > 0 {
            self.skip -= 1;
            return None;
        }
        if let Some(place) = self.history.get_mut(self.filled) {
            *place = emphasized;
        }
        self.filled += 1;
        if self.filled < self.history.len() {
            return None;
        }
        self.analyse();
        let (frame, hop) = (self.history.len(), usize::from(self.spec.hop));
        let kept = frame.saturating_sub(hop);
        // Nothing is kept where frames do not overlap.
        if let Some(from) = (kept > 0).then(|| frame - kept) {
            self.history.copy_within(from.., 0);
        }
        (self.filled, self.skip) = (kept, hop.saturating_sub(frame));
        Some(self.features())
    }

    /// Features of the last complete frame.
    pub fn features(&self) -> &[f32] {
        match self.coefficients {
            [] => self.bands,
            _ => self.coefficients,
        }
    }

    fn analyse(&mut self) {
        let samples = self.history.iter().copied();
        match self.tables.window {
            [] => fft::load(self.spectrum, samples),
            window => fft::load(self.spectrum, samples.zip(window).map(|(x, w)| x * w)),
        }
        fft::power(self.spectrum, self.tables.twiddles);
        self.sum_bands();
        for band in self.bands.iter_mut() {
            *band = logarithm(&self.spec, *band);
        }
        let rows = self.tables.dct.chunks_exact(self.bands.len().max(1));
        for (c, row) in self.coefficients.iter_mut().zip(rows) {
            *c = row.iter().zip(self.bands.iter()).fold(0.0, |sum, (d, b)| sum + d * b);
        }
    }

    /// Sums the spectrum, which lies as [`fft::power`] leaves it, into bands. The bin of half the
    /// rate is in none: no band ends beyond it.
    fn sum_bands(&mut self) {
        let Tables { edges, rising, falling, .. } = self.tables;
        let square_root = self.spec.spectrum == Spectrum::Magnitude;
        let mut bins = self.spectrum.chunks_exact(2).zip(rising.iter().zip(falling));
        let mut at = edges.first().map_or(0, |&edge| edge as usize);
        if let Some(outside) = at.checked_sub(1) {
            bins.nth(outside);
        }
        self.bands.fill(0.0);
        for (segment, &edge) in edges.iter().skip(1).enumerate() {
            let (mut up, mut down) = (0.0, 0.0);
            let within = (edge as usize).saturating_sub(at);
            for (bin, (rising, falling)) in bins.by_ref().take(within) {
                let value = if square_root { libm::sqrtf(bin[0]) } else { bin[0] };
                up += rising * value;
                down += falling * value;
            }
            at += within;
            if let Some(band) = self.bands.get_mut(segment) {
                *band += up;
            }
            if let Some(band) = segment.checked_sub(1).and_then(|s| self.bands.get_mut(s)) {
                *band += down;
            }
        }
    }
}

fn logarithm(spec: &AudioSpec, sum: f32) -> f32 {
    let argument = (sum + spec.offset).max(spec.floor);
    match (spec.log, spec.spectrum) {
        (LogUnit::None, _) => sum,
        (LogUnit::Natural, _) => libm::logf(argument),
        (LogUnit::Log10, _) => libm::log10f(argument),
        (LogUnit::Db, Spectrum::Power) => 10.0 * libm::log10f(argument),
        (LogUnit::Db, Spectrum::Magnitude) => 20.0 * libm::log10f(argument),
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec::{MelNorm, MelScale, Triangles, Window};
    use super::*;
    use crate::random::Xorshift;
    use std::f64::consts::{PI, TAU};

    fn extract(spec: &AudioSpec, samples: &[f32]) -> Vec<Vec<f32>> {
        let (mut tables, mut work) = (vec![0.0; spec.table_len()], vec![0.0; spec.work_len()]);
        spec.fill_tables(&mut tables).unwrap();
        let mut extractor = Extractor::new(spec, &tables, &mut work).unwrap();
        samples.iter().filter_map(|&x| extractor.push(x).map(<[f32]>::to_vec)).collect()
    }

    /// The features of one frame by their definitions, in f64.
    fn plain(spec: &AudioSpec, samples: &[f32], start: usize) -> Vec<f64> {
        let x = |i: usize| f64::from(samples[i]);
        let n = usize::from(spec.fft);
        let frame: Vec<f64> = (0..usize::from(spec.frame))
            .map(|i| {
                let at = start + i;
                let before = if at == 0 { 0.0 } else { x(at - 1) };
                let angle = TAU * i as f64 / f64::from(spec.frame);
                let window = match spec.window {
                    Window::Hann => 0.5 - 0.5 * angle.cos(),
                    Window::Hamming => 0.54 - 0.46 * angle.cos(),
                    Window::Rectangular => 1.0,
                };
                (x(at) - f64::from(spec.pre_emphasis) * before) * window
            })
            .collect();
        let bins: Vec<f64> = (0..=n / 2)
            .map(|k| {
                let (mut re, mut im) = (0.0, 0.0);
                for (i, v) in frame.iter().enumerate() {
                    let angle = TAU * ((i * k) % n) as f64 / n as f64;
                    re += v * angle.cos();
                    im -= v * angle.sin();
                }
                match spec.spectrum {
                    Spectrum::Power => re * re + im * im,
                    Spectrum::Magnitude => re.hypot(im),
                }
            })
            .collect();
        let mel = |hz: f64| match spec.scale {
            MelScale::Htk => 2595.0 * (1.0 + hz / 700.0).log10(),
            MelScale::Slaney if hz < 1000.0 => hz * 3.0 / 200.0,
            MelScale::Slaney => 15.0 + 27.0 * (hz / 1000.0).ln() / 6.4f64.ln(),
        };
        // The inverse by bisection: nothing shared with the code under test.
        let hertz = |m: f64| {
            let (mut low, mut high) = (0.0, 100_000.0);
            for _ in 0..200 {
                let middle = (low + high) / 2.0;
                if mel(middle) < m {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            low
        };
        let (low, high) = (mel(spec.low_hz.into()), mel(spec.high_hz.into()));
        let bands = usize::from(spec.bands);
        let edge = |e: usize| low + (high - low) * e as f64 / (bands + 1) as f64;
        let logs: Vec<f64> = (0..bands)
            .map(|b| {
                let edges = [edge(b), edge(b + 1), edge(b + 2)];
                let in_hertz = edges.map(hertz);
                let height = match spec.norm {
                    MelNorm::None => 1.0,
                    MelNorm::Slaney => 2.0 / (in_hertz[2] - in_hertz[0]),
                };
                let sum: f64 = bins
                    .iter()
                    .enumerate()
                    .map(|(k, v)| {
                        let hz = k as f64 * f64::from(spec.rate) / n as f64;
                        let (p, e) = match spec.triangles {
                            Triangles::Hertz => (hz, in_hertz),
                            Triangles::Mel => (mel(hz), edges),
                        };
                        let up = (p - e[0]) / (e[1] - e[0]);
                        let down = (e[2] - p) / (e[2] - e[1]);
                        v * up.min(down).max(0.0) * height
                    })
                    .sum();
                let argument = (sum + f64::from(spec.offset)).max(spec.floor.into());
                match (spec.log, spec.spectrum) {
                    (LogUnit::None, _) => sum,
                    (LogUnit::Natural, _) => argument.ln(),
                    (LogUnit::Log10, _) => argument.log10(),
                    (LogUnit::Db, Spectrum::Power) => 10.0 * argument.log10(),
                    (LogUnit::Db, Spectrum::Magnitude) => 20.0 * argument.log10(),
                }
            })
            .collect();
        if spec.mfcc == 0 {
            return logs;
        }
        (0..usize::from(spec.mfcc))
            .map(|i| {
                let scale = (if i == 0 { 1.0 } else { 2.0 } / bands as f64).sqrt();
                let angle = |m: usize| PI * i as f64 * (m as f64 + 0.5) / bands as f64;
                scale * logs.iter().enumerate().map(|(m, l)| l * angle(m).cos()).sum::<f64>()
            })
            .collect()
    }

    /// Noise with a swell and a tone, so that no band is empty.
    fn signal(len: usize) -> Vec<f32> {
        let mut random = Xorshift::new(3);
        (0..len)
            .map(|i| {
                let noise = f32::from(random.bits16() as i16) / 32768.0;
                let swell = 0.1 + 0.4 * (i as f64 / len as f64);
                (swell * f64::from(noise) + 0.3 * (i as f64 * 0.21).sin()) as f32
            })
            .collect()
    }

    /// Every option at least once. A logarithm of f32 sums is off by some 1e-6 of its argument, so
    /// by 1e-5 in natural units and 1e-4 in decibel; 40 of them make a coefficient.
    #[test]
    fn features_agree_with_their_definitions() {
        let base = AudioSpec::at(16_000);
        let specs = [
            base,
            AudioSpec { mfcc: 10, high_hz: 4000.0, offset: 1e-6, ..base },
            AudioSpec {
                spectrum: Spectrum::Magnitude,
                triangles: Triangles::Mel,
                low_hz: 80.0,
                mfcc: 13,
                ..base
            },
            AudioSpec {
                window: Window::Hamming,
                pre_emphasis: 0.97,
                frame: 400,
                hop: 160,
                scale: MelScale::Slaney,
                norm: MelNorm::Slaney,
                log: LogUnit::Db,
                bands: 26,
                mfcc: 13,
                ..base
            },
            AudioSpec {
                window: Window::Rectangular,
                frame: 256,
                fft: 256,
                hop: 300,
                log: LogUnit::Log10,
                bands: 20,
                low_hz: 0.0,
                ..base
            },
            AudioSpec {
                frame: 1024,
                fft: 1024,
                hop: 512,
                bands: 128,
                spectrum: Spectrum::Magnitude,
                log: LogUnit::Db,
                ..base
            },
            AudioSpec { log: LogUnit::None, bands: 1, low_hz: 0.0, ..AudioSpec::at(8_000) },
        ];
        let samples = signal(3_000);
        for spec in &specs {
            let found = extract(spec, &samples);
            assert_eq!(found.len(), spec.frames(samples.len()));
            for (index, frame) in found.iter().enumerate() {
                let exact = plain(spec, &samples, index * usize::from(spec.hop));
                assert_eq!(frame.len(), spec.outputs());
                for (&a, b) in frame.iter().zip(&exact) {
                    let bound = 2e-4 + 2e-6 * b.abs();
                    assert!((f64::from(a) - b).abs() < bound, "{spec:?}: {a} for {b}");
                }
            }
        }
    }

    #[test]
    fn silence_gives_the_floor() {
        let spec = AudioSpec { floor: 1e-3, ..AudioSpec::at(16_000) };
        let features = extract(&spec, &[0.0; 480]);
        assert_eq!(features, [vec![libm::logf(1e-3); 40]]);
    }

    #[test]
    fn a_reset_begins_another_recording() {
        let spec = AudioSpec { pre_emphasis: 0.9, hop: 700, ..AudioSpec::at(16_000) };
        let (mut tables, mut work) = (vec![0.0; spec.table_len()], vec![0.0; spec.work_len()]);
        spec.fill_tables(&mut tables).unwrap();
        let mut extractor = Extractor::new(&spec, &tables, &mut work).unwrap();
        let samples = signal(480);
        let mut frame = || {
            let frames: Vec<_> =
                samples.iter().filter_map(|&x| extractor.push(x).map(<[f32]>::to_vec)).collect();
            // Somewhere in the gap between frames.
            (0..100).for_each(|_| assert!(extractor.push(0.5).is_none()));
            extractor.reset();
            frames
        };
        assert_eq!(frame(), frame());
    }

    #[test]
    fn slices_of_another_length_are_refused() {
        let spec = AudioSpec::at(16_000);
        let (tables, mut work) = (vec![0.0; spec.table_len()], vec![0.0; spec.work_len() + 1]);
        let error = Extractor::new(&spec, &tables, &mut work).err().unwrap();
        assert!(error.to_string().contains("work_len()"), "{error}");
        let error = Extractor::new(&spec, &tables[1..], &mut work[1..]).err().unwrap();
        assert!(error.to_string().contains("table_len()"), "{error}");
        let error = spec.fill_tables(&mut [0.0]).unwrap_err();
        assert!(error.to_string().contains("table_len()"), "{error}");
    }
}
