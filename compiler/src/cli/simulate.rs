//! `offshoot simulate`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use offshoot::ir;
use offshoot_simulator::{data, ProgramFile, Round, DEFAULT_RATE};

use super::learn;
use super::output::{percent, row, table};
use super::Folder;

/// Arguments of `offshoot simulate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that `compile` wrote.
    folder: PathBuf,
    #[command(flatten)]
    pub round: RoundArgs,
    /// Times that every training sample is seen.
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// Steps in all, in place of whole epochs.
    #[arg(long)]
    steps: Option<usize>,
    /// Also train the same graph in float, and compare.
    #[arg(long)]
    float: bool,
    /// Evaluate after every epoch.
    #[arg(long)]
    curve: bool,
}

/// Arguments that `simulate` and `run` share, so that both take the same steps.
#[derive(Debug, clap::Args)]
pub struct RoundArgs {
    /// Samples: an .npz archive.
    #[arg(long)]
    pub data: PathBuf,
    /// Learning rate at the start of the round; it falls to 0 along a half cosine.
    #[arg(long, default_value_t = DEFAULT_RATE)]
    pub rate: f32,
    /// Seed of the order of samples.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Map values to (v - MEAN) / STD before they are quantised.
    #[arg(long, value_name = "MEAN,STD", value_parser = normalization)]
    pub normalize: Option<(f32, f32)>,
}

fn normalization(text: &str) -> Result<(f32, f32), String> {
    let numbers = text
        .split_once(',')
        .and_then(|(mean, std)| Some((mean.trim().parse().ok()?, std.trim().parse().ok()?)));
    match numbers {
        Some((mean, std)) if f32::is_finite(mean) && std > 0.0 && f32::is_finite(std) => {
            Ok((mean, std))
        }
        _ => Err("write MEAN,STD with a positive STD, for example 127.5,127.5".into()),
    }
}

impl RoundArgs {
    /// The round over `samples` that these arguments ask for.
    pub fn round(&self, samples: usize, steps: usize) -> Result<Round> {
        anyhow::ensure!(
            self.rate > 0.0 && self.rate.is_finite(),
            "--rate {} is not a positive number",
            self.rate
        );
        anyhow::ensure!(steps > 0, "there is nothing to do in 0 steps; give --epochs or --steps");
        Ok(Round { samples, steps, rate: self.rate, seed: self.seed })
    }
}

/// Reads the program in `folder`.
pub fn program(folder: &Folder) -> Result<ProgramFile> {
    let path = folder.program();
    let bytes = fs::read(&path).with_context(|| {
        format!(
            "cannot read {}; make it with `offshoot compile … -o {}`",
            path.display(),
            folder.0.display()
        )
    })?;
    ProgramFile::decode(&bytes).with_context(|| path.display().to_string())
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let folder = Folder(args.folder.clone());
    let program = program(&folder)?;
    let data = data::load(&args.round.data, &program.header, args.round.normalize)?;
    let samples = data.train.len();
    let round = args.round.round(samples, args.steps.unwrap_or(args.epochs * samples))?;
    let mut outcome = learn::simulate(&program, &data, round, args.curve)?;
    if args.float {
        let path = folder.graph();
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let graph = ir::parse(&text).with_context(|| path.display().to_string())?;
        ir::verify(&graph).with_context(|| path.display().to_string())?;
        outcome.float = Some(learn::float(&graph, &data, round)?);
    }
    if json {
        println!("{}", serde_json::to_string(&outcome)?);
        return Ok(());
    }
    println!("{} steps on {} samples, rate {}", round.steps, samples, round.rate);
    for (epoch, loss) in outcome.losses.iter().enumerate() {
        let accuracy = outcome.curve.get(epoch).map_or(String::new(), |a| percent(*a));
        println!("  epoch {:>3}  loss {loss:.4}  {accuracy}", epoch + 1);
    }
    let mut rows = vec![row(["test accuracy", "before", "after"])];
    let mut add = |name: &str, a: learn::Accuracy| {
        rows.push(row([name, &percent(a.before), &percent(a.after)]));
    };
    add("int8", outcome.accuracy);
    if let Some(float) = outcome.float {
        add("float", float);
    }
    table(&rows);
    println!("  state hash {}", outcome.state_hash);
    Ok(())
}
