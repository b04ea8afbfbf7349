//! What runs come to: tables, a JSON file, and the verdict of the smoke tier.

mod courses;
mod docs;
mod gate;
mod kept;
mod table;

use std::cmp::Ordering;

use offshoot::learn::Change;
use offshoot_simulator::Decay;
use serde::{Deserialize, Serialize};

use crate::plan::{Cell, Method, Plan, Tier};
use crate::record::Record;
use crate::stats::Spread;

pub use docs::{json, markdown};
pub use gate::gate;
pub use kept::{on_page, with_kept};
pub use table::tables;

/// Runs of one cell at one rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Name of the network.
    pub network: String,
    /// Name of the data set.
    pub data: String,
    /// Name of the scheme.
    pub scheme: String,
    /// Method.
    pub method: Method,
    /// Multiple of the default rate.
    pub rate: f32,
    /// The program's default rate.
    pub default_rate: f32,
    /// How it falls.
    pub decay: Decay,
    /// Training samples.
    pub train: usize,
    /// Test samples.
    pub test: usize,
    /// Epochs.
    pub epochs: usize,
    /// Seeds, ascending.
    pub seeds: Vec<u64>,
    /// Whether the network knew, before this training, what it is trained for.
    pub deployed: bool,
    /// Test accuracy before training; of a network that reproduces its input, area under the curve.
    pub before: f64,
    /// The same after training, by seed.
    pub after: Vec<f64>,
    /// Their mean and spread.
    pub accuracy: Spread,
    /// Mean error of a network that reproduces its input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Change>,
    /// Share of a new class's test samples that are right after training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recall: Option<Spread>,
    /// Bytes of SRAM.
    pub sram: Option<u32>,
    /// Seconds of a run, in the mean.
    pub seconds: f64,
    /// Hash of the program.
    pub program: String,
    /// Version of this project.
    pub version: String,
}

impl Summary {
    /// Whether it is of the default rate and schedule.
    pub fn is_default(&self) -> bool {
        self.rate == 1.0 && self.decay == Decay::default()
    }

    /// Whether it is of `cell`.
    fn is_of(&self, cell: &Cell<'_>) -> bool {
        (self.network.as_str(), self.data.as_str(), self.scheme.as_str(), self.method)
            == (&cell.network.name, &cell.data.name, &cell.scheme.name, cell.method)
    }

    /// Whether it is of the cell that `other` is of.
    fn is_cell_of(&self, other: &Summary) -> bool {
        (&self.network, &self.data, &self.scheme, self.method)
            == (&other.network, &other.data, &other.scheme, other.method)
    }

    /// Whether it is of that cell, at the same rate and schedule.
    fn is_course_of(&self, other: &Summary) -> bool {
        self.is_cell_of(other) && (self.rate, self.decay) == (other.rate, other.decay)
    }
}

/// The order of a cell's rates and schedules.
fn by_course(a: &(f32, Decay), b: &(f32, Decay)) -> Ordering {
    a.0.total_cmp(&b.0).then(a.1.name().cmp(b.1.name()))
}

/// Sums up the runs that `tier` asks for. Of a cell whose program or samples have changed in between,
/// only runs of the newest count.
pub fn summaries(plan: &Plan, tier: &Tier, records: &[Record]) -> Vec<Summary> {
    let mut summaries = Vec::new();
    for cell in plan.cells(tier, &[]) {
        let seeds = tier.seeds_of(&cell);
        let of_cell = |r: &&Record| {
            let id = &r.identity;
            let names = (id.network.as_str(), id.data.as_str(), id.scheme.as_str(), id.method);
            names == (&cell.network.name, &cell.data.name, &cell.scheme.name, cell.method)
                && id.epochs == tier.epochs
                && id.train <= tier.train
                && id.test <= tier.test
                && seeds.contains(&id.seed)
                && id.version == env!("CARGO_PKG_VERSION")
        };
        let runs: Vec<&Record> = records.iter().filter(of_cell).collect();
        let Some(newest) = runs.last().map(|r| &r.identity) else { continue };
        let same = |r: &&&Record| {
            let id = &r.identity;
            (&id.program, &id.samples, id.default_rate)
                == (&newest.program, &newest.samples, newest.default_rate)
        };
        let runs: Vec<&Record> = runs.iter().filter(same).copied().collect();
        let course = |r: &&Record| (r.identity.rate, r.identity.decay);
        let mut courses: Vec<(f32, Decay)> = runs.iter().map(course).collect();
        courses.sort_by(by_course);
        courses.dedup();
        let deployed = cell.data.deployed.is_some();
        summaries.extend(courses.into_iter().filter_map(|course| summary(&runs, course, deployed)));
    }
    summaries
}

