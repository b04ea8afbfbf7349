//! Folders of files by class.
//!
//! `root/class/*`, or `root/train/class/*` and `root/test/class/*`. Files of other kinds, and
//! folders whose names begin with `.` or `_`, are left out; nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::division::{group, held_out, SHARE};
use super::{DataError, DataSpec};

/// A file of a class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The file.
    pub path: PathBuf,
    /// Index of its class.
    pub label: usize,
    /// Whether it is held out.
    pub test: bool,
}

/// All files of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// Names of the classes in their order.
    pub classes: Vec<String>,
    /// Files: by split, by class, by name.
    pub items: Vec<Item>,
}

/// Whether a file has one of these extensions, in either case.
pub fn is_of(path: &Path, extensions: &[&str]) -> bool {
    let found = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    extensions.iter().any(|e| e.eq_ignore_ascii_case(found))
}

/// What a folder holds, by name; hidden files left out.
pub fn entries(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let cannot = |e: std::io::Error| DataError::file(folder, format!("cannot be read: {e}"));
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if !name(&path).starts_with('.') {
            found.push(path);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The last part of a path.
pub fn name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let used = |path: &PathBuf| path.is_dir() && !name(path).starts_with('_');
    Ok(entries(folder)?.into_iter().filter(used).collect())
}

/// Names by number where all are whole numbers, else by alphabet.
pub fn ordered(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
    if names.iter().all(|name| name.parse::<u64>().is_ok()) {
        names.sort_by_key(|name| name.parse::<u64>().unwrap_or(0));
    }
    names
}

/// Refuses a name that comes twice.
pub fn distinct(names: &[String]) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| !seen.insert(*name)) {
        Some(name) => Err(format!("names the class `{name}` twice; name each once")),
        None => Ok(()),
    }
}

/// The order of classes that the user gave: in the specification, or in `classes.txt` beside the
/// data, one a line.
pub fn given(folder: &Path, spec: &DataSpec) -> Result<Option<Vec<String>>, DataError> {
    if spec.classes.is_some() {
        return Ok(spec.classes.clone());
    }
    let path = folder.join("classes.txt");
    if !path.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path)
        .map_err(|e| DataError::file(&path, format!("cannot be read: {e}")))?;
    let names: Vec<String> =
        text.lines().map(str::trim).filter(|n| !n.is_empty()).map(Into::into).collect();
    if names.is_empty() {
        return Err(DataError::file(&path, "names no class; write one a line, or remove it"));
    }
    distinct(&names).map_err(|reason| DataError::file(&path, reason))?;
    Ok(Some(names))
}

/// Lists the files of a folder that have one of the `extensions`.
///
/// # Errors
/// What is wrong with the folder: a class without files, a class that is not among those given.
pub fn list(root: &Path, spec: &DataSpec, extensions: &[&str]) -> Result<Listing, DataError> {
    let top = folders(root)?;
    let divided = |split: &str| top.iter().any(|path| name(path) == split);
    let roots: Vec<(PathBuf, Option<bool>)> = match (divided("train"), divided("test")) {
        (true, true) => {
            let stray = top.iter().find(|path| !["train", "test"].contains(&&*name(path)));
            if let Some(stray) = stray {
                let reason = "lies beside train and test; move it away, or into one of them";
                return Err(DataError::file(stray, reason));
            }
            vec![(root.join("train"), Some(false)), (root.join("test"), Some(true))]
        }
        (false, false) => vec![(root.to_path_buf(), None)],
        (has_train, _) => {
            let (is, lacks) = if has_train { ("train", "test") } else { ("test", "train") };
            let reason = format!(
                "has a folder {is} but none called {lacks}; give both, or classes alone to hold \
                 out every fifth file"
            );
            return Err(DataError::file(root, reason));
        }
    };
    let mut found = Vec::new();
    for (folder, test) in &roots {
        found.extend(folders(folder)?.into_iter().map(|path| (path, *test)));
    }
    let names = ordered(found.iter().map(|(path, _)| name(path)));
    let classes = given(root, spec)?.unwrap_or(names);
    let mut items = Vec::new();
    for (folder, test) in &found {
        let class = name(folder);
        let Some(label) = classes.iter().position(|c| *c == class) else {
            let reason = format!(
                "is no class of those given ({}); add its name there, or move the folder away",
                classes.join(", ")
            );
            return Err(DataError::file(folder, reason));
        };
        items.extend(files(folder, extensions)?.into_iter().map(|path| {
            let name = name(&path);
            let held_out = || held_out(group(&name, spec.group_ends.as_deref()));
            Item { test: test.unwrap_or_else(held_out), label, path }
        }));
        let trained = |item: &Item| item.label == label && !item.test;
        if test.is_none() && !items.iter().any(trained) {
            let reason = format!(
                "has no file left to learn from, since one in {SHARE} is held out; add files, or \
                 divide them into folders train and test"
            );
            return Err(DataError::file(folder, reason));
        }
    }
    if !items.iter().any(|item| item.test) && !items.is_empty() && roots.len() == 1 {
        let reason = format!(
            "has no file that is held out, though one in {SHARE} should be; add files, or divide \
             them into folders train and test"
        );
        return Err(DataError::file(root, reason));
    }
    items.sort_by_key(|item| (item.test, item.label));
    Ok(Listing { classes, items })
}

/// Files of a class.
fn files(folder: &Path, extensions: &[&str]) -> Result<Vec<PathBuf>, DataError> {
    let all = entries(folder)?;
    if let Some(inner) = all.iter().find(|path| path.is_dir()) {
        let reason =
            format!("is a folder within the class; move its files up to `{}`", name(folder));
        return Err(DataError::file(inner, reason));
    }
    let used: Vec<PathBuf> = all.into_iter().filter(|path| is_of(path, extensions)).collect();
    if used.is_empty() {
        let kinds: Vec<String> = extensions.iter().map(|e| format!(".{e}")).collect();
        let reason =
            format!("holds no {} file; add some, or remove the class's folder", kinds.join(" or "));
        return Err(DataError::file(folder, reason));
    }
    Ok(used)
}
