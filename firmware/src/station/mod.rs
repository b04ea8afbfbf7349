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

mod evaluate;
#[cfg(feature = "hal")]
pub mod hal;
mod pass;
mod source;
mod state;

pub use evaluate::{Evaluator, HeldOut, Verdict};
pub use source::{
    Clock, Indicator, Label, LabelSource, SampleSource, Sensor, SourceError, Stored, StoredLabels,
    Windows,
};
pub use state::{Event, State, Trouble};

use crate::store::{Checkpoint, Flash, Store, StoreError};
use offshoot_runtime::{Progress, Task, Trainer};
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
    /// Who judges rounds.
    pub evaluator: &'m mut dyn Evaluator,
    /// Flash for checkpoints, where there is some.
    pub flash: Option<&'m mut dyn Flash>,
}

/// How a station learns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Learning rate, real units: the emitted crate's `DEFAULT_RATE`, unless a better one is known.
    pub rate: f32,
    /// Training steps of a round, after which it is judged and kept; 0 judges and keeps none.
    pub round: u32,
    /// Milliseconds that a sample waits for its label.
    pub label_ms: u32,
    /// Milliseconds of rest after a trouble.
    pub rest_ms: u32,
}

/// A device that learns by itself.
pub struct Station<'m, T: ?Sized> {
    trainer: &'m mut T,
    around: Surroundings<'m>,
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
    pass: Pass,
    /// Samples that the round was judged by so far.
    judged: usize,
    store: Option<Result<Store, StoreError>>,
    started: bool,
    steps: u32,
}

impl<T: ?Sized> core::fmt::Debug for Station<'_, T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Station { state, samples, steps, .. } = self;
        write!(f, "Station {{ state: {state:?}, samples: {samples}, steps: {steps}, .. }}")
    }
}

impl<'m, T: Trainer + ?Sized> Station<'m, T> {
    /// A station that has done nothing yet. `sample` is memory for one sample of the program.
    pub fn new(
        trainer: &'m mut T,
        sample: &'m mut [i8],
        around: Surroundings<'m>,
        rules: Rules,
    ) -> Self {
        Station {
            trainer,
            around,
            rules,
            sample,
            filled: None,
            samples: 0,
            state: State::Start,
            since: 0,
            pass: Pass::new(Task::Infer),
            judged: 0,
            store: None,
            started: false,
            steps: 0,
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

    /// What it trains.
    pub fn trainer(&self) -> &T {
        self.trainer
    }

    /// Does what comes next, a little of it; what happened, where something did.
    pub fn poll(&mut self) -> Option<Event> {
        self.act().unwrap_or_else(|trouble| {
            self.enter(State::Rest);
            Some(Event::Failed(trouble))
        })
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.since = self.around.clock.now();
        self.filled = None;
        self.around.indicator.show(state);
    }

    /// Whether `ms` have passed since the state was entered.
    fn passed(&mut self, ms: u32) -> bool {
        self.around.clock.now().wrapping_sub(self.since) >= ms
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
                if self.steps.checked_rem(self.rules.round) == Some(0) {
                    self.judged = 0;
                    self.begin(State::Evaluate, Task::Infer);
                } else {
                    self.enter(State::Collect);
                }
                Ok(Some(Event::Stepped(report)))
            }
            State::Evaluate => self.evaluate(),
            State::Checkpoint => self.checkpoint().map(Some),
            State::RollBack => self.roll_back().map(Some),
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
        let (values, model) = (header.input_shape.elements(), header.model_hash);
        if self.sample.len() != values {
            return Err(Trouble::Memory(values));
        }
        self.trainer.reset().map_err(Trouble::Program)?;
        self.started = true;
        let length = self.trainer.state().len();
        let flash = self.around.flash.as_deref_mut();
        self.store = flash.map(|flash| Store::open(flash, model, length));
        let restored = match &self.store {
            None => None,
            Some(_) => self.load()?,
        };
        self.enter(State::Collect);
        Ok(Event::Started(restored))
    }

    /// Puts the state of the newest checkpoint in place, or its first content where there is none.
    fn load(&mut self) -> Result<Option<Checkpoint>, Trouble> {
        let flash = self.around.flash.as_deref_mut().ok_or(Trouble::NoFlash)?;
        let store = self.store.as_ref().ok_or(Trouble::NoFlash)?;
        let store = store.as_ref().map_err(|&error| Trouble::Store(error))?;
        let loaded = store.load(flash, self.trainer.state_mut());
        match loaded {
            Ok(checkpoint) => {
                self.steps = checkpoint.steps;
                return Ok(Some(checkpoint));
            }
            // State is as it was.
            Err(error @ StoreError::Foreign(_)) => return Err(Trouble::Store(error)),
            Err(_) => {
                self.steps = 0;
                self.trainer.reset().map_err(Trouble::Program)?;
            }
        }
        match loaded {
            Err(error) if error != StoreError::Empty => Err(Trouble::Store(error)),
            _ => Ok(None),
        }
    }

    fn collect(&mut self) -> Result<Option<Event>, Trouble> {
        let source = &mut self.around.source;
        let filled = self.filled.unwrap_or_else(|| source.begin(self.sample));
        let rest = self.sample.get_mut(filled..).unwrap_or_default();
        let most = rest.len();
        let come = source.fill(rest).map_err(Trouble::Source)?.min(most);
        self.filled = Some(filled.saturating_add(come));
        if come == most {
            self.begin(State::Infer, Task::Infer);
        }
        Ok(None)
    }

    fn label(&mut self) -> Result<Option<Event>, Trouble> {
        let label = self.around.labels.label(self.samples);
        if label == Ok(Label::Pending) && !self.passed(self.rules.label_ms) {
            return Ok(None);
        }
        self.samples = self.samples.wrapping_add(1);
        match label.map_err(Trouble::Label)? {
            Label::Class(label) if !self.around.evaluator.hold(self.sample, label) => {
                self.begin(State::Train, Task::Train { label, rate: self.rules.rate });
            }
            _ => self.enter(State::Collect),
        }
        Ok(None)
    }

    fn evaluate(&mut self) -> Result<Option<Event>, Trouble> {
        let evaluator = &mut self.around.evaluator;
        let Some((sample, label)) = evaluator.sample(self.judged) else {
            let verdict = evaluator.verdict();
            self.enter(match verdict {
                Verdict::RollBack => State::RollBack,
                Verdict::Keep if self.store.is_some() => State::Checkpoint,
                Verdict::Keep => State::Collect,
            });
            return Ok(Some(Event::Judged(verdict)));
        };
        let progress = self.pass.go_on(self.trainer, sample).map_err(Trouble::Program)?;
        if let Progress::Inferred(prediction) = progress {
            evaluator.predicted(self.judged, prediction, label);
            self.judged += 1;
            self.pass = Pass::new(Task::Infer);
        }
        Ok(None)
    }

    fn checkpoint(&mut self) -> Result<Event, Trouble> {
        let flash = self.around.flash.as_deref_mut().ok_or(Trouble::NoFlash)?;
        let store = self.store.as_mut().ok_or(Trouble::NoFlash)?;
        let store = store.as_mut().map_err(|error| Trouble::Store(*error))?;
        let saved = store.save(flash, self.trainer.state(), self.steps, false);
        let checkpoint = saved.map_err(Trouble::Store)?;
        self.enter(State::Collect);
        Ok(Event::Kept(checkpoint))
    }

    fn roll_back(&mut self) -> Result<Event, Trouble> {
        let checkpoint = self.load()?;
        self.enter(State::Collect);
        Ok(Event::RolledBack(checkpoint))
    }
}
