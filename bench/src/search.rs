//! What `offshoot search` finds, against a scheme of the plan: in as much SRAM as that takes, from the same training
//! samples, both judged by the test samples, which neither has seen.

use std::time::Instant;

use anyhow::{ensure, Context, Result};
use offshoot::fit::{Limits, Sizes};
use offshoot::learn::learn;
use offshoot::pipeline::{compile, Layout};
use offshoot::scheme::Scheme;
use offshoot::search::{Effort, Search, Task};
use offshoot_runtime::schedule::default_rate;
use offshoot_simulator::data::Dataset;
use offshoot_simulator::{Memories, ProgramFile, Round, Simulation};

use crate::ground::{compiled, start, Ground};
use crate::plan::{Cell, Method, Plan, Tier};
use crate::progress::{Progress, Worker};
use crate::stats::Spread;

/// Arguments of `search`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Cells of the full tier whose schemes are to be matched, NETWORK/DATA/SCHEME/METHOD with `*`; the method is
    /// residual or stochastic.
    #[arg(
        long,
        value_name = "GLOB",
        value_delimiter = ',',
        default_value = "digits/*/sparse/stochastic"
    )]
    only: Vec<String>,
    /// Schemes that are trained for a whole round before one is chosen.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    trials: u16,
    /// Threads.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
}

/// Runs the command: prints a table, a row a cell, as rows are there.
pub fn run(args: &Args, plan: &Plan) -> Result<()> {
    let tier = plan.tier("full")?;
    let own = [Method::Residual, Method::Stochastic];
    let cells = plan.cells(tier, &args.only).into_iter().filter(|c| own.contains(&c.method));
    let cells: Vec<Cell<'_>> = cells.collect();
    ensure!(!cells.is_empty(), "no cell that trains in 8 bits is named {}", args.only.join(", "));
    println!("| network | data | scheme | SRAM, bytes | right, % | found | SRAM, bytes | right, % | seconds |");
    println!("|---|---|---|---:|---:|---|---:|---:|---:|");
    let progress = Progress::new(cells.len());
    let mut worker = progress.worker();
    for cell in cells {
        row(&cell, tier, args, &mut worker).with_context(|| cell.name())?;
        worker.skip(1);
    }
    Ok(())
}

fn row(cell: &Cell<'_>, tier: &Tier, args: &Args, worker: &mut Worker) -> Result<()> {
    worker.prepare(&cell.name());
    let ground = Ground::load(cell, tier, worker)?;
    let samples = &ground.samples;
    let given = compiled(cell, &ground)?;
    let sram = Sizes::of(&given)?.sram;
    let asked = cell.scheme.scheme()?;
    let common = Scheme { loss: asked.loss, optimizer: asked.optimizer, ..Scheme::default() };
    let limits = Limits { sram, flash: u64::MAX };
    let (start, layout) = (start(cell), Layout::default());
    let task = Task { graph: &ground.graph, start, common: &common, layout, limits, boards: &[] };
    let effort = Effort {
        epochs: tier.epochs,
        trials: args.trials.into(),
        seed: 1,
        workers: args.jobs.into(),
    };
    let begun = Instant::now();
    let found = Search::new(task)?.run(&samples.train, effort, worker)?;
    let seconds = begun.elapsed().as_secs();
    let best = found.trials.first().context("nothing was tried")?;
    let program = compile(&ground.graph, start, &best.scheme)?.program;
    let seeds = tier.seeds_of(cell);
    let [before, after] = [
        right(&given.program, samples, tier, &seeds, worker)?,
        right(&program, samples, tier, &seeds, worker)?,
    ];
    let text = best.scheme.short().unwrap_or_else(|| best.scheme.toml());
    println!(
        "| {} | {} | {} {} | {sram} | {before} | {text} | {} | {after} | {seconds} |",
        cell.network.name,
        cell.data.name,
        cell.scheme.name,
        cell.method.name(),
        best.sram,
    );
    Ok(())
}

/// Percent of the test samples that are right after a round, over orders of samples.
fn right(
    file: &ProgramFile,
    samples: &Dataset,
    tier: &Tier,
    seeds: &[u64],
    worker: &mut Worker,
) -> Result<String> {
    let program = file.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories)?;
    let count = samples.train.len();
    let mut shares = Vec::new();
    for &seed in seeds {
        simulation.reset()?;
        let round = Round::new(default_rate(&program), count, count * tier.epochs);
        let round = Round { seed, ..round };
        let course = learn(&mut simulation, samples, round, false, "test", worker)?;
        let measure = course.scores.auc.or(course.scores.accuracy);
        shares.push(100.0 * measure.context("the test samples are all of one kind")?.after);
    }
    let spread = Spread::of(&shares).unwrap_or_default();
    let deviation = spread.deviation.map_or(String::new(), |d| format!(" ± {d:.1}"));
    Ok(format!("{:.1}{deviation}", spread.mean))
}
