//! The classifier that is trained: int32 logits.

use super::ensure;
use crate::fixed::saturate;
use crate::kernels::weights::effective;
use crate::machine::{typed, typed_mut};
use crate::program::op::Head;
use crate::{Fault, Machine};

/// Terms that a 32-bit sum holds: each is below `2^7 * 2^15` in size.
const BLOCK: usize = 256;

impl Head {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let ([f], [logits]) = m.arena.split([self.input], [self.output])?;
        let ([latent, bias], []) = m.state.split([self.latent, self.bias], [])?;
        let features: &[i16] = typed(f)?;
        let logits: &mut [i32] = typed_mut(logits)?;
        let (latent, bias): (&[i16], &[i32]) = (typed(latent)?, typed(bias)?);
        ensure(!features.is_empty() && bias.len() == logits.len())?;
        ensure(latent.len() == features.len() * logits.len())?;
        let rows = latent.chunks_exact(features.len());
        for ((logit, &bias), row) in logits.iter_mut().zip(bias).zip(rows) {
            *logit = saturate(bias as i64 + dot(row, features));
        }
        Ok(())
    }
}

/// Dot product of the weights that `row` stands for and `features`.
#[inline]
fn dot(row: &[i16], features: &[i16]) -> i64 {
    let blocks = row.chunks(BLOCK).zip(features.chunks(BLOCK));
    blocks
        .map(|(m, f)| {
            let terms = m.iter().zip(f).map(|(&m, &f)| effective(m) as i32 * f as i32);
            terms.sum::<i32>() as i64
        })
        .sum()
}
