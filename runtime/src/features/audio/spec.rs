//! What is computed of audio, and what is wrong with such a specification.

use core::fmt;

/// Most samples of a Fourier transform.
pub const BIGGEST_FFT: u16 = 16_384;

/// Features of audio. Steps are applied in the order of the fields.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct AudioSpec {
    /// Samples a second.
    pub rate: u32,
    /// `a` in `y[n] = x[n] - a x[n - 1]`, over the whole signal; 0 for none.
    pub pre_emphasis: f32,
    /// Samples in a frame.
    pub frame: u16,
    /// Samples from the start of a frame to the start of the next.
    pub hop: u16,
    /// What a frame is multiplied by.
    pub window: Window,
    /// Samples of the Fourier transform, a power of two; a frame is padded with zeros at its end.
    pub fft: u16,
    /// What of the transform is summed.
    pub spectrum: Spectrum,
    /// Mel bands.
    pub bands: u16,
    /// Where the lowest band begins, in Hz.
    pub low_hz: f32,
    /// Where the highest band ends, in Hz.
    pub high_hz: f32,
    /// What spaces the bands.
    pub scale: MelScale,
    /// What axis the bands' triangles are straight on.
    pub triangles: Triangles,
    /// How bands are scaled.
    pub norm: MelNorm,
    /// Added to a band's sum before the logarithm.
    pub offset: f32,
    /// Smallest number that a logarithm is taken of; what is below counts as this.
    pub floor: f32,
    /// Which logarithm.
    pub log: LogUnit,
    /// Coefficients kept of an orthonormal DCT-II over the bands; 0 for the bands themselves.
    pub mfcc: u16,
}

/// What a frame is multiplied by, periodic: its period is the frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Window {
    /// `0.5 - 0.5 cos`.
    #[default]
    Hann,
    /// `0.54 - 0.46 cos`.
    Hamming,
    /// 1.
    Rectangular,
}

/// What of a Fourier transform is summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Spectrum {
    /// Squared magnitudes.
    #[default]
    Power,
    /// Magnitudes.
    Magnitude,
}

/// What spaces bands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum MelScale {
    /// `2595 log10(1 + f / 700)`: HTK, TensorFlow.
    #[default]
    Htk,
    /// Linear to 1 kHz, logarithmic above: Slaney's Auditory Toolbox, librosa.
    Slaney,
}

/// What axis the bands' triangles are straight on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Triangles {
    /// Frequency: librosa, torchaudio.
    #[default]
    Hertz,
    /// The mel scale: TensorFlow, Kaldi.
    Mel,
}

/// How bands are scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum MelNorm {
    /// Every triangle is 1 high.
    #[default]
    None,
    /// Every triangle has an area of 1: `2 / width in Hz` high.
    Slaney,
}

/// Which logarithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum LogUnit {
    /// The sums as they are: `offset` and `floor` do not apply.
    None,
    /// To base e.
    #[default]
    Natural,
    /// To base 10.
    Log10,
    /// Decibel: 10 times that to base 10 of a power, 20 times that of a magnitude.
    Db,
}

