//! Mel spectra and MFCCs of audio, frame by frame as samples come.
//!
//! [`AudioSpec`] says what is computed, in the order of its fields; [`AudioSpec::fill_tables`]
//! computes windows, twiddles and weights once, and [`Extractor::push`] takes samples and gives a
//! frame of features whenever one is complete:
//!
//! ```
//! use offshoot_runtime::features::audio::{pcm16, AudioSpec, Extractor};
//!
//! const SPEC: AudioSpec = AudioSpec { mfcc: 10, ..AudioSpec::at(16_000) };
//! let mut tables = [0.0; SPEC.table_len()]; // on a device: a static, or a constant in flash
//! let mut work = [0.0; SPEC.work_len()];
//! SPEC.fill_tables(&mut tables)?;
//! let mut extractor = Extractor::new(&SPEC, &tables, &mut work)?;
//! let mut frames = 0;
//! for sample in [0i16; 16_000] {
//!     if let Some(features) = extractor.push(pcm16(sample)) {
//!         assert_eq!(features.len(), 10);
//!         frames += 1;
//!     }
//! }
//! assert_eq!(frames, SPEC.frames(16_000));
//! # Ok::<(), offshoot_runtime::features::audio::SpecError>(())
//! ```
//!
//! Frames begin at the first sample (librosa's `center=False`); the spectrum is not scaled.

mod extractor;
mod fft;
mod mel;
mod spec;
mod tables;

pub use extractor::Extractor;
pub use spec::{
    AudioSpec, LogUnit, MelNorm, MelScale, SpecError, Spectrum, Triangles, Window, BIGGEST_FFT,
};

/// A 16-bit sample as a real number: full scale is 1.
#[inline]
pub const fn pcm16(sample: i16) -> f32 {
    sample as f32 * (1.0 / 32_768.0)
}
