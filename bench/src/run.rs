//! Runs what is not in the file yet, several at a time.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use anyhow::{Context, Result};
use offshoot::learn::{learn, Learner};
use offshoot::pipeline::Compiled;
use offshoot::reference::FloatTraining;
use offshoot_runtime::schedule::default_rate;
use offshoot_runtime::{hash, Prediction};
use offshoot_simulator::data::Dataset;
use offshoot_simulator::{Decay, Memories, ProgramFile, Round, Simulation};

use crate::ground::{compiled, trained_layers, Ground};
use crate::plan::{Cell, Method, Tier};
use crate::progress::{Progress, Worker};
use crate::record::{Identity, Log, Outcome, Record};
use crate::study::{nearest, rounded, truncating, unscaled, Study};

/// A cell at a rate: a run for each seed.
#[derive(Clone, Copy, Debug)]
pub struct Job<'p> {
    /// The cell.
    pub cell: Cell<'p>,
    /// Multiple of the default rate.
    pub rate: f32,
    /// How it falls.
    pub decay: Decay,
}

/// What all workers share.
pub struct Bench<'p> {
    /// How long runs are.
    pub tier: &'p Tier,
    /// Whether to run what is there already.
    pub fresh: bool,
    /// What is finished.
    pub log: Mutex<Log>,
    grounds: Mutex<HashMap<(&'p str, &'p str), Weak<Ground>>>,
}

