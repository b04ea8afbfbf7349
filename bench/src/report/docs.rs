//! `docs/accuracy.md` and the JSON beside it.

use anyhow::Result;
use serde::Serialize;

use super::{tables, Summary};
use crate::plan::{Cell, Plan, Remark, Tier};

#[derive(Serialize)]
struct File<'s> {
    version: &'static str,
    tier: &'s str,
    cells: &'s [Summary],
    not_run: Vec<String>,
}

/// The figures as data, with the cells that were not run.
pub fn json(plan: &Plan, tier: &Tier, summaries: &[Summary]) -> Result<String> {
    let file = File {
        version: env!("CARGO_PKG_VERSION"),
        tier: &tier.name,
        cells: summaries,
        not_run: plan
            .cells(tier, &[])
            .iter()
            .filter(|cell| !summaries.iter().any(|s| s.is_of(cell)))
            .map(Cell::name)
            .collect(),
    };
    Ok(serde_json::to_string_pretty(&file)? + "\n")
}

/// What begins a section.
const HEADING: &str = "\n## ";

/// Puts the plan's remarks at the ends of their sections, those that the page has.
fn remarked(page: &str, remarks: &[Remark]) -> String {
    let mut sections: Vec<String> = page.split(HEADING).map(str::to_string).collect();
    for Remark { section, text } in remarks {
        let titled = |s: &String| s.lines().next() == Some(section);
        let at = if section.is_empty() { Some(0) } else { sections.iter().position(titled) };
        if let Some(part) = at.and_then(|at| sections.get_mut(at)) {
            *part = format!("{}\n\n{}\n", part.trim_end(), text.trim());
        }
    }
    sections.join(HEADING)
}

/// The page.
pub fn markdown(plan: &Plan, tier: &Tier, summaries: &[Summary]) -> String {
    let list = |seeds: &[u64]| seeds.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let more = tier.more.as_ref().map_or_else(String::new, |more| {
        let mut rows: Vec<&str> = more
            .cells
            .iter()
            .map(|c| c.rsplit_once('/').map_or(c.as_str(), |(row, _)| row))
            .collect();
        rows.dedup();
        format!(" (of {} also {})", rows.join(", "), list(&more.seeds))
    });
    let cells = plan.cells(tier, &[]);
    let ran = cells.iter().filter(|c| summaries.iter().any(|s| s.is_of(c))).count();
    let runs: usize = summaries.iter().map(|s| s.seeds.len()).sum();
    let mut text = format!(
        "# Accuracy\n\n\
         Written by `cargo xtask bench accuracy --tier {tier} --write-docs` of version {version}; \
         [accuracy.json](accuracy.json) holds the same figures, each run's and the programs' \
         hashes. The plan, with models, data sets and schemes, is \
         [bench/accuracy.toml](../bench/accuracy.toml).\n\n\
         Percent of held-out samples that are right after a round of at most {train} training \
         samples (the first of each class in turn) seen {epochs} times, one sample a step, at the \
         default rate; on at most {test} test samples chosen likewise. Mean ± standard deviation over \
         the orders of samples of seeds {seeds}{more}; where fewer were run, *(1 of 3)* says so. \
         *− float*: the mean difference to training the same graph in f32 with the same order and \
         rates, seed by seed. *before*: with the head as it starts, which is at zero but for the \
         demo's network. SRAM: arena, trainable state and \
         scratch of the compiled program, without stack. In *A deployed device adapts*, networks know \
         already what they are to do, each the same for all its rows, and *before* is how they are \
         deployed; of one that reproduces its input the measure is the area under the ROC curve of its \
         error (AUC), in percent. *new class*: percent of the new class's test samples that are right \
         after training (residual).\n\n\
         A finished run is known by its program, samples and version, and not repeated; after a change \
         of kernels that leaves those as they are, add `--fresh`. `--only` runs some cells: the page keeps the \
         rows of the others, as long as the version is the same.\n\n\
         {ran} of {all} cells were run ({runs} runs); the others say so.\n\n",
        tier = tier.name,
        version = env!("CARGO_PKG_VERSION"),
        train = tier.train,
        epochs = tier.epochs,
        test = tier.test,
        seeds = list(&tier.seeds),
        all = cells.len(),
    );
    text += &tables(plan, tier, summaries);
    text += "\n*Truncating update*: the int8 weight is `(int8)(w - step)` as a C compiler converts, toward \
             zero and wrapping. *Nearest, no residual*: rounded to the nearest int8, what rounds away \
             is lost. Biases and head learn as they always do in both, so that rows which train no weights of \
             layers are the same. *int8 activations*: the float reference with the results of its forward pass rounded to \
             int8 and stopped at the ends of its range. *No quantization-aware scaling*: \
             weights and biases descend in units of their own steps, with one rate for all, such that \
             trained weights move as far in the geometric mean as they do with scaling.\n";
    if let Some(seconds) = times(summaries) {
        text += &format!("\n{seconds}\n");
    }
    remarked(&text, &plan.remark)
}

