//! Labelled samples from files, quantised as a program wants them.
//!
//! One entry point, [`load`], takes every form that samples have:
//!
//! * an `.npz` archive, or a folder of `.npy` files, with `x_train y_train x_test y_test` (NHWC uint8
//!   images, int8 features as they are, or real values), or an archive with `jpeg offsets labels
//!   is_test` (JPEG bytes; image i is `jpeg[offsets[i]..offsets[i+1]]`);
//! * a folder with a folder of images, or of `.wav` files, for each class, divided into `train` and
//!   `test` or not;
//! * a `.csv` table of sensor values, or a folder with `train.csv` and `test.csv`.
//!
//! What a device does too (resizing, audio features, quantisation) is the runtime's code:
//! [`offshoot_runtime::features`].

mod arrays;
pub mod audio;
mod classes;
mod division;
mod error;
mod images;
mod resample;
mod source;
mod spec;
mod table;
mod wav;

use std::io::{Read, Seek};
use std::path::Path;

use offshoot_runtime::features::{pixel, Quantizer};
use offshoot_runtime::program::Header;

pub use division::held_out;
pub use error::DataError;
pub use spec::{AudioKeys, CsvKeys, DataSpec, ImageKeys};

/// Values of samples as they lie in the file.
#[derive(Clone, Debug)]
enum Raw {
    /// Pixels 0..255.
    Pixels(Vec<u8>),
    /// Features that are already int8.
    Int8(Vec<i8>),
    /// Real values.
    Real(Vec<f32>),
}

impl Raw {
    fn len(&self) -> usize {
        match self {
            Raw::Pixels(v) => v.len(),
            Raw::Int8(v) => v.len(),
            Raw::Real(v) => v.len(),
        }
    }
}

/// One split as it lies in the file.
#[derive(Clone, Debug)]
struct RawSplit {
    values: Raw,
    labels: Vec<i64>,
}

impl RawSplit {
    fn new(values: Raw) -> RawSplit {
        RawSplit { values, labels: Vec::new() }
    }
}

/// Samples as they lie in a file or folder.
#[derive(Clone, Debug)]
struct Samples {
    /// Shape of a sample.
    shape: Vec<usize>,
    /// Names of the classes, where they have any.
    classes: Vec<String>,
    /// To learn from.
    train: RawSplit,
    /// Held out.
    test: RawSplit,
}

/// How samples are read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// `(mean, std)`: maps every value to `(v - mean) / std` before it is quantised.
    pub normalize: Option<(f32, f32)>,
    /// What the files do not say of themselves.
    pub spec: DataSpec,
}

/// Labelled samples of a program's input type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    inputs: Vec<i8>,
    labels: Vec<u16>,
    size: usize,
}

impl Split {
    /// Samples that lie one after the other in `inputs`, int8 NHWC, with the class of each; `None`
    /// where there are not as many of one as of the other.
    pub fn new(inputs: Vec<i8>, labels: Vec<u16>) -> Option<Split> {
        let size = inputs.len().checked_div(labels.len())?;
        (size * labels.len() == inputs.len()).then_some(Split { inputs, labels, size })
    }

    /// The samples of those indices, in that order.
    pub fn select(&self, indices: &[usize]) -> Split {
        Split {
            inputs: indices.iter().flat_map(|&i| self.input(i)).copied().collect(),
            labels: indices.iter().map(|&i| self.label(i)).collect(),
            size: self.size,
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Sample `index`: int8 NHWC.
    pub fn input(&self, index: usize) -> &[i8] {
        &self.inputs[index * self.size..][..self.size]
    }

    /// Class of sample `index`.
    pub fn label(&self, index: usize) -> u16 {
        self.labels[index]
    }

    /// The first `count` samples of each class in turn, so that few samples stand for all.
    pub fn spread(&self, count: usize) -> Vec<usize> {
        let mut seen = std::collections::BTreeMap::new();
        let mut order: Vec<(usize, u16, usize)> = Vec::new();
        for (index, &label) in self.labels.iter().enumerate() {
            let nth = seen.entry(label).or_insert(0usize);
            order.push((*nth, label, index));
            *nth += 1;
        }
        order.sort_unstable();
        order.into_iter().take(count).map(|(_, _, index)| index).collect()
    }
}

/// Training and test samples.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dataset {
    /// To learn from.
    pub train: Split,
    /// Held out.
    pub test: Split,
}

/// Reads `path` and quantises its samples for a program.
///
/// uint8 pixels cover the whole range of the program's int8 input: `q = pixel - 128`, which is
/// what every image model does with its own normalisation. int8 features are taken as they are.
/// Real values, and all values where there is an [`Options::normalize`], are quantised with the
/// input's scale and zero point.
///
/// # Errors
/// What is wrong with the files, or how they do not fit the program.
pub fn load(path: &Path, header: &Header, options: &Options) -> Result<Dataset, DataError> {
    let samples = source::read(path, input(header), &options.spec)?;
    quantized(path, samples, header, options.normalize)
}

/// As [`load`], from an open `.npz` archive; `path` is what errors call it.
///
/// # Errors
/// As [`load`].
pub fn read(
    path: &Path,
    archive: impl Read + Seek,
    header: &Header,
    normalize: Option<(f32, f32)>,
) -> Result<Dataset, DataError> {
    quantized(path, arrays::read_npz(path, archive)?, header, normalize)
}

/// Height, width and channels of a program's input.
fn input(header: &Header) -> [usize; 3] {
    let shape = header.input_shape;
    [shape.h, shape.w, shape.c].map(usize::from)
}

fn quantized(
    path: &Path,
    samples: Samples,
    header: &Header,
    normalize: Option<(f32, f32)>,
) -> Result<Dataset, DataError> {
    check_shape(path, &samples, input(header))?;
    // A network without classes is judged by how it tells class 0 from all others.
    if header.classes > 0 && samples.classes.len() > usize::from(header.classes) {
        let (found, names) = (samples.classes.len(), samples.classes.join(", "));
        let classes = header.classes;
        return Err(DataError::Classes { path: path.into(), found, names, classes });
    }
    let split = |raw: &RawSplit, name| quantize(path, raw, name, header, normalize);
    Ok(Dataset { train: split(&samples.train, "train")?, test: split(&samples.test, "test")? })
}

/// Refuses samples that are not of the `expected` shape, but for dimensions of 1.
fn check_shape(path: &Path, samples: &Samples, expected: [usize; 3]) -> Result<(), DataError> {
    let size: usize = expected.iter().product();
    let found = &samples.shape;
    if size == 0 || found.iter().product::<usize>() != size || !same(found, expected) {
        return Err(DataError::Shape { path: path.into(), found: found.clone(), expected });
    }
    Ok(())
}

/// Training samples before they are quantised.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reals {
    /// Real values, NHWC.
    pub samples: Vec<Vec<f32>>,
    /// Scale and zero point that [`load`] assumes of an input in integers, where the samples are.
    pub input: Option<(f32, i32)>,
}

