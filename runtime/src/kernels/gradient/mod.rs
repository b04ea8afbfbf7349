//! Backward kernels: the loss gradient, and the error tensor of each op's input.
//!
//! Every kernel sums int32 accumulators in units of a power of two, adds what another branch
//! brings (`skip`), and rounds once into the output's exponent: see [`sink`].

pub(super) mod axpy;
mod conv;
mod depthwise;
mod head;
mod loss;
mod pool;
#[cfg(test)]
pub(super) mod rig;
mod sink;
mod sum;

use crate::fixed::Multiplier;
use crate::machine::{part, typed};
use crate::program::op::ChannelScale;
use crate::Fault;
use core::ops::Range;

/// Channels that kernels without scratch sum at a time, on the stack.
const CHUNK: usize = 32;

/// [`Fault::Size`] unless `fits`.
pub(super) fn ensure(fits: bool) -> Result<(), Fault> {
    if fits {
        Ok(())
    } else {
        Err(Fault::Size)
    }
}

/// Per-channel multipliers, resolved: mantissas and shifts of equal length.
#[derive(Clone, Copy, Debug)]
struct Scales<'m> {
    values: &'m [i32],
    shifts: &'m [i8],
}

impl<'m> Scales<'m> {
    fn new(scale: &ChannelScale, constants: &'m [u8], channels: usize) -> Result<Self, Fault> {
        let values: &[i32] = typed(part(constants, scale.multiplier)?)?;
        let shifts: &[i8] = typed(part(constants, scale.shift)?)?;
        ensure(values.len() == channels && shifts.len() == channels)?;
        Ok(Scales { values, shifts })
    }

    /// Multipliers of `channels`.
    fn range(self, channels: Range<usize>) -> impl Iterator<Item = Multiplier> + 'm {
        let pairs = self.values[channels.clone()].iter().zip(&self.shifts[channels]);
        pairs.map(|(&value, &shift)| Multiplier { value, shift: shift as i32 })
    }

    fn get(self, channel: usize) -> Multiplier {
        Multiplier { value: self.values[channel], shift: self.shifts[channel] as i32 }
    }
}
