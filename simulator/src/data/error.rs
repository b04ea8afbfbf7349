//! Samples that cannot be used, and what to do.

use std::path::{Path, PathBuf};

/// Samples that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The path cannot be opened or is none of the forms that samples have.
    #[error("{path}: {reason}; expected an .npz archive of plain arrays, a .csv table, or a folder of .npy arrays, of images by class or of .wav files by class", path = path.display())]
    Open {
        /// The file or folder.
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
    /// A file or folder cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// A row of a table cannot be used.
    #[error("{path}: line {line}{column}: {reason}", path = path.display(), column = in_column(column.as_deref()))]
    Row {
        /// The table.
        path: PathBuf,
        /// Its line, from 1.
        line: u64,
        /// Its column, where it is about one.
        column: Option<String>,
        /// What is wrong with it, and the way out.
        reason: String,
    },
    /// The description of the data makes no sense.
    #[error("{path}: {reason}", path = path.display())]
    Spec {
        /// The file of `--data-spec`.
        path: PathBuf,
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
    /// There are more classes than the program has.
    #[error("{path}: {found} classes ({names}), but the program has {classes}; compile with --classes {found}", path = path.display())]
    Classes {
        /// The folder or table.
        path: PathBuf,
        /// Number of classes found.
        found: usize,
        /// Their names.
        names: String,
        /// Number of classes of the program.
        classes: u16,
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

impl DataError {
    /// A path that cannot be opened.
    pub(super) fn open(path: &Path, reason: impl ToString) -> DataError {
        DataError::Open { path: path.into(), reason: reason.to_string() }
    }

    /// A file that cannot be used.
    pub(super) fn file(path: &Path, reason: impl Into<String>) -> DataError {
        DataError::File { path: path.into(), reason: reason.into() }
    }
}

/// What to do about a label that is too large, or none at all.
fn remedy(label: i64) -> String {
    match label {
        0..65535 => format!("compile with --classes {}", label + 1),
        _ => "number the classes from 0, 65535 of them at most".into(),
    }
}

fn in_column(column: Option<&str>) -> String {
    column.map_or(String::new(), |column| format!(", column `{column}`"))
}
