//! Guard rails of learning on a device, each of which a compiled program has or has not
//! ([`offshoot_runtime::guard::Guard`]):
//!
//! * a *gate*: some labelled samples are held out. Learning goes in rounds, and one is taken back that
//!   leaves more errors on those than the best round before it, by more than chance may;
//! * *replay*: some samples are kept, as many of each class as may be, and trained on again beside new
//!   ones. Those of a round that is taken back are forgotten;
//! * a *drift detector* on samples and on how sure the network is of them, which tells, starts learning
//!   or stops it.
//!
//! Invariants: the state that a gate goes back to is one that it has judged; held-out samples are never
//! trained on; what is not asked for takes no bytes and no code.

mod drift;
mod pool;
mod told;

pub use told::{Admission, Flag, Statistic, Verdict, Watched};

use drift::Detector;
use offshoot_runtime::guard::{Drift, Guard, GuardMemory, Snapshot};
use offshoot_runtime::program::Header;
use offshoot_runtime::{Prediction, Trainer};
use pool::{Note, Pool, Role};

/// Rounds in turn that bring nothing, after which a device that learns because of drift is done.
const IDLE_ROUNDS: u8 = 2;

/// Keeps state where power may fail, for gates that go back to flash.
pub trait Keeper {
    /// Why it cannot.
    type Error;

    /// Keeps the trainer's state, which so many steps have led to.
    ///
    /// # Errors
    /// Where nothing was kept.
    fn keep<T: Trainer + ?Sized>(&mut self, trainer: &T, steps: u32) -> Result<(), Self::Error>;

    /// Puts the state back that was kept last, and `steps` to those that have led to it.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read; `steps` are then those of the state that there is.
    fn go_back<T: Trainer + ?Sized>(
        &mut self,
        trainer: &mut T,
        steps: &mut u32,
    ) -> Result<(), Self::Error>;
}

/// What is to be done before the next sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// Train on the sample at this place ([`Guards::sample`]), then ask again.
    Train {
        /// The place.
        at: usize,
        /// The sample's class.
        label: u16,
    },
    /// Infer the sample at this place, tell what came of it ([`Guards::answered`]), then ask again.
    Infer {
        /// The place.
        at: usize,
    },
    /// Ask again: the first round begins with the state as it is, which was judged.
    Begun,
    /// Ask again: a round has ended.
    Ended(Verdict),
}

/// Where a gate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// In a round.
    Learning,
    /// Judges the place of this number, after a round, or where `first`, before the first.
    Judging { at: usize, first: bool },
    /// Has gone back, and looks at what came meanwhile.
    Settling { at: usize },
}

/// Errors on held-out samples, summed.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    before: f32,
    after: f32,
    of: u16,
    /// Of the squares of the differences, and the greatest of those.
    squares: f32,
    greatest: f32,
}

impl Sums {
    fn add(&mut self, note: Note) {
        let off = note.after - note.before;
        self.before += note.before;
        self.after += note.after;
        self.of += 1;
        self.squares += off * off;
        self.greatest = self.greatest.max(off.abs());
    }

    /// Whether there are no more errors than before, or so few more that chance may be the reason: less
    /// than one standard deviation of a sum of such differences whose mean is 0, minus the greatest of them.
    /// With classes that is McNemar's test: the deviation is the square root of the number of samples that
    /// are right before or after, but not both. Errors that are no numbers are worse.
    fn is_no_worse(&self) -> bool {
        let more = self.after - self.before;
        more <= 0.0 || more <= libm::sqrtf(self.squares) - self.greatest
    }
}

/// The guards of one program.
#[derive(Debug)]
pub struct Guards<'m, G> {
    pool: Pool<'m>,
    snapshot: &'m mut [i8],
    /// Training steps behind the state that a round goes back to.
    steps: u32,
    detector: Detector,
    phase: Phase,
    /// Whether the errors of held-out samples are those of the state that a round goes back to.
    judged: bool,
    /// Labelled samples since the last that was held out, and of this round.
    since_held: u16,
    in_round: u16,
    /// Steps on kept samples that are due.
    replays: u8,
    /// Rounds in turn that brought nothing.
    idle: u8,
    told: Watched,
    guard: core::marker::PhantomData<G>,
}

impl<'m, G: GuardMemory> Guards<'m, G> {
    const GATE: bool = G::GUARD.held_out > 0;
    const REPLAY: bool = G::GUARD.replay > 0;
    const DRIFT: bool = !matches!(G::GUARD.drift, Drift::Off);
    const POOL: bool = Self::GATE || Self::REPLAY;