/// Why features cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SpecError {
    /// `rate` is 0.
    Rate,
    /// `frame` or `hop` is 0.
    Frame,
    /// `fft` is no power of two in reach, or smaller than a frame.
    Fft {
        /// Its size.
        fft: u16,
        /// Samples of a frame.
        frame: u16,
    },
    /// `pre_emphasis` lies outside 0..1.
    PreEmphasis(f32),
    /// `bands` is 0 or more than the transform's bins.
    Bands {
        /// Bands.
        bands: u16,
        /// Bins of the transform.
        bins: u16,
    },
    /// `low_hz` and `high_hz` are no range below half the rate.
    Range {
        /// Lower end.
        low: f32,
        /// Upper end.
        high: f32,
        /// Half the rate.
        nyquist: f32,
    },
    /// `floor` or `offset` is such that a logarithm might be infinite.
    Floor {
        /// Smallest argument.
        floor: f32,
        /// What is added.
        offset: f32,
    },
    /// More coefficients than bands.
    Mfcc {
        /// Coefficients.
        mfcc: u16,
        /// Bands.
        bands: u16,
    },
    /// The slice for tables is of another length than they are.
    Tables {
        /// Its length.
        found: usize,
        /// What is needed.
        needed: usize,
    },
    /// The slice for work is of another length than it needs.
    Work {
        /// Its length.
        found: usize,
        /// What is needed.
        needed: usize,
    },
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            SpecError::Rate => write!(f, "rate is 0; give samples a second, such as 16000"),
            SpecError::Frame => {
                write!(f, "frame and hop must be 1 sample at least; 30 ms at 16 kHz are 480")
            }
            SpecError::Fft { fft, frame } => write!(
                f,
                "fft is {fft} for frames of {frame}; give a power of two from 16 to \
                 {BIGGEST_FFT} that is no smaller than a frame"
            ),
            SpecError::PreEmphasis(a) => {
                write!(f, "pre_emphasis is {a}; give 0 for none, or less than 1, such as 0.97")
            }
            SpecError::Bands { bands, bins } => {
                write!(f, "bands is {bands} for {bins} bins; give 1 to {bins}, or a larger fft")
            }
            SpecError::Range { low, high, nyquist } => write!(
                f,
                "bands from {low} to {high} Hz; give low_hz below high_hz, both from 0 to \
                 {nyquist} Hz, half the rate"
            ),
            SpecError::Floor { floor, offset } => write!(
                f,
                "floor is {floor} and offset {offset}; a logarithm needs a positive floor, such \
                 as 1e-10, and an offset that is not negative"
            ),
            SpecError::Mfcc { mfcc, bands } => {
                write!(f, "mfcc is {mfcc} of {bands} bands; give {bands} at most, or more bands")
            }
            SpecError::Tables { found, needed } => {
                write!(f, "{found} values for tables; give table_len(), which is {needed}")
            }
            SpecError::Work { found, needed } => {
                write!(f, "{found} values for work; give work_len(), which is {needed}")
            }
        }
    }
}

impl core::error::Error for SpecError {}

impl AudioSpec {
    /// What is common for speech at `rate`: frames of 30 ms every 20 ms, Hann window, 40 bands of
    /// power from 20 Hz to half the rate, natural logarithm.
    pub const fn at(rate: u32) -> AudioSpec {
        let frame = samples(rate, 30);
        AudioSpec {
            rate,
            pre_emphasis: 0.0,
            frame,
            hop: samples(rate, 20),
            window: Window::Hann,
            fft: AudioSpec::fft_of(frame),
            spectrum: Spectrum::Power,
            bands: 40,
            low_hz: 20.0,
            high_hz: rate as f32 / 2.0,
            scale: MelScale::Htk,
            triangles: Triangles::Hertz,
            norm: MelNorm::None,
            offset: 0.0,
            floor: 1e-10,
            log: LogUnit::Natural,
            mfcc: 0,
        }
    }

    /// The smallest transform that holds a frame.
    pub const fn fft_of(frame: u16) -> u16 {
        match frame {
            0..=16 => 16,
            17..=BIGGEST_FFT => frame.next_power_of_two(),
            _ => BIGGEST_FFT,
        }
    }

    /// Bins of the transform: from 0 to half the rate.
    pub const fn bins(&self) -> usize {
        self.fft as usize / 2 + 1
    }

    /// Features of a frame.
    pub const fn outputs(&self) -> usize {
        match self.mfcc {
            0 => self.bands as usize,
            mfcc => mfcc as usize,
        }
    }

    /// Frames that `samples` samples give.
    pub const fn frames(&self, samples: usize) -> usize {
        if self.hop == 0 || samples < self.frame as usize {
            return 0;
        }
        1 + (samples - self.frame as usize) / self.hop as usize
    }

