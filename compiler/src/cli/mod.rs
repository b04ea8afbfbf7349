//! The `offshoot` command.
//!
//! Every command prints for people, or with `--json` one object on standard output. Progress and
//! errors go to standard error. Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 the program
//! does not fit the board.

mod adapter;
mod compile;
mod demo;
mod export;
mod external;
mod inspect;
mod merge;
mod output;
mod quantize;
mod report;
mod run;
mod samples;
mod search;
mod simulate;
mod state;
mod target;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Compiles neural networks into programs that learn on microcontrollers.
#[derive(Debug, Parser)]
#[command(name = "offshoot", version, about)]
pub struct Cli {
    /// Print one JSON object on standard output instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show an ONNX model layer by layer, and what of it a board can train.
    Inspect(inspect::Args),
    /// Compile an ONNX model into a training program.
    Compile(compile::Args),
    /// Look for the update scheme that fits a board and learns best from your samples, by which a float model is quantised
    /// too.
    Search(search::Args),
    /// Show what a compiled program needs, and what lies in its memory when.
    Report(report::Args),
    /// Train a compiled program on the desktop, bit for bit as a device would.
    Simulate(simulate::Args),
    /// Train a compiled program on a board, emulated or real, with samples from this machine.
    Run(run::Args),
    /// Read what a board has learnt from its newest checkpoint into a file.
    Export(export::Args),
    /// Fold what adapters have learnt into the layers that they are beside, and compile the network without them.
    Merge(merge::Args),
    /// Keep what a board has learnt as adapters, by name, and switch among them.
    Adapter(adapter::Args),
    /// Program a real board through a debug probe, start it, and show its log.
    #[command(disable_help_flag = true)]
    Flash(external::Args),
    /// Show the log of a real board that runs.
    #[command(disable_help_flag = true)]
    Monitor(external::Args),
    /// Show it all on data in this repository: a rotated sensor, and a network that relearns.
    Demo(demo::Args),
}

/// Where `compile` puts things and the other commands find them.
#[derive(Debug, Clone)]
struct Folder(PathBuf);

impl Folder {
    fn program(&self) -> PathBuf {
        self.0.join("program.bin")
    }

    fn graph(&self) -> PathBuf {
        self.0.join("training.ir")
    }

    fn report(&self) -> PathBuf {
        self.0.join("report.json")
    }

    fn model(&self) -> PathBuf {
        self.0.join("model")
    }

    fn checkpoint(&self) -> PathBuf {
        self.0.join("checkpoint.state")
    }
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its causes.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    match cli.command {
        Command::Inspect(args) => inspect::run(&args, cli.json),
        Command::Compile(args) => compile::run(&args, cli.json),
        Command::Search(args) => search::run(&args, cli.json),
        Command::Report(args) => report::run(&args, cli.json),
        Command::Simulate(args) => simulate::run(&args, cli.json),
        Command::Run(args) => run::run(&args, cli.json),
        Command::Export(args) => export::run(&args, cli.json),
        Command::Merge(args) => merge::run(&args, cli.json),
        Command::Adapter(args) => adapter::run(&args, cli.json),
        Command::Flash(args) => external::run("flash", &args, cli.json),
        Command::Monitor(args) => external::run("monitor", &args, cli.json),
        Command::Demo(args) => demo::run(&args, cli.json),
    }?;
    output::written()
}
