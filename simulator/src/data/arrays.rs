//! Arrays of samples: `.npz` archives, and folders of `.npy` files.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use ndarray::{ArrayD, IxDyn, OwnedRepr};
use ndarray_npy::{NpzReader, ReadNpyError, ReadNpyExt, ReadNpzError, ReadableElement};

use super::{DataError, Raw, RawSplit, Samples};

/// Where arrays lie.
enum Store<R: Read + Seek> {
    Npz(Box<NpzReader<R>>),
    Folder(PathBuf),
}

struct Arrays<'p, R: Read + Seek> {
    path: &'p Path,
    store: Store<R>,
    names: Vec<String>,
}

/// Reads either form of archive.
///
/// # Errors
/// What is missing or wrong, by array.
pub fn read_npz(path: &Path, archive: impl Read + Seek) -> Result<Samples, DataError> {
    let open = |e: ReadNpzError| DataError::open(path, e);
    let mut reader = NpzReader::new(archive).map_err(open)?;
    let names = reader.names().map_err(open)?;
    let names = names.into_iter().map(|n| n.trim_end_matches(".npy").to_string()).collect();
    let mut arrays = Arrays { path, store: Store::Npz(Box::new(reader)), names };
    if arrays.has("jpeg") {
        arrays.jpeg()
    } else {
        arrays.plain()
    }
}

/// Reads the `.npy` files called `names` of a folder.
///
/// # Errors
/// What is missing or wrong, by array.
pub fn read_npy(folder: &Path, names: Vec<String>) -> Result<Samples, DataError> {
    let store = Store::<File>::Folder(folder.to_path_buf());
    Arrays { path: folder, store, names }.plain()
}

