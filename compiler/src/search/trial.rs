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

/// Rounds of the schemes that lead after one, each with another order of samples.
pub(super) const SEEDS: usize = 3;

/// Schemes that lead.
const LEADING: usize = 3;

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
    /// Share of the samples held out that were right, in the mean of the rounds; of a network that reproduces its
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

/// Trains `program` on `data` once for each of `seeds`, for so many steps, from the start each time.
pub(super) fn train(
    program: &ProgramFile,
    data: &Dataset,
    steps: usize,
    seeds: &[u64],
) -> Result<Vec<Judged>, LearnError> {
    let program = program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories)?;
    let (train, held) = (&data.train, &data.test);
    let mut judged = Vec::new();
    for &seed in seeds {
        simulation.reset()?;
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
        judged.push(Judged { score, loss: sum / held.len().max(1) as f64 });
    }
    Ok(judged)
}

/// Trains `candidates` for a whole round, those that lead for [`SEEDS`] rounds; gives all, the best first.
pub(super) fn compare(
    search: &Search<'_>,
    data: &Dataset,
    effort: Effort,
    candidates: Vec<Candidate>,
    watch: &mut (dyn Watch + Send),
) -> Result<Vec<Tried>, SearchError> {
    let steps = effort.epochs * data.train.len();
    let round = |candidate: &Candidate, seeds: &[u64]| {
        let compiled = search.compile(&candidate.scheme)?;
        Ok(train(&compiled.program, data, steps, seeds)?)
    };
    watch.begin("try", candidates.len());
    let first = each(&candidates, effort.workers, watch, |c| round(c, &[effort.seed]))?;
    watch.end();
    let mut all: Vec<(Candidate, Vec<Judged>)> = candidates.into_iter().zip(first).collect();
    all.sort_by(|a, b| order(&a.1, &b.1));
    let leading: Vec<Candidate> = all.iter().take(LEADING).map(|(c, _)| c.clone()).collect();
    let seeds: Vec<u64> = (1..SEEDS as u64).map(|n| effort.seed.wrapping_add(n)).collect();
    watch.begin("try again", leading.len());
    let more = each(&leading, effort.workers, watch, |c| round(c, &seeds))?;
    watch.end();
    for ((_, judged), more) in all.iter_mut().zip(more) {
        judged.extend(more);
    }
    let (leading, rest) = all.split_at_mut(leading.len());
    leading.sort_by(|a, b| order(&a.1, &b.1));
    Ok(leading.iter().chain(rest.iter()).map(tried).collect())
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
