//! Where a program waits for rows of the sample.

use crate::program::op::Receive;
use crate::{Fault, Machine};

impl Receive {
    /// Nothing is left to do: the rows are there.
    ///
    /// # Errors
    /// A [`Fault`] where they lie outside the arena.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        m.arena.split([], [self.output]).map(|([], [_])| ())
    }
}
