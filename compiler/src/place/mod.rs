//! Gives every tensor of a step its offset in one arena, and proves that none harms another.
//!
//! Stages: [`place`] finds offsets (`fit` inserts tensors one after another, `improve` goes on to
//! `pack` where that leaves a gap to the lower bound: a search over the `valley`s of a `skyline`
//! of `sections`), [`apply`] writes them into the ops, [`check`] walks the result
//! over the arena's bytes and shares no code with what planned it, [`check_budget`] holds it
//! against a board's SRAM, [`print()`] shows it.
//!
//! Invariants of a plan: tensors that live at the same op share no byte, but for one that is meant to
//! take the place of another; every tensor with a place of its own starts at a
//! multiple of [`ALIGNMENT`]; `lower_bound <= peak`, and no placing of these ops in this order
//! needs less than the lower bound.

mod apply;
mod arrange;
mod budget;
mod check;
mod fit;
mod improve;
mod lives;
mod pack;
mod print;
mod sections;
mod skyline;
mod valley;

use crate::lower::Lowered;
pub use crate::schedule::live::{Life, ALIGNMENT};

pub use apply::{apply, Placed, Tensors};
pub use arrange::{arrange, ArrangeError, Arrangement};
pub use budget::check_budget;
pub use check::{check, PlanError};
pub use improve::Effort;
pub use print::print;

/// Where every tensor lies, and how good that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryPlan {
    /// First byte of each buffer; means nothing for those within another one.
    pub offsets: Vec<u32>,
    /// Life of each buffer; none where no op touches it, or where it is within another one.
    pub live: Vec<Option<Life>>,
    /// Bytes of arena needed.
    pub peak: u32,
    /// Most live bytes at any op: less arena is impossible in this order.
    pub lower_bound: u32,
    /// Live bytes at each op.
    pub profile: Vec<u32>,
}

/// A program that cannot be placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// An op reads a tensor that no op before it has written.
    #[error("op {index} ({op:?}) reads {buffer:?} before any op has written it; its producer is missing or comes later: order the ops so that it comes first")]
    ReadBeforeWrite {
        /// Position of the op.
        index: usize,
        /// Name of the op.
        op: String,
        /// Name of the tensor.
        buffer: String,
    },
    /// A tensor, or a part of one, has two producers.
    #[error("op {index} ({op:?}) writes {buffer:?}, which has been written before; give each op an output of its own")]
    WrittenTwice {
        /// Position of the op.
        index: usize,
        /// Name of the op.
        op: String,
        /// Name of the tensor.
        buffer: String,
    },
    /// An op's slot is no buffer of the program, or not the whole of it.
    #[error("op {index} ({op:?}) uses {bytes} bytes of buffer {buffer}, which is no whole buffer of the program; each arena slot must hold a buffer's index and size")]
    NoSuchBuffer {
        /// Position of the op.
        index: usize,
        /// Name of the op.
        op: String,
        /// What the slot names.
        buffer: u32,
        /// Size of the slot.
        bytes: u32,
    },
    /// A part of a buffer that is none.
    #[error("{buffer:?} is said to lie within {other:?}, but does not fit there; what lies within another buffer must come after it in the list and end where that does or before")]
    NotInside {
        /// Name of the part.
        buffer: String,
        /// Name of what it should be a part of.
        other: String,
    },
    /// The forward pass does not compute the output.
    #[error("the forward pass does not compute the output {buffer:?}; `header.forward` must count every op that a prediction needs")]
    NoOutput {
        /// Name of the tensor.
        buffer: String,
    },
    /// All tensors together exceed 32-bit offsets.
    #[error("the tensors take {bytes} bytes in all, more than 32-bit offsets can reach; give the network smaller inputs or fewer channels")]
    TooLarge {
        /// Bytes of all tensors.
        bytes: u64,
    },
    /// The board has too little memory.
    #[error("a step needs {needed} bytes of SRAM (arena {arena}, trained state {state}, scratch {scratch}), but {available} are available; the arena is fullest at op {index} ({op:?}), where {biggest} are live: train fewer biases, weights or channels in the update scheme, give the network smaller inputs, or choose a board with more SRAM")]
    Budget {
        /// Bytes needed in all.
        needed: u64,
        /// Bytes of the board.
        available: u64,
        /// Bytes of arena.
        arena: u32,
        /// Bytes of state.
        state: u32,
        /// Bytes of scratch.
        scratch: u32,
        /// Position of the op at the peak.
        index: usize,
        /// Name of the op at the peak.
        op: String,
        /// The biggest tensors that live then, with their sizes.
        biggest: String,
    },
}

/// Places the tensors of a program. The search is seeded and bounded: equal programs get equal
/// plans. It stops at once where the lower bound is reached.
///
/// # Errors
/// Where an op reads what is not written yet, or the program's buffers are not sound.
pub fn place(lowered: &Lowered) -> Result<MemoryPlan, PlaceError> {
    let lives = lives::of(lowered)?;
    let problem = fit::Problem::new(&lives.bytes, &lives.live);
    let fitted = improve::best_fit(&problem, lives.lower_bound);
    Ok(MemoryPlan {
        offsets: fitted.offsets,
        peak: fitted.peak,
        live: lives.live,
        lower_bound: lives.lower_bound,
        profile: lives.profile,
    })
}

#[cfg(test)]
mod tests;
