//! `offshoot export`.

use std::path::PathBuf;

use anyhow::Result;
use offshoot_boards::Board;
use offshoot_runtime::hash;
use serde::Serialize;

use super::output::{bytes, grouped, row, say, table};
use super::run::start;
use super::simulate::program;
use super::target::board;
use super::{state, Folder};

/// Arguments of `offshoot export`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that `compile` wrote.
    folder: PathBuf,
    /// The board whose newest checkpoint is read.
    #[arg(long, default_value = "qemu-mps2-an386", value_parser = board)]
    board: Board,
    /// File for the state; `run` and `simulate` begin with it by `--state`.
    #[arg(short, long)]
    output: PathBuf,
}

/// What `offshoot export` reports.
#[derive(Debug, Serialize)]
struct Outcome {
    checkpoint: u64,
    steps: u32,
    bytes: usize,
    state_hash: String,
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let folder = Folder(args.folder.clone());
    let program = program(&folder)?;
    let mut device = start(&folder, &program, &args.board, None)?;
    let client = &mut device.client;
    let kept = client.restore()?;
    let learnt = client.state()?;
    state::write(&args.output, &program.header, kept.steps as usize, &learnt)?;
    let outcome = Outcome {
        checkpoint: kept.sequence,
        steps: kept.steps,
        bytes: learnt.len(),
        state_hash: format!("{:016x}", hash::fnv1a(hash::EMPTY, &learnt)),
    };
    if json {
        say!("{}", serde_json::to_string(&outcome)?);
        return Ok(());
    }
    say!("checkpoint {} of {} in {}", outcome.checkpoint, args.board.name, args.output.display());
    table(&[
        row(["steps", &grouped(outcome.steps.into())]),
        row(["state", &bytes(outcome.bytes as u64)]),
    ]);
    say!("  state hash {}", outcome.state_hash);
    Ok(())
}
