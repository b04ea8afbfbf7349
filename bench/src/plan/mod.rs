//! What is measured, as data: `accuracy.toml`.
//!
//! A cell is a network, a data set, an update scheme and a method. Every network names its data sets
//! and schemes; a tier names the cells that it runs by globs.

mod data;
mod network;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use serde::Deserialize;

use crate::glob::matches;

pub use data::{Data, Deployed, Spectrum};
pub use network::{Base, Method, Network, Update};

/// The plan.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// How much is run.
    pub tier: Vec<Tier>,
    /// What learns.
    pub network: Vec<Network>,
    /// What it learns from.
    pub data: Vec<Data>,
    /// What is to be said of the figures.
    #[serde(default)]
    pub remark: Vec<Remark>,
}

/// A paragraph of the page, which figures do not write by themselves.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remark {
    /// Title of the section that it ends; none: it ends the introduction.
    #[serde(default)]
    pub section: String,
    /// Markdown.
    pub text: String,
}

/// A choice of cells, and how long each runs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Its name.
    pub name: String,
    /// Training samples, at most: the first of each class in turn.
    pub train: usize,
    /// Test samples, at most, chosen likewise.
    pub test: usize,
    /// Times that every training sample is seen.
    pub epochs: usize,
    /// Seeds of the order of samples: a run for each.
    pub seeds: Vec<u64>,
    /// Globs of cells.
    pub cells: Vec<String>,
    /// Where these seeds are too few to tell.
    #[serde(default)]
    pub more: Option<More>,
}

/// Seeds beyond a tier's own, of cells whose results differ much from order to order.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct More {
    /// Globs of cells.
    pub cells: Vec<String>,
    /// Their seeds.
    pub seeds: Vec<u64>,
}

impl Tier {
    /// The seeds of a cell.
    pub fn seeds_of(&self, cell: &Cell<'_>) -> Vec<u64> {
        let more = self.more.iter().filter(|more| named(&more.cells, &cell.name()));
        self.seeds.iter().chain(more.flat_map(|more| &more.seeds)).copied().collect()
    }
}

/// Whether one of the globs names it.
fn named(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| matches(pattern, name))
}

/// A network, a data set, a scheme and a method.
#[derive(Clone, Copy, Debug)]
pub struct Cell<'p> {
    /// The network.
    pub network: &'p Network,
    /// The data set.
    pub data: &'p Data,
    /// The scheme.
    pub scheme: &'p Update,
    /// The method.
    pub method: Method,
}

impl Cell<'_> {
    /// `NETWORK/DATA/SCHEME/METHOD`.
    pub fn name(&self) -> String {
        let method = self.method.name();
        format!("{}/{}/{}/{method}", self.network.name, self.data.name, self.scheme.name)
    }
}

/// Folder of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where a file of the plan lies; says why it cannot be used where it does not.
pub fn find(file: &str) -> Result<PathBuf, String> {
    let ours = ["demo/", "tests/", "schemes/"].iter().any(|folder| file.starts_with(folder));
    let beside = root().join("../shared/data");
    let folder = match std::env::var_os("OFFSHOOT_DATA") {
        _ if ours => root().to_path_buf(),
        Some(folder) => PathBuf::from(folder),
        None => beside,
    };
    let path = folder.join(file);
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is not here; set OFFSHOOT_DATA to the folder of data", path.display()))
}

impl Plan {
    /// Reads a plan and checks that its names agree.
    pub fn parse(text: &str) -> Result<Plan> {
        let plan: Plan = toml::from_str(text)?;
        for network in &plan.network {
            for name in &network.data {
                let checked = plan.data_named(name).and_then(|data| network.check(data));
                checked.with_context(|| format!("network {}", network.name))?;
            }
            for scheme in &network.schemes {
                let read = scheme.scheme().and_then(|_| scheme.adapter());
                read.with_context(|| format!("{}/{}", network.name, scheme.name))?;
            }
            let schemes: BTreeSet<_> = network.schemes.iter().map(|s| &s.name).collect();
            ensure!(
                schemes.len() == network.schemes.len(),
                "network {} names a scheme twice",
                network.name
            );
        }
        for tier in &plan.tier {
            let lengths = [tier.train, tier.test, tier.epochs, tier.seeds.len()];
            ensure!(!lengths.contains(&0), "tier {} runs nothing: a length is 0", tier.name);
            let more = tier.more.iter().flat_map(|more| &more.cells);
            for pattern in tier.cells.iter().chain(more) {
                let any = plan.universe().iter().any(|cell| matches(pattern, &cell.name()));
                ensure!(any, "tier {}: {pattern:?} names no cell", tier.name);
            }
        }
        Ok(plan)
    }

