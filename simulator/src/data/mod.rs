//! Labelled samples from files, quantised as a program wants them.
//!
//! Forms read: `.npz` with `x_train y_train x_test y_test` (NHWC uint8 images, int8 features as
//! they are, or float values), and `.npz` with `jpeg offsets labels is_test` (JPEG bytes; image i
//! is `jpeg[offsets[i]..offsets[i+1]]`).

mod npz;

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use offshoot_runtime::program::Header;

/// Samples that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file cannot be opened or is no archive of arrays.
    #[error("{path}: {reason}; expected an .npz archive of plain arrays", path = path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An array is missing or of a type that is not understood.
    #[error("{path}: array `{array}` {reason}", path = path.display())]
    Array {
        /// The file.
        path: PathBuf,
        /// The array.
        array: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A split has no samples.
    #[error("{path}: the {split} split has no samples; both need some", path = path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// `train` or `test`.
        split: &'static str,
    },
    /// A label is no class of the program.
    #[error("{path}: label {label} of {split} sample {index} is outside the program's {classes} classes; {}", remedy(*label), path = path.display())]
    Label {
        /// The file.
        path: PathBuf,
        /// `train` or `test`.
        split: &'static str,
        /// Which sample.
        index: usize,
        /// Its label.
        label: i64,
        /// How many classes there are.
        classes: u16,
    },
    /// Samples have another shape than the program's input.
    #[error("{path}: samples have shape {found:?}, the program reads {expected:?} (height, width, channels); resize the data or compile a model of that input", path = path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// Shape of a sample.
        found: Vec<usize>,
        /// Shape of the input.
        expected: [usize; 3],
    },
    /// A value is NaN or infinite.
    #[error("{path}: {split} sample {index} holds {value}, which is no finite number; leave that sample out or repair it", path = path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// `train` or `test`.
        split: &'static str,
        /// Which sample.
        index: usize,
        /// The value.
        value: f32,
    },
}

/// What to do about a label that is too large, or none at all.
fn remedy(label: i64) -> String {
    match label {
        0..65535 => format!("compile with --classes {}", label + 1),
        _ => "number the classes from 0, 65535 of them at most".into(),
    }
}

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

/// Labelled samples of a program's input type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    inputs: Vec<i8>,
    labels: Vec<u16>,
    size: usize,
}

impl Split {
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
/// Float values are quantised with the input's scale and zero point. `normalize = (mean, std)`
/// instead maps every value to `(v - mean) / std` first.
///
/// # Errors
/// What is wrong with the file, or how it does not fit the program.
pub fn load(
    path: &Path,
    header: &Header,
    normalize: Option<(f32, f32)>,
) -> Result<Dataset, DataError> {
    let open = |e: std::io::Error| DataError::Open { path: path.into(), reason: e.to_string() };
    read(path, File::open(path).map_err(open)?, header, normalize)
}

/// As [`load`], from an open archive; `path` is what errors call it.
///
/// # Errors
/// As [`load`].
pub fn read(
    path: &Path,
    archive: impl Read + Seek,
    header: &Header,
    normalize: Option<(f32, f32)>,
) -> Result<Dataset, DataError> {
    let file = npz::read(path, archive)?;
    let shape = header.input_shape;
    let expected = [shape.h, shape.w, shape.c].map(usize::from);
    if file.shape.iter().product::<usize>() != shape.elements() || !same(&file.shape, expected) {
        let path = path.to_path_buf();
        return Err(DataError::Shape { path, found: file.shape, expected });
    }
    let split = |raw: &RawSplit, name| quantize(path, raw, name, header, normalize);
    Ok(Dataset { train: split(&file.train, "train")?, test: split(&file.test, "test")? })
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
/// pixels and int8 features count as numbers, and `normalize = (mean, std)` maps every value to
/// `(v - mean) / std`.
///
/// # Errors
/// What is wrong with the file, or how it does not fit the shape.
pub fn reals(
    path: &Path,
    shape: [usize; 3],
    normalize: Option<(f32, f32)>,
) -> Result<Reals, DataError> {
    let open = |e: std::io::Error| DataError::Open { path: path.into(), reason: e.to_string() };
    let file = npz::read(path, File::open(path).map_err(open)?)?;
    let size = shape.iter().product::<usize>();
    if size == 0 || file.shape.iter().product::<usize>() != size || !same(&file.shape, shape) {
        return Err(DataError::Shape { path: path.into(), found: file.shape, expected: shape });
    }
    let (mean, std) = normalize.unwrap_or((0.0, 1.0));
    let map = |v: f32| (v - mean) / std;
    // As many steps from the mean as the value at zero is: what is not whole is lost to rounding.
    let integers = |zero: f32| Some((1.0 / std, (mean + zero).round().clamp(-128.0, 127.0) as i32));
    let (values, input): (Vec<f32>, _) = match &file.train.values {
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
            Ok(l) if l < header.classes => labels.push(l),
            _ => {
                return Err(DataError::Label { path, split, index, label, classes: header.classes })
            }
        }
    }
    let real = |v: f32| {
        let (mean, std) = normalize.unwrap_or((0.0, 1.0));
        let q = ((v - mean) / std / header.input_scale).round_ties_even()
            + f32::from(header.input_zero);
        q.clamp(-128.0, 127.0) as i8
    };
    let inputs = match (&raw.values, normalize) {
        (Raw::Pixels(v), None) => v.iter().map(|&p| (i16::from(p) - 128) as i8).collect(),
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
