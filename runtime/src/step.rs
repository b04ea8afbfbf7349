//! What every pass over a sample does around its ops, and how it goes from slice to slice, for the
//! interpreter and for emitted code.

use crate::kernels;
use crate::machine::{typed, typed_mut};
use crate::program::{Header, Output};
use crate::{Fault, Machine, Prediction, Progress, Slot, Step, StepReport, Task};

/// Where the slices of a task may end.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The next slice that waits for a part of the sample, if there is one.
    pub part: Option<usize>,
    /// End of the forward pass.
    pub forward: usize,
    /// End of the program.
    pub all: usize,
}

/// What a program is at: the kind of a [`Task`], whose numbers are in [`Step`].
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Nothing,
    Receive,
    Infer,
    Train,
}

/// Where a program stands: the slice that comes next, and what it is at. All zero at the start, so that
/// it takes no flash.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    next: usize,
    end: usize,
    kind: Kind,
}

impl Cursor {
    /// Before the first part of a sample; at nothing.
    pub const START: Cursor = Cursor::at(0);

    /// Before slice `next`; at nothing.
    pub const fn at(next: usize) -> Cursor {
        Cursor { next, end: next, kind: Kind::Nothing }
    }

    /// The slice that comes next: between two tasks, the one that waits for a part of the sample.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Whether a task was begun and has not ended.
    pub fn is_busy(&self) -> bool {
        self.kind != Kind::Nothing
    }

    /// Gives up the task under way, and with it the sample; where there is none, nothing changes.
    pub fn give_up(&mut self) {
        if self.is_busy() {
            *self = Cursor::START;
        }
    }

    /// As [`crate::Trainer::begin`]; after an error all is as it was.
    ///
    /// # Errors
    /// Those of [`crate::Trainer::begin`].
    pub fn begin(
        &mut self,
        step: &mut Step,
        header: &Header,
        ends: Ends,
        task: Task,
    ) -> Result<(), Fault> {
        if self.is_busy() {
            return Err(Fault::Busy);
        }
        (self.end, self.kind) = match (task, ends.part) {
            (Task::Receive, part) => (part.unwrap_or(self.next), Kind::Receive),
            (_, Some(_)) => return Err(Fault::Sample),
            (Task::Infer, None) => {
                *step = Step::NONE;
                (ends.forward, Kind::Infer)
            }
            (Task::Train { label, rate }, None) => {
                *step = begun(header, label, rate)?;
                (ends.all, Kind::Train)
            }
        };
        Ok(())
    }

    /// As [`crate::Trainer::slice`]: `run` runs the slice of a number.
    ///
    /// # Errors
    /// [`Fault::Idle`] where no task was begun, and those of the ops, which end it.
    pub fn slice(
        &mut self,
        m: &mut Machine<'_>,
        header: &Header,
        run: impl FnOnce(&mut Machine<'_>, usize) -> Result<(), Fault>,
    ) -> Result<Progress, Fault> {
        let Cursor { next, end, kind } = *self;
        if kind == Kind::Nothing {
            return Err(Fault::Idle);
        }
        *self = Cursor::START;
        if next < end {
            run(m, next)?;
        }
        if next + 1 < end {
            *self = Cursor { next: next + 1, end, kind };
            return Ok(Progress::More);
        }
        Ok(match kind {
            Kind::Nothing | Kind::Receive => {
                self.next = end;
                Progress::Received { more: next < end }
            }
            Kind::Infer => Progress::Inferred(predicted(m, header)?),
            Kind::Train => Progress::Trained(report(m)),
        })
    }
}

/// Whether a program can be trained on a sample with this label.
///
/// # Errors
/// [`Fault::NotTrainable`] where the program only infers, [`Fault::Label`] where the label is no
/// class; a network that reproduces its input takes any.
pub fn takes(header: &Header, label: u16) -> Result<(), Fault> {
    match header.output_kind {
        Output::Scores => Err(Fault::NotTrainable),
        Output::Logits if label >= header.classes => Err(Fault::Label),
        Output::Logits | Output::Reconstruction => Ok(()),
    }
}

/// The scalars that a training step begins with.
///
/// # Errors
/// Those of [`takes`].
pub fn begun(header: &Header, label: u16, rate: f32) -> Result<Step, Fault> {
    takes(header, label)?;
    Ok(Step { label, rate, ..Step::NONE })
}

/// What the step reports once its ops have run.
pub fn report(m: &Machine<'_>) -> StepReport {
    StepReport { loss: m.step.loss, class: m.step.class }
}

/// What the network makes of the sample, once the forward pass has run.
///
/// # Errors
/// A [`Fault`] where the output slot does not fit the arena.
pub fn predicted(m: &mut Machine<'_>, header: &Header) -> Result<Prediction, Fault> {
    let ([bytes], []) = m.arena.split([header.output], [])?;
    Ok(match header.output_kind {
        Output::Logits => Prediction::Class(kernels::argmax(typed::<i32>(bytes)?)),
        Output::Scores => Prediction::Class(kernels::argmax(typed::<i8>(bytes)?)),
        Output::Reconstruction => Prediction::Error(m.step.loss),
    })
}

/// As [`crate::Trainer::margin`].
pub fn margin(arena: &[u8], header: &Header) -> u32 {
    let bytes = arena.get(header.output.start()..header.output.end()).unwrap_or_default();
    match header.output_kind {
        Output::Logits => kernels::margin(typed::<i32>(bytes).unwrap_or_default()),
        Output::Scores => kernels::margin(typed::<i8>(bytes).unwrap_or_default()),
        Output::Reconstruction => 0,
    }
}

/// The place in the arena of a sample or of rows of one; empty where the arena does not hold it.
pub fn input(arena: &mut [u8], slot: Slot) -> &mut [i8] {
    let bytes = arena.get_mut(slot.start()..slot.end());
    bytes.and_then(|b| typed_mut(b).ok()).unwrap_or_default()
}