    fn data_named(&self, name: &str) -> Result<&Data> {
        let found = self.data.iter().find(|d| d.name == name);
        found.with_context(|| format!("there is no data set {name:?}"))
    }

    /// The tier of that name.
    pub fn tier(&self, name: &str) -> Result<&Tier> {
        let names: Vec<&str> = self.tier.iter().map(|t| t.name.as_str()).collect();
        let found = self.tier.iter().find(|t| t.name == name);
        found.with_context(|| format!("there is no tier {name:?}; there are {}", names.join(", ")))
    }

    /// Every cell that could be run: those of one network and data set are neighbours.
    pub fn universe(&self) -> Vec<Cell<'_>> {
        let mut cells = Vec::new();
        for network in &self.network {
            for data in network.data.iter().filter_map(|name| self.data_named(name).ok()) {
                for scheme in &network.schemes {
                    let cell = |method| Cell { network, data, scheme, method };
                    cells.extend(Method::ALL.map(cell));
                }
            }
        }
        cells
    }

    /// The cells of a tier that a pattern of `only` names too; all of the tier's if there is none.
    pub fn cells(&self, tier: &Tier, only: &[String]) -> Vec<Cell<'_>> {
        let mut cells = self.universe();
        cells.retain(|cell| {
            let name = cell.name();
            named(&tier.cells, &name) && (only.is_empty() || named(only, &name))
        });
        cells
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = include_str!("../../accuracy.toml");

    #[test]
    fn the_plan_names_what_is_there() {
        let plan = Plan::parse(PLAN).unwrap();
        let full = plan.tier("full").unwrap();
        let names: Vec<String> = plan.cells(full, &[]).iter().map(Cell::name).collect();
        assert!(names.contains(&"mcunet/flowers/49kb/truncating".to_string()));
        assert!(!names.contains(&"resnet8/flowers48/sparse/truncating".to_string()));
        let unique: BTreeSet<&String> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        let some = plan.cells(full, &["mcunet/flowers/49kb/res*".into()]);
        assert_eq!(
            some.iter().map(Cell::name).collect::<Vec<_>>(),
            ["mcunet/flowers/49kb/residual"]
        );
        assert!(plan.tier("none").unwrap_err().to_string().contains("smoke"));
    }

    #[test]
    fn cells_that_differ_much_have_more_seeds() {
        let plan = Plan::parse(PLAN).unwrap();
        let full = plan.tier("full").unwrap();
        let seeds = |name: &str| {
            let cells = plan.cells(full, &[name.into()]);
            full.seeds_of(&cells[0])
        };
        assert_eq!(seeds("mcunet/flowers/49kb/float"), [1, 2, 3]);
        assert_eq!(seeds("mcunet/gtsrb43/49kb/float"), (1..=18).collect::<Vec<u64>>());
        assert_eq!(seeds("mcunet/gtsrb43/49kb/nearest"), [1, 2, 3]);
    }

    #[test]
    fn smoke_runs_without_the_folder_of_data() {
        let plan = Plan::parse(PLAN).unwrap();
        let cells = plan.cells(plan.tier("smoke").unwrap(), &[]);
        assert!(cells.iter().any(|c| find(&c.network.model).is_ok() && find(&c.data.file).is_ok()));
        assert!(cells.len() < 15);
    }

    #[test]
    fn what_disagrees_is_named() {
        let wrong = |from: &str, to: &str| {
            let plan = Plan::parse(&PLAN.replacen(from, to, 1));
            format!("{:#}", plan.unwrap_err())
        };
        assert!(wrong("[\"rotated\"]", "[\"turned\"]").contains("turned"));
        assert!(wrong("digits/*/*/residual", "digit/*").contains("digit/*"));
        assert!(wrong("epochs = 2", "epochs = 0").contains("smoke"));
        assert!(wrong("\"biases=20\"", "\"bias=20\"").contains("mcunet/bias20"));
        assert!(wrong("name = \"bias20\"", "name = \"head\"").contains("twice"));
        assert!(wrong("learn = 0.4", "learn = 1.0").contains("speaker: `learn`"));
        assert!(wrong("new_class = 5", "new_class = 4").contains("comes after"));
        assert!(wrong("base = {", "# {").contains("its own head"));
    }
}
