//! Multipliers of channels.

use super::ensure;
use crate::fixed::Multiplier;
use crate::machine::table;
use crate::program::op::ChannelScale;
use crate::Fault;

/// The tables of a [`ChannelScale`].
#[derive(Clone, Copy, Debug)]
pub struct Scales<'m> {
    pub(super) multiplier: &'m [i32],
    pub(super) shift: &'m [i8],
}

impl<'m> Scales<'m> {
    /// Resolves the tables of `channels` channels.
    ///
    /// # Errors
    /// A [`Fault`] where a slot does not fit its memory or the number of channels.
    pub fn new(scale: &ChannelScale, constants: &'m [u8], channels: usize) -> Result<Self, Fault> {
        let multiplier: &[i32] = table(constants, scale.multiplier)?;
        let shift: &[i8] = table(constants, scale.shift)?;
        ensure(multiplier.len() == channels && shift.len() == channels)?;
        Ok(Scales { multiplier, shift })
    }

    /// The channels' multipliers, from channel `first` on.
    #[inline]
    pub fn from(&self, first: usize) -> impl Iterator<Item = Multiplier> + 'm {
        let multiplier = self.multiplier.get(first..).unwrap_or(&[]);
        let shift = self.shift.get(first..).unwrap_or(&[]);
        multiplier.iter().zip(shift).map(|(&value, &s)| Multiplier { value, shift: s.into() })
    }
}
