//! `offshoot search`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use offshoot::learn::{self, Keep, Scores};
use offshoot::pipeline::compile_in;
use offshoot::quantize::{is_real, Quantization};
use offshoot::scheme::Scheme;
use offshoot::search::{Effort, Found, OfLayer, Search, SearchError, Task, Tried};
use offshoot::{emit, import};
use offshoot_runtime::schedule::default_rate;
use offshoot_simulator::Round;

use super::compile::{update, Given, Head};
use super::output::{bytes, grouped, limit, percent, row, say, score_rows, table, Progress};
use super::quantize::{by_samples, print_quantization, Reading};
use super::samples::Samples;
use super::simulate::positive;
use super::target::Target;

/// Layers that are shown, those that contribute most.
const SHOWN: usize = 8;

/// Arguments of `offshoot search`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ONNX model, quantised (QDQ) or in float.
    model: PathBuf,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    samples: Samples,
    #[command(flatten)]
    head: Head,
    /// What all schemes have in common, loss and optimizer: a TOML file, or in short form, for example
    /// `smoothing=0.1,momentum=0.9`.
    #[arg(long, default_value = "", hide_default_value = true, value_parser = update)]
    update: Given<Scheme>,
    #[command(flatten)]
    target: Target,
    /// Times that every sample is seen in a round.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000), allow_negative_numbers = true)]
    epochs: u16,
    /// Schemes that are trained for a whole round before one is chosen.
    #[arg(long, default_value_t = 10, value_parser = positive, allow_negative_numbers = true)]
    trials: usize,
    /// Seed of the order of samples.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Threads, in place of as many as there are cores. They change nothing of what is found.
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    jobs: Option<usize>,
    /// File for the update scheme, which `compile --update` takes.
    #[arg(short, long)]
    output: PathBuf,
}

/// What JSON has beside what was found.
#[derive(serde::Serialize)]
struct Report<'a> {
    #[serde(flatten)]
    found: &'a Found,
    /// On the test samples, trained on all others.
    #[serde(flatten)]
    scores: Scores,
    board: &'a str,
    budget: u64,
    flash_budget: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    quantization: Option<&'a Quantization>,
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    // Before anything is trained.
    let output = args.output.display();
    anyhow::ensure!(!args.output.is_dir(), "{output} is a folder; name a file with --output");
    let common = args.update.read("update scheme", Scheme::from_toml)?;
    let mut graph = import::import_with(&args.model, args.reading.options())?;
    let mut quantization = None;
    if is_real(&graph) {
        let Samples { data, .. } = &args.samples;
        let (integers, done) = by_samples(&graph, &args.model, data, &args.samples.options()?)?;
        (graph, quantization) = (integers, Some(done));
    }
    let (start, layout, limits) = (args.head.start(), args.target.layout(), args.target.limits());
    let boards = args.target.other_boards()?;
    let task = Task { graph: &graph, start, common: &common, layout, limits, boards: &boards };
    let search = Search::new(task)
        .map_err(|error| match error {
            // By itself: that it does not fit has an exit code of its own.
            SearchError::Unfit(unfit) => anyhow::Error::new(*unfit),
            other => other.into(),
        })
        .with_context(|| format!("{} on {}", args.model.display(), args.target.board.name))?;
    let samples = args.samples.load(search.header())?;
    let workers = args.jobs.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
    });
    let Args { trials, seed, .. } = *args;
    let epochs = usize::from(args.epochs);
    let effort = Effort { epochs, trials, seed, workers };
    let found = search.run(&samples.train, effort, &mut Progress::default())?;
    let Some(best) = found.trials.first() else { anyhow::bail!("no scheme was tried") };
    let program = compile_in(&graph, start, &best.scheme, layout)?.program;
    let count = samples.train.len();
    let round = Round::new(default_rate(&program.program()), count, epochs * count);
    let round = Round { seed, ..round };
    let keep = Keep::default();
    let outcome =
        learn::simulate(&program, &samples, round, false, keep, &mut Progress::default())?;
    emit::write(vec![(args.output.clone(), best.scheme.toml().into_bytes())])?;
    if json {
        let report = Report {
            found: &found,
            scores: outcome.scores,
            board: &args.target.board.name,
            budget: limits.sram,
            flash_budget: limits.flash,
            quantization: quantization.as_ref(),
        };
        say!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    print(&found, args);
    say!("\n  the first, trained on all {} samples:", grouped(count as u64));
    let mut rows = vec![row(["test samples", "before", "after"])];
    rows.extend(score_rows(&outcome.scores, ""));
    table(&rows);
    if let Some(quantization) = &quantization {
        print_quantization(quantization);
    }
    say!("\n  written to {output}");
    Ok(())
}

fn print(found: &Found, args: &Args) {
    let limits = args.target.limits();
    say!(
        "{} on {}: {} of SRAM, {} of flash\n",
        args.model.display(),
        args.target.board.name,
        limit(limits.sram),
        limit(limits.flash)
    );
    let loss = |loss: f64| format!("{loss:.3}");
    let mut rows = vec![row(["biases of the last layers", "loss"])];
    rows.extend(found.contributions.biases.iter().map(|b| {
        let what = if b.layers == 0 { "none".to_string() } else { b.layers.to_string() };
        row([&what, &loss(b.loss)])
    }));
    table(&rows);
    let mut layers: Vec<&OfLayer> = found.contributions.layers.iter().collect();
    layers.sort_by(|a, b| b.gain.total_cmp(&a.gain));
    let mut rows = vec![row(["weights of layer", "name", "loss", "less by"])];
    rows.extend(
        layers.iter().take(SHOWN).map(|l| {
            row([&l.index.to_string(), &l.name, &loss(l.loss), &format!("{:.3}", l.gain)])
        }),
    );
    say!();
    table(&rows);
    say!("\n  {} schemes compiled, {} tried:", found.compiled, found.trials.len());
    let mut rows = vec![row(["update", "SRAM", "trained", "held out", "loss", "rounds"])];
    rows.extend(found.trials.iter().map(|tried| {
        let Tried { scheme, sram, trained, score, rounds, .. } = tried;
        let update = scheme.short().unwrap_or_else(|| "see the file".into());
        let score = match scheme.loss.is_headed() {
            true => percent(*score),
            false => format!("{score:.4}"),
        };
        let (sram, trained) = (bytes(*sram), grouped(*trained as u64));
        row([&update, &sram, &trained, &score, &loss(tried.loss), &rounds.to_string()])
    }));
    table(&rows);
}
