//! What a client tells its caller.

use crate::board::Counter;
use crate::guard::Admission;
use crate::link::{Refusal, Stepped};
use offshoot_runtime::Prediction;
use std::io;
use std::time::Duration;

/// What can go wrong between host and device.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The other end is gone.
    #[error("the device closed the link: look into its log for a panic, then start it anew")]
    Closed,
    /// Nothing sound came back.
    #[error(
        "no answer for {0:?}: check that the device runs this project's image, or wait longer"
    )]
    Silent(Duration),
    /// The device did nothing, and says why.
    #[error("the device refused: {0}")]
    Refused(Refusal),
    /// The sample has another size than the model's input.
    #[error("the sample has {given} bytes; the model on the device takes {wanted}")]
    SampleSize {
        /// Bytes that were given.
        given: usize,
        /// Bytes that a sample has.
        wanted: usize,
    },
    /// The state has another size than the device's.
    #[error("the state has {given} bytes; that on the device has {wanted}")]
    StateSize {
        /// Bytes that were given.
        given: usize,
        /// Bytes of the device's.
        wanted: usize,
    },
    /// A sound answer, but to another question.
    #[error("the device answers something else than it was asked: rebuild its image")]
    Unexpected,
    /// The device's guards did not train on the sample.
    #[error("the device did not train on the sample: its guards {}", said(*.0))]
    Kept(Admission),
    /// The operating system's word.
    #[error("the link to the device failed: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for LinkError {
    fn from(e: io::Error) -> Self {
        match e.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe => LinkError::Closed,
            _ => LinkError::Io(e),
        }
    }
}

/// What guards have done with a sample, in words.
fn said(admission: Admission) -> &'static str {
    match admission {
        Admission::Train => "let it be",
        Admission::Hold => "hold it out",
        Admission::Rest => "wait for drift",
        Admission::Stop => "have stopped learning because of drift",
    }
}

/// What a device did with a labelled sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Used {
    /// It trained on it.
    Stepped(Stepped),
    /// Its guards had another use for it, or none.
    Kept {
        /// Which.
        admission: Admission,
        /// What they did because of it, in the board's [`Counter`].
        count: u64,
    },
}

/// Who the device is.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    /// Hash of its model and update scheme.
    pub model_hash: u64,
    /// The board's name.
    pub board: String,
    /// What its counts count.
    pub counter: Counter,
    /// Bytes of a sample.
    pub input_bytes: usize,
    /// Number of classes; 0 of a network that reproduces its input.
    pub classes: u16,
    /// Bytes of trainable state.
    pub state_bytes: usize,
    /// Training steps behind it when the session began.
    pub steps: u32,
    /// Number of the checkpoint that it came from then, if it did.
    pub restored: Option<u64>,
}

/// What an inference gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Predicted {
    /// What the network makes of the sample.
    pub prediction: Prediction,
    /// What it took, in the board's [`Counter`].
    pub count: u64,
}