/// What a poisoned lock protects is whole: values are inserted or appended in one go.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'p> Bench<'p> {
    /// A bench that goes on from `log`.
    pub fn new(tier: &'p Tier, log: Log, fresh: bool) -> Bench<'p> {
        Bench { tier, fresh, log: Mutex::new(log), grounds: Mutex::default() }
    }

    /// Works through `jobs`, `workers` at a time; stops at the first that fails.
    ///
    /// # Errors
    /// Why that failed.
    pub fn run(&self, jobs: &[Job<'p>], workers: usize) -> Result<()> {
        let progress =
            Progress::new(jobs.iter().map(|job| self.tier.seeds_of(&job.cell).len()).sum());
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        std::thread::scope(|scope| {
            for _ in 0..workers.clamp(1, jobs.len().max(1)) {
                scope.spawn(|| {
                    let mut worker = progress.worker();
                    // The last ground stays while the next job is fetched: it is often the same.
                    let mut kept = None;
                    while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let done = self.job(job, &mut kept, &mut worker);
                        if let Err(error) = done.with_context(|| job.cell.name()) {
                            next.store(jobs.len(), Ordering::Relaxed);
                            lock(&failed).get_or_insert(error);
                        }
                    }
                });
            }
        });
        progress.finish();
        failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }

    /// All seeds of a job that are not there yet, one after the other: the frozen front runs once.
    fn job(
        &self,
        job: &Job<'p>,
        kept: &mut Option<Arc<Ground>>,
        worker: &mut Worker,
    ) -> Result<()> {
        let cell = &job.cell;
        worker.prepare(&cell.name());
        let ground = self.ground(cell, worker)?;
        *kept = Some(ground.clone());
        let compiled = compiled(cell, &ground)?;
        let program = match cell.method {
            Method::Unscaled => unscaled(&compiled)?,
            _ => compiled.program.clone(),
        };
        let bytes = program.encode()?;
        let samples = &ground.samples;
        let default_rate = default_rate(&program.program());
        let identity = |seed: u64| Identity {
            network: cell.network.name.clone(),
            data: cell.data.name.clone(),
            scheme: cell.scheme.name.clone(),
            method: cell.method,
            rate: job.rate,
            default_rate,
            decay: job.decay,
            train: samples.train.len(),
            test: samples.test.len(),
            epochs: self.tier.epochs,
            seed,
            program: format!("{:016x}", hash::fnv1a(hash::EMPTY, &bytes)),
            samples: format!("{:016x}", ground.hash),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let (there, missing): (Vec<Identity>, Vec<Identity>) = {
            let log = lock(&self.log);
            let all = self.tier.seeds_of(cell).into_iter().map(identity);
            all.partition(|identity| !self.fresh && log.has(identity))
        };
        worker.skip(there.len());
        let missing = self.shared(cell.method, &program, missing, worker)?;
        if missing.is_empty() {
            return Ok(());
        }
        let header = program.header;
        let sram = header.arena + header.state + header.scratch;
        let sram = (!cell.method.is_float()).then_some(sram);
        with_learner(cell.method, &compiled, &program, &mut |learner| {
            for identity in &missing {
                let start = Instant::now();
                learner.reset()?;
                let (count, rate) = (identity.train, default_rate * job.rate);
                let steps = count * self.tier.epochs;
                let round = Round {
                    decay: job.decay,
                    seed: identity.seed,
                    ..Round::new(rate, count, steps)
                };
                let what = format!("{} {}", cell.name(), identity.seed);
                let course = learn(learner, samples, round, false, &what, worker)?;
                let seconds = start.elapsed().as_secs_f64();
                // Of a network that reproduces its input the error is what training changes, and
                // the area under the curve what that is good for.
                let measure = course.scores.auc.or(course.scores.accuracy);
                let measure = measure.context("the test samples are all of one kind")?;
                let new_class = cell.data.deployed.as_ref().and_then(|d| d.new_class);
                let outcome = Outcome {
                    before: measure.before,
                    after: measure.after,
                    error: course.scores.error,
                    recall: new_class.map(|c| recall(learner, samples, c)).transpose()?,
                    loss: course.losses.last().copied().unwrap_or(0.0),
                    sram,
                    seconds,
                };
                let record = Record { identity: identity.clone(), outcome };
                worker.finished(&record);
                lock(&self.log).append(record)?;
            }
            Ok(())
        })
    }

    /// Methods that differ in how weights of layers step are one where none of those is trained: takes
    /// over what was run by another of them, and gives back what was not.
    fn shared(
        &self,
        method: Method,
        program: &ProgramFile,
        missing: Vec<Identity>,
        worker: &mut Worker,
    ) -> Result<Vec<Identity>> {
        let rule = Method::RULES.contains(&method);
        if self.fresh || !rule || trained_layers(program).next().is_some() {
            return Ok(missing);
        }
        let mut rest = Vec::new();
        for identity in missing {
            let mut log = lock(&self.log);
            match log.of_other_method(&identity, &Method::RULES).cloned() {
                Some(same) => {
                    log.append(Record { identity, ..same })?;
                    worker.skip(1);
                }
                None => rest.push(identity),
            }
        }
        Ok(rest)
    }

    /// The ground of a cell, loaded unless another worker holds it.
    fn ground(&self, cell: &Cell<'p>, worker: &mut Worker) -> Result<Arc<Ground>> {
        // Held while loading: another worker most likely waits for the same.
        let mut grounds = lock(&self.grounds);
        let key = (cell.network.name.as_str(), cell.data.name.as_str());
        if let Some(ground) = grounds.get(&key).and_then(Weak::upgrade) {
            return Ok(ground);
        }
        let ground = Arc::new(Ground::load(cell, self.tier, worker)?);
        grounds.insert(key, Arc::downgrade(&ground));
        Ok(ground)
    }
}

/// Share of the test samples of `class` that are right.
fn recall(learner: &mut dyn Learner, samples: &Dataset, class: u16) -> Result<f64> {
    let (mut right, mut count) = (0usize, 0usize);
    let test = &samples.test;
    for index in (0..test.len()).filter(|&i| test.label(i) == class) {
        // Test samples are numbered after the training samples.
        let found = learner.infer(samples.train.len() + index, test.input(index))?;
        right += usize::from(found == Prediction::Class(class));
        count += 1;
    }
    Ok(right as f64 / count.max(1) as f64)
}

/// Gives `f` what learns by `method`.
fn with_learner(
    method: Method,
    compiled: &Compiled,
    file: &ProgramFile,
    f: &mut dyn FnMut(&mut dyn Learner) -> Result<()>,
) -> Result<()> {
    if method.is_float() {
        let training = FloatTraining::new(&compiled.graph);
        let training = training.context("the training graph has no loss")?;
        return match method {
            Method::Rounded => f(&mut training.altered(rounded)),
            _ => f(&mut { training }),
        };
    }
    let program = file.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories)?;
    match method {
        Method::Truncating => f(&mut Study::new(simulation, file, truncating)),
        Method::Nearest => f(&mut Study::new(simulation, file, nearest)),
        _ => f(&mut simulation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Plan;

    #[test]
    fn a_bench_that_was_cut_off_goes_on_and_repeats_nothing() {
        let plan = Plan::parse(include_str!("../accuracy.toml")).unwrap();
        let mut tier = plan.tier("full").unwrap().clone();
        (tier.train, tier.test, tier.epochs, tier.seeds) = (20, 20, 1, vec![1, 2]);
        let folder = std::env::temp_dir().join(format!("offshoot-bench-{}", std::process::id()));
        let path = folder.join("resumed.jsonl");
        let _ = std::fs::remove_file(&path);
        let run = |jobs: &[Job<'_>], tier: &Tier| {
            let bench = Bench::new(tier, Log::open(&path).unwrap(), false);
            let jobs: Vec<Job<'_>> = jobs.to_vec();
            bench.run(&jobs, 2).unwrap();
            bench.log.into_inner().unwrap().records().to_vec()
        };
        let cells: Vec<Cell<'_>> = plan.universe();
        let digits = cells.into_iter().filter(|c| c.name().starts_with("digits/rotated/sparse"));
        let jobs: Vec<Job<'_>> =
            digits.map(|cell| Job { cell, rate: 1.0, decay: Decay::Cosine }).collect();
        let first = run(&jobs[..2], &tier);
        assert_eq!(first.len(), 4);
        let all = run(&jobs, &tier);
        assert_eq!(all.len(), 2 * Method::ALL.len());
        assert_eq!(all[..4], first);
        assert_eq!(run(&jobs, &tier), all);
        // Whatever is run beside it, a run gives the same.
        let _ = std::fs::remove_file(&path);
        tier.seeds.reverse();
        let again = run(&jobs, &tier);
        for record in &all {
            let twin = again.iter().find(|r| r.identity == record.identity).unwrap();
            assert_eq!((twin.after, twin.loss), (record.after, record.loss));
        }
    }
}
