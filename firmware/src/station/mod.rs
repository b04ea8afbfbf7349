//! A device that learns without a host: it collects samples, names them, trains on those that somebody
//! labels, judges each round of training, and keeps what is good in flash.
//!
//! [`Station::poll`] does a little and returns: whoever calls it feeds the watchdog, sleeps and does what
//! else is due between two calls. A call does at most one slice of the program, one reading of the sensor
//! or one question to each pin; the longest slice is what `offshoot report` shows. The one exception is
//! a checkpoint, which is read or written in one call: flash that is being erased stops most chips
//! anyway, and the watchdog must allow for it.
//!
//! Invariants: no call waits; a training step that was begun is ended before anything else happens, so
//! that state is always that of whole steps; what goes wrong is an [`Event`], after which the station
//! goes on.

#[cfg(feature = "hal")]
pub mod hal;
mod keep;
mod pass;
mod source;
mod state;

pub use source::{
    Clock, Indicator, Label, LabelSource, SampleSource, Sensor, SourceError, Stored, StoredLabels,
    Windows,
};
pub use state::{Event, State, Trouble};

use crate::guard::{Admission, Due, Guards, Watched};
use crate::store::Flash;
use keep::Kept;
use offshoot_runtime::guard::{GuardMemory, Snapshot, Unguarded};
use offshoot_runtime::{step, Progress, Task, Trainer};
use pass::Pass;

/// What is around a station.
pub struct Surroundings<'m> {
    /// Where samples come from.
    pub source: &'m mut dyn SampleSource,
    /// Who labels them.
    pub labels: &'m mut dyn LabelSource,
    /// Who is shown what it is at.
    pub indicator: &'m mut dyn Indicator,
    /// What time it is.
    pub clock: &'m mut dyn Clock,
    /// Flash for checkpoints, where there is some.
    pub flash: Option<&'m mut dyn Flash>,
}

/// How a station learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Learning rate, real units: the emitted crate's `DEFAULT_RATE`, unless a better one is known.
    pub rate: f32,
    /// Training steps after which state is kept in flash, where there is no gate whose rounds are kept;
    /// 0 keeps none.
    pub keep_every: u32,
    /// Milliseconds that a sample waits for its label.
    pub label_ms: u32,
    /// Milliseconds of rest after a trouble.
    pub rest_ms: u32,
}

/// A device that learns by itself, watched by guards.
pub struct Station<'m, T: ?Sized, G = Unguarded> {
    trainer: &'m mut T,
    guards: Guards<'m, G>,
    source: &'m mut dyn SampleSource,
    labels: &'m mut dyn LabelSource,
    indicator: &'m mut dyn Indicator,
    clock: &'m mut dyn Clock,
    kept: Kept<'m>,
    rules: Rules,
    /// The sample that is collected and learnt, kept because a step overwrites the program's input.
    sample: &'m mut [i8],
    /// Values of it that have come; `None` before it was begun.
    filled: Option<usize>,
    /// Samples that have come.
    samples: u32,
    state: State,
    /// When `state` was entered, ms.
    since: u32,
    /// What the program is at, on which sample of the guards', or on the one that was collected.
    pass: Pass,
    at: Option<usize>,
    label: u16,
    started: bool,
    /// Training steps behind the state, and behind the one that was kept last.
    steps: u32,
    kept_steps: u32,
}

impl<T: ?Sized, G> core::fmt::Debug for Station<'_, T, G> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Station { state, samples, steps, .. } = self;
        write!(f, "Station {{ state: {state:?}, samples: {samples}, steps: {steps}, .. }}")
    }
}

