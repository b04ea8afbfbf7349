//! Whether training can go on: many steps, at a rate that stays high for most of them.

use anyhow::{ensure, Context, Result};
use offshoot::learn::{score, Score, Watch};
use offshoot_runtime::kernels::shifted;
use offshoot_runtime::program::op::{Precision, Weights};
use offshoot_runtime::program::Op;
use offshoot_runtime::schedule::default_rate;
use offshoot_runtime::{Slot, Trainer};
use offshoot_simulator::{Decay, Memories, ProgramFile, Round, Simulation};

use crate::ground::{compiled, selected, trained_layers, Ground};
use crate::plan::{Method, Plan};
use crate::progress::Progress;

/// Arguments of `endurance`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The cell, NETWORK/DATA/SCHEME/METHOD; the method is residual or stochastic.
    #[arg(long, default_value = "mcunet/flowers/49kb/residual")]
    cell: String,
    /// Steps.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// How the rate falls: cooldown, at the end alone, or cosine.
    #[arg(long, value_name = "DECAY", default_value = Decay::Cooldown.name())]
    schedule: Decay,
    /// Points of the curve.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    points: u32,
}

/// Where weights lie in state memory.
#[derive(Clone, Debug)]
struct Held {
    latent: Slot,
    precision: Precision,
    /// The frozen weights that stochastic ones differ from.
    frozen: Vec<i8>,
}

impl Held {
    /// Of all ops that step weights.
    fn of(program: &ProgramFile) -> Vec<Held> {
        let constants = program.program().constants;
        let layers = trained_layers(program).map(|w| Held {
            latent: w.latent,
            precision: w.precision,
            frozen: match w.precision {
                Precision::Stochastic => frozen(&w, constants),
                _ => Vec::new(),
            },
        });
        let heads = program.ops.iter().filter_map(|op| match op {
            Op::HeadUpdate(u) => Some(u.latent),
            Op::HeadOptimize(o) => Some(o.update.latent),
            _ => None,
        });
        let precision = Precision::Residual;
        let heads = heads.map(|latent| Held { latent, precision, frozen: Vec::new() });
        layers.chain(heads).collect()
    }

    /// For each of them, whether its int8 lies at an end of the range, and whether what it is held in
    /// does, so that it cannot move on.
    fn at_an_end(&self, state: &[u8]) -> Vec<[bool; 2]> {
        let bytes = &state[self.latent.start()..self.latent.end()];
        match self.precision {
            Precision::Residual | Precision::Picked => {
                let all = bytes.chunks_exact(2).map(|b| i16::from_le_bytes([b[0], b[1]]));
                // An int8 of 127 is from 126.5 on; 8.8 fixed point reaches half a step further.
                let int8 = |m: i16| !(-32384..32384).contains(&i32::from(m));
                all.map(|m| [int8(m), !(-32639..=32638).contains(&m)]).collect()
            }
            Precision::Sign => {
                let at_end = |&code: &u8| !(-126..=126).contains(&(code as i8));
                bytes.iter().map(|code| [false, at_end(code)]).collect()
            }
            Precision::Stochastic => {
                let at_end = |value: i8| !(-126..=126).contains(&value);
                let all = bytes.iter().zip(&self.frozen).map(|(&code, &w)| (code as i8, w));
                all.map(|(code, w)| [at_end(shifted(w, code)), at_end(code)]).collect()
            }
        }
    }
}

/// The frozen values of the weights that are trained, in the order of state.
fn frozen(weights: &Weights, constants: &[u8]) -> Vec<i8> {
    let selected = selected(weights, constants);
    let frozen = &constants[weights.frozen.start()..weights.frozen.end()];
    let rows = frozen.chunks_exact(usize::from(weights.channels));
    rows.flat_map(|row| selected.iter().map(|&c| row[c] as i8)).collect()
}

/// Runs the command: prints the curve as it grows.
pub fn run(args: &Args, plan: &Plan) -> Result<()> {
    let tier = plan.tier("full")?;
    let cells = plan.universe();
    let cell = cells.iter().find(|cell| cell.name() == args.cell);
    let cell = cell.with_context(|| format!("the plan has no cell {:?}", args.cell))?;
    ensure!(
        matches!(cell.method, Method::Residual | Method::Stochastic),
        "method {:?} is no method of the product: name residual or stochastic",
        cell.method.name()
    );
    let progress = Progress::new(1);
    let mut worker = progress.worker();
    let ground = Ground::load(cell, tier, &mut worker)?;
    let file = compiled(cell, &ground)?.program;
    let program = file.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories)?;
    let weights = Held::of(&file);
    let (train, test) = (&ground.samples.train, &ground.samples.test);

    let ends = |simulation: &mut Simulation<'_>| -> Vec<[bool; 2]> {
        let state = simulation.interpreter().state();
        weights.iter().flat_map(|w| w.at_an_end(state)).collect()
    };
    let first = ends(&mut simulation);
    // All of them; those that came there; those that came there and cannot move on.
    let shares = |simulation: &mut Simulation<'_>| -> [f64; 3] {
        let mut counts = [0usize; 3];
        for ([int8, held], [int8_first, held_first]) in ends(simulation).into_iter().zip(&first) {
            let all = [int8, int8 && !int8_first, held && !held_first];
            counts.iter_mut().zip(all).for_each(|(count, is)| *count += usize::from(is));
        }
        counts.map(|count| 100.0 * count as f64 / first.len().max(1) as f64)
    };
    let steps = args.steps as usize;
    println!(
        "{}: {} trained weights, {steps} steps ({}), {} training and {} test samples\n",
        cell.name(),
        first.len(),
        args.schedule.name(),
        train.len(),
        test.len()
    );
    println!("| steps | mean loss | test, % | int8 at ±127, % | came there, % | held back, % |");
    println!("|---:|---:|---:|---:|---:|---:|");
    let before = score(&mut simulation, test, train.len(), &mut worker)?;
    let [all, ..] = shares(&mut simulation);
    println!("| 0 | – | {:.1} | {all:.3} | 0.000 | 0.000 |", percent(before));
    let portion = steps.div_ceil(args.points as usize);
    let (mut sum, mut most, mut last) = (0.0, 0.0f64, before);
    worker.begin(&cell.name(), steps);
    let round =
        Round { decay: args.schedule, ..Round::new(default_rate(&program), train.len(), steps) };
    for (step, (index, rate)) in round.steps().enumerate() {
        let sample = train.input(index);
        sum += f64::from(simulation.train(index, sample, train.label(index), rate)?.loss);
        worker.step();
        let done = step + 1;
        if done % portion == 0 || done == steps {
            let count = if done % portion == 0 { portion } else { done % portion };
            last = score(&mut simulation, test, train.len(), &mut ())?;
            let [all, came, held] = shares(&mut simulation);
            most = most.max(came);
            let (loss, test) = (sum / count as f64, percent(last));
            println!("| {done} | {loss:.4} | {test:.1} | {all:.3} | {came:.3} | {held:.3} |");
            ensure!(loss.is_finite(), "training diverged: the loss is {loss}");
            sum = 0.0;
        }
    }
    ensure!(percent(last) > percent(before), "training diverged: it ends no better than it began");
    println!("\nNo divergence; at most {most:.3} % of the weights came to an end of int8.");
    Ok(())
}

/// Accuracy, or area under the curve.
fn percent(score: Score) -> f64 {
    match score {
        Score::Accuracy(share) => 100.0 * share,
        Score::Reconstruction { auc, .. } => 100.0 * auc.unwrap_or(0.0),
    }
}
