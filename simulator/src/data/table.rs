//! `.csv` tables of sensor values, cut into windows.
//!
//! A row is a time step; consecutive rows of one label, group and split are a run, and a window
//! lies within a run. What is left at a run's end and does not fill a window is not used. With
//! windows of one row, each row is a sample.
//!
//! Without a column that says `train` or `test`, every fifth group is held out (see
//! [`super::division`]). Without groups either, it is the last fifth of every run, so that no
//! window shares a row with one of the other split; or, where windows have one row, every fifth
//! row by its content.

use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};

use super::classes::{given, ordered};
use super::division::{held_out, SHARE};
use super::{same, DataError, DataSpec, Raw, RawSplit, Samples};

/// Rows of `values` each that fill an input: one after the other along its first dimension, or
/// along its only one.
pub fn rows_of(shape: [usize; 3], values: usize) -> Option<usize> {
    let size: usize = shape.iter().product();
    if values == 0 || size == 0 || !size.is_multiple_of(values) {
        return None;
    }
    let rows = size / values;
    let flat = shape.iter().filter(|&&d| d != 1).count() <= 1;
    (flat || same(&[rows, values], shape)).then_some(rows)
}

/// A time step: its values lie in [`Steps::values`].
#[derive(Clone, Debug)]
struct Step {
    file: usize,
    line: u64,
    label: String,
    group: Option<String>,
    test: Option<bool>,
    /// The row's cells, where the row is divided by them.
    content: Option<String>,
}

impl Step {
    fn continues(&self, before: &Step) -> bool {
        (self.file, &self.label, &self.group, self.test)
            == (before.file, &before.label, &before.group, before.test)
    }
}

#[derive(Default)]
struct Steps {
    columns: Vec<String>,
    values: Vec<f32>,
    steps: Vec<Step>,
}

/// What each column of a table is, by its index.
struct Columns {
    names: Vec<String>,
    values: Vec<usize>,
    label: usize,
    group: Option<usize>,
    split: Option<usize>,
}

/// Reads tables, each with the split that all its rows belong to or none.
///
/// # Errors
/// What is wrong, by line and column.
pub fn read(
    path: &Path,
    files: &[(PathBuf, Option<bool>)],
    shape: [usize; 3],
    spec: &DataSpec,
) -> Result<Samples, DataError> {
    let mut all = Steps::default();
    for (index, (file, test)) in files.iter().enumerate() {
        all.add(file, index, *test, spec)?;
    }
    let columns = all.columns.len();
    // A row that is a whole sample may be one of any shape.
    let rows = match columns == shape.iter().product() {
        true => Some(1),
        false => rows_of(shape, columns),
    };
    let window = spec.csv.window.or(rows);
    let fits = |window: &usize| rows == Some(*window);
    let Some(window) = window.filter(fits) else {
        let reason = format!(
            "{} rows of {columns} columns ({}) do not fill the program's input {shape:?} (height, \
             width, channels); set `columns` and `window` under [csv] of --data-spec",
            window.map_or("whole".into(), |w| w.to_string()),
            all.columns.join(", ")
        );
        return Err(DataError::file(path, reason));
    };
    let (classes, named) = all.classes(path, files, spec)?;
    let mut splits = [(); 2].map(|()| RawSplit::new(Raw::Real(Vec::new())));
    let mut start = 0;
    for run in all.steps.chunk_by(|before, step| step.continues(before)) {
        let label = classes.iter().position(|c| *c == run[0].label);
        let label = match named {
            true => label.map(|l| l as i64),
            false => run[0].label.parse().ok(),
        };
        let hop = spec.csv.hop.unwrap_or(window);
        for (from, to, test) in parts(run, window) {
            let mut first = from;
            while first + window <= to {
                let values = &all.values[(start + first) * columns..][..window * columns];
                let split = &mut splits[usize::from(test)];
                if let Raw::Real(reals) = &mut split.values {
                    reals.extend_from_slice(values);
                }
                split.labels.extend(label);
                first += hop;
            }
        }
        start += run.len();
    }
    let [train, test] = splits;
    let divided = all.steps.iter().any(|step| step.test.is_some());
    for (index, class) in classes.iter().enumerate() {
        let Some(step) = all.steps.iter().find(|step| step.label == *class) else { continue };
        let label = if named { index as i64 } else { class.parse().unwrap_or(-1) };
        let used = train.labels.contains(&label) || divided && test.labels.contains(&label);
        if !used {
            let reason = format!(
                "class `{class}` has no window of {window} consecutive rows of one group to learn \
                 from (without a column `{}`, one in {SHARE} is held out); add rows, or set a \
                 smaller `window` under [csv] of --data-spec",
                spec.csv.split
            );
            let (path, line) = (files[step.file].0.clone(), step.line);
            return Err(DataError::Row { path, line, column: None, reason });
        }
    }
    if !divided && test.labels.is_empty() {
        let reason = format!(
            "has no window of {window} rows that is held out, though one in {SHARE} should be; add \
             rows or groups, or say what to hold out in a column `{}`",
            spec.csv.split
        );
        return Err(DataError::file(path, reason));
    }
    let classes = if named { classes } else { Vec::new() };
    Ok(Samples { shape: shape.to_vec(), classes, train, test })
}

