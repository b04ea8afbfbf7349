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
pub mod error_scale;
pub mod features;
pub mod fixed;
pub mod hash;
mod interpreter;
pub mod kernels;
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

/// A network that learns: the interpreter over a program, or an emitted one.
pub trait Trainer {
    /// What the program is and needs.
    fn header(&self) -> &program::Header;

    /// Puts trainable state back to what the compiler gave it.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    fn reset(&mut self) -> Result<(), Fault>;

    /// Where to put the next part of a sample, int8 NHWC: all of it, or the next rows where the
    /// program receives it in rows. A step overwrites it: fill it before each call.
    fn input(&mut self) -> &mut [i8];

    /// Goes on as far as the rows allow that have been put in [`Trainer::input`]. Whether more are to
    /// come; if not, [`Trainer::infer`] or [`Trainer::train`] is next.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    fn advance(&mut self) -> Result<bool, Fault>;

    /// Forgets the parts of a sample that have come: the next is the first.
    fn restart(&mut self);

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
    /// [`Fault::Sample`] where parts of the sample have not come.
    fn infer(&mut self) -> Result<Prediction, Fault>;

    /// Runs forward and backward on the sample and updates what is trained, at `rate` in real
    /// units. A network that reproduces its input learns without the label.
    ///
    /// # Errors
    /// [`Fault::Label`] for a label that is no class, [`Fault::Sample`] where parts of the sample have
    /// not come: before anything is changed.
    fn train(&mut self, label: u16, rate: f32) -> Result<StepReport, Fault>;

    /// Trainable state: all that a checkpoint must hold.
    fn state(&self) -> &[u8];

    /// Trainable state, to be restored.
    fn state_mut(&mut self) -> &mut [u8];
}
