//! Requests and answers.

use crate::bank::BankError;
use crate::board::{Counter, Stack};
use crate::guard::{Admission, Watched};
use crate::store::{StoreError, Wear};
use offshoot_runtime::{Fault, Prediction, StepReport};
use serde::{Deserialize, Serialize};

/// Version of this protocol; host and device must agree on it.
pub const PROTOCOL: u16 = 6;

/// Most bytes of a sample or of state in one message.
pub const CHUNK_BYTES: usize = 512;

/// Host to device.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// Number of the request; see [`crate::link`].
    pub sequence: u16,
    /// What to do.
    #[serde(borrow)]
    pub command: Command<'a>,
}

/// What a host may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command<'a> {
    /// Begins a session: the next number is one more than this request's.
    Hello {
        /// [`PROTOCOL`] of the host.
        protocol: u16,
    },
    /// Puts trainable state back to what the compiler gave it.
    Reset,
    /// Part of the next sample, in order from offset 0.
    Sample {
        /// Where the part begins.
        offset: u32,
        /// int8 values, as bytes.
        bytes: &'a [u8],
    },
    /// Asks what the network makes of the sample.
    Infer,
    /// Trains on the sample, or what the guards have it used for.
    Train {
        /// Its class, which a network without classes does not look at.
        label: u16,
        /// Learning rate, real units.
        rate: f32,
    },
    /// Asks for the hash of trainable state.
    StateHash,
    /// Asks for part of trainable state.
    StateRead {
        /// First byte.
        offset: u32,
        /// How many, at most [`CHUNK_BYTES`].
        length: u16,
    },
    /// Asks how the device fares.
    Stats,
    /// Begins to put other state in place, all of it. Until its last part has come the device does
    /// nothing else with its state.
    StateBegin {
        /// Hash of the model and update scheme that it belongs to.
        model_hash: u64,
        /// FNV-1a hash of it.
        state_hash: u64,
        /// Training steps behind it.
        steps: u32,
    },
    /// Part of that state, in order from offset 0.
    StateWrite {
        /// Where the part begins.
        offset: u32,
        /// Bytes of state.
        bytes: &'a [u8],
    },
    /// Keeps trainable state in flash, as a checkpoint.
    Checkpoint {
        /// Also where the newest checkpoint belongs to another model.
        overwrite: bool,
    },
    /// Puts trainable state back to the newest checkpoint.
    Restore,
    /// Asks how the guards fare.
    Watched,
    /// Samples are usual as they come from now on: drift is forgotten, learning that it stopped goes on.
    Rebase,
    /// Asks something of the bank: a [`bank::Request`](crate::bank::Request) in postcard.
    Adapter(&'a [u8]),
}

/// Device to host.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reply<'a> {
    /// Number of the request that this answers; means nothing beside [`Answer::Damaged`].
    pub sequence: u16,
    /// The answer.
    #[serde(borrow)]
    pub answer: Answer<'a>,
}

