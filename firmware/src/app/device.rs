//! What each request does.

use super::keep::{Flash, Kept};
use crate::bank::{Bank, BankError};
use crate::board::Board;
use crate::guard::{Admission, Due, Guards};
use crate::link::{Answer, Command, Refusal, Stats, Stepped, Welcome, CHUNK_BYTES, PROTOCOL};
use offshoot_runtime::guard::GuardMemory;
use offshoot_runtime::{hash, step, Fault, Progress, StepReport, Task, Trainer};

/// What requests act on.
#[derive(Debug)]
pub(super) struct Device<'t, T: ?Sized, B, G> {
    pub(super) trainer: &'t mut T,
    pub(super) guards: Guards<'t, G>,
    pub(super) board: B,
    /// Why the program cannot run at all.
    broken: Option<Fault>,
    pub(super) kept: Kept,
    /// What is known of the bank, or why there is none in its flash; `None` without one.
    pub(super) bank: Option<Result<Bank, BankError>>,
    /// Bytes of the next sample that have come, and of the part of it that the program waits for.
    pub(super) filled: usize,
    part: usize,
    /// What the program has done of the sample took, in the board's counter.
    spent: u64,
    pub(super) stats: Stats,
}

impl<'t, T: Trainer + ?Sized, B: Board, G: GuardMemory> Device<'t, T, B, G> {
    pub(super) fn new(trainer: &'t mut T, memory: &'t mut [i8], board: B) -> Self {
        let guards = Guards::new(memory, trainer.header());
        let broken = trainer.reset().err();
        let mut device = Device {
            trainer,
            guards,
            board,
            broken,
            kept: Kept::default(),
            bank: None,
            filled: 0,
            part: 0,
            spent: 0,
            stats: Stats::default(),
        };
        if broken.is_none() {
            device.start();
        }
        device
    }

