//! Tells apart the forms that samples have.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use super::classes::{entries, is_of, name};
use super::{arrays, audio, images, table, DataError, DataSpec, Samples};

/// Reads what lies at `path`, for an input of `shape` (height, width, channels).
///
/// # Errors
/// What is wrong with it, or that it has no form that is known.
pub fn read(path: &Path, shape: [usize; 3], spec: &DataSpec) -> Result<Samples, DataError> {
    if path.is_dir() {
        return folder(path, shape, spec);
    }
    if is_of(path, &["csv"]) {
        return table::read(path, &[(path.to_path_buf(), None)], shape, spec);
    }
    let file = File::open(path).map_err(|e| DataError::open(path, e))?;
    for (extensions, what) in [
        (
            &["npy"][..],
            "one array; give the folder of x_train.npy, y_train.npy, x_test.npy, y_test.npy",
        ),
        (images::EXTENSIONS, "one image; give the folder that holds a folder for each class"),
        (audio::EXTENSIONS, "one recording; give the folder that holds a folder for each class"),
    ] {
        if is_of(path, extensions) {
            return Err(DataError::file(path, format!("is {what}")));
        }
    }
    arrays::read_npz(path, file)
}

fn folder(path: &Path, shape: [usize; 3], spec: &DataSpec) -> Result<Samples, DataError> {
    let here: Vec<_> = entries(path)?.into_iter().filter(|p| p.is_file()).collect();
    let arrays: Vec<String> = here
        .iter()
        .filter(|p| is_of(p, &["npy"]))
        .filter_map(|p| p.file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    if !arrays.is_empty() {
        return arrays::read_npy(path, arrays);
    }
    let tables: Vec<_> = here.iter().filter(|p| is_of(p, &["csv"])).collect();
    if !tables.is_empty() {
        let [train, test] = ["train.csv", "test.csv"].map(|file| path.join(file));
        if tables.len() != 2 || !train.is_file() || !test.is_file() {
            let names: Vec<String> = tables.iter().map(|p| name(p)).collect();
            let reason = format!(
                "holds {}; give one table, or a folder of train.csv and test.csv alone",
                names.join(", ")
            );
            return Err(DataError::file(path, reason));
        }
        return table::read(path, &[(train, Some(false)), (test, Some(true))], shape, spec);
    }
    let mut kinds = BTreeSet::new();
    look(path, 3, &mut kinds)?;
    match (kinds.contains("image"), kinds.contains("wav")) {
        (true, false) => images::read(path, shape, spec),
        (false, true) => audio::read(path, shape, spec),
        (true, true) => {
            let reason = "holds both images and .wav files; give a folder of one kind";
            Err(DataError::file(path, reason))
        }
        (false, false) => Err(DataError::open(path, "holds no samples")),
    }
}

/// Finds which kinds of files lie below a folder, so many folders deep.
fn look(folder: &Path, depth: usize, kinds: &mut BTreeSet<&'static str>) -> Result<(), DataError> {
    for path in entries(folder)? {
        if path.is_dir() {
            if depth > 1 {
                look(&path, depth - 1, kinds)?;
            }
        } else if is_of(&path, images::EXTENSIONS) {
            kinds.insert("image");
        } else if is_of(&path, audio::EXTENSIONS) {
            kinds.insert("wav");
        }
    }
    Ok(())
}
