//! `Program`: the one interface between compiler and device, as plain data.
//!
//! It has two readers that agree to the last bit: [`crate::Interpreter`], which walks the list,
//! and emitted code, which is the list printed as calls.

pub mod op;
mod verify;

pub use op::{Init, Op};
pub use verify::{verify, Refusal};

/// Which memory a slot lies in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Memory {
    /// Tensors of one step.
    #[default]
    Arena,
    /// Trainable state, kept between steps.
    State,
    /// Weights and tables, in flash.
    Constant,
    /// Working memory of one op.
    Scratch,
}

/// A run of bytes in one of the memories. Empty slots stand for what is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Slot {
    /// Which memory.
    pub memory: Memory,
    /// First byte.
    pub offset: u32,
    /// Size in bytes.
    pub bytes: u32,
}

impl Slot {
    /// A slot of `memory`.
    pub const fn new(memory: Memory, offset: u32, bytes: u32) -> Slot {
        Slot { memory, offset, bytes }
    }

    /// First byte.
    pub const fn start(&self) -> usize {
        self.offset as usize
    }

    /// One past the last byte.
    pub const fn end(&self) -> usize {
        self.offset as usize + self.bytes as usize
    }

    /// Size in bytes.
    pub const fn len(&self) -> usize {
        self.bytes as usize
    }

    /// Whether nothing is there.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Whether two slots of one memory share a byte.
    pub const fn overlaps(&self, other: &Slot) -> bool {
        !self.is_empty()
            && !other.is_empty()
            && self.start() < other.end()
            && other.start() < self.end()
    }
}

/// How an op uses a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reads it.
    Read,
    /// Writes every byte of it, whatever it held.
    Write,
    /// Reads and writes it in place.
    Update,
    /// Uses it as working memory: content means nothing before and after.
    Scratch,
}

/// What the output of a program is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Output {
    /// i32 logits of a trained head.
    #[default]
    Logits,
    /// int8 scores of a network as imported.
    Scores,
    /// int8, shaped as the input, which it is to reproduce.
    Reconstruction,
}

/// What a program is and needs: all but its ops and constants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Header {
    /// FNV-1a hash of the source model and the update scheme.
    pub model_hash: u64,
    /// Bytes of arena.
    pub arena: u32,
    /// Bytes of trainable state.
    pub state: u32,
    /// Bytes of scratch.
    pub scratch: u32,
    /// Ops of the forward pass; the rest is backward pass and updates. A loss is among the rest
    /// where it needs a label.
    pub forward: u32,
    /// The sample, int8 NHWC, arena; empty where the program receives it in rows, of which the first op
    /// receives the first ([`op::Receive`]).
    pub input: Slot,
    /// Shape of a sample.
    pub input_shape: op::Shape,
    /// Real value of one input step.
    pub input_scale: f32,
    /// Input value that means 0.
    pub input_zero: i16,
    /// Logits, scores or a reconstruction, arena.
    pub output: Slot,
    /// What `output` holds.
    pub output_kind: Output,
    /// Number of classes; 0 of a network that reproduces its input.
    pub classes: u16,
}

/// A compiled network.
#[derive(Clone, Copy, Debug)]
pub struct Program<'a> {
    /// What it is and needs.
    pub header: Header,
    /// How state memory is filled at first.
    pub init: &'a [Init],
    /// The step, in order.
    pub ops: &'a [Op],
    /// Weights and tables. Align to 8 bytes.
    pub constants: &'a [u8],
    /// Energy of the features that a trained head reads, where it was measured: the mean over samples
    /// of the sum of their squares, real units. What runs does not depend on it; the default rate does.
    pub feature_energy: Option<f32>,
}
