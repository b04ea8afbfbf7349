//! `offshoot run`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use offshoot::device::{build_image, Device};
use offshoot_boards::Board;
use serde::Serialize;

use super::compile::{board, root};
use super::output::{bytes, grouped, progress, row, say, score_rows, table};
use super::simulate::{positive, program, RoundArgs};
use super::Folder;
use offshoot::learn::{Score, Scores};

/// Arguments of `offshoot run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that `compile` wrote.
    folder: PathBuf,
    /// The board; `host` runs the emitted crate on this machine.
    #[arg(long, default_value = "qemu-mps2-an386", value_parser = board)]
    board: Board,
    #[command(flatten)]
    round: RoundArgs,
    /// Training steps.
    #[arg(long, default_value_t = 20, value_parser = positive, allow_negative_numbers = true)]
    steps: usize,
    /// Test samples, spread over the classes, that scores are measured on: a device evaluates
    /// slowly. 0 measures nothing.
    #[arg(long, default_value_t = 20, allow_negative_numbers = true)]
    evaluate: usize,
    /// File for the board's log (defmt).
    #[arg(long)]
    log: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Sram {
    data: u64,
    bss: u64,
    stack: u64,
    total: u64,
}

#[derive(Debug, Serialize)]
struct Flash {
    text: u64,
    rodata: u64,
    total: u64,
}

/// What `offshoot run` reports.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    scores: Scores,
    evaluated: usize,
    loss: f64,
    steps: usize,
    state_hash: String,
    sram: Sram,
    flash: Flash,
    instructions_per_step: Option<u64>,
    losses: Vec<f32>,
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let folder = Folder(args.folder.clone());
    let board = &args.board;
    let program = program(&folder)?;
    let data = args.round.samples(&program)?;
    let round = args.round.round(&program, data.train.len(), args.steps);
    let bar = progress(1, "build");
    let built = build_image(board, &folder.model(), root(), &args.folder, None)?;
    bar.finish_and_clear();
    let mut device = Device::start(board, &built, args.log.clone(), true)?;
    let client = &mut device.client;
    anyhow::ensure!(
        client.device().model_hash == program.header.model_hash,
        "the board runs another model than {}; compile and run again",
        folder.program().display()
    );
    client.reset()?;

    let chosen = data.test.spread(args.evaluate);
    let evaluate = |client: &mut offshoot_firmware::client::Client<_>, what: &str| {
        let bar = progress(chosen.len(), what);
        let mut predictions = Vec::with_capacity(chosen.len());
        for &index in &chosen {
            let predicted = client.infer(data.test.input(index))?;
            predictions.push((predicted.prediction, data.test.label(index)));
            bar.inc(1);
        }
        bar.finish_and_clear();
        anyhow::Ok((!predictions.is_empty()).then(|| Score::of(&predictions)))
    };
    let before = evaluate(client, "evaluate")?;
    let bar = progress(round.steps, "train");
    let (mut losses, mut count) = (Vec::with_capacity(round.steps), 0);
    let mut hash = 0;
    for (index, rate) in round.steps() {
        let stepped = client
            .train(data.train.input(index), data.train.label(index), rate)
            .with_context(|| format!("training sample {index}"))?;
        losses.push(stepped.loss);
        count += stepped.count;
        hash = stepped.state_hash;
        bar.inc(1);
    }
    bar.finish_and_clear();
    let after = evaluate(client, "evaluate")?;
    let stats = client.stats()?;
    let counted = client.device().counter == offshoot_firmware::Counter::Instructions;
    let sizes = device.sizes;
    let stack = stats.stack.map_or(0, |s| u64::from(s.used));
    let outcome = Outcome {
        scores: before.zip(after).map_or(Scores::default(), |(b, a)| Scores::new(b, a)),
        evaluated: chosen.len(),
        loss: losses.iter().map(|&l| f64::from(l)).sum::<f64>() / losses.len() as f64,
        steps: round.steps,
        state_hash: format!("{hash:016x}"),
        sram: Sram {
            data: sizes.data,
            bss: sizes.bss,
            stack,
            total: sizes.data + sizes.bss + stack,
        },
        flash: Flash { text: sizes.text, rodata: sizes.rodata, total: sizes.flash() },
        instructions_per_step: counted.then_some(count / round.steps as u64),
        losses,
    };
    if json {
        say!("{}", serde_json::to_string(&outcome)?);
    } else {
        print(&outcome, board);
    }
    Ok(())
}

fn print(outcome: &Outcome, board: &Board) {
    say!("{} steps on {} ({})\n", outcome.steps, board.name, board.description);
    let of = |limit: Option<u64>| limit.map_or(String::new(), |l| format!("of {}", bytes(l)));
    let mut rows = vec![
        row(["mean loss", &format!("{:.4}", outcome.loss)]),
        row(["SRAM  data + bss", &bytes(outcome.sram.data + outcome.sram.bss)]),
        row(["      stack, measured", &bytes(outcome.sram.stack)]),
        row(["      total", &bytes(outcome.sram.total), &of(board.sram_bytes())]),
        row(["flash code", &bytes(outcome.flash.text)]),
        row(["      constants", &bytes(outcome.flash.rodata)]),
        row(["      total", &bytes(outcome.flash.total), &of(board.flash_bytes())]),
    ];
    if let Some(count) = outcome.instructions_per_step {
        rows.push(row(["instructions a step", &grouped(count)]));
    }
    table(&rows);
    if outcome.evaluated > 0 {
        say!();
        let on = format!("{} test samples", outcome.evaluated);
        let mut rows = vec![row([&on, "before", "after"])];
        rows.extend(score_rows(&outcome.scores, ""));
        table(&rows);
    }
    say!("  state hash {}", outcome.state_hash);
}
