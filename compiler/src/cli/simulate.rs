//! `offshoot simulate`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use offshoot::ir::{self, Graph};
use offshoot::learn::{self, Keep, Scores};
use offshoot::pipeline;
use offshoot_runtime::schedule::default_rate;
use offshoot_simulator::{data, Decay, ProgramFile, Round};

use super::output::{percent, row, say, score_rows, table, Progress};
use super::samples::Samples;
use super::state::{self, StateArgs};
use super::Folder;

/// Arguments of `offshoot simulate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that `compile` wrote.
    folder: PathBuf,
    #[command(flatten)]
    pub round: RoundArgs,
    #[command(flatten)]
    state: StateArgs,
    /// Times that every training sample is seen.
    #[arg(long, default_value_t = 5, value_parser = positive, allow_negative_numbers = true)]
    epochs: usize,
    /// Steps in all, in place of whole epochs.
    #[arg(long, value_parser = positive, allow_negative_numbers = true)]
    steps: Option<usize>,
    /// Also train the same graph in float, and compare.
    #[arg(long, conflicts_with_all = ["state", "resume"])]
    float: bool,
    /// Evaluate after every epoch.
    #[arg(long)]
    curve: bool,
}

/// Arguments that `simulate` and `run` share, so that both take the same steps.
#[derive(Debug, clap::Args)]
pub struct RoundArgs {
    #[command(flatten)]
    samples: Samples,
    /// Learning rate at the start of the round, in place of the one that suits the network.
    #[arg(long, value_parser = rate, allow_negative_numbers = true)]
    rate: Option<f32>,
    /// How the rate falls to 0: along a half cosine, or in a straight line in the last fifth of
    /// the steps (`cooldown`), as on a device that does not know how many samples will come.
    #[arg(long, value_name = "DECAY", default_value = Decay::Cosine.name())]
    schedule: Decay,
    /// Steps in which the rate rises first.
    #[arg(long, value_name = "STEPS", default_value_t = 0, allow_negative_numbers = true)]
    warm_up: u32,
    /// Seed of the order of samples.
    #[arg(long, default_value_t = 1, allow_negative_numbers = true)]
    seed: u64,
}

/// A count of at least 1 that a round can hold.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=MOST_STEPS) => Ok(count),
        _ => Err(format!("write a whole number from 1 to {MOST_STEPS}")),
    }
}

/// Most steps of a round: they are counted in 32 bits on the device too.
const MOST_STEPS: usize = u32::MAX as usize;

fn rate(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(rate) if rate > 0.0 && f32::is_finite(rate) => Ok(rate),
        _ => Err("write a positive number, for example 0.005".into()),
    }
}

impl RoundArgs {
    /// The samples that these arguments name, for `program`.
    pub fn samples(&self, program: &ProgramFile) -> Result<data::Dataset> {
        self.samples.load(&program.header)
    }

    /// The round of `program` over `samples` that these arguments ask for.
    pub fn round(&self, program: &ProgramFile, samples: usize, steps: usize) -> Round {
        let rate = self.rate.unwrap_or_else(|| default_rate(&program.program()));
        let (decay, warm_up) = (self.schedule, self.warm_up as usize);
        Round { samples, steps, taken: 0, rate, decay, warm_up, seed: self.seed }
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

/// Reads the training graph in `folder`, which must be that of `program`.
pub fn graph(folder: &Folder, program: &ProgramFile) -> Result<Graph> {
    let path = folder.graph();
    let read = || -> Result<Graph> {
        let graph = ir::parse(&fs::read_to_string(&path)?)?;
        ir::verify(&graph)?;
        anyhow::ensure!(
            pipeline::model_hash(&graph) == program.header.model_hash,
            "belongs to another program than {}",
            folder.program().display()
        );
        Ok(graph)
    };
    read().with_context(|| {
        format!("cannot use {}; make it again with `offshoot compile`", path.display())
    })
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let folder = Folder(args.folder.clone());
    let program = program(&folder)?;
    let data = args.round.samples(&program)?;
    let samples = data.train.len();
    let steps = args.steps.or_else(|| args.epochs.checked_mul(samples)).unwrap_or(usize::MAX);
    anyhow::ensure!(
        steps <= MOST_STEPS,
        "{} epochs of {samples} samples are more than {MOST_STEPS} steps; give a smaller --epochs",
        args.epochs
    );
    let mut round = args.round.round(&program, samples, steps);
    // Read before anything is trained: what is wrong with it is said at once.
    let graph = args.float.then(|| graph(&folder, &program)).transpose()?;
    let (header, checkpoint) = (&program.header, folder.checkpoint());
    let mut begun = args.state.given(header)?;
    if args.state.resume && checkpoint.exists() {
        let kept = state::read(&checkpoint, header)?;
        round.taken = state::taken(kept.steps, steps)?;
        begun = Some(kept);
    }
    let mut write = |kept: &[u8], steps| state::write(&checkpoint, header, steps, kept);
    let keep = Keep {
        state: begun.as_ref().map(|file| file.state.as_slice()),
        every: args.state.checkpoint_every.map(|every| (every, &mut write as _)),
    };
    let mut outcome =
        learn::simulate(&program, &data, round, args.curve, keep, &mut Progress::default())?;
    args.state.save(header, outcome.steps, &outcome.state)?;
    if let Some(graph) = graph {
        outcome.float = Some(learn::float(&graph, &data, round, &mut Progress::default())?);
    }
    if json {
        say!("{}", serde_json::to_string(&outcome)?);
        return Ok(());
    }
    say!("{} steps on {} samples, rate {}", round.steps, samples, round.rate);
    if outcome.first_step > 0 {
        say!("  goes on after step {}", outcome.first_step);
    }
    for (epoch, loss) in outcome.losses.iter().enumerate() {
        let point =
            outcome.curve.get(epoch).map_or(String::new(), |p| match outcome.scores.error {
                None => percent(*p),
                Some(_) => format!("{p:.4}"),
            });
        let epoch = round.taken / samples + epoch + 1;
        say!("  epoch {epoch:>3}  loss {loss:.4}  {point}");
    }
    let mut rows = vec![row(["test samples", "before", "after"])];
    rows.extend(score_rows(&outcome.scores, "int8 "));
    if let Some(float) = outcome.float {
        let scores = match outcome.scores.error {
            None => Scores { accuracy: Some(float), ..Scores::default() },
            Some(_) => Scores { error: Some(float), ..Scores::default() },
        };
        rows.extend(score_rows(&scores, "float "));
    }
    table(&rows);
    say!("  state hash {}", outcome.state_hash);
    Ok(())
}