/// The parts of a run that belong to one split each: from, to, whether held out.
fn parts(run: &[Step], window: usize) -> Vec<(usize, usize, bool)> {
    let len = run.len();
    match (run[0].test, &run[0].group) {
        (Some(test), _) => vec![(0, len, test)],
        (None, Some(group)) => vec![(0, len, held_out(group))],
        (None, None) if window == 1 => run
            .iter()
            .enumerate()
            .map(|(i, step)| (i, i + 1, held_out(step.content.as_deref().unwrap_or_default())))
            .collect(),
        (None, None) => {
            let cut = len - len / SHARE;
            vec![(0, cut, false), (cut, len, true)]
        }
    }
}

impl Steps {
    /// Adds the rows of a table.
    fn add(
        &mut self,
        path: &Path,
        file: usize,
        test: Option<bool>,
        spec: &DataSpec,
    ) -> Result<(), DataError> {
        let broken = |e: csv::Error| DataError::file(path, format!("is no table of text: {e}"));
        let mut reader = ReaderBuilder::new()
            .delimiter(spec.csv.separator as u8)
            .flexible(true)
            .trim(Trim::All)
            .from_path(path)
            .map_err(|e| DataError::open(path, e))?;
        let header = reader.headers().map_err(broken)?.clone();
        let columns = Columns::of(path, &header, test.is_some(), spec)?;
        let names: Vec<String> = columns.values.iter().map(|&c| columns.names[c].clone()).collect();
        if file > 0 && names != self.columns {
            let reason = format!(
                "has values {}, the table before it {}; both need the same columns",
                names.join(", "),
                self.columns.join(", ")
            );
            return Err(DataError::file(path, reason));
        }
        self.columns = names;
        for record in reader.records() {
            let record = record.map_err(broken)?;
            let line = record.position().map_or(0, csv::Position::line);
            let row = |column: Option<usize>, reason: String| {
                let column = column.map(|c| columns.names[c].clone());
                DataError::Row { path: path.into(), line, column, reason }
            };
            if record.len() != columns.names.len() {
                let reason = format!(
                    "has {} cells where the header has {}; complete the line or remove it",
                    record.len(),
                    columns.names.len()
                );
                return Err(row(None, reason));
            }
            for &column in &columns.values {
                let value = number(&record[column]).map_err(|reason| row(Some(column), reason))?;
                self.values.push(value);
            }
            let label = record[columns.label].to_string();
            if label.is_empty() {
                let reason = "is empty; give the row a class, or remove it".into();
                return Err(row(Some(columns.label), reason));
            }
            let group = columns.group.map(|c| record[c].to_string());
            let test = match (test, columns.split) {
                (None, Some(column)) => {
                    Some(is_test(&record[column]).map_err(|r| row(Some(column), r))?)
                }
                _ => test,
            };
            let by_content = test.is_none() && group.is_none();
            let content = by_content.then(|| record.iter().collect::<Vec<_>>().join("\u{1f}"));
            self.steps.push(Step { file, line, label, group, test, content });
        }
        Ok(())
    }