    /// Guards that have seen nothing, of the program with this header, in [`GuardMemory::memory`].
    pub fn new(memory: &'m mut [i8], header: &Header) -> Self {
        let sample = header.input_shape.elements();
        let bytes = G::GUARD.samples() * (sample + Guard::NOTE_BYTES);
        let (pool, snapshot) = memory.split_at_mut_checked(bytes).unwrap_or_default();
        Guards {
            pool: Pool::new(pool, sample),
            snapshot,
            steps: 0,
            detector: Detector::new(G::GUARD.reference),
            phase: Phase::Learning,
            judged: false,
            since_held: 0,
            in_round: 0,
            replays: 0,
            idle: 0,
            told: Watched::default(),
            guard: core::marker::PhantomData,
        }
    }

    /// How they fare.
    pub fn told(&self) -> Watched {
        let counted = |of: fn(Role) -> bool| if Self::POOL { self.pool.count(of) } else { 0 };
        Watched {
            held_out: counted(Role::is_held),
            replay: counted(Role::is_replay),
            observed: self.detector.observed,
            drift: self.detector.flag,
            ..self.told
        }
    }

    /// Takes values of the sample that comes, from `offset` of it on.
    pub fn stage(&mut self, offset: usize, bytes: impl Iterator<Item = i8> + Clone) {
        if Self::POOL {
            self.pool.stage(offset, bytes.clone());
        }
        if Self::DRIFT {
            self.detector.stage(offset, bytes);
        }
    }

    /// The sample was inferred, and `margin` is [`Trainer::margin`].
    pub fn inferred(&mut self, prediction: Prediction, margin: u32) {
        if Self::DRIFT {
            self.detector.observe(Some(match prediction {
                Prediction::Class(_) => margin as f32,
                Prediction::Error(error) => error,
            }));
        }
    }

    /// What is to become of the sample that has come, which has a label: one of the classes. One that is
    /// to be held out is so from now on.
    pub fn admit(&mut self, label: u16) -> Admission {
        if Self::DRIFT {
            self.detector.observe(None);
            let turned_away = match (G::GUARD.drift, self.detector.flag) {
                (Drift::Start, None) => Some(Admission::Rest),
                (Drift::Stop, Some(_)) => Some(Admission::Stop),
                _ => None,
            };
            if let Some(turned_away) = turned_away {
                self.told.refused = self.told.refused.saturating_add(1);
                return turned_away;
            }
        }
        if !Self::GATE {
            return Admission::Train;
        }
        let most = G::GUARD.held_out;
        self.since_held = self.since_held.saturating_add(1);
        let learns = self.judged && self.phase == Phase::Learning;
        if learns && self.since_held < G::GUARD.hold_every {
            return Admission::Train;
        }
        self.since_held = 0;
        let note = Note { role: Role::Unjudged, label, ..Note::default() };
        self.pool.keep(note, most, Role::is_held);
        Admission::Hold
    }

    /// The sample that had come was trained on.
    pub fn trained(&mut self, label: u16) {
        if Self::GATE {
            self.in_round = self.in_round.saturating_add(1);
        }
        if Self::REPLAY {
            self.replays = G::GUARD.replays;
            let role = if Self::GATE { Role::New } else { Role::Replay };
            let note = Note { role, label, ..Note::default() };
            self.pool.keep(note, G::GUARD.replay, Role::is_replay);
        }
    }

    /// State has come from elsewhere than training: the round is void.
    pub fn replaced(&mut self) {
        (self.judged, self.phase) = (false, Phase::Learning);
        (self.in_round, self.replays, self.idle) = (0, 0, 0);
        if Self::POOL {
            self.forget_new();
        }
    }

    /// What is usual is what comes from now on; learning that was stopped goes on.
    pub fn rebase(&mut self) {
        self.detector.rebase();
    }

    /// The sample at a place that [`Due`] names.
    pub fn sample(&self, at: usize) -> &[i8] {
        self.pool.sample(at)
    }

