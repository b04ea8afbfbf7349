//! The memories a program runs in, and what goes wrong when they do not fit it.

use crate::arena::Arena;
use crate::program::{Memory, Slot};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Why an op could not run. A verified program meets none of these but [`Fault::Label`],
/// [`Fault::Sample`], [`Fault::Busy`] and [`Fault::Idle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Fault {
    /// A slot leaves its memory.
    OutOfBounds,
    /// A slot that is written overlaps another slot of the same op.
    Overlap,
    /// A slot's address does not suit its element type.
    Misaligned,
    /// A slot's size disagrees with the op's shapes.
    Size,
    /// The label is no class of this program.
    Label,
    /// The program has no backward pass.
    NotTrainable,
    /// Rows of the sample are missing.
    Sample,
    /// A task is under way.
    Busy,
    /// No task is under way.
    Idle,
}

impl core::fmt::Display for Fault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Fault::OutOfBounds => "a slot lies outside its memory",
            Fault::Overlap => "an op would overwrite what it reads",
            Fault::Misaligned => "a slot is not aligned for its element type",
            Fault::Size => "a slot's size disagrees with the op's shapes",
            Fault::Label => "the label is not one of the program's classes",
            Fault::NotTrainable => "the program was compiled without a backward pass",
            Fault::Sample => "rows of the sample are missing: put each part, then advance",
            Fault::Busy => "a task is under way: end it slice by slice, or give it up by restart",
            Fault::Idle => "no task is under way: begin one",
        })
    }
}

impl core::error::Error for Fault {}

/// Scalars of the step under way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Class of the sample.
    pub label: u16,
    /// Learning rate, real units.
    pub rate: f32,
    /// Scale of the loss gradient: `dL/dlogit = gamma * 2^-7 * e`.
    pub gamma: f32,
    /// Loss of the sample.
    pub loss: f32,
    /// Predicted class.
    pub class: u16,
}

impl Step {
    /// Before any step.
    pub const NONE: Step = Step { label: 0, rate: 0.0, gamma: 0.0, loss: 0.0, class: 0 };
}

/// The memories of one program.
#[derive(Debug)]
pub struct Machine<'a> {
    /// Tensors of one step.
    pub arena: Arena<'a>,
    /// Trainable state.
    pub state: Arena<'a>,
    /// Working memory of one op.
    pub scratch: Arena<'a>,
    /// Weights and tables.
    pub constants: &'a [u8],
    /// Scalars of the step.
    pub step: Step,
}

/// Views `bytes` as elements of `T`.
///
/// # Errors
/// [`Fault::Misaligned`] where address or length do not fit.
pub fn typed<T: FromBytes + Immutable>(bytes: &[u8]) -> Result<&[T], Fault> {
    if bytes.is_empty() {
        return Ok(&[]);
    }
    <[T]>::ref_from_bytes(bytes).map_err(|_| Fault::Misaligned)
}

/// Views `bytes` as elements of `T`, to be written.
///
/// # Errors
/// [`Fault::Misaligned`] where address or length do not fit.
pub fn typed_mut<T>(bytes: &mut [u8]) -> Result<&mut [T], Fault>
where
    T: FromBytes + IntoBytes + Immutable,
{
    if bytes.is_empty() {
        return Ok(&mut []);
    }
    <[T]>::mut_from_bytes(bytes).map_err(|_| Fault::Misaligned)
}

/// The part of `memory` that `slot` names.
pub(crate) fn part(memory: &[u8], slot: Slot) -> Result<&[u8], Fault> {
    memory.get(slot.start()..slot.end()).ok_or(Fault::OutOfBounds)
}

/// The elements of the part of `memory` that `slot` names.
pub(crate) fn table<T: FromBytes + Immutable>(memory: &[u8], slot: Slot) -> Result<&[T], Fault> {
    typed(part(memory, slot)?)
}

/// Reads a slot that lies in constants or in state.
pub(crate) fn fixed<'m>(
    constants: &'m [u8],
    state: &'m Arena<'_>,
    slot: Slot,
) -> Result<&'m [u8], Fault> {
    match slot.memory {
        Memory::Constant => part(constants, slot),
        Memory::State => part(state.bytes(), slot),
        Memory::Arena | Memory::Scratch => Err(Fault::OutOfBounds),
    }
}
