//! `offshoot demo`: a shipped network, a sensor that was mounted a quarter turn off, and a device
//! that learns its way back.

use std::io::Cursor;
use std::path::Path;

use anyhow::Result;
use offshoot::adapt::HeadStart;
use offshoot::bank::Banked;
use offshoot::fit::{self, Limits, Sizes};
use offshoot::guard::Guarded;
use offshoot::import;
use offshoot::learn::{self, Outcome};
use offshoot::pipeline;
use offshoot::report::{Report, Sram};
use offshoot::scheme::Scheme;
use offshoot_runtime::schedule::default_rate;
use offshoot_simulator::data;
use offshoot_simulator::Round;
use serde::Serialize;

use super::compile::{print_report, write};
use super::output::{bar, bytes, percent, say, Progress};
use super::Folder;

const MODEL: &[u8] = include_bytes!("../../../demo/digits_int8qdq.onnx");
const ROTATED: &[u8] = include_bytes!("../../../demo/digits_rotated.npz");
const UPRIGHT: &[u8] = include_bytes!("../../../demo/digits_upright.npz");

/// What the device trains: all biases, the 1x1 layers of the last blocks, and the classifier.
const SCHEME: &str = "biases=all,block2_expand:1,block2_project:1,last:1";
const BOARD: &str = "qemu-mps2-an386";
const EPOCHS: usize = 8;

/// Arguments of `offshoot demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Seed of the order of samples.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
    /// Also write the compiled program to this folder, as `compile` does.
    #[arg(short, long)]
    output: Option<std::path::PathBuf>,
}

#[derive(Debug, Serialize)]
struct DemoOutcome {
    #[serde(flatten)]
    outcome: Outcome,
    sram: Sram,
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let board = offshoot_boards::find(BOARD)?;
    let graph = import::import_bytes("digits_int8qdq.onnx", MODEL)?;
    let compiled = pipeline::compile(&graph, HeadStart::Classifier, &Scheme::from_short(SCHEME)?)?;
    let limits = Limits::of(&board);
    fit::check(&compiled, Sizes::of(&compiled)?, limits).map_err(|unfit| *unfit)?;
    let report =
        Report::new(&compiled, &board.name, limits, Guarded::default(), Banked::default())?;
    if let Some(folder) = &args.output {
        write(&compiled, &report, &Folder(folder.clone()))?;
    }
    let header = &compiled.program.header;
    let read = |name: &str, bytes: &'static [u8]| {
        data::read(Path::new(name), Cursor::new(bytes), header, None)
    };
    let upright = read("digits_upright.npz", UPRIGHT)?;
    let rotated = read("digits_rotated.npz", ROTATED)?;
    let shipped = learn::evaluate(&compiled.program, &upright.test, &mut Progress::default())?;
    let shipped = shipped.measure();
    let samples = rotated.train.len();
    let rate = default_rate(&compiled.program.program());
    let round = Round { seed: args.seed, ..Round::new(rate, samples, EPOCHS * samples) };
    if !json {
        say!("A network that reads handwritten digits from an 8x8 sensor was trained with the");
        say!("sensor upright. On this device it is mounted a quarter turn off. The device sees");
        say!("{samples} labelled samples, {EPOCHS} times, and trains itself in int8.\n");
        print_report(&report);
    }
    let (program, keep) = (&compiled.program, learn::Keep::default());
    let outcome = learn::simulate(program, &rotated, round, true, keep, &mut Progress::default())?;
    if json {
        let sram = report.sram;
        say!("{}", serde_json::to_string(&DemoOutcome { outcome, sram })?);
        return Ok(());
    }
    print_memory(&report);
    say!("\nAccuracy on {} held-out samples of the turned sensor:\n", rotated.test.len());
    let line = |name: &str, share: f64, note: &str| {
        say!("  {name:>9}  {}  {:>6}  {note}", bar(share, 40), percent(share));
    };
    line("upright", shipped, "as shipped, sensor upright");
    let accuracy = outcome.scores.measure();
    line("before", accuracy.before, "sensor turned");
    for (epoch, (share, loss)) in outcome.curve.iter().zip(&outcome.losses).enumerate() {
        line(&format!("epoch {}", epoch + 1), *share, &format!("loss {loss:.3}"));
    }
    let gain = (accuracy.after - accuracy.before) * 100.0;
    say!(
        "\n{} -> {}: {gain:+.1} points in {} steps. State hash {}.",
        percent(accuracy.before),
        percent(accuracy.after),
        outcome.steps,
        outcome.state_hash
    );
    say!("The same steps on an emulated Cortex-M4 give the same bits: see README.md.");
    Ok(())
}

/// The board's SRAM, and what fills it.
fn print_memory(report: &Report) {
    say!("\nSRAM that the board's stack leaves, {}:\n", bytes(report.budget));
    let parts = [
        ("arena", u64::from(report.sram.arena)),
        ("trainable", u64::from(report.sram.trainable)),
        ("scratch", u64::from(report.sram.scratch)),
        ("free", report.budget - u64::from(report.sram.total)),
    ];
    for (name, part) in parts {
        let share = part as f64 / report.budget as f64;
        say!("  {name:>9}  {}  {:>10}", bar(share, 40), bytes(part));
    }
}