    pub(super) fn welcome(&mut self, protocol: u16) -> Answer<'_> {
        self.filled = 0;
        if protocol != PROTOCOL {
            return Answer::Refused(Refusal::Protocol(PROTOCOL));
        }
        if let Some(fault) = self.broken {
            return Answer::Refused(Refusal::Fault(fault));
        }
        log!(info, "session begins; model {=u64:x}", self.trainer.header().model_hash);
        let header = self.trainer.header();
        Answer::Welcome(Welcome {
            protocol: PROTOCOL,
            model_hash: header.model_hash,
            board: self.board.name(),
            counter: self.board.counter(),
            input_bytes: header.input_shape.elements() as u32,
            classes: header.classes,
            state_bytes: self.trainer.state().len() as u32,
            steps: self.stats.steps,
            restored: self.kept.restored,
        })
    }

    pub(super) fn run(&mut self, command: Command<'_>) -> Result<Answer<'_>, Refusal> {
        Ok(match command {
            Command::Hello { .. } => return Err(Refusal::Unknown),
            Command::Reset => {
                self.reset()?;
                Answer::Done
            }
            Command::StateBegin { model_hash, state_hash, steps } => {
                self.begin_import(model_hash, state_hash, steps)?;
                Answer::Done
            }
            Command::StateWrite { offset, bytes } => {
                self.import(offset, bytes)?;
                Answer::Done
            }
            Command::Restore => self.restore()?,
            Command::Stats => {
                let (stack, wear) = (self.board.stack(), self.wear());
                Answer::Stats(Stats { stack, wear, ..self.stats })
            }
            _ if self.kept.import.is_some() => return Err(Refusal::Incomplete),
            Command::Checkpoint { overwrite } => self.checkpoint(overwrite)?,
            Command::Sample { offset, bytes } => {
                self.fill(offset as usize, bytes)?;
                Answer::Done
            }
            Command::Infer => {
                let spent = self.take_sample()?;
                let (progress, count) = self.task(Task::Infer)?;
                let Progress::Inferred(prediction) = progress else {
                    return Err(Refusal::Fault(Fault::Idle));
                };
                self.guards.inferred(prediction, self.trainer.margin());
                let count = count.wrapping_add(spent);
                Answer::Predicted { prediction, count }
            }
            Command::Train { label, rate } => self.train(label, rate)?,
            Command::Adapter(request) => self.adapter(request)?,
            Command::Rebase => {
                self.guards.rebase();
                Answer::Done
            }
            Command::Watched => Answer::Watched(self.guards.told()),
            Command::StateHash => Answer::StateHash(self.state_hash()),
            Command::StateRead { offset, length } => {
                let (start, length) = (offset as usize, length as usize);
                let end = start.checked_add(length).ok_or(Refusal::Range)?;
                let bytes = self.trainer.state().get(start..end).ok_or(Refusal::Range)?;
                if length > CHUNK_BYTES {
                    return Err(Refusal::Range);
                }
                Answer::StateBytes(bytes)
            }
        })
    }

    /// Puts bytes of a sample where the program reads them, which goes on as far as they allow.
    fn fill(&mut self, offset: usize, mut bytes: &[u8]) -> Result<(), Refusal> {
        let size = self.trainer.header().input_shape.elements();
        let end = offset.checked_add(bytes.len()).filter(|&end| end <= size);
        let end = end.filter(|_| offset == 0 || offset == self.filled).ok_or(Refusal::Offset)?;
        if offset == 0 {
            self.trainer.restart();
            (self.part, self.spent) = (0, 0);
        }
        self.filled = offset;
        self.guards.stage(offset, bytes.iter().map(|&byte| byte as i8));
        while !bytes.is_empty() {
            let place = self.trainer.input().get_mut(self.part..).unwrap_or_default();
            let now = place.len().min(bytes.len());
            place.iter_mut().zip(bytes).for_each(|(to, &from)| *to = from as i8);
            self.part += now;
            bytes = bytes.get(now..).unwrap_or_default();
            if now == place.len() && !self.advance()? && !bytes.is_empty() {
                return Err(Refusal::Offset);
            }
        }
        self.filled = end;
        Ok(())
    }

    /// Goes on with the part of a sample that is complete; whether another is to come.
    fn advance(&mut self) -> Result<bool, Refusal> {
        let (progress, count) = self.task(Task::Receive)?;
        let more = progress == Progress::Received { more: true };
        if more {
            self.part = 0;
            self.spent = count.wrapping_add(self.spent);
        }
        Ok(more)
    }

    /// A step overwrites the sample: it serves once. What was spent on it so far.
    fn take_sample(&mut self) -> Result<u64, Refusal> {
        let whole = self.filled == self.trainer.header().input_shape.elements();
        whole.then(|| self.filled = 0).ok_or(Refusal::NoSample)?;
        Ok(core::mem::take(&mut self.spent))
    }

    /// Trains on the sample, as far as the guards let it, and does what they want done then.
    fn train(&mut self, label: u16, rate: f32) -> Result<Answer<'static>, Refusal> {
        if !(rate.is_finite() && rate >= 0.0) {
            return Err(Refusal::Rate);
        }
        let mut count = self.take_sample()?;
        step::takes(self.trainer.header(), label)?;
        let admission = self.guards.admit(label);
        let report = match admission {
            Admission::Train => {
                let report = self.step(label, rate, &mut count)?;
                self.guards.trained(label);
                Some(report)
            }
            Admission::Hold | Admission::Rest | Admission::Stop => None,
        };
        loop {
            let Device { board, kept, stats: Stats { steps, .. }, .. } = self;
            match self.guards.due(self.trainer, steps, &mut Flash { board, kept })? {
                Due::Nothing => break,
                Due::Train { at, label } => {
                    self.trainer.present(self.guards.sample(at))?;
                    self.step(label, rate, &mut count)?;
                }
                Due::Infer { at } => {
                    self.trainer.present(self.guards.sample(at))?;
                    let (progress, took) = self.task(Task::Infer)?;
                    count = count.wrapping_add(took);
                    if let Progress::Inferred(prediction) = progress {
                        self.guards.answered(prediction);
                    }
                }
                Due::Begun => {}
                Due::Ended(_verdict) => {
                    log!(info, "round kept: {=bool}", _verdict.kept);
                }
            }
        }
        Ok(match report {
            Some(StepReport { loss, class }) => {
                Answer::Stepped(Stepped { loss, class, state_hash: self.state_hash(), count })
            }
            None => Answer::Admitted { admission, count },
        })
    }

    /// A step, and what it took on top of `count`.
    fn step(&mut self, label: u16, rate: f32, count: &mut u64) -> Result<StepReport, Refusal> {
        let (progress, took) = self.task(Task::Train { label, rate })?;
        *count = count.wrapping_add(took);
        let Progress::Trained(report) = progress else { return Err(Refusal::Fault(Fault::Idle)) };
        self.stats.steps = self.stats.steps.saturating_add(1);
        self.bank_changed();
        Ok(report)
    }

    /// Does all slices of a task; what they took.
    fn task(&mut self, task: Task) -> Result<(Progress, u64), Refusal> {
        self.trainer.begin(task).map_err(Refusal::Fault)?;
        let before = self.board.count();
        let mut last = before;
        loop {
            let progress = self.trainer.slice().map_err(Refusal::Fault)?;
            let now = self.board.count();
            let longest = self.stats.longest_slice.max(now.wrapping_sub(last));
            (self.stats.longest_slice, last) = (longest, now);
            if progress != Progress::More {
                return Ok((progress, last.wrapping_sub(before)));
            }
        }
    }

    pub(super) fn state_hash(&self) -> u64 {
        hash::fnv1a(hash::EMPTY, self.trainer.state())
    }
}
