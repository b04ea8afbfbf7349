//! Folders of `.wav` files by class, as the features that a device computes of them.

use std::path::Path;

use offshoot_runtime::features::audio::{AudioSpec, Extractor, SpecError};

use super::classes::{list, Item};
use super::resample::resample;
use super::wav;
use super::{table, DataError, DataSpec, Raw, RawSplit, Samples};

/// Extensions of recordings that are read.
pub const EXTENSIONS: &[&str] = &["wav"];

/// Reads the recordings below `root` as features that fill `shape` (height, width, channels): one
/// frame after the other. Recordings are cut, or continued with silence, to as many frames as fit.
///
/// # Errors
/// What is wrong, by file.
pub(super) fn read(root: &Path, shape: [usize; 3], spec: &DataSpec) -> Result<Samples, DataError> {
    let wrong = |e: SpecError| DataError::file(root, format!("[audio] of the data spec: {e}"));
    let audio = spec.audio.spec().map_err(wrong)?;
    let values = audio.outputs();
    let Some(frames) = table::rows_of(shape, values) else {
        let reason = format!(
            "frames of {values} values do not fill the program's input {shape:?} (height, width, \
             channels); set `bands` or `mfcc` under [audio] of --data-spec to the input's width"
        );
        return Err(DataError::file(root, reason));
    };
    let listing = list(root, spec, EXTENSIONS)?;
    let mut splits = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    let needed = audio.samples(frames);
    for Item { path, label, test } in &listing.items {
        let mut samples = clip(path, audio.rate, spec.audio.resample)?;
        samples.resize(needed, 0.0);
        let (values, labels) = &mut splits[usize::from(*test)];
        values.extend(features(&audio, &samples).map_err(wrong)?);
        labels.push(*label as i64);
    }
    let [train, test] =
        splits.map(|(values, labels)| RawSplit { values: Raw::Real(values), labels });
    Ok(Samples { shape: shape.to_vec(), classes: listing.classes, train, test })
}

/// The samples of a `.wav` file at `rate`: one channel, full scale 1.
///
/// # Errors
/// What is wrong with the file; that it has another rate, unless it may be resampled.
pub fn clip(path: &Path, rate: u32, may_resample: bool) -> Result<Vec<f32>, DataError> {
    let recording = wav::read(path)?;
    if recording.rate == rate {
        return Ok(recording.samples);
    }
    if !may_resample || recording.rate == 0 {
        let reason = format!(
            "has {} samples a second, the features are of {rate}; set `rate` under [audio] of \
             --data-spec to what the device's microphone gives, or `resample = true`",
            recording.rate
        );
        return Err(DataError::file(path, reason));
    }
    Ok(resample(&recording.samples, recording.rate, rate))
}

/// Features of whole recording, one frame after the other.
///
/// # Errors
/// What is wrong with the specification.
pub fn features(spec: &AudioSpec, samples: &[f32]) -> Result<Vec<f32>, SpecError> {
    let (mut tables, mut work) = (vec![0.0; spec.table_len()], vec![0.0; spec.work_len()]);
    spec.fill_tables(&mut tables)?;
    let mut extractor = Extractor::new(spec, &tables, &mut work)?;
    let mut all = Vec::with_capacity(spec.frames(samples.len()) * spec.outputs());
    for &sample in samples {
        if let Some(frame) = extractor.push(sample) {
            all.extend_from_slice(frame);
        }
    }
    Ok(all)
}
