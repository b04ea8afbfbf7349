//! What the page has already: rows that a call did not run again stay on it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::{by_course, Summary};
use crate::plan::{Plan, Tier};

/// The JSON file beside the page, of which only this is read again.
#[derive(Deserialize)]
struct Page {
    tier: String,
    cells: Vec<Summary>,
}

/// Rows of the page whose JSON file is `path`, if `tier` wrote it; none where there is no page yet.
///
/// # Errors
/// That the file cannot be read, or holds no rows.
pub fn on_page(path: &Path, tier: &Tier) -> Result<Vec<Summary>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        read => read.with_context(|| path.display().to_string())?,
    };
    let page: Page = serde_json::from_str(&text).with_context(|| {
        format!("{} has no rows that could be kept; restore it, or remove it", path.display())
    })?;
    Ok(if page.tier == tier.name { page.cells } else { Vec::new() })
}

/// `found`, and those `rows` of the page that it does not replace, in the plan's order.
///
/// A row stays if the plan still has it, as long a round, and this version wrote it. Where its cell was run with another
/// program, at whatever rate, it does not; where the same program was run with fewer seeds, and none
/// gave anything else, it does, since it says more.
pub fn with_kept(
    plan: &Plan,
    tier: &Tier,
    found: Vec<Summary>,
    rows: Vec<Summary>,
) -> Vec<Summary> {
    let mut kept: Vec<Summary> = rows
        .into_iter()
        .filter(|row| row.version == env!("CARGO_PKG_VERSION"))
        .filter(|row| row.epochs == tier.epochs && row.train <= tier.train && row.test <= tier.test)
        .filter(|row| found.iter().all(|new| !replaces(new, row)))
        .collect();
    let news = found.into_iter().filter(|new| !kept.iter().any(|row| row.is_course_of(new)));
    let mut all: Vec<Summary> = news.collect();
    all.append(&mut kept);
    let cells = plan.cells(tier, &[]);
    let mut placed: Vec<(usize, Summary)> = all
        .into_iter()
        .filter_map(|row| Some((cells.iter().position(|cell| row.is_of(cell))?, row)))
        .collect();
    let course = |row: &Summary| (row.rate, row.decay);
    placed.sort_by(|(i, a), (j, b)| i.cmp(j).then(by_course(&course(a), &course(b))));
    placed.into_iter().map(|(_, row)| row).collect()
}

/// Whether `row` is out of date since `new` was run.
fn replaces(new: &Summary, row: &Summary) -> bool {
    if !new.is_cell_of(row) {
        return false;
    }
    let old = || row.seeds.iter().zip(&row.after);
    let mut results = new.seeds.iter().zip(&new.after);
    let differ = results.any(|(seed, after)| old().any(|(s, a)| s == seed && a != after));
    let more = new.seeds.len() >= row.seeds.len();
    new.program != row.program || new.is_course_of(row) && (differ || more)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use crate::record::Record;
    use crate::report::summaries;

    const CELL: &str = "digits/rotated/sparse/residual";

    fn plan() -> Plan {
        Plan::parse(include_str!("../../accuracy.toml")).unwrap()
    }

    fn rows(records: &[Record]) -> Vec<Summary> {
        let plan = plan();
        summaries(&plan, plan.tier("short").unwrap(), records)
    }

    /// A run of the short tier.
    fn run(cell: &str, seed: u64, after: f64, rate: f32, program: &str) -> Record {
        let mut record = record(cell, seed, after);
        record.identity.epochs = 4;
        (record.identity.rate, record.identity.program) = (rate, program.into());
        record
    }

    /// What the page has after rows `old` when `new` was run: rate, seeds and results of each row.
    fn after(old: &[Record], new: &[Record]) -> Vec<(String, f32, Vec<u64>, Vec<f64>)> {
        let plan = plan();
        let tier = plan.tier("short").unwrap();
        let all = with_kept(&plan, tier, rows(new), rows(old));
        all.into_iter().map(|s| (s.scheme, s.rate, s.seeds, s.after)).collect()
    }

    #[test]
    fn rows_that_were_not_run_stay() {
        let other = run("digits/rotated/head/residual", 1, 0.25, 1.0, "a");
        let double = run(CELL, 1, 0.75, 2.0, "a");
        let found = after(&[other, double], &[run(CELL, 1, 0.5, 1.0, "a")]);
        let row = |scheme: &str, rate, after| (scheme.to_string(), rate, vec![1], vec![after]);
        assert_eq!(
            found,
            [row("head", 1.0, 0.25), row("sparse", 1.0, 0.5), row("sparse", 2.0, 0.75)]
        );
    }

    #[test]
    fn what_another_program_did_goes() {
        let old = [run(CELL, 1, 0.5, 1.0, "a"), run(CELL, 2, 0.5, 1.0, "a")];
        let found = after(&old, &[run(CELL, 1, 0.5, 2.0, "b")]);
        assert_eq!(found, [("sparse".to_string(), 2.0, vec![1], vec![0.5])]);
    }

    #[test]
    fn more_seeds_say_more_unless_results_changed() {
        let old = [run(CELL, 1, 0.5, 1.0, "a"), run(CELL, 2, 0.25, 1.0, "a")];
        let of = |seeds: &[u64], after: &[f64]| {
            [("sparse".to_string(), 1.0, seeds.to_vec(), after.to_vec())]
        };
        assert_eq!(after(&old, &[run(CELL, 2, 0.25, 1.0, "a")]), of(&[1, 2], &[0.5, 0.25]));
        assert_eq!(after(&old, &[run(CELL, 2, 0.75, 1.0, "a")]), of(&[2], &[0.75]));
        assert_eq!(after(&old, &[run(CELL, 3, 0.75, 1.0, "a")]), of(&[1, 2], &[0.5, 0.25]));
        assert_eq!(after(&old[..1], &old), of(&[1, 2], &[0.5, 0.25]));
    }

    #[test]
    fn rows_of_another_plan_or_version_go() {
        let plan = plan();
        let tier = plan.tier("short").unwrap();
        let [mut older, mut elsewhere] = [1, 2].map(|_| rows(&[run(CELL, 1, 0.5, 1.0, "a")]));
        assert_eq!(with_kept(&plan, tier, Vec::new(), older.clone()), older);
        older[0].version = "0.0.0".into();
        elsewhere[0].scheme = "none".into();
        older.append(&mut elsewhere);
        assert!(with_kept(&plan, tier, Vec::new(), older).is_empty());
    }

    #[test]
    fn the_page_is_read_as_it_was_written() {
        let plan = plan();
        let tier = plan.tier("full").unwrap();
        let text = include_str!("../../../docs/accuracy.json");
        let page: serde_json::Value = serde_json::from_str(text).unwrap();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/accuracy.json");
        let rows = on_page(&path, tier).unwrap();
        assert_eq!(serde_json::to_value(&rows).unwrap(), page["cells"]);
        assert!(on_page(&path, plan.tier("short").unwrap()).unwrap().is_empty());
        assert!(on_page(&path.with_extension("none"), tier).unwrap().is_empty());
        let error = on_page(&path.with_extension("md"), tier).unwrap_err();
        assert!(format!("{error:#}").contains("accuracy.md has no rows"), "{error:#}");
    }
}