/// How long runs took, by network.
fn times(summaries: &[Summary]) -> Option<String> {
    let least = summaries.iter().map(|s| s.seconds).reduce(f64::min)?;
    let most = summaries.iter().map(|s| s.seconds).reduce(f64::max)?;
    Some(format!("A run took {least:.0} to {most:.0} seconds by the clock."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;
    use crate::report::summaries;
    use crate::report::table::percent;
    use crate::stats::Spread;

    #[test]
    fn pages_say_what_was_run() {
        let plan = Plan::parse(include_str!("../../accuracy.toml")).unwrap();
        let tier = plan.tier("smoke").unwrap();
        let records = [record("digits/rotated/sparse/residual", 1, 0.5)];
        let found = summaries(&plan, tier, &records);
        let page = markdown(&plan, tier, &found);
        assert!(page.contains("1 of 9 cells were run (1 runs)"), "{page}");
        assert!(page.contains("--tier smoke --write-docs") && page.contains("of seeds 1; where"));
        let full = markdown(&plan, plan.tier("full").unwrap(), &found);
        assert!(full.contains("of seeds 1, 2, 3 (of mcunet/cifar10/*, mcunet/gtsrb43/*, mbv2/"));
        let json: serde_json::Value =
            serde_json::from_str(&json(&plan, tier, &found).unwrap()).unwrap();
        assert_eq!(json["cells"][0]["accuracy"]["mean"], 0.5);
        assert_eq!(json["not_run"].as_array().unwrap().len(), 8);
    }

    #[test]
    fn remarks_end_their_sections() {
        let of = |section: &str| Remark { section: section.into(), text: "\nSo.\n".into() };
        let page = "# Page\n\nBegins.\n\n## One\n\nrow\n\n## Two\n\nrow\n";
        let full = remarked(page, &[of("One"), of("Three"), of("Two"), of("")]);
        let expected = "# Page\n\nBegins.\n\nSo.\n\n## One\n\nrow\n\nSo.\n\n## Two\n\nrow\n\nSo.\n";
        assert_eq!(full, expected);
        assert_eq!(remarked(page, &[]), page);
    }

    #[test]
    fn the_page_has_every_remark() {
        let plan = Plan::parse(include_str!("../../accuracy.toml")).unwrap();
        let page = include_str!("../../../docs/accuracy.md");
        assert!(!plan.remark.is_empty());
        for Remark { section, text } in &plan.remark {
            assert!(page.contains(text.trim()), "{section}");
        }
    }

    /// Columns of the page of adapters by data set and method.
    const COLUMNS: [(&str, &str, usize); 8] = [
        ("speaker", "float", 1),
        ("speaker", "residual", 2),
        ("flowers", "float", 1),
        ("flowers", "residual", 2),
        ("gtsrb43", "float", 3),
        ("gtsrb43", "residual", 4),
        ("cifar10", "float", 5),
        ("cifar10", "residual", 6),
    ];

    /// The table of adapters is written by hand, since it has bytes and instructions beside: its accuracies
    /// are those on record. Of references in f32 some may be older.
    #[test]
    fn the_page_of_adapters_has_what_was_run() {
        let plan = Plan::parse(include_str!("../../adapters.toml")).unwrap();
        let page = include_str!("../../../docs/adapters.md");
        let record = include_str!("../../../docs/adapters.json");
        let record: serde_json::Value = serde_json::from_str(record).unwrap();
        let (mut network, mut rows) = ("", Vec::new());
        for line in page.lines() {
            match line {
                _ if line.starts_with("| trained | float | int8 |") => network = "dscnn",
                _ if line.starts_with("| trained | flowers: float | int8 |") => network = "mcunet",
                _ if !line.starts_with('|') => network = "",
                _ => {}
            }
            let cells = line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
            rows.push((network, cells));
        }
        let of_tier = plan.cells(plan.tier("full").unwrap(), &[]);
        for cell in &of_tier {
            let name = cell.scheme.adapter.clone();
            let name = name.unwrap_or_else(|| format!("--update {}", cell.scheme.update));
            let named = |(network, cells): &&(&str, Vec<&str>)| {
                *network == cell.network.name && cells[0].trim_matches('`') == name
            };
            let (_, row) = rows.iter().find(named).unwrap_or_else(|| panic!("no row of {name}"));
            let ran = record["cells"].as_array().unwrap().iter().find(|ran| {
                let of = ["network", "data", "scheme", "method"].map(|key| ran[key].as_str());
                of.map(Option::unwrap_or_default).join("/") == cell.name()
            });
            let (data, method) = (cell.data.name.as_str(), cell.method.name());
            let Some(ran) = ran else {
                assert_ne!(method, "residual", "{} was not run", cell.name());
                continue;
            };
            let after: Vec<f64> = serde_json::from_value(ran["after"].clone()).unwrap();
            let column = COLUMNS.iter().find(|c| (c.0, c.1) == (data, method)).unwrap().2;
            let accuracy = percent(&Spread::of(&after).unwrap());
            assert_eq!(row[column], accuracy, "{}", cell.name());
        }
    }
}
