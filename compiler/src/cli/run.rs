//! `offshoot run`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use offshoot::device::{build_image, Device, DeviceClient};
use offshoot_boards::Board;
use offshoot_firmware::client::Used;
use offshoot_firmware::guard::Watched;
use offshoot_firmware::store::Wear;
use offshoot_runtime::program::Header;
use offshoot_simulator::{ProgramFile, Round};
use serde::Serialize;

use super::compile::root;
use super::output::{bytes, grouped, progress, row, say, score_rows, table};
use super::simulate::{positive, program, RoundArgs};
use super::state::{self, StateArgs};
use super::target::board;
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
    #[command(flatten)]
    state: StateArgs,
    /// Overwrite the checkpoint of another model or update scheme.
    #[arg(long, requires = "checkpoint_every")]
    overwrite_checkpoint: bool,
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

/// How the board's flash for checkpoints fares.
#[derive(Debug, Serialize)]
struct Checkpoints {
    newest: Option<u64>,
    slots: u32,
    erases: u32,
    endurance: Option<u32>,
}

impl From<Wear> for Checkpoints {
    fn from(wear: Wear) -> Checkpoints {
        let Wear { newest, slots, erases, endurance, .. } = wear;
        Checkpoints { newest, slots, erases, endurance: (endurance > 0).then_some(endurance) }
    }
}

/// What `offshoot run` reports.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    scores: Scores,
    evaluated: usize,
    loss: f64,
    steps: usize,
    first_step: usize,
    state_hash: String,
    sram: Sram,
    flash: Flash,
    checkpoints: Option<Checkpoints>,
    instructions_per_step: Option<u64>,
    guards: Option<Watched>,
    longest_slice_instructions: Option<u64>,
    losses: Vec<f32>,
}

/// Builds the image of the program in `folder` and starts it.
pub fn start(
    folder: &Folder,
    program: &ProgramFile,
    board: &Board,
    log: Option<PathBuf>,
) -> Result<Device> {
    let bar = progress(1, "build");
    let built = build_image(board, &folder.model(), root(), &folder.0)?;
    bar.finish_and_clear();
    let device = Device::start(board, &built, log, true)?;
    anyhow::ensure!(
        device.client.device().model_hash == program.header.model_hash,
        "the board runs another model than {}; compile and run again",
        folder.program().display()
    );
    Ok(device)
}

