//! `offshoot merge`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use offshoot::adapter::merge::{compare, merge, Comparison, Contender, Merge, Reason};
use offshoot::bank::Banked;
use offshoot::fit::{self, Limits, Sizes};
use offshoot::guard::Guarded;
use offshoot::ir::Graph;
use offshoot::lower::learnt;
use offshoot::pipeline::{self, Input, Layout};
use offshoot::report::Report;
use offshoot::trim::Trim;
use serde_json::{json, Value};

use super::compile::{print_report, write};
use super::output::{bytes, grouped, percent, row, say, table, Progress};
use super::samples::Samples;
use super::simulate::{graph, program};
use super::{report, state, Folder};

/// Arguments of `offshoot merge`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that `compile --adapter` wrote.
    folder: PathBuf,
    /// What was learnt: a file that `export` or `--save` wrote.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
    #[command(flatten)]
    samples: Samples,
    /// Points of accuracy, in percent of the samples of --data that are held out, that merging may cost.
    #[arg(long, value_name = "POINTS", default_value_t = 1.0, value_parser = points, allow_negative_numbers = true)]
    tolerance: f64,
    /// Folder for the merged program.
    #[arg(short, long)]
    output: PathBuf,
}

fn points(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(points) if (0.0..=100.0).contains(&points) => Ok(points),
        _ => Err("write a number from 0 to 100, for example 0.5".into()),
    }
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let folder = Folder(args.folder.clone());
    let name = || args.folder.display().to_string();
    let before = program(&folder)?;
    let training = graph(&folder, &before)?;
    let given = state::read(&args.state, &before.header)?;
    let old = report::read(&folder)?;
    let samples = args.samples.load(&before.header)?;

    let trained = learnt(&training, &given.state).with_context(name)?;
    let merged = merge(&trained).with_context(name)?;
    let input = if old.sample.parts > 1 { Input::Rows } else { Input::Whole };
    let trim = Trim { recompute: old.recompute, ..Trim::default() };
    let layout = Layout { input, trim, ..Layout::default() };
    let compiled = pipeline::compile_adapted(merged.graph.clone(), &merged.scheme, layout)
        .with_context(name)?;
    let guard = old.guarded.guard;
    let guarded = Guarded { guard, bytes: guard.bytes(&compiled.program.header) };
    let limits = Limits { sram: old.budget, flash: old.flash_budget };
    let on = || format!("the merged network on {}", old.board);
    let board = offshoot_boards::find(&old.board)?;
    let banked = Banked::of(old.banked.adapters, &compiled.program.program(), &board)?;
    let taken = guarded.bytes.total() as u64 + u64::from(banked.sram);
    fit::check(&compiled, Sizes::of(&compiled)?, limits.beside(taken))
        .map_err(|unfit| anyhow::Error::new(*unfit).context(on()))?;

    let scale = |graph: &Graph| graph.output.map_or(1.0, |t| graph.tensor(t).scale_of(0));
    let seen = compare(
        Contender { program: &before, state: Some(&given.state), scale: scale(&training) },
        Contender { program: &compiled.program, state: None, scale: scale(&compiled.graph) },
        &samples.test,
        &mut Progress::default(),
    )?;
    anyhow::ensure!(
        seen.fall() <= args.tolerance,
        "merged, the network classifies {} of {} held-out samples right, with its adapters {}: {:.1} points fewer, \
         more than --tolerance {}; nothing is written. Merged weights do not clip what an adapter clips that ran into the \
         ends of int8: train it with a smaller --rate, keep it beside, or give a larger tolerance",
        percent(seen.accuracy.after),
        seen.samples,
        percent(seen.accuracy.before),
        seen.fall(),
        args.tolerance
    );
    let report = Report::new(&compiled, &old.board, limits, guarded, banked)?;
    write(&compiled, &report, &Folder(args.output.clone()))?;
    if json {
        let mut object = serde_json::to_value(&report)?;
        object["merge"] = as_json(&merged, &seen, &old);
        say!("{object}");
        return Ok(());
    }
    print_report(&report);
    say!();
    print_merge(&merged, &seen, [&old, &report]);
    say!("\n  written to {}", args.output.display());
    Ok(())
}

fn as_json(merged: &Merge, seen: &Comparison, old: &Report) -> Value {
    let stays = merged.stays.iter().map(|stays| {
        json!({ "layer": stays.layer, "node": stays.node, "reason": stays.reason.to_string() })
    });
    json!({
        "merged": merged.merged.iter().map(|m| &m.layer).collect::<Vec<_>>(),
        "settled": merged.settled,
        "stays": stays.collect::<Vec<_>>(),
        "compared": seen,
        "before": { "sram": old.sram, "flash": old.flash, "macs": old.macs },
    })
}

/// Prints what became of adapters, and what that changed, for people.
fn print_merge(merged: &Merge, seen: &Comparison, [old, new]: [&Report; 2]) {
    let layers: Vec<&str> = merged.merged.iter().map(|m| m.layer.as_str()).collect();
    let lines = [("merged into", layers), ("now constant in", names(&merged.settled))];
    for (what, layers) in lines.into_iter().filter(|(_, layers)| !layers.is_empty()) {
        say!("  {what} {}", layers.join(", "));
    }
    let mut by_reason: Vec<(&Reason, Vec<String>)> = Vec::new();
    for one in &merged.stays {
        let what = if one.node == one.layer {
            one.layer.clone()
        } else {
            format!("{} ({})", one.layer, one.node)
        };
        match by_reason.iter_mut().find(|(reason, _)| **reason == one.reason) {
            Some((_, layers)) => layers.push(what),
            None => by_reason.push((&one.reason, vec![what])),
        }
    }
    for (reason, layers) in by_reason {
        say!("  stays beside {}: {reason}", layers.join(", "));
    }
    say!();
    let sizes = |what: &str, of: fn(&Report) -> u64, unit: fn(u64) -> String| {
        let [before, after] = [of(old), of(new)];
        let change = match before.checked_sub(after) {
            Some(saved) => format!("{} fewer", unit(saved)),
            None => format!("{} more", unit(after - before)),
        };
        row([what, &unit(before), &unit(after), &change])
    };
    let title = format!("{} held-out samples", seen.samples);
    table(&[
        row([&title, "with adapters", "merged", ""]),
        row(["accuracy", &percent(seen.accuracy.before), &percent(seen.accuracy.after), ""]),
        sizes("SRAM", |r| r.sram.total.into(), bytes),
        sizes("flash", |r| r.flash.total as u64, bytes),
        sizes("MACs forward", |r| r.macs.forward, grouped),
        sizes("MACs backward", |r| r.macs.backward, grouped),
    ]);
    let of = |difference: f64| {
        format!("{difference:.4}, {} of their spread", percent(seen.relative(difference)))
    };
    say!("\n  equal predictions    {}", percent(seen.agreement));
    say!("  difference of logits mean {}; largest {}", of(seen.mean), of(seen.largest));
}

fn names(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}
