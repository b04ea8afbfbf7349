//! Trainable state: which ops touch it, and how it gets its first content.

use super::{Op, Weights};
use crate::{Memory, Slot};

impl Op {
    /// Whether the op reads or writes trainable state: ops before the first such op compute the
    /// same from the same input for ever.
    pub fn touches_state(&self) -> bool {
        let mut touched = false;
        let mut op = *self;
        op.visit(&mut |_, slot| touched |= slot.memory == Memory::State && !slot.is_empty());
        touched
    }
}

/// How state memory gets its first content; what no step writes starts as zero.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Init {
    /// Copies constant bytes.
    Copy {
        /// Source, constant.
        from: Slot,
        /// Destination, state, of the same size.
        to: Slot,
    },
    /// Fills `latent` from the selected channels of `frozen`.
    Latent(Weights),
}
