//! `offshoot inspect`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use offshoot::fit::Limits;
use offshoot::import;
use offshoot::inspect::{inspect, Inspection, Trainable, Verdict};
use offshoot::ir::Fold;
use offshoot_boards::Board;

use super::compile::Head;
use super::output::{bytes, grouped, limit, reach, row, say, table};
use super::quantize::{placeholder, Reading};
use super::target::board;

/// Arguments of `offshoot inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The ONNX model, quantised (QDQ) or in float.
    model: PathBuf,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    head: Head,
    /// The board that is asked about.
    #[arg(long, default_value = "qemu-mps2-an386", value_parser = board)]
    board: Board,
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    // Sizes do not depend on scales: any samples serve.
    let graph = placeholder(import::import_with(&args.model, args.reading.options())?)?;
    let limits = Limits::of(&args.board);
    let found = inspect(&graph, args.head.start(), limits)
        .with_context(|| args.model.display().to_string())?;
    if json {
        let mut object = serde_json::to_value(&found)?;
        object["board"] = args.board.name.clone().into();
        object["budget"] = limits.sram.into();
        object["flash_budget"] = limits.flash.into();
        say!("{object}");
    } else {
        print(&found, args);
    }
    Ok(())
}

fn print(found: &Inspection, args: &Args) {
    let input = &found.input;
    say!(
        "{}: reads {:?} {}, int8 in steps of {} around {}\n",
        found.model,
        input.name,
        dimensions(&input.shape),
        input.scale,
        input.zero
    );
    let head = row(["node", "op", "layer", "result", "parameters", "MACs", "bytes", "trained"]);
    let mut rows = vec![head];
    for layer in &found.layers {
        let trained = match layer.trainable {
            Trainable::Nothing => "",
            Trainable::Scheme => "by scheme",
            Trainable::Head => "head",
            Trainable::Frozen => "never",
        };
        rows.push(row([
            &layer.name,
            layer.op,
            &layer.index.map_or(String::new(), |i| i.to_string()),
            &dimensions(&layer.shape),
            &grouped(layer.parameters as u64),
            &grouped(layer.macs),
            &grouped(layer.activation_bytes as u64),
            trained,
        ]));
    }
    let largest = format!("at most {}", grouped(found.largest_activation as u64));
    let (parameters, macs) = (grouped(found.parameters as u64), grouped(found.macs));
    rows.push(row(["in all", "", "", "", &parameters, &macs, &largest, ""]));
    table(&rows);
    print_folded(&found.folded);
    let (board, limits) = (&args.board, Limits::of(&args.board));
    say!("\n{} ({}):", board.name, board.description);
    let (sram, flash) = (limit(limits.sram), limit(limits.flash));
    say!("  {sram} of SRAM that the stack leaves, {flash} of flash\n");
    let mut rows = vec![row(["--update", "--adapter", "SRAM", "flash", "", "in bands"])];
    rows.extend(found.verdicts.iter().map(verdict));
    table(&rows);
    for reason in found.verdicts.iter().filter_map(|v| v.reason.as_ref()).take(1) {
        say!("\n  {reason}");
    }
    say!("\n  SRAM without stack, flash without code, though code must fit too; `compile` gives the parts.");
}

/// Prints what became part of what, a line for each layer that took others in.
fn print_folded(folded: &[Fold]) {
    let mut layers: Vec<(&str, Vec<String>)> = Vec::new();
    for fold in folded {
        let part = format!("{} ({})", fold.node, fold.op);
        match layers.iter_mut().find(|(into, _)| *into == fold.into) {
            Some((_, parts)) => parts.push(part),
            None => layers.push((&fold.into, vec![part])),
        }
    }
    if !layers.is_empty() {
        say!("\npart of other nodes:");
    }
    for (into, parts) in layers {
        say!("  {into}: {}", parts.join(", "));
    }
}

fn verdict(verdict: &Verdict) -> Vec<String> {
    let size = |v: Option<u64>| v.map_or("–".to_string(), bytes);
    let word = match (verdict.fits, &verdict.reason) {
        (true, _) => "fits",
        (false, None) => "does not fit",
        (false, Some(_)) => "cannot be compiled",
    };
    // Long lists of layers are cut in the middle.
    let update: Vec<&str> = verdict.update.split(',').collect();
    let short = match update.as_slice() {
        [first, second, .., last] if update.len() > 4 => format!("{first},{second},…,{last}"),
        _ => verdict.update.clone(),
    };
    let bands: Vec<String> = verdict.bands.iter().map(reach).collect();
    let adapter = verdict.adapter.unwrap_or_default();
    row([&short, adapter, &size(verdict.sram), &size(verdict.flash), word, &bands.join(", ")])
}

fn dimensions(shape: &[usize]) -> String {
    shape.iter().skip(1).map(usize::to_string).collect::<Vec<_>>().join("×")
}