/// Puts the state in place that the arguments ask for. Whether the board can keep checkpoints is found
/// out before anything is trained.
fn begin(args: &Args, client: &mut DeviceClient, header: &Header, round: &mut Round) -> Result<()> {
    let wear = client.stats()?.wear;
    if args.state.checkpoint_every.is_some() || args.state.resume {
        let Some(wear) = wear else {
            // It says why.
            client.checkpoint(false)?;
            anyhow::bail!("the board cannot keep checkpoints");
        };
        if let Some(model) = wear.foreign.filter(|_| !args.overwrite_checkpoint) {
            anyhow::bail!(
                "the board's checkpoint is of another model or update scheme ({model:016x}); \
                 compile that one to use it, or --overwrite-checkpoint"
            );
        }
    }
    if args.state.resume {
        round.taken = state::taken(client.device().steps, round.steps)?;
    } else if let Some(file) = args.state.given(header)? {
        client.import(file.model_hash, &file.state, 0)?;
    } else {
        client.reset()?;
    }
    Ok(())
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let folder = Folder(args.folder.clone());
    let board = &args.board;
    let program = program(&folder)?;
    let header = &program.header;
    // What is wrong with it is said before anything is built.
    args.state.given(header)?;
    let data = args.round.samples(&program)?;
    let mut round = args.round.round(&program, data.train.len(), args.steps);
    let mut device = start(&folder, &program, board, args.log.clone())?;
    let client = &mut device.client;
    begin(args, client, header, &mut round)?;

    let chosen = data.test.spread(args.evaluate);
    let evaluate = |client: &mut DeviceClient, what: &str| {
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
    let bar = progress(round.steps - round.taken, "train");
    let (mut losses, mut count) = (Vec::with_capacity(round.steps - round.taken), 0);
    for (step, (index, rate)) in (round.taken + 1..).zip(round.steps()) {
        let used = client
            .offer(data.train.input(index), data.train.label(index), rate)
            .with_context(|| format!("training sample {index}"))?;
        match used {
            Used::Stepped(stepped) => {
                losses.push(stepped.loss);
                count += stepped.count;
            }
            // Its guards have another use for it: the round has one step less.
            Used::Kept { .. } => {}
        }
        if args.state.checkpoint_every.is_some_and(|every| step.is_multiple_of(every.get())) {
            let kept = client.checkpoint(args.overwrite_checkpoint);
            kept.with_context(|| format!("checkpoint after step {step}"))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let after = evaluate(client, "evaluate")?;
    let (stats, hash) = (client.stats()?, client.state_hash()?);
    let guards = Some(client.watched()?).filter(|watched| *watched != Watched::default());
    if args.state.saves() {
        args.state.save(header, round.steps, &client.state()?)?;
    }
    let counted = client.device().counter == offshoot_firmware::Counter::Instructions;
    let sizes = device.sizes;
    let stack = stats.stack.map_or(0, |s| u64::from(s.used));
    let outcome = Outcome {
        scores: before.zip(after).map_or(Scores::default(), |(b, a)| Scores::new(b, a)),
        evaluated: chosen.len(),
        loss: losses.iter().map(|&l| f64::from(l)).sum::<f64>() / losses.len().max(1) as f64,
        steps: round.steps,
        first_step: round.taken,
        state_hash: format!("{hash:016x}"),
        sram: Sram {
            data: sizes.data,
            bss: sizes.bss,
            stack,
            total: sizes.data + sizes.bss + stack,
        },
        flash: Flash { text: sizes.text, rodata: sizes.rodata, total: sizes.flash() },
        checkpoints: stats.wear.map(Checkpoints::from),
        instructions_per_step: count.checked_div(losses.len() as u64).filter(|_| counted),
        guards,
        longest_slice_instructions: counted
            .then_some(stats.longest_slice)
            .filter(|_| !losses.is_empty()),
        losses,
    };
    if json {
        say!("{}", serde_json::to_string(&outcome)?);
    } else {
        print(&outcome, board);
    }
    Ok(())
}

/// How guards fared.
fn watched(watched: &Watched) -> Vec<Vec<String>> {
    let number = |n: u32| grouped(n.into());
    let rounds = format!("{}, {} taken back", number(watched.kept), number(watched.taken_back));
    let last = watched.last.map_or(String::new(), |last| {
        format!("the last: errors {} -> {} of {}", last.before, last.after, last.of)
    });
    let drift = watched.drift.map_or("none".to_string(), |flag| {
        format!("{:?} at sample {}", flag.statistic, number(flag.at)).to_lowercase()
    });
    let seen = format!("{} samples seen", number(watched.observed));
    let mut rows = Vec::new();
    if watched.held_out > 0 {
        rows.push(row(["guards  held out", &number(watched.held_out.into())]));
        rows.push(row(["        rounds kept", &rounds, &last]));
    }
    if watched.replay > 0 {
        let steps = format!("{} steps on them", number(watched.replayed));
        rows.push(row(["guards  replay", &number(watched.replay.into()), &steps]));
    }
    if watched.observed > 0 {
        rows.push(row(["guards  drift", &drift, &seen]));
    }
    if watched.refused > 0 {
        rows.push(row(["        turned away", &number(watched.refused)]));
    }
    rows
}

fn print(outcome: &Outcome, board: &Board) {
    say!("{} steps on {} ({})\n", outcome.steps, board.name, board.description);
    let of = |limit: Option<u64>| limit.map_or(String::new(), |l| format!("of {}", bytes(l)));
    if outcome.first_step > 0 {
        say!("  goes on after step {}", outcome.first_step);
    }
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
    if let Some(count) = outcome.longest_slice_instructions {
        rows.push(row(["      of its longest slice", &grouped(count)]));
    }
    if let Some(kept) = outcome.checkpoints.as_ref().filter(|kept| kept.newest.is_some()) {
        let of =
            kept.endurance.map_or(String::new(), |most| format!("of {}", grouped(most.into())));
        rows.push(row(["flash erasures of a page", &grouped(kept.erases.into()), &of]));
    }
    rows.extend(outcome.guards.iter().flat_map(watched));
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