    /// Classes in their order, and whether labels are their names: labels that are all whole
    /// numbers are class numbers, as in arrays, unless the user named the classes.
    fn classes(
        &self,
        path: &Path,
        files: &[(PathBuf, Option<bool>)],
        spec: &DataSpec,
    ) -> Result<(Vec<String>, bool), DataError> {
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let Some(classes) = given(folder, spec)? else {
            let classes = ordered(self.steps.iter().map(|step| step.label.clone()));
            let named = !classes.iter().all(|name| name.parse::<i64>().is_ok());
            return Ok((classes, named));
        };
        match self.steps.iter().find(|step| !classes.contains(&step.label)) {
            None => Ok((classes, true)),
            Some(step) => {
                let reason = format!(
                    "`{}` is no class of those given ({}); add it there, or remove the row",
                    step.label,
                    classes.join(", ")
                );
                let (path, line) = (files[step.file].0.clone(), step.line);
                Err(DataError::Row { path, line, column: Some(spec.csv.label.clone()), reason })
            }
        }
    }
}

impl Columns {
    /// Finds columns by the names in a header. `divided`: the table is of one split as a whole.
    fn of(
        path: &Path,
        header: &StringRecord,
        divided: bool,
        spec: &DataSpec,
    ) -> Result<Columns, DataError> {
        let names: Vec<String> = header.iter().map(Into::into).collect();
        let keys = &spec.csv;
        let find = |name: &str| names.iter().position(|n| n == name);
        let must = |name: &str, key: &str| {
            find(name).ok_or_else(|| {
                let reason = format!(
                    "has no column `{name}`; its columns are {}; name it by `{key}` under [csv] of \
                     --data-spec",
                    names.join(", ")
                );
                DataError::file(path, reason)
            })
        };
        if let Err(reason) = super::classes::distinct(&names) {
            let reason = reason.replace("class", "column");
            return Err(DataError::file(path, reason));
        }
        let label = must(&keys.label, "label")?;
        // One that the user named must be there; the usual names may be.
        let default = super::CsvKeys::default();
        let optional = |name: &String, usual: &String, key| match find(name) {
            None if name != usual => must(name, key).map(Some),
            found => Ok(found),
        };
        let group = optional(&keys.group, &default.group, "group")?;
        let split = optional(&keys.split, &default.split, "split")?;
        let split = split.filter(|_| !divided);
        let others = [Some(label), group, split, find(&keys.split)];
        let values = match &keys.columns {
            Some(columns) => {
                columns.iter().map(|c| must(c, "columns")).collect::<Result<Vec<_>, _>>()?
            }
            None => (0..names.len()).filter(|c| !others.contains(&Some(*c))).collect(),
        };
        Ok(Columns { names, values, label, group, split })
    }
}

fn number(cell: &str) -> Result<f32, String> {
    match cell.parse::<f32>() {
        Ok(value) if value.is_finite() => Ok(value),
        Ok(value) => {
            Err(format!("{value} is no finite number; remove the row, or repair what was recorded"))
        }
        Err(_) if cell.is_empty() => {
            Err("is empty; give the cell a number or remove the row".into())
        }
        Err(_) => Err(format!(
            "`{cell}` is no number; leave the column out with `columns` under [csv] of \
             --data-spec, or repair the row"
        )),
    }
}

fn is_test(cell: &str) -> Result<bool, String> {
    match cell {
        "train" => Ok(false),
        "test" => Ok(true),
        _ => Err(format!("`{cell}` is neither train nor test; write one of them")),
    }
}
