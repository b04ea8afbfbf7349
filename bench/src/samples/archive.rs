//! Reads archives of arrays: pixels, resized where asked, int8 features, and recordings.

use std::fs::File;
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};
use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadableElement};
use offshoot_runtime::features::audio::pcm16;
use offshoot_runtime::features::image::{Crop, Filter, Image, Resize};
use offshoot_runtime::features::{pixel, Quantizer};
use offshoot_simulator::data::{audio, Split};

use super::divide::Table;
use crate::plan::{Data, Spectrum};

/// An archive of arrays.
struct Archive {
    reader: NpzReader<File>,
}

impl Archive {
    fn array<T: ReadableElement>(&mut self, name: &str) -> Result<ArrayD<T>> {
        let array = self.reader.by_name::<OwnedRepr<T>, IxDyn>(name);
        array.with_context(|| format!("array {name}"))
    }

    fn integers(&mut self, name: &str) -> Result<Vec<i64>> {
        match self.array::<u8>(name) {
            Ok(array) => Ok(array.into_iter().map(i64::from).collect()),
            Err(_) => Ok(self.array::<i64>(name)?.into_iter().collect()),
        }
    }
}

/// Reads the archive at `path` for an input of `shape`.
pub fn read(data: &Data, path: &Path, shape: [usize; 3]) -> Result<Table> {
    let reader = NpzReader::new(File::open(path)?)?;
    let mut archive = Archive { reader };
    if archive.reader.names()?.iter().any(|name| name.trim_end_matches(".npy") == "jpeg") {
        return photographs(&mut archive, shape);
    }
    let group = data.deployed.as_ref().and_then(|deployed| deployed.group.as_ref());
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    let (mut test, mut groups) = (Vec::new(), Vec::new());
    for split in ["train", "test"] {
        let x = format!("x_{split}");
        match &data.spectrum {
            Some(spectrum) => inputs.extend(spectra(&archive.array::<i16>(&x)?, spectrum)?),
            None if data.features => inputs.extend(archive.array::<i8>(&x)?),
            None => inputs.extend(resized(&archive.array::<u8>(&x)?, shape)?),
        }
        for label in archive.integers(&format!("y_{split}"))? {
            labels.push(u16::try_from(label).context("a label is no class")?);
            test.push(split == "test");
        }
        if let Some(group) = group {
            groups.extend(archive.integers(&format!("{}_{split}", group.array))?);
        }
    }
    let size: usize = shape.iter().product();
    ensure!(inputs.len() == labels.len() * size, "samples are not of shape {shape:?}");
    ensure!(group.is_none() || groups.len() == labels.len(), "not every sample has a group");
    Ok(Table { all: Split::new(inputs, labels).context("no samples")?, test, groups })
}

/// Reads an archive of JPEG files of any size, each resized.
fn photographs(archive: &mut Archive, shape: [usize; 3]) -> Result<Table> {
    let bytes: Vec<u8> = archive.array::<u8>("jpeg")?.into_iter().collect();
    let offsets: Vec<u32> = archive.array::<u32>("offsets")?.into_iter().collect();
    let (classes, is_test) = (archive.integers("labels")?, archive.integers("is_test")?);
    let lengths = [offsets.len(), is_test.len() + 1];
    ensure!(lengths == [classes.len() + 1; 2], "lengths disagree");
    let (mut inputs, mut labels) = (Vec::new(), Vec::new());
    for (index, &label) in classes.iter().enumerate() {
        let [from, to] = [offsets[index], offsets[index + 1]].map(|at| at as usize);
        let coded = bytes.get(from..to).context("offsets leave the file")?;
        let image = image::load_from_memory_with_format(coded, image::ImageFormat::Jpeg)
            .with_context(|| format!("image {index}"))?
            .into_rgb8();
        let [h, w] = [image.height(), image.width()].map(|side| side as usize);
        let image = ArrayD::from_shape_vec(IxDyn(&[1, h, w, 3]), image.into_raw())?;
        inputs.extend(resized(&image, shape)?);
        labels.push(u16::try_from(label).context("a label is no class")?);
    }
    let all = Split::new(inputs, labels).context("no samples")?;
    Ok(Table { all, test: is_test.iter().map(|&t| t != 0).collect(), groups: Vec::new() })
}

/// Images at the size that a network reads, by the resizing that a device does.
fn resized(images: &ArrayD<u8>, [h, w, c]: [usize; 3]) -> Result<Vec<i8>> {
    let &[count, height, width, channels] = images.shape() else {
        bail!("images have shape {:?}", images.shape());
    };
    let pixels = images.as_slice().context("images are not in C order")?;
    let (width, height) = (u16::try_from(width)?, u16::try_from(height)?);
    let (crop, filter) = (Crop::None, Filter::Auto);
    let resize = Resize {
        width: u16::try_from(w)?,
        height: u16::try_from(h)?,
        channels: u8::try_from(c)?,
        crop,
        filter,
    };
    let channels = u8::try_from(channels)?;
    let mut out = vec![0; count * resize.outputs()];
    let size = pixels.len() / count.max(1);
    for (pixels, out) in pixels.chunks_exact(size).zip(out.chunks_exact_mut(resize.outputs())) {
        resize.run(&Image { pixels, width, height, channels }, out, pixel)?;
    }
    Ok(out)
}

/// Features of recordings, by the code that a device computes them with.
fn spectra(recordings: &ArrayD<i16>, spectrum: &Spectrum) -> Result<Vec<i8>> {
    let spec = spectrum.audio.spec().map_err(|e| anyhow::anyhow!("spectrum: {e}"))?;
    let [mean, levels] = spectrum.levels;
    let quantizer = Quantizer::new(1.0 / levels, 0).normalized(mean, 1.0);
    let samples = recordings.as_slice().context("recordings are not in C order")?;
    let count = recordings.shape().first().copied().unwrap_or(0);
    let mut out = Vec::new();
    for recording in samples.chunks_exact((samples.len() / count.max(1)).max(1)) {
        let samples: Vec<f32> = recording.iter().map(|&s| pcm16(s)).collect();
        let features =
            audio::features(&spec, &samples).map_err(|e| anyhow::anyhow!("spectrum: {e}"))?;
        out.extend(features.into_iter().map(|v| quantizer.real(v)));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_grow_and_pixels_are_centred() {
        let images = ArrayD::from_shape_vec(IxDyn(&[2, 1, 1, 3]), vec![0, 128, 255, 1, 2, 3]);
        let out = resized(&images.unwrap(), [2, 2, 3]).unwrap();
        assert_eq!(out[..12], [-128, 0, 127].repeat(4));
        assert_eq!(out[12..], [-127, -126, -125].repeat(4));
    }

    #[test]
    fn spectra_are_in_levels() {
        let text = "levels = [-3.0, 2.0]\naudio = { rate = 8000, frame = 64, hop = 64, bands = 4, \
                    floor = 1.0 }";
        let silent = ArrayD::from_elem(IxDyn(&[2, 64, 1]), 0i16);
        // The logarithm of the floor is 0.
        assert_eq!(spectra(&silent, &toml::from_str(text).unwrap()).unwrap(), [6; 8]);
    }
}