impl<'m, T: Trainer + ?Sized, G: GuardMemory> Station<'m, T, G> {
    /// A station that has done nothing yet. `guard` is the memory of guards, which the emitted crate has;
    /// `sample` that of one sample of the program.
    pub fn new(
        trainer: &'m mut T,
        guard: &'m mut G,
        sample: &'m mut [i8],
        around: Surroundings<'m>,
        rules: Rules,
    ) -> Self {
        let guards = Guards::new(guard.memory(), trainer.header());
        let Surroundings { source, labels, indicator, clock, flash } = around;
        Station {
            trainer,
            guards,
            source,
            labels,
            indicator,
            clock,
            kept: Kept { flash, store: None },
            rules,
            sample,
            filled: None,
            samples: 0,
            state: State::Start,
            since: 0,
            pass: Pass::new(Task::Infer),
            at: None,
            label: 0,
            started: false,
            steps: 0,
            kept_steps: 0,
        }
    }

    /// What it is at.
    pub fn state(&self) -> State {
        self.state
    }

    /// Training steps behind its state, those before a checkpoint included.
    pub fn steps(&self) -> u32 {
        self.steps
    }

    /// How its guards fare.
    pub fn watched(&self) -> Watched {
        self.guards.told()
    }

    /// Samples are usual as they come from now on: drift is forgotten, learning that it stopped goes on.
    pub fn rebase(&mut self) {
        self.guards.rebase();
    }

    /// What it trains.
    pub fn trainer(&self) -> &T {
        self.trainer
    }

    /// Does what comes next, a little of it; what happened, where something did.
    pub fn poll(&mut self) -> Option<Event> {
        self.act().unwrap_or_else(|trouble| {
            self.at = None;
            self.enter(State::Rest);
            Some(Event::Failed(trouble))
        })
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.since = self.clock.now();
        self.filled = None;
        self.indicator.show(state);
    }

    /// Whether `ms` have passed since the state was entered.
    fn passed(&mut self, ms: u32) -> bool {
        self.clock.now().wrapping_sub(self.since) >= ms
    }

    fn begin(&mut self, state: State, task: Task) {
        self.pass = Pass::new(task);
        self.enter(state);
    }

    fn act(&mut self) -> Result<Option<Event>, Trouble> {
        match self.state {
            State::Start => self.start().map(Some),
            State::Collect => self.collect(),
            State::Infer => {
                let progress = self.pass.go_on(self.trainer, self.sample);
                let Progress::Inferred(prediction) = progress.map_err(Trouble::Program)? else {
                    return Ok(None);
                };
                self.guards.inferred(prediction, self.trainer.margin());
                self.enter(State::Label);
                Ok(Some(Event::Predicted(prediction)))
            }
            State::Label => self.label(),
            State::Train => {
                let progress = self.pass.go_on(self.trainer, self.sample);
                let Progress::Trained(report) = progress.map_err(Trouble::Program)? else {
                    return Ok(None);
                };
                self.steps = self.steps.saturating_add(1);
                self.guards.trained(self.label);
                self.enter(State::Evaluate);
                Ok(Some(Event::Stepped(report)))
            }
            State::Evaluate => self.evaluate(),
            State::Checkpoint => self.checkpoint().map(Some),
            State::Rest => {
                if self.passed(self.rules.rest_ms) {
                    self.enter(if self.started { State::Collect } else { State::Start });
                }
                Ok(None)
            }
        }
    }

    fn start(&mut self) -> Result<Event, Trouble> {
        let header = self.trainer.header();
        let values = header.input_shape.elements();
        if self.sample.len() != values {
            return Err(Trouble::Memory(values));
        }
        if !(self.rules.rate.is_finite() && self.rules.rate >= 0.0) {
            return Err(Trouble::Rate);
        }
        self.trainer.reset().map_err(Trouble::Program)?;
        self.started = true;
        self.kept.open(&*self.trainer);
        let restored = match &self.kept.store {
            None => None,
            Some(_) => self.kept.load(self.trainer, &mut self.steps)?,
        };
        self.kept_steps = self.steps;
        self.enter(State::Collect);
        Ok(Event::Started(restored))
    }