fn summary(runs: &[&Record], course: (f32, Decay), deployed: bool) -> Option<Summary> {
    let same = |r: &&&Record| (r.identity.rate, r.identity.decay) == course;
    let mut runs: Vec<&Record> = runs.iter().rev().filter(same).copied().collect();
    // Of runs that were repeated the newest counts: the sort is stable.
    runs.sort_by_key(|r| r.identity.seed);
    runs.dedup_by_key(|r| r.identity.seed);
    let after: Vec<f64> = runs.iter().map(|r| r.after).collect();
    let seconds: Vec<f64> = runs.iter().map(|r| r.seconds).collect();
    let recalls: Vec<f64> = runs.iter().filter_map(|r| r.recall).collect();
    let errors: Vec<Change> = runs.iter().filter_map(|r| r.error).collect();
    let error = |of: fn(&Change) -> f64| {
        Spread::of(&errors.iter().map(of).collect::<Vec<_>>()).map(|spread| spread.mean)
    };
    let error = error(|e| e.before).zip(error(|e| e.after));
    let first = runs.first()?;
    let id = first.identity.clone();
    Some(Summary {
        network: id.network,
        data: id.data,
        scheme: id.scheme,
        method: id.method,
        rate: id.rate,
        default_rate: id.default_rate,
        decay: id.decay,
        train: id.train,
        test: id.test,
        epochs: id.epochs,
        seeds: runs.iter().map(|r| r.identity.seed).collect(),
        deployed,
        before: first.before,
        accuracy: Spread::of(&after)?,
        after,
        error: error.map(|(before, after)| Change { before, after }),
        recall: Spread::of(&recalls),
        sram: first.sram,
        seconds: Spread::of(&seconds)?.mean,
        program: id.program,
        version: id.version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn runs_of_the_newest_program_count_once_each() {
        let plan = Plan::parse(include_str!("../../accuracy.toml")).unwrap();
        let smoke = plan.tier("smoke").unwrap();
        let mut tier = smoke.clone();
        tier.seeds = vec![1, 2];
        let cell = "digits/rotated/head/residual";
        let mut old = record(cell, 1, 0.1);
        old.identity.program = "other".into();
        let mut long = record(cell, 1, 0.1);
        long.identity.epochs = 9;
        let mut fast = record(cell, 1, 0.9);
        fast.identity.rate = 2.0;
        let records = [
            old,
            long,
            record(cell, 2, 0.75),
            record(cell, 1, 0.5),
            fast,
            record(cell, 3, 0.1),
            record(cell, 1, 0.25),
        ];
        let found = summaries(&plan, &tier, &records);
        assert_eq!(found.len(), 2);
        assert_eq!(
            (found[0].seeds.as_slice(), found[0].after.as_slice()),
            (&[1, 2][..], &[0.25, 0.75][..])
        );
        assert_eq!((found[0].rate, found[0].accuracy.mean, found[0].sram), (1.0, 0.5, Some(1000)));
        assert_eq!((found[1].rate, found[1].accuracy.mean), (2.0, 0.9));
    }
}
