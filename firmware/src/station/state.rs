//! What a station is at, and what it tells.

use crate::guard::{Admission, Verdict};
use crate::station::SourceError;
use crate::store::{Checkpoint, StoreError};
use offshoot_runtime::{Fault, Prediction, StepReport};

/// What a station is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Puts state in place: that of the newest checkpoint, or its first content.
    Start,
    /// Takes a sample from its source.
    Collect,
    /// Asks the network what the sample is.
    Infer,
    /// Waits for somebody to say what it is.
    Label,
    /// Trains on it.
    Train,
    /// Does what guards want: trains on samples once more, judges a round.
    Evaluate,
    /// Keeps state in flash.
    Checkpoint,
    /// Waits after a trouble, then tries again.
    Rest,
}

impl State {
    /// All of them.
    pub const ALL: [State; 8] = [
        State::Start,
        State::Collect,
        State::Infer,
        State::Label,
        State::Train,
        State::Evaluate,
        State::Checkpoint,
        State::Rest,
    ];

    /// The states that may follow, beside [`State::Rest`], which may follow any.
    pub const fn next(self) -> &'static [State] {
        match self {
            // State is in place.
            State::Start => &[State::Collect],
            // The sample is whole.
            State::Collect => &[State::Infer],
            // The prediction is told.
            State::Infer => &[State::Label],
            // There is a label; guards have another use for the sample; there is none.
            State::Label => &[State::Train, State::Evaluate, State::Collect],
            State::Train => &[State::Evaluate],
            // State is to be kept; nothing is left to do.
            State::Evaluate => &[State::Checkpoint, State::Collect],
            State::Checkpoint => &[State::Evaluate],
            // State was never put in place; it was.
            State::Rest => &[State::Start, State::Collect],
        }
    }
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// State is in place: that of a checkpoint, or its first content.
    Started(Option<Checkpoint>),
    /// What the network makes of the sample that was collected.
    Predicted(Prediction),
    /// A training step was done.
    Stepped(StepReport),
    /// Guards have another use for the sample than training, or none.
    Admitted(Admission),
    /// A round was judged, and taken back if it is not kept.
    Judged(Verdict),
    /// State was kept in flash.
    Kept(Checkpoint),
    /// Something went wrong: nothing is lost but what [`Trouble`] says.
    Failed(Trouble),
}

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The sample did not come: it is begun anew.
    Source(SourceError),
    /// Nobody can tell the label: the sample is not trained on.
    Label(SourceError),
    /// The program could not run, or the label is no class: the sample is not trained on.
    Program(Fault),
    /// The checkpoint was neither written nor read: state stays, or becomes its first content where
    /// reading broke off. The next round tries again.
    Store(StoreError),
    /// A gate keeps rounds in flash, and there is none: nothing is learnt.
    NoFlash,
    /// The memory for a sample does not have this many values, which the program's input has.
    Memory(usize),
    /// The learning rate is not a number, negative or infinite.
    Rate,
}

impl core::fmt::Display for Trouble {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Trouble::Source(error) => write!(f, "no sample: {error}"),
            Trouble::Label(error) => write!(f, "no label: {error}"),
            Trouble::Program(fault) => write!(f, "{fault}"),
            Trouble::Store(error) => write!(f, "checkpoint: {error}"),
            Trouble::Rate => f.write_str("the learning rate must be finite and not negative"),
            Trouble::NoFlash => {
                f.write_str("no flash to keep rounds in: give it some, or keep them in SRAM")
            }
            Trouble::Memory(values) => {
                write!(f, "the memory for a sample must have {values} values, as the input has")
            }
        }
    }
}