/// What a device may answer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer<'a> {
    /// To [`Command::Hello`].
    Welcome(#[serde(borrow)] Welcome<'a>),
    /// It is done.
    Done,
    /// To [`Command::Infer`].
    Predicted {
        /// What the network makes of the sample.
        prediction: Prediction,
        /// What it took, in the board's [`Counter`].
        count: u64,
    },
    /// To [`Command::Train`].
    Stepped(Stepped),
    /// To [`Command::StateHash`].
    StateHash(u64),
    /// To [`Command::StateRead`], and to [`bank::Request::Export`](crate::bank::Request::Export).
    StateBytes(&'a [u8]),
    /// To [`Command::Stats`].
    Stats(Stats),
    /// The request was sound but nothing was done.
    Refused(Refusal),
    /// A frame came in damaged: send the last request again.
    Damaged,
    /// To [`Command::Checkpoint`] and [`Command::Restore`].
    Checkpoint {
        /// Its number.
        sequence: u64,
        /// Training steps behind it.
        steps: u32,
    },
    /// To [`Command::Train`], where the guards have kept the sample from it.
    Admitted {
        /// What became of it.
        admission: Admission,
        /// What the guards did because of it, in the board's [`Counter`].
        count: u64,
    },
    /// To [`Command::Watched`].
    Watched(Watched),
    /// To [`Command::Adapter`]: a [`bank::Told`](crate::bank::Told) in postcard.
    Adapter(&'a [u8]),
}

/// Who the device is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome<'a> {
    /// Its [`PROTOCOL`].
    pub protocol: u16,
    /// Hash of its model and update scheme.
    pub model_hash: u64,
    /// The board's name.
    pub board: &'a str,
    /// What its counts count.
    pub counter: Counter,
    /// Bytes of a sample.
    pub input_bytes: u32,
    /// Number of classes; 0 of a network that reproduces its input.
    pub classes: u16,
    /// Bytes of trainable state.
    pub state_bytes: u32,
    /// Training steps behind it.
    pub steps: u32,
    /// Number of the checkpoint that it came from, at the start or since; none of one that was reset
    /// or sent.
    pub restored: Option<u64>,
}

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stepped {
    /// Loss of the sample before the update.
    pub loss: f32,
    /// Class predicted before the update; 0 of a network without classes.
    pub class: u16,
    /// FNV-1a hash of trainable state after the update.
    pub state_hash: u64,
    /// What forward, backward and update took, in the board's [`Counter`].
    pub count: u64,
}

impl Stepped {
    /// The part that the program itself reports.
    pub fn report(&self) -> StepReport {
        StepReport { loss: self.loss, class: self.class }
    }
}

/// How the device fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// How deep the stack has been, where that is measured.
    pub stack: Option<Stack>,
    /// Training steps behind the state: since it was reset, those before a checkpoint included.
    pub steps: u32,
    /// Frames that came in damaged.
    pub damaged: u32,
    /// Requests that came in again and were answered again.
    pub repeated: u32,
    /// How the flash for checkpoints fares, where there is some and it holds two.
    pub wear: Option<Wear>,
    /// What the longest slice of a step or prediction took, in the board's [`Counter`].
    pub longest_slice: u64,
}

/// Why a device did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The host speaks another [`PROTOCOL`] than this.
    Protocol(u16),
    /// No session was begun: the device may have started anew.
    NoSession,
    /// Not the number that comes next.
    OutOfOrder,
    /// Not a request of this protocol.
    Unknown,
    /// A part of a sample does not follow the one before it, or leaves the sample.
    Offset,
    /// The sample is not complete.
    NoSample,
    /// The learning rate is not a number, negative or infinite.
    Rate,
    /// That part of the state does not exist or is too long for one answer.
    Range,
    /// The program could not run.
    Fault(Fault),
    /// The board has no flash for checkpoints.
    NoFlash,
    /// The checkpoint was neither written nor read.
    Store(StoreError),
    /// The state belongs to another model or update scheme than the device's, which has this hash.
    OtherModel(u64),
    /// Parts of the state are still to come.
    Incomplete,
    /// The state that came is not the one that was announced.
    State,
    /// The board has no bank of adapters, or its program was compiled without.
    NoBank,
    /// The bank did nothing.
    Bank(BankError),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Refusal::Protocol(version) => {
                return write!(f, "it speaks protocol {version}: rebuild its image");
            }
            Refusal::Fault(fault) => return fault.fmt(f),
            Refusal::Store(error) => return error.fmt(f),
            Refusal::Bank(error) => return error.fmt(f),
            Refusal::NoBank => {
                "it has no bank of adapters: compile with --bank for a board that has one"
            }
            Refusal::OtherModel(hash) => {
                return write!(
                    f,
                    "the state belongs to another model or update scheme than its own ({hash:016x})"
                );
            }
            Refusal::NoSession => "it has started anew: connect again",
            Refusal::OutOfOrder => "another host may be talking to it: connect again",
            Refusal::Unknown => "it does not know the request: rebuild its image",
            Refusal::Offset => "part of the sample lies outside the input",
            Refusal::NoSample => "the sample is incomplete: send it before each step",
            Refusal::Rate => "the learning rate must be finite and not negative",
            Refusal::Range => "that part of the state does not exist",
            Refusal::NoFlash => "it has no flash for checkpoints: read its state, and keep that",
            Refusal::Incomplete => {
                "its state was sent in part: send all of it, restore a checkpoint, or reset it"
            }
            Refusal::State => "the state came damaged: it goes on from its newest checkpoint",
        })
    }
}
