//! What a training step takes on an emulated core, instructions (not cycles), and what its image takes. SRAM is arena,
//! trainable state and scratch, without stack.

use std::path::PathBuf;

use anyhow::{ensure, Context, Result};
use offshoot::device::{build_image, Device};
use offshoot::emit::{self, Beside};
use offshoot::pipeline::Compiled;
use offshoot_boards::Board;
use offshoot_runtime::schedule::default_rate;
use offshoot_simulator::data::Split;
use offshoot_simulator::{Memories, Simulation};

use crate::ground::{compiled, Ground};
use crate::plan::{root, Method, Plan};
use crate::progress::Progress;

/// Arguments of `steps`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The plan, if not bench/accuracy.toml.
    #[arg(long, value_name = "FILE")]
    pub plan: Option<PathBuf>,
    /// The tier whose cells are meant; those that train by other methods than the product's are left out.
    #[arg(long, default_value = "full")]
    tier: String,
    /// Of its cells only those of these names, NETWORK/DATA/SCHEME/METHOD with `*`.
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    only: Vec<String>,
    /// The board.
    #[arg(long, default_value = "qemu-mps2-an386")]
    board: String,
    /// Steps, of which the first is not counted: with a head of zeros no error passes it.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..))]
    steps: u16,
}

/// What was counted of one cell.
#[derive(Debug)]
struct Counted {
    /// Instructions of a step, in the mean.
    step: u64,
    /// Code and tables of the image.
    flash: u64,
    /// How deep the stack was, where the board can tell.
    stack: Option<u64>,
}

/// Runs the command: prints a table, a row a cell, as rows are there.
///
/// # Errors
/// Where a cell does not compile, its image does not run, or the board's state is not the simulator's.
pub fn run(args: &Args, plan: &Plan) -> Result<()> {
    let board = offshoot_boards::find(&args.board)?.with_all_memory();
    ensure!(board.emulator.is_some(), "{} is not emulated: name a board that is", board.name);
    let tier = plan.tier(&args.tier)?;
    let own = [Method::Residual, Method::Stochastic];
    let cells = plan.cells(tier, &args.only).into_iter().filter(|c| own.contains(&c.method));
    println!("| network | scheme | method | trained, bytes | SRAM, bytes | flash, bytes | stack, bytes | MACs a step | instructions a step |");
    println!("|---|---|---|---:|---:|---:|---:|---:|---:|");
    let progress = Progress::new(1);
    let mut worker = progress.worker();
    let mut ground: Option<((&str, &str), Ground)> = None;
    for cell in cells {
        let key = (cell.network.name.as_str(), cell.data.name.as_str());
        let loaded = match ground.take() {
            Some((of, loaded)) if of == key => loaded,
            _ => Ground::load(&cell, tier, &mut worker).with_context(|| cell.name())?,
        };
        let compiled = compiled(&cell, &loaded).with_context(|| cell.name())?;
        let counted = count(&compiled, &loaded.samples.train, &board, args.steps)
            .with_context(|| cell.name())?;
        let stack = counted.stack.map_or("–".into(), |stack| stack.to_string());
        let (scheme, method) = (&cell.scheme.name, cell.method.name());
        let Counted { step, flash, .. } = counted;
        let (header, trained) = (compiled.program.header, compiled.placed.trainable);
        let sram = header.arena + header.state + header.scratch;
        let macs: u64 = compiled.placed.macs.iter().sum();
        println!("| {} | {scheme} | {method} | {trained} | {sram} | {flash} | {stack} | {macs} | {step} |", key.0);
        ground = Some((key, loaded));
    }
    Ok(())
}

/// Trains on the board, and in the simulator beside it.
fn count(compiled: &Compiled, samples: &Split, board: &Board, steps: u16) -> Result<Counted> {
    let out = root().join("target/bench/steps");
    let model = out.join("model");
    let runtime = root().canonicalize()?.join("runtime");
    let names = &compiled.placed.names;
    let beside = Beside::default();
    let files = emit::files(&compiled.program, "steps", names, &beside, &runtime, &model);
    emit::write(files)?;
    let built = build_image(board, &model, root(), &out)?;
    let mut device = Device::start(board, &built, None, true)?;
    device.client.reset()?;
    let program = compiled.program.program();
    let (rate, mut memories) = (default_rate(&program), Memories::of(&program));
    let mut simulation = Simulation::new(program, &mut memories)?;
    let mut sum = 0;
    for step in 0..usize::from(steps) {
        let index = step % samples.len();
        let (sample, label) = (samples.input(index), samples.label(index));
        let stepped = device.client.train(sample, label, rate)?;
        simulation.train(index, sample, label, rate)?;
        ensure!(stepped.state_hash == simulation.state_hash(), "step {step} differs on the board");
        sum += if step > 0 { stepped.count } else { 0 };
    }
    let stack = device.client.stats()?.stack.map(|stack| u64::from(stack.used));
    let flash = device.sizes.text + device.sizes.rodata + device.sizes.data;
    Ok(Counted { step: sum / u64::from(steps - 1), flash, stack })
}