    fn collect(&mut self) -> Result<Option<Event>, Trouble> {
        let source = &mut self.source;
        let filled = self.filled.unwrap_or_else(|| source.begin(self.sample));
        let rest = self.sample.get_mut(filled..).unwrap_or_default();
        let most = rest.len();
        let come = source.fill(rest).map_err(Trouble::Source)?.min(most);
        self.filled = Some(filled.saturating_add(come));
        if come == most {
            self.guards.stage(0, self.sample.iter().copied());
            self.begin(State::Infer, Task::Infer);
        }
        Ok(None)
    }

    fn label(&mut self) -> Result<Option<Event>, Trouble> {
        let label = self.labels.label(self.samples);
        if label == Ok(Label::Pending) && !self.passed(self.rules.label_ms) {
            return Ok(None);
        }
        self.samples = self.samples.wrapping_add(1);
        let Label::Class(label) = label.map_err(Trouble::Label)? else {
            self.enter(State::Collect);
            return Ok(None);
        };
        step::takes(self.trainer.header(), label).map_err(Trouble::Program)?;
        self.label = label;
        let admission = self.guards.admit(label);
        if admission == Admission::Train {
            self.begin(State::Train, Task::Train { label, rate: self.rules.rate });
            return Ok(None);
        }
        self.enter(State::Evaluate);
        Ok(Some(Event::Admitted(admission)))
    }

    /// Does what the guards want, and goes on to the next sample when that is nothing.
    fn evaluate(&mut self) -> Result<Option<Event>, Trouble> {
        if let Some(at) = self.at {
            return self.on_kept_sample(at);
        }
        let due = self.guards.due(self.trainer, &mut self.steps, &mut self.kept)?;
        match due {
            Due::Train { at, label } => {
                let rate = self.rules.rate;
                (self.at, self.pass) = (Some(at), Pass::new(Task::Train { label, rate }));
            }
            Due::Infer { at } => (self.at, self.pass) = (Some(at), Pass::new(Task::Infer)),
            Due::Begun => self.round_is_kept(),
            Due::Ended(verdict) => {
                match verdict.kept {
                    true => self.round_is_kept(),
                    false => self.kept_steps = self.steps,
                }
                return Ok(Some(Event::Judged(verdict)));
            }
            Due::Nothing => {
                let every = if G::GUARD.held_out > 0 { 0 } else { self.rules.keep_every };
                let is_due = every > 0 && self.steps.saturating_sub(self.kept_steps) >= every;
                let keeps = is_due && self.kept.store.is_some();
                self.enter(if keeps { State::Checkpoint } else { State::Collect });
            }
        }
        Ok(None)
    }

    /// Goes on with a sample of the guards'.
    fn on_kept_sample(&mut self, at: usize) -> Result<Option<Event>, Trouble> {
        let progress = self.pass.go_on(self.trainer, self.guards.sample(at));
        let progress = progress.map_err(Trouble::Program)?;
        match progress {
            Progress::Inferred(prediction) => {
                self.guards.answered(prediction);
                self.at = None;
                Ok(None)
            }
            Progress::Trained(report) => {
                self.steps = self.steps.saturating_add(1);
                self.at = None;
                Ok(Some(Event::Stepped(report)))
            }
            _ => Ok(None),
        }
    }

    /// Keeps a round in flash too that a gate has kept in SRAM.
    fn round_is_kept(&mut self) {
        self.kept_steps = self.steps;
        if G::GUARD.snapshot == Snapshot::Sram && self.kept.store.is_some() {
            self.enter(State::Checkpoint);
        }
    }

    fn checkpoint(&mut self) -> Result<Event, Trouble> {
        // One that cannot be written is tried again after as many steps.
        self.kept_steps = self.steps;
        let checkpoint = self.kept.save(&*self.trainer, self.steps)?;
        self.enter(State::Evaluate);
        Ok(Event::Kept(checkpoint))
    }
}