impl<R: Read + Seek> Arrays<'_, R> {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|n| n == name)
    }

    fn error(&self, array: &str, reason: impl Into<String>) -> DataError {
        let (path, array) = (self.path.to_path_buf(), array.to_string());
        DataError::Array { path, array, reason: reason.into() }
    }

    /// The array, where its elements are of type `T`.
    fn array<T: ReadableElement>(&mut self, name: &str) -> Result<Option<ArrayD<T>>, DataError> {
        let found = match &mut self.store {
            Store::Npz(reader) => match reader.by_name::<OwnedRepr<T>, IxDyn>(name) {
                Err(ReadNpzError::Npy(ReadNpyError::WrongDescriptor(_))) => return Ok(None),
                other => other.map_err(|e| e.to_string()),
            },
            Store::Folder(folder) => {
                let file = File::open(folder.join(name).with_extension("npy"));
                match file.map_err(ReadNpyError::Io).and_then(ArrayD::<T>::read_npy) {
                    Err(ReadNpyError::WrongDescriptor(_)) => return Ok(None),
                    other => other.map_err(|e| e.to_string()),
                }
            }
        };
        let unread = |e| self.error(name, format!("cannot be read: {e}; save the file again"));
        found.map(Some).map_err(unread)
    }

    fn present(&self, name: &str) -> Result<(), DataError> {
        if self.has(name) {
            return Ok(());
        }
        let there = if self.names.is_empty() { "none".into() } else { self.names.join(", ") };
        let needed = if self.has("jpeg") {
            "jpeg, offsets, labels and is_test"
        } else {
            "x_train, y_train, x_test and y_test"
        };
        let reason = format!("is missing; the file's arrays are {there}; expected {needed}");
        Err(self.error(name, reason))
    }

    fn integers(&mut self, name: &str) -> Result<Vec<i64>, DataError> {
        self.present(name)?;
        if let Some(a) = self.array::<i64>(name)? {
            return Ok(a.into_iter().collect());
        }
        if let Some(a) = self.array::<i32>(name)? {
            return Ok(a.into_iter().map(i64::from).collect());
        }
        if let Some(a) = self.array::<u32>(name)? {
            return Ok(a.into_iter().map(i64::from).collect());
        }
        if let Some(a) = self.array::<u64>(name)? {
            return Ok(a.into_iter().map(|v| v as i64).collect());
        }
        if let Some(a) = self.array::<i16>(name)? {
            return Ok(a.into_iter().map(i64::from).collect());
        }
        if let Some(a) = self.array::<u8>(name)? {
            return Ok(a.into_iter().map(i64::from).collect());
        }
        if let Some(a) = self.array::<i8>(name)? {
            return Ok(a.into_iter().map(i64::from).collect());
        }
        if let Some(a) = self.array::<bool>(name)? {
            return Ok(a.into_iter().map(i64::from).collect());
        }
        Err(self.error(name, "does not hold integers; save labels as int64"))
    }

    fn values(&mut self, name: &str) -> Result<(Vec<usize>, Raw), DataError> {
        self.present(name)?;
        let (shape, raw) = if let Some(a) = self.array::<u8>(name)? {
            (a.shape().to_vec(), Raw::Pixels(a.into_iter().collect()))
        } else if let Some(a) = self.array::<i8>(name)? {
            (a.shape().to_vec(), Raw::Int8(a.into_iter().collect()))
        } else if let Some(a) = self.array::<f32>(name)? {
            (a.shape().to_vec(), Raw::Real(a.into_iter().collect()))
        } else if let Some(a) = self.array::<f64>(name)? {
            (a.shape().to_vec(), Raw::Real(a.into_iter().map(|v| v as f32).collect()))
        } else if let Some(a) = self.array::<i16>(name)? {
            (a.shape().to_vec(), Raw::Real(a.into_iter().map(f32::from).collect()))
        } else {
            return Err(self.error(
                name,
                "is none of uint8, int8, int16, float32, float64; save it as one of them",
            ));
        };
        match shape.split_first() {
            Some((_, sample)) if !sample.is_empty() => Ok((sample.to_vec(), raw)),
            _ => Err(self.error(name, format!("has shape {shape:?}, expected samples first"))),
        }
    }

    fn plain(&mut self) -> Result<Samples, DataError> {
        let (shape, values) = self.values("x_train")?;
        let train = RawSplit { values, labels: self.integers("y_train")? };
        let (test_shape, values) = self.values("x_test")?;
        if test_shape != shape {
            let reason = format!(
                "has samples of shape {test_shape:?}, x_train of {shape:?}; both must agree"
            );
            return Err(self.error("x_test", reason));
        }
        let test = RawSplit { values, labels: self.integers("y_test")? };
        Ok(Samples { shape, classes: Vec::new(), train, test })
    }

    fn jpeg(&mut self) -> Result<Samples, DataError> {
        let bytes: Vec<u8> = match self.array::<u8>("jpeg")? {
            Some(a) => a.into_iter().collect(),
            None => return Err(self.error("jpeg", "does not hold bytes; save it as uint8")),
        };
        let (offsets, labels) = (self.integers("offsets")?, self.integers("labels")?);
        let is_test = self.integers("is_test")?;
        let counts = [("offsets", offsets.len(), 1), ("is_test", is_test.len(), 0)];
        for (array, found, more) in counts {
            let (count, needed) = (labels.len(), labels.len() + more);
            if found != needed {
                let reason = format!("has {found} entries for {count} labels, expected {needed}");
                return Err(self.error(array, reason));
            }
        }
        if labels.is_empty() {
            return Err(DataError::Empty { path: self.path.to_path_buf(), split: "train" });
        }
        let [train, test] = [(); 2].map(|()| RawSplit::new(Raw::Pixels(Vec::new())));
        let mut file = Samples { shape: Vec::new(), classes: Vec::new(), train, test };
        for (index, &label) in labels.iter().enumerate() {
            let range =
                usize::try_from(offsets[index]).ok().zip(usize::try_from(offsets[index + 1]).ok());
            let coded = range.and_then(|(from, to)| bytes.get(from..to));
            let coded = coded.ok_or_else(|| {
                self.error(
                    "offsets",
                    format!("of image {index} leave `jpeg`; they must ascend from 0 to its length"),
                )
            })?;
            let image = image::load_from_memory_with_format(coded, image::ImageFormat::Jpeg)
                .map_err(|e| {
                    self.error(
                        "jpeg",
                        format!(
                            "image {index} does not decode: {}; save it again",
                            e.to_string().trim_end()
                        ),
                    )
                })?
                .into_rgb8();
            let shape = vec![image.height() as usize, image.width() as usize, 3];
            if file.shape.is_empty() {
                file.shape = shape;
            } else if file.shape != shape {
                let reason = format!(
                    "image {index} is {shape:?}, the first is {:?}; resize them alike",
                    file.shape
                );
                return Err(self.error("jpeg", reason));
            }
            let split = if is_test[index] != 0 { &mut file.test } else { &mut file.train };
            split.labels.push(label);
            if let Raw::Pixels(pixels) = &mut split.values {
                pixels.extend_from_slice(image.as_raw());
            }
        }
        Ok(file)
    }
}