/// Reads the training samples of `path`, each of `shape` (height, width, channels), as real numbers:
/// pixels and int8 features count as numbers, and [`Options::normalize`] maps every value.
///
/// # Errors
/// What is wrong with the files, or how they do not fit the shape.
pub fn reals(path: &Path, shape: [usize; 3], options: &Options) -> Result<Reals, DataError> {
    let samples = source::read(path, shape, &options.spec)?;
    check_shape(path, &samples, shape)?;
    let size = shape.iter().product::<usize>();
    let (mean, std) = options.normalize.unwrap_or((0.0, 1.0));
    let map = |v: f32| (v - mean) / std;
    // As many steps from the mean as the value at zero is: what is not whole is lost to rounding.
    let integers = |zero: f32| Some((1.0 / std, (mean + zero).round().clamp(-128.0, 127.0) as i32));
    let (values, input): (Vec<f32>, _) = match &samples.train.values {
        Raw::Pixels(v) => (v.iter().map(|&p| map(p.into())).collect(), integers(-128.0)),
        Raw::Int8(v) => (v.iter().map(|&q| map(q.into())).collect(), integers(0.0)),
        Raw::Real(v) => (v.iter().map(|&x| map(x)).collect(), None),
    };
    if let Some(at) = values.iter().position(|x| !x.is_finite()) {
        let (index, value) = (at / size, values[at]);
        return Err(DataError::NotFinite { path: path.into(), split: "train", index, value });
    }
    Ok(Reals { samples: values.chunks_exact(size).map(<[f32]>::to_vec).collect(), input })
}

/// Whether two shapes are equal but for dimensions of 1.
fn same(found: &[usize], expected: [usize; 3]) -> bool {
    let wide = |shape: &[usize]| shape.iter().copied().filter(|&d| d != 1).collect::<Vec<_>>();
    wide(found) == wide(&expected)
}

fn quantize(
    path: &Path,
    raw: &RawSplit,
    split: &'static str,
    header: &Header,
    normalize: Option<(f32, f32)>,
) -> Result<Split, DataError> {
    let path = path.to_path_buf();
    let size = header.input_shape.elements();
    if raw.labels.is_empty() {
        return Err(DataError::Empty { path, split });
    }
    if raw.values.len() != raw.labels.len() * size {
        let reason = format!(
            "holds {} values for {} labels; x_{split} and y_{split} need as many samples",
            raw.values.len(),
            raw.labels.len()
        );
        return Err(DataError::Array { path, array: format!("x_{split}"), reason });
    }
    let mut labels = Vec::with_capacity(raw.labels.len());
    for (index, &label) in raw.labels.iter().enumerate() {
        match u16::try_from(label) {
            Ok(l) if l < header.classes || header.classes == 0 => labels.push(l),
            _ => {
                return Err(DataError::Label { path, split, index, label, classes: header.classes })
            }
        }
    }
    let (mean, std) = normalize.unwrap_or((0.0, 1.0));
    let quantizer = Quantizer::of(header).normalized(mean, std);
    let real = |v: f32| quantizer.real(v);
    let inputs = match (&raw.values, normalize) {
        (Raw::Pixels(v), None) => v.iter().map(|&p| pixel(p)).collect(),
        (Raw::Pixels(v), Some(_)) => v.iter().map(|&p| real(f32::from(p))).collect(),
        (Raw::Int8(v), None) => v.clone(),
        (Raw::Int8(v), Some(_)) => v.iter().map(|&p| real(f32::from(p))).collect(),
        (Raw::Real(v), _) => {
            if let Some(at) = v.iter().position(|x| !x.is_finite()) {
                return Err(DataError::NotFinite { path, split, index: at / size, value: v[at] });
            }
            v.iter().map(|&x| real(x)).collect()
        }
    };
    Ok(Split { inputs, labels, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_selected_and_spread_over_classes() {
        assert_eq!(Split::new(vec![1, 2, 3], vec![0, 1]), None);
        assert_eq!(Split::new(Vec::new(), Vec::new()), None);
        let split = Split::new((0..10).collect(), vec![0, 0, 1, 0, 1]).unwrap();
        assert_eq!(split.spread(4), [0, 2, 1, 4]);
        let some = split.select(&[4, 0]);
        assert_eq!((some.len(), some.input(0), some.label(0)), (2, &[8, 9][..], 1));
        assert_eq!((some.input(1), some.label(1)), (&[0, 1][..], 0));
    }
}
