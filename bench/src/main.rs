//! Measures what the project claims. `accuracy`: 8-bit training against float, by network, data
//! set, update scheme and method. `endurance`: whether training can go on for long. `planner`: how
//! little memory a plan needs. `search`: schemes that are found against schemes that are given. `steps`:
//! instructions of a training step.
//!
//! Started by `cargo xtask bench`. Runs are appended to a file as they finish; one that is there
//! is not repeated.

mod deploy;
mod endurance;
mod glob;
mod ground;
mod plan;
mod planner;
mod progress;
mod record;
mod report;
mod run;
mod samples;
mod search;
mod stats;
mod steps;
mod study;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{ensure, Context, Result};
use clap::Parser;
use offshoot_simulator::Decay;

use plan::{find, root, Cell, Plan};
use record::Log;
use report::{gate, json, markdown, on_page, summaries, tables, with_kept};
use run::{Bench, Job};

/// Measures what the project claims.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
enum Cli {
    /// 8-bit training against float.
    Accuracy(Args),
    /// Many steps, at a rate that stays high.
    Endurance(endurance::Args),
    /// The arena against its lower bound.
    Planner(planner::Args),
    /// Update schemes that `offshoot search` finds, against those of the plan in as much SRAM.
    Search(search::Args),
    /// Instructions of a training step on an emulated core.
    Steps(steps::Args),
}

#[derive(Debug, clap::Args)]
struct Args {
    /// How much to run: `smoke` takes half a minute, `full` hours.
    #[arg(long, default_value = "smoke")]
    tier: String,
    /// Of its cells only those of these names, NETWORK/DATA/SCHEME/METHOD with `*`.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    only: Vec<String>,
    /// Learning rates, as multiples of the default.
    #[arg(long, value_name = "MULTIPLE", value_delimiter = ',', default_value = "1", value_parser = multiple)]
    rates: Vec<f32>,
    /// How rates fall: cosine, cooldown.
    #[arg(long, value_name = "DECAY", value_delimiter = ',', default_value = Decay::Cosine.name())]
    schedules: Vec<Decay>,
    /// Runs at a time.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// The plan.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// The file of finished runs.
    #[arg(long, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Run again what is there already: a run is known by its program, samples and version, which
    /// stay the same where only kernels change.
    #[arg(long)]
    fresh: bool,
    /// Run nothing; print what is there.
    #[arg(long, conflicts_with = "fresh")]
    no_run: bool,
    /// Print the cells and leave.
    #[arg(long)]
    list: bool,
    /// Print one JSON object in place of tables.
    #[arg(long)]
    json: bool,
    /// Write docs/accuracy.md and docs/accuracy.json; of the same tier's page, rows that were not
    /// run stay.
    #[arg(long, conflicts_with = "plan")]
    write_docs: bool,
}

/// Reads a multiple of `--rates`.
fn multiple(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f32::is_finite(rate) => Ok(rate),
        _ => Err("write positive numbers, for example 0.5,1,2".into()),
    }
}

fn main() -> Result<()> {
    match Cli::parse() {
        Cli::Accuracy(args) => accuracy(&args),
        Cli::Endurance(args) => endurance::run(&args, &plan(None)?),
        Cli::Planner(args) => planner::run(&args),
        Cli::Search(args) => search::run(&args, &plan(None)?),
        Cli::Steps(args) => steps::run(&args, &plan(args.plan.as_deref())?),
    }
}

/// The plan in `path`, or the repository's own.
fn plan(path: Option<&Path>) -> Result<Plan> {
    let path = path.map_or_else(|| root().join("bench/accuracy.toml"), Path::to_path_buf);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    Plan::parse(&text).with_context(|| path.display().to_string())
}

fn accuracy(args: &Args) -> Result<()> {
    let plan = plan(args.plan.as_deref())?;
    let tier = plan.tier(&args.tier)?;
    let cells = plan.cells(tier, &args.only);
    ensure!(!cells.is_empty(), "no cell of tier {} is named {}", tier.name, args.only.join(", "));
    if args.list {
        cells.iter().for_each(|cell| println!("{}", cell.name()));
        return Ok(());
    }
    let results = root().join("target/bench/accuracy.jsonl");
    let log = Log::open(args.results.as_ref().unwrap_or(&results))?;
    let bench = Bench::new(tier, log, args.fresh);
    if !args.no_run {
        bench.run(&jobs(&cells, args), args.jobs)?;
    }
    let log = bench.log.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let found = summaries(&plan, tier, log.records());
    if args.json {
        print!("{}", json(&plan, tier, &found)?);
    } else {
        print!("{}", tables(&plan, tier, &found));
    }
    if args.write_docs {
        let folder = root().join("docs");
        fs::create_dir_all(&folder)?;
        let data = folder.join("accuracy.json");
        let rows = with_kept(&plan, tier, found.clone(), on_page(&data, tier)?);
        let kept = rows.iter().filter(|row| !found.contains(row)).count();
        eprintln!("{kept} rows of the page were not run; they stay as they are");
        fs::write(folder.join("accuracy.md"), markdown(&plan, tier, &rows))?;
        fs::write(data, json(&plan, tier, &rows)?)?;
    }
    let problems = gate(&found);
    problems.iter().for_each(|problem| eprintln!("FAILED: {problem}"));
    ensure!(problems.is_empty(), "training has grossly regressed");
    Ok(())
}

/// Every cell whose files are there, at every rate by every schedule; says which are not, and why.
fn jobs<'p>(cells: &[Cell<'p>], args: &Args) -> Vec<Job<'p>> {
    let courses = || args.rates.iter().flat_map(|&r| args.schedules.iter().map(move |&s| (r, s)));
    let mut jobs = Vec::new();
    let mut skipped: BTreeMap<String, usize> = BTreeMap::new();
    for &cell in cells {
        match find(&cell.network.model).and_then(|_| find(&cell.data.file)) {
            Ok(_) => jobs.extend(courses().map(|(rate, decay)| Job { cell, rate, decay })),
            Err(why) => *skipped.entry(why).or_default() += 1,
        }
    }
    for (why, count) in skipped {
        eprintln!("skipped: {count} cells: {why}");
    }
    jobs
}
