//! Schemes on trial: trained on the simulator, and judged by samples held out.

use offshoot_runtime::schedule::default_rate;
use offshoot_runtime::Trainer;
use offshoot_simulator::data::Dataset;
use offshoot_simulator::{Memories, ProgramFile, Round, Simulation};
use serde::{Serialize, Serializer};

use super::assembly::Candidate;
use super::workers::each;
use super::{Effort, Search, SearchError};
use crate::fit::Sizes;
use crate::learn::{score, LearnError, Score, Watch};
use crate::scheme::Scheme;

/// Schemes that lead after one round.
const LEADING: usize = 4;

/// How well a program did on samples that it had not seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Judged {
    /// Share that was right, or mean error.
    pub score: Score,
    /// Mean loss.
    pub loss: f64,
}

/// A scheme that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// It.
    #[serde(rename = "update", serialize_with = "as_text")]
    pub scheme: Scheme,
    /// Bytes of SRAM, without stack.
    pub sram: u64,
    /// Bytes of flash, without code.
    pub flash: u64,
    /// Parameters that it trains.
    pub trained: usize,
    /// Share of the samples held out that were right, in the mean of its rounds; of a network that reproduces its
    /// input their mean error.
    pub score: f64,
    /// Their mean loss.
    pub loss: f64,
    /// Rounds.
    pub rounds: usize,
}

/// As `--update` takes it: in short form, where there is one.
fn as_text<S: Serializer>(scheme: &Scheme, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&scheme.short().unwrap_or_else(|| scheme.toml()))
}

/// Trains `program` on `data` for so many steps, and judges it by the samples held out.
pub(super) fn train(
    program: &ProgramFile,
    data: &Dataset,
    steps: usize,
    seed: u64,
) -> Result<Judged, LearnError> {
    let program = program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories)?;
    let (train, held) = (&data.train, &data.test);
    let round = Round { seed, ..Round::new(default_rate(&program), train.len(), steps) };
    for (index, rate) in round.steps() {
        simulation.train(index, train.input(index), train.label(index), rate)?;
    }
    let score = score(&mut simulation, held, train.len(), &mut ())?;
    // A step at no rate gives the loss; whatever else it leaves in the state is put back.
    let state = simulation.interpreter().state().to_vec();
    let mut sum = 0.0;
    for index in 0..held.len() {
        let key = train.len() + index;
        let report = simulation.train(key, held.input(index), held.label(index), 0.0)?;
        sum += f64::from(report.loss);
        simulation.interpreter().state_mut().copy_from_slice(&state);
    }
    Ok(Judged { score, loss: sum / held.len().max(1) as f64 })
}

/// Trains `candidates` for a whole round on the first of `folds`, those that lead on the others too; gives all, the
/// best first.
pub(super) fn compare(
    search: &Search<'_>,
    folds: &[Dataset],
    effort: Effort,
    candidates: Vec<Candidate>,
    watch: &mut (dyn Watch + Send),
) -> Result<Vec<Tried>, SearchError> {
    let round = |candidate: &Candidate, fold: usize| {
        let compiled = search.compile(&candidate.scheme)?;
        let (data, seed) = (&folds[fold], effort.seed.wrapping_add(fold as u64));
        Ok(train(&compiled.program, data, effort.epochs * data.train.len(), seed)?)
    };
    watch.begin("try", candidates.len());
    let first = each(&candidates, effort.workers, watch, |c| round(c, 0))?;
    watch.end();
    let first = candidates.into_iter().zip(first).map(|(c, judged)| (c, vec![judged]));
    let mut all: Vec<(Candidate, Vec<Judged>)> = first.collect();
    all.sort_by(|a, b| order(&a.1, &b.1));
    let leading = all.len().min(LEADING);
    let again: Vec<(usize, usize)> =
        (0..leading).flat_map(|at| (1..folds.len()).map(move |fold| (at, fold))).collect();
    watch.begin("try again", again.len());
    let more = each(&again, effort.workers, watch, |&(at, fold)| round(&all[at].0, fold))?;
    watch.end();
    for ((at, _), judged) in again.into_iter().zip(more) {
        all[at].1.push(judged);
    }
    all[..leading].sort_by(|a, b| order(&a.1, &b.1));
    Ok(all.iter().map(tried).collect())
}

fn tried((candidate, judged): &(Candidate, Vec<Judged>)) -> Tried {
    let Candidate { scheme, sizes: Sizes { sram, flash, .. }, trained, .. } = candidate.clone();
    let (score, loss) = mean(judged);
    Tried { scheme, sram, flash, trained, score, loss, rounds: judged.len() }
}

/// Mean score and loss.
fn mean(judged: &[Judged]) -> (f64, f64) {
    let mean = |of: fn(&Judged) -> f64| judged.iter().map(of).sum::<f64>() / judged.len() as f64;
    (mean(|j| j.score.measure()), mean(|j| j.loss))
}

/// The better first; of those that are right equally often the one with less loss.
fn order(a: &[Judged], b: &[Judged]) -> std::cmp::Ordering {
    let rank = |judged: &[Judged]| match judged.first().map(|j| j.score) {
        Some(Score::Accuracy(_)) => -mean(judged).0,
        _ => mean(judged).0,
    };
    rank(a).total_cmp(&rank(b)).then(mean(a).1.total_cmp(&mean(b).1))
}
