//! Samples of a data set as a network reads them: resized, divided by group, and not more than asked.

use std::fs::File;
use std::path::Path;

use anyhow::{bail, ensure, Context, Result};
use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadableElement};
use offshoot::ir::Quant;
use offshoot::quantize::Samples;
use offshoot_runtime::features::image::{Crop, Filter, Image, Resize};
use offshoot_runtime::features::pixel;
use offshoot_runtime::hash;
use offshoot_runtime::program::op::Shape;
use offshoot_runtime::program::Header;
use offshoot_simulator::data::{self, Dataset, Split};

use crate::plan::{Data, Group, Tier};

/// Loads `data` from `path` for an input of `shape` (height, width, channels), as much of it as
/// `tier` takes.
pub fn load(data: &Data, path: &Path, shape: [usize; 3], tier: &Tier) -> Result<Dataset> {
    let all = if data.resize || data.held_out.is_some() {
        arrays(data, path, shape)?
    } else {
        let [h, w, c] = shape.map(|size| size as u16);
        let classes = data.classes.unwrap_or(u16::MAX);
        let header = Header { input_shape: Shape { h, w, c }, classes, ..Header::default() };
        data::load(path, &header, &data::Options::default())?
    };
    let some = |split: &Split, most: usize| split.select(&split.spread(most));
    Ok(Dataset { train: some(&all.train, tier.train), test: some(&all.test, tier.test) })
}

/// FNV-1a of all samples and labels.
pub fn hash_of(data: &Dataset) -> u64 {
    let split = |hash: u64, split: &Split| {
        (0..split.len()).fold(hash, |hash, index| {
            let bytes: Vec<u8> = split.input(index).iter().map(|&q| q as u8).collect();
            hash::fnv1a(hash::fnv1a(hash, &bytes), &split.label(index).to_le_bytes())
        })
    };
    split(split(hash::EMPTY, &data.train), &data.test)
}

/// What a float network is quantised by: the training samples, mapped to `(v - mean) / std`.
pub fn calibration(data: &Data, split: &Split, [mean, std]: [f32; 2]) -> Samples {
    // Pixels were taken to int8 by subtracting 128.
    let zero = if data.features { 0.0 } else { 128.0 };
    let real = |&q: &i8| (f32::from(q) + zero - mean) / std;
    let values = (0..split.len()).map(|i| split.input(i).iter().map(real).collect()).collect();
    let middle = (mean - zero).round().clamp(-128.0, 127.0) as i32;
    Samples { values, input: Some(Quant::per_tensor(1.0 / std, middle)) }
}

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

/// Reads plain arrays: pixels, resized where asked, or int8 features.
fn arrays(data: &Data, path: &Path, shape: [usize; 3]) -> Result<Dataset> {
    let reader = NpzReader::new(File::open(path)?)?;
    let mut archive = Archive { reader };
    if archive.reader.names()?.iter().any(|name| name.trim_end_matches(".npy") == "jpeg") {
        return photographs(&mut archive, shape);
    }
    // Test samples after training samples; whether each is held out.
    let (mut inputs, mut labels, mut held_out) = (Vec::new(), Vec::new(), Vec::new());
    for split in ["train", "test"] {
        let x = format!("x_{split}");
        if data.features {
            inputs.extend(archive.array::<i8>(&x)?);
        } else {
            inputs.extend(resized(&archive.array::<u8>(&x)?, shape)?);
        }
        let y = archive.integers(&format!("y_{split}"))?;
        match &data.held_out {
            Some(Group { array, group }) => {
                let groups = archive.integers(&format!("{array}_{split}"))?;
                held_out.extend(groups.iter().map(|g| g == group));
            }
            None => held_out.extend(y.iter().map(|_| split == "test")),
        }
        for label in y {
            labels.push(u16::try_from(label).context("a label is no class")?);
        }
    }
    let size: usize = shape.iter().product();
    ensure!(inputs.len() == labels.len() * size, "samples are not of shape {shape:?}");
    ensure!(held_out.len() == labels.len(), "not every sample has a group");
    let all = Split::new(inputs, labels).context("no samples")?;
    let of = |test: bool| {
        let chosen: Vec<usize> = (0..all.len()).filter(|&i| held_out[i] == test).collect();
        all.select(&chosen)
    };
    let dataset = Dataset { train: of(false), test: of(true) };
    ensure!(!dataset.train.is_empty() && !dataset.test.is_empty(), "the held-out group is empty");
    Ok(dataset)
}

/// Reads an archive of JPEG files of any size, each resized.
fn photographs(archive: &mut Archive, shape: [usize; 3]) -> Result<Dataset> {
    let bytes: Vec<u8> = archive.array::<u8>("jpeg")?.into_iter().collect();
    let offsets: Vec<u32> = archive.array::<u32>("offsets")?.into_iter().collect();
    let (labels, is_test) = (archive.integers("labels")?, archive.integers("is_test")?);
    ensure!(offsets.len() == labels.len() + 1 && is_test.len() == labels.len(), "lengths disagree");
    let mut splits = [(Vec::new(), Vec::new()), (Vec::new(), Vec::new())];
    for (index, (&label, &test)) in labels.iter().zip(&is_test).enumerate() {
        let [from, to] = [offsets[index], offsets[index + 1]].map(|at| at as usize);
        let coded = bytes.get(from..to).context("offsets leave the file")?;
        let image = image::load_from_memory_with_format(coded, image::ImageFormat::Jpeg)
            .with_context(|| format!("image {index}"))?
            .into_rgb8();
        let [h, w] = [image.height(), image.width()].map(|side| side as usize);
        let image = ArrayD::from_shape_vec(IxDyn(&[1, h, w, 3]), image.into_raw())?;
        let (inputs, labels) = &mut splits[usize::from(test != 0)];
        inputs.extend(resized(&image, shape)?);
        labels.push(u16::try_from(label).context("a label is no class")?);
    }
    let [train, test] = splits.map(|(inputs, labels)| Split::new(inputs, labels));
    Ok(Dataset { train: train.context("no samples")?, test: test.context("no test samples")? })
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
    fn calibration_undoes_the_centring() {
        let split = Split::new(vec![-128, 127], vec![0]).unwrap();
        let text = "name = 'x'\ntitle = 'x'\nfile = 'x'";
        let mut data: Data = toml::from_str(text).unwrap();
        let samples = calibration(&data, &split, [0.0, 1.0]);
        assert_eq!(samples.values, [[0.0, 255.0]]);
        assert_eq!(samples.input, Some(Quant::per_tensor(1.0, -128)));
        data.features = true;
        let samples = calibration(&data, &split, [0.0, 32.0]);
        assert_eq!(samples.values, [[-4.0, 127.0 / 32.0]]);
        assert_eq!(samples.input, Some(Quant::per_tensor(1.0 / 32.0, 0)));
    }
}
