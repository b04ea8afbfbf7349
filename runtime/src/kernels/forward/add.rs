//! Elementwise sum of two tensors of different scales.

use super::ensure;
use super::output::Output;
use crate::machine::{typed, typed_mut};
use crate::program::op::Add;
use crate::{Fault, Machine};

/// How far terms are shifted up before they are scaled, so that the scaling's rounding is lost
/// in the bits that the sum's own scaling drops.
const LEFT_SHIFT: u32 = 20;

impl Add {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let ([a, b], [y, mask]) = m.arena.split([self.a, self.b], [self.output, self.mask])?;
        let (a, b): (&[i8], &[i8]) = (typed(a)?, typed(b)?);
        let y: &mut [i8] = typed_mut(y)?;
        ensure(a.len() == b.len() && a.len() == y.len())?;
        let mut y = Output::new(y, mask, self.range)?;
        let term = |x: i8, n: usize| {
            self.scales[n].scale((x as i32 - self.zeros[n] as i32) << LEFT_SHIFT)
        };
        for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
            y.put(i, self.y_scale.scale(term(a, 0).saturating_add(term(b, 1))));
        }
        Ok(())
    }
}
