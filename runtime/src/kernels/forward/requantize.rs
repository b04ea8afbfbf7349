//! From one int8 scale to another.

use super::ensure;
use super::output::Output;
use crate::machine::{typed, typed_mut};
use crate::program::op::Requantize;
use crate::{Fault, Machine};

impl Requantize {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let ([x], [y, mask]) = m.arena.split([self.input], [self.output, self.mask])?;
        let x: &[i8] = typed(x)?;
        let y: &mut [i8] = typed_mut(y)?;
        ensure(x.len() == y.len())?;
        let mut y = Output::new(y, mask, self.range)?;
        for (i, &x) in x.iter().enumerate() {
            y.put(i, self.scale.scale(x as i32 - self.x_zero as i32));
        }
        Ok(())
    }
}