    /// What is to be done next, after each labelled sample until it is nothing. `steps` are those behind
    /// the trainer's state, and follow it where that goes back.
    ///
    /// # Errors
    /// The keeper's. Until it keeps the round, or goes back, every labelled sample is held out, and the
    /// round is judged anew after each.
    pub fn due<T, K>(
        &mut self,
        trainer: &mut T,
        steps: &mut u32,
        keeper: &mut K,
    ) -> Result<Due, K::Error>
    where
        T: Trainer + ?Sized,
        K: Keeper,
    {
        if Self::REPLAY && self.replays > 0 {
            self.replays -= 1;
            if let Some(at) = self.pool.any(Role::is_replay) {
                self.told.replayed = self.told.replayed.saturating_add(1);
                return Ok(Due::Train { at, label: self.pool.note(at).label });
            }
        }
        if !Self::GATE {
            return Ok(Due::Nothing);
        }
        loop {
            match self.phase {
                Phase::Learning => {
                    let first = !self.judged && self.pool.count(Role::is_held) >= G::GUARD.held_out;
                    if !first && (!self.judged || self.in_round < G::GUARD.round) {
                        return Ok(Due::Nothing);
                    }
                    self.phase = Phase::Judging { at: 0, first };
                }
                Phase::Judging { at, first } => match self.next(at, Role::is_held) {
                    Some(at) => {
                        self.phase = Phase::Judging { at, first };
                        return Ok(Due::Infer { at });
                    }
                    None => {
                        self.phase = Phase::Learning;
                        let ended = self.end_round(trainer, steps, keeper, first);
                        if ended.is_err() {
                            self.phase = Phase::Judging { at: 0, first };
                        }
                        return ended;
                    }
                },
                Phase::Settling { at } => match self.next(at, |role| role == Role::Unjudged) {
                    Some(at) => {
                        self.phase = Phase::Settling { at };
                        return Ok(Due::Infer { at });
                    }
                    None => self.phase = Phase::Learning,
                },
            }
        }
    }

    /// The first place from `at` on for which `of` holds.
    fn next(&self, at: usize, of: impl Fn(Role) -> bool) -> Option<usize> {
        self.pool.notes().skip(at).find(|(_, note)| of(note.role)).map(|(at, _)| at)
    }

    /// What the network makes of the sample that was to be inferred.
    pub fn answered(&mut self, prediction: Prediction) {
        let (Phase::Judging { at, .. } | Phase::Settling { at }) = self.phase else { return };
        let note = self.pool.note(at);
        let error = match prediction {
            Prediction::Class(class) => f32::from(u8::from(class != note.label)),
            Prediction::Error(error) => error,
        };
        match &mut self.phase {
            Phase::Judging { at, .. } => {
                self.pool.set(*at, Note { after: error, ..note });
                *at += 1;
            }
            Phase::Settling { at } => {
                self.pool.set(*at, Note { role: Role::Held, before: error, ..note });
                *at += 1;
            }
            Phase::Learning => {}
        }
    }

    /// Keeps the round or takes it back, as the held-out samples say.
    fn end_round<T, K>(
        &mut self,
        trainer: &mut T,
        steps: &mut u32,
        keeper: &mut K,
        first: bool,
    ) -> Result<Due, K::Error>
    where
        T: Trainer + ?Sized,
        K: Keeper,
    {
        self.in_round = 0;
        let mut sums = Sums::default();
        for (_, note) in self.pool.notes().filter(|(_, note)| note.role == Role::Held) {
            sums.add(note);
        }
        let Sums { before, after, of, .. } = sums;
        let kept = first || sums.is_no_worse();
        let better = first || after <= before;
        if kept {
            match G::GUARD.snapshot {
                Snapshot::Flash => keeper.keep(trainer, *steps)?,
                Snapshot::Sram => {
                    let state = trainer.state();
                    self.snapshot.iter_mut().zip(state).for_each(|(to, &from)| *to = from as i8);
                }
            }
            self.pool.turn(|note| match note.role {
                Role::Held if !better => note,
                Role::Held | Role::Unjudged => {
                    Note { role: Role::Held, before: note.after, ..note }
                }
                Role::New => Note { role: Role::Replay, ..note },
                _ => note,
            });
            (self.judged, self.steps) = (true, *steps);
        } else {
            match G::GUARD.snapshot {
                Snapshot::Flash => keeper.go_back(trainer, steps)?,
                Snapshot::Sram => {
                    let state = trainer.state_mut();
                    state.iter_mut().zip(&*self.snapshot).for_each(|(to, &from)| *to = from as u8);
                    *steps = self.steps;
                }
            }
            self.forget_new();
            self.phase = Phase::Settling { at: 0 };
        }
        if first {
            return Ok(Due::Begun);
        }
        let count = if kept { &mut self.told.kept } else { &mut self.told.taken_back };
        *count = count.saturating_add(1);
        let verdict = Verdict { before, after, of, kept };
        self.told.last = Some(verdict);
        self.idle = if after < before { 0 } else { self.idle.saturating_add(1) };
        if G::GUARD.drift == Drift::Start && self.idle >= IDLE_ROUNDS {
            self.idle = 0;
            self.rebase();
        }
        Ok(Due::Ended(verdict))
    }

    /// Forgets what was trained on in a round that is void.
    fn forget_new(&mut self) {
        self.pool.turn(|note| if note.role == Role::New { Note::default() } else { note });
    }
}
