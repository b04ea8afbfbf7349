//! `.wav` files as one channel of real samples.

use std::path::Path;

use hound::{SampleFormat, WavReader};

use super::DataError;

/// A recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Samples a second.
    pub rate: u32,
    /// Samples, full scale 1: the mean over all channels.
    pub samples: Vec<f32>,
}

/// Reads integers of 8, 16, 24 and 32 bits and floats of 32. Samples of 16 bits are exactly what
/// [`offshoot_runtime::features::audio::pcm16`] makes of them on a device.
///
/// # Errors
/// What is wrong with the file.
pub fn read(path: &Path) -> Result<Recording, DataError> {
    let wrong = |reason: String| DataError::file(path, reason);
    let damaged = |e: hound::Error| wrong(format!("is no whole .wav file: {e}; save it again"));
    let mut reader = WavReader::open(path).map_err(damaged)?;
    let spec = reader.spec();
    let channels = usize::from(spec.channels);
    let interleaved: Vec<f32> = match (spec.sample_format, spec.bits_per_sample) {
        (SampleFormat::Float, 32) => {
            reader.samples::<f32>().collect::<Result<_, _>>().map_err(damaged)?
        }
        (SampleFormat::Int, bits @ (8 | 16 | 24 | 32)) => {
            // A power of two: nothing is rounded but what has more than 24 bits.
            let full = (1u32 << (bits - 1)) as f32;
            let real = |s: Result<i32, hound::Error>| s.map(|s| s as f32 / full);
            reader.samples::<i32>().map(real).collect::<Result<_, _>>().map_err(damaged)?
        }
        (format, bits) => {
            let reason = format!(
                "has {bits} bits ({format:?}) a sample; save it as 8, 16, 24 or 32 bit integers or \
                 32 bit floats"
            );
            return Err(wrong(reason));
        }
    };
    if interleaved.is_empty() || channels == 0 {
        return Err(wrong("holds no samples; remove it or record it again".into()));
    }
    if let Some(at) = interleaved.iter().position(|x| !x.is_finite()) {
        let (at, value) = (at / channels, interleaved[at]);
        return Err(wrong(format!(
            "sample {at} is {value}, which is no finite number; save the file again"
        )));
    }
    let samples = match channels {
        1 => interleaved,
        n => interleaved.chunks_exact(n).map(|c| c.iter().sum::<f32>() / n as f32).collect(),
    };
    Ok(Recording { rate: spec.sample_rate, samples })
}
