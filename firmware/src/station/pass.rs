//! A task on a sample that lies whole in memory, a slice at a time.

use offshoot_runtime::{Fault, Progress, Task, Trainer};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Phase {
    /// The next part of the sample is to be put in place.
    Give,
    /// The program goes on as far as that allows.
    Receive,
    /// All of the sample has come.
    Run,
}

/// The task, and how far it has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pass {
    task: Task,
    given: usize,
    phase: Phase,
}

impl Pass {
    pub(super) const fn new(task: Task) -> Pass {
        Pass { task, given: 0, phase: Phase::Give }
    }

    /// Does one slice, or puts one part of the sample in place.
    pub(super) fn go_on<T: Trainer + ?Sized>(
        &mut self,
        trainer: &mut T,
        sample: &[i8],
    ) -> Result<Progress, Fault> {
        match self.phase {
            Phase::Give => {
                if self.given == 0 {
                    trainer.restart();
                }
                let place = trainer.input();
                let rest = sample.get(self.given..).ok_or(Fault::Size)?;
                if rest.len() < place.len() {
                    return Err(Fault::Size);
                }
                self.given = self.given.saturating_add(place.len());
                place.iter_mut().zip(rest).for_each(|(to, &from)| *to = from);
                trainer.begin(Task::Receive)?;
                self.phase = Phase::Receive;
            }
            Phase::Receive => match trainer.slice()? {
                Progress::Received { more: true } => self.phase = Phase::Give,
                Progress::Received { more: false } => {
                    trainer.begin(self.task)?;
                    self.phase = Phase::Run;
                }
                _ => {}
            },
            Phase::Run => return trainer.slice(),
        }
        Ok(Progress::More)
    }
}