    /// Samples that `frames` frames take.
    pub const fn samples(&self, frames: usize) -> usize {
        match frames {
            0 => 0,
            _ => (frames - 1) * self.hop as usize + self.frame as usize,
        }
    }

    /// Says what is wrong with it.
    ///
    /// # Errors
    /// The first field that makes no sense.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.rate == 0 {
            return Err(SpecError::Rate);
        }
        if !(0.0..1.0).contains(&self.pre_emphasis) {
            return Err(SpecError::PreEmphasis(self.pre_emphasis));
        }
        if self.frame == 0 || self.hop == 0 {
            return Err(SpecError::Frame);
        }
        let (fft, frame) = (self.fft, self.frame);
        if !fft.is_power_of_two() || !(16..=BIGGEST_FFT).contains(&fft) || fft < frame {
            return Err(SpecError::Fft { fft, frame });
        }
        let bins = self.bins() as u16;
        if self.bands == 0 || self.bands > bins {
            return Err(SpecError::Bands { bands: self.bands, bins });
        }
        let (low, high, nyquist) = (self.low_hz, self.high_hz, self.rate as f32 / 2.0);
        // Comparisons that NaN fails.
        if !(low >= 0.0 && low < high && high <= nyquist) {
            return Err(SpecError::Range { low, high, nyquist });
        }
        let (floor, offset) = (self.floor, self.offset);
        let positive = floor > 0.0 && floor.is_finite() && offset >= 0.0 && offset.is_finite();
        if self.log != LogUnit::None && !positive {
            return Err(SpecError::Floor { floor, offset });
        }
        if self.mfcc > self.bands {
            return Err(SpecError::Mfcc { mfcc: self.mfcc, bands: self.bands });
        }
        Ok(())
    }
}

/// Samples of some milliseconds, within what a frame may have.
const fn samples(rate: u32, milliseconds: u64) -> u16 {
    let count = rate as u64 * milliseconds / 1000;
    match count {
        0 => 1,
        1..=16_384 => count as u16,
        _ => BIGGEST_FFT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_common_one_is_sound() {
        for rate in [1, 100, 8_000, 16_000, 44_100, 48_000, 96_000] {
            let spec = AudioSpec::at(rate);
            match spec.check() {
                Ok(()) => {}
                // 40 bands need a transform that has as many bins, and a range above 20 Hz.
                Err(SpecError::Bands { .. } | SpecError::Range { .. }) => assert!(rate < 8_000),
                Err(e) => panic!("{rate}: {e}"),
            }
        }
        let spec = AudioSpec::at(16_000);
        assert_eq!((spec.frame, spec.hop, spec.fft), (480, 320, 512));
        assert_eq!((spec.frames(16_000), spec.samples(49)), (49, 15_840));
        assert_eq!((spec.frames(479), spec.frames(480), spec.frames(799)), (0, 1, 1));
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_a_way_out() {
        let good = AudioSpec::at(16_000);
        for (bad, says) in [
            (AudioSpec { rate: 0, ..good }, "16000"),
            (AudioSpec { hop: 0, ..good }, "1 sample"),
            (AudioSpec { fft: 500, ..good }, "power of two"),
            (AudioSpec { fft: 256, ..good }, "no smaller than a frame"),
            (AudioSpec { pre_emphasis: 1.0, ..good }, "less than 1"),
            (AudioSpec { pre_emphasis: f32::NAN, ..good }, "less than 1"),
            (AudioSpec { bands: 258, ..good }, "1 to 257"),
            (AudioSpec { high_hz: 8_001.0, ..good }, "8000 Hz"),
            (AudioSpec { low_hz: f32::NAN, ..good }, "low_hz below"),
            (AudioSpec { floor: 0.0, ..good }, "positive floor"),
            (AudioSpec { mfcc: 41, ..good }, "40 at most"),
        ] {
            let error = bad.check().unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
