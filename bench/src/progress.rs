//! How far the bench is: bars on a terminal, and a line for every finished run.

use std::io::IsTerminal;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use offshoot::learn::Watch;

use crate::record::{Outcome, Record};

/// The whole bench.
#[derive(Debug)]
pub struct Progress {
    bars: MultiProgress,
    runs: ProgressBar,
}

/// One worker.
#[derive(Debug)]
pub struct Worker {
    bars: MultiProgress,
    runs: ProgressBar,
    bar: ProgressBar,
}

fn styled(bar: ProgressBar, template: &str) -> ProgressBar {
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Progress {
    /// Of so many runs.
    pub fn new(runs: usize) -> Progress {
        let bars = MultiProgress::new();
        if !std::io::stderr().is_terminal() {
            bars.set_draw_target(ProgressDrawTarget::hidden());
        }
        let bar = ProgressBar::new(runs as u64);
        let runs = bars.add(styled(bar, "{wide_bar} {pos}/{len} runs {elapsed}"));
        Progress { bars, runs }
    }

    /// A bar of its own.
    pub fn worker(&self) -> Worker {
        let bar = styled(ProgressBar::new(0), "{msg:36} {wide_bar} {pos}/{len} {eta}");
        let bar = self.bars.insert_before(&self.runs, bar);
        Worker { bars: self.bars.clone(), runs: self.runs.clone(), bar }
    }

    /// Clears the bars.
    pub fn finish(&self) {
        self.runs.finish_and_clear();
    }
}

impl Worker {
    /// A job is about to begin.
    pub fn prepare(&mut self, name: &str) {
        self.bar.set_message(format!("{name}: compile"));
    }

    /// Runs that are there already.
    pub fn skip(&mut self, runs: usize) {
        self.runs.inc(runs as u64);
    }

    /// A run is finished.
    pub fn finished(&mut self, record: &Record) {
        let (id, Outcome { before, after, seconds, .. }) = (&record.identity, &record.outcome);
        let line = format!(
            "{}/{}/{}/{} rate {} {} seed {}: {:.1} % -> {:.1} % in {seconds:.0} s",
            id.network,
            id.data,
            id.scheme,
            id.method.name(),
            id.rate,
            id.decay.name(),
            id.seed,
            100.0 * before,
            100.0 * after,
        );
        self.runs.inc(1);
        self.bars.suspend(|| eprintln!("{line}"));
    }
}

impl Watch for Worker {
    fn begin(&mut self, what: &str, steps: usize) {
        self.bar.reset();
        self.bar.set_length(steps as u64);
        self.bar.set_message(what.to_string());
    }

    fn step(&mut self) {
        self.bar.inc(1);
    }

    fn end(&mut self) {}
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
