//! Folders of images by class, resized to the input as a device resizes its camera's.

use std::path::Path;

use image::{DynamicImage, ImageDecoder, ImageReader};
use offshoot_runtime::features::image::{Image, Resize, MOST};

use super::classes::{list, Item};
use super::{DataError, DataSpec, Raw, RawSplit, Samples};

/// Extensions of images that are read.
pub const EXTENSIONS: &[&str] = &["png", "jpg", "jpeg"];

/// Reads the images below `root` at the size of `shape` (height, width, channels).
///
/// # Errors
/// What is wrong, by file.
pub fn read(root: &Path, shape: [usize; 3], spec: &DataSpec) -> Result<Samples, DataError> {
    let listing = list(root, spec, EXTENSIONS)?;
    let [h, w, c] = shape;
    let sizes = u16::try_from(w).ok().zip(u16::try_from(h).ok()).zip(u8::try_from(c).ok());
    let resize = match sizes {
        Some(((width, height), channels @ (1 | 3))) => {
            let (crop, filter) = (spec.image.crop, spec.image.filter);
            Resize { width, height, channels, crop, filter }
        }
        _ => {
            let reason = format!(
                "images have 1 or 3 channels, but the program reads {shape:?} (height, width, \
                 channels); give its samples as arrays"
            );
            return Err(DataError::file(root, reason));
        }
    };
    let (mut train, mut test) = (Vec::new(), Vec::new());
    let mut labels = (Vec::new(), Vec::new());
    let mut pixels = vec![0; resize.outputs()];
    for Item { path, label, test: held_out } in &listing.items {
        one(path, &resize, &mut pixels)?;
        let (to, labels) = match held_out {
            true => (&mut test, &mut labels.1),
            false => (&mut train, &mut labels.0),
        };
        to.extend_from_slice(&pixels);
        labels.push(*label as i64);
    }
    Ok(Samples {
        shape: shape.to_vec(),
        classes: listing.classes,
        train: RawSplit { values: Raw::Pixels(train), labels: labels.0 },
        test: RawSplit { values: Raw::Pixels(test), labels: labels.1 },
    })
}

/// Decodes and resizes one image.
fn one(path: &Path, resize: &Resize, out: &mut [u8]) -> Result<(), DataError> {
    let decoded = decode(path).map_err(|e| {
        let reason = format!("does not decode: {}; save it again or remove it", e.trim_end());
        DataError::file(path, reason)
    })?;
    let sides = u16::try_from(decoded.width()).ok().zip(u16::try_from(decoded.height()).ok());
    let Some((width, height)) = sides else {
        return Err(DataError::file(
            path,
            "has more than 65535 pixels along a side; scale it down",
        ));
    };
    let grey = !decoded.color().has_color();
    let (pixels, channels) = match grey {
        true => (decoded.into_luma8().into_raw(), 1),
        false => (decoded.into_rgb8().into_raw(), 3),
    };
    let image = Image { pixels: &pixels, width, height, channels };
    resize
        .run(&image, out, |pixel| pixel)
        .map_err(|e| DataError::file(path, format!("{e}; scale the image down")))
}

/// An image, turned as its camera said that it was held.
fn decode(path: &Path) -> Result<DynamicImage, String> {
    let text = |e: image::ImageError| e.to_string();
    let reader = ImageReader::open(path).map_err(|e| e.to_string())?;
    let reader = reader.with_guessed_format().map_err(|e| e.to_string())?;
    let mut decoder = reader.into_decoder().map_err(text)?;
    let (width, height) = decoder.dimensions();
    if width.max(height) > MOST.into() {
        return Err(format!("{width} x {height} pixels, {MOST} a side are read; scale it down"));
    }
    let orientation = decoder.orientation().map_err(text)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(text)?;
    image.apply_orientation(orientation);
    Ok(image)
}
