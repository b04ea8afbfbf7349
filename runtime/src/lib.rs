//! int8 training kernels for microcontrollers: what runs on the device, on the desktop and in an
//! emulator alike.
//!
//! A [`program::Program`] is a list of [`program::op::Op`]s over three memories: constants
//! (flash), state (trained weights, biases and error scales, kept between steps) and an arena
//! (tensors of one step, at offsets that the compiler planned). [`Interpreter`] walks the list;
//! emitted code calls the same ops one after the other. Both give the same bytes.
//!
//! Invariants: nothing allocates; nothing panics, nor faults on a program that [`program::verify`] accepts;
//! inner loops are integer; float is IEEE f32, and only once a tensor, a row or a step.
#![cfg_attr(not(test), no_std)]

pub mod arena;
pub mod bank;
pub mod error_scale;
pub mod features;
pub mod fixed;
pub mod guard;
pub mod hash;
mod interpreter;
pub mod kernels;
pub mod learnt;
mod machine;
pub mod program;
pub mod random;
pub mod schedule;
pub mod step;

pub use interpreter::Interpreter;
pub use machine::{Fault, Machine, Step};
pub use program::{Access, Memory, Slot};

/// What one training step reports.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct StepReport {
    /// Loss of this sample, before the update.
    pub loss: f32,
    /// Class predicted before the update; 0 of a network without classes.
    pub class: u16,
}

/// What a network makes of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Prediction {
    /// The class with the greatest logit or score, the first of equals.
    Class(u16),
    /// Mean square of what its reconstruction is off by, in real units: how strange the sample is.
    Error(f32),
}

/// What a program may be at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Task {
    /// Goes on as far as the rows of the sample allow that have come: [`Trainer::advance`].
    Receive,
    /// [`Trainer::infer`].
    Infer,
    /// [`Trainer::train`].
    Train {
        /// Class of the sample.
        label: u16,
        /// Learning rate, real units.
        rate: f32,
    },
}

/// How far a task has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// Slices of it are left.
    More,
    /// [`Task::Receive`] has ended.
    Received {
        /// Whether another part of the sample is to come.
        more: bool,
    },
    /// [`Task::Infer`] has ended.
    Inferred(Prediction),
    /// [`Task::Train`] has ended.
    Trained(StepReport),
}

/// A network that learns: the interpreter over a program, or an emitted one.
///
/// Whatever takes long is a [`Task`] in slices: [`Trainer::begin`] it, then call [`Trainer::slice`] until
/// it has ended; what is due in between can be done in between. The bits are those of
/// [`Trainer::train`], [`Trainer::infer`] and [`Trainer::advance`], which do just that.
///
/// A training step that is given up half way has updated some of what is trained and the rest not. State
/// is sound all the same, as any bytes are, but it is not what that step, or none, would have left. Who
/// minds that restores a state from before.
pub trait Trainer {
    /// What the program is and needs.
    fn header(&self) -> &program::Header;

    /// Puts trainable state back to what the compiler gave it. Gives up a task under way.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    fn reset(&mut self) -> Result<(), Fault>;

    /// Puts what is learnt back to what the compiler gave it; the rest of state stays ([`learnt`]). Gives
    /// up a task under way.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    fn first(&mut self) -> Result<(), Fault>;

    /// The first part of state, none of it before byte `from`, that is learnt or an optimizer's.
    fn part(&self, from: u32) -> Option<learnt::Part>;

    /// Where to put the next part of a sample, int8 NHWC: all of it, or the next rows where the
    /// program receives it in rows. A step overwrites it: fill it before each call. Empty while a task
    /// is under way.
    fn input(&mut self) -> &mut [i8];

    /// Begins a task; nothing of it is done yet.
    ///
    /// # Errors
    /// [`Fault::Busy`] while another is under way, [`Fault::Label`] for a label that is no class,
    /// [`Fault::NotTrainable`], [`Fault::Sample`] where parts of the sample have not come: before
    /// anything is changed.
    fn begin(&mut self, task: Task) -> Result<(), Fault>;

    /// Does the next slice of the task under way: one op or a few.
    ///
    /// # Errors
    /// [`Fault::Idle`] where none is; others only if the program was not verified.
    fn slice(&mut self) -> Result<Progress, Fault>;

    /// Forgets the parts of a sample that have come: the next is the first. Gives up a task under way.
    fn restart(&mut self);

    /// By how much the greatest output of the last inference exceeds the next, in the output's steps:
    /// how sure the network is. To be asked right after it; 0 of a network without classes.
    fn margin(&self) -> u32;

    /// Trainable state: all that a checkpoint must hold. Partly updated while a training step is under
    /// way.
    fn state(&self) -> &[u8];

    /// Trainable state, to be restored. Gives up a task under way.
    fn state_mut(&mut self) -> &mut [u8];

    /// Does all slices of a task.
    ///
    /// # Errors
    /// Those of [`Trainer::begin`].
    fn complete(&mut self, task: Task) -> Result<Progress, Fault> {
        self.begin(task)?;
        loop {
            let progress = self.slice()?;
            if progress != Progress::More {
                return Ok(progress);
            }
        }
    }

    /// Goes on as far as the rows allow that have been put in [`Trainer::input`]. Whether more are to
    /// come; if not, [`Trainer::infer`] or [`Trainer::train`] is next.
    ///
    /// # Errors
    /// Those of [`Trainer::begin`].
    fn advance(&mut self) -> Result<bool, Fault> {
        Ok(self.complete(Task::Receive)? == Progress::Received { more: true })
    }

    /// Puts a whole sample, part by part.
    ///
    /// # Errors
    /// [`Fault::Size`] for a sample of another size.
    fn present(&mut self, sample: &[i8]) -> Result<(), Fault> {
        if sample.len() != self.header().input_shape.elements() {
            return Err(Fault::Size);
        }
        self.restart();
        let mut rest = sample;
        loop {
            let part = self.input();
            let (now, later) = rest.split_at_checked(part.len()).ok_or(Fault::Size)?;
            part.copy_from_slice(now);
            rest = later;
            if !self.advance()? {
                return Ok(());
            }
        }
    }

    /// Runs forward and returns what the network makes of the sample.
    ///
    /// # Errors
    /// Those of [`Trainer::begin`].
    fn infer(&mut self) -> Result<Prediction, Fault> {
        match self.complete(Task::Infer)? {
            Progress::Inferred(prediction) => Ok(prediction),
            _ => Err(Fault::Idle),
        }
    }

    /// Runs forward and backward on the sample and updates what is trained, at `rate` in real
    /// units. A network that reproduces its input learns without the label.
    ///
    /// # Errors
    /// Those of [`Trainer::begin`].
    fn train(&mut self, label: u16, rate: f32) -> Result<StepReport, Fault> {
        match self.complete(Task::Train { label, rate })? {
            Progress::Trained(report) => Ok(report),
            _ => Err(Fault::Idle),
        }
    }
}
