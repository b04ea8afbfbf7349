//! Rows of a weight matrix: frozen ones as they lie in flash, trained channels laid over them.

use super::companded::shifted;
use super::positive;
use super::signs::signed;
use crate::arena::Arena;
use crate::machine::{part, table, typed};
use crate::program::op::{Precision, Weights};
use crate::Fault;
use core::num::NonZero;

/// The weight that a residual latent `m` (8.8) stands for: `(m + 128) >> 8`.
#[inline]
pub fn effective(m: i16) -> i8 {
    ((m as i32 + 128) >> 8).min(127) as i8
}

/// A weight matrix ready to be read row by row.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'m> {
    pub(super) frozen: &'m [i8],
    latent: Latent<'m>,
    selected: &'m [u16],
    taps: usize,
    channels: NonZero<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Latent<'m> {
    None,
    Residual(&'m [i16]),
    /// Differences from the frozen weights.
    Stochastic(&'m [i8]),
    /// Numbers whose signs they take.
    Sign(&'m [i8]),
    /// Those at some places of the matrix.
    Picked(&'m [u32], &'m [i16]),
}

impl<'m> Rows<'m> {
    /// Resolves the slots of `weights`.
    ///
    /// # Errors
    /// A [`Fault`] where a slot does not fit its memory or the matrix's shape.
    pub fn new(
        weights: &Weights,
        constants: &'m [u8],
        state: &'m Arena<'_>,
    ) -> Result<Self, Fault> {
        let (rows, taps) = (weights.rows as usize, weights.taps as usize);
        let channels = weights.channels as usize;
        let frozen: &[i8] = table(constants, weights.frozen)?;
        let picked = weights.precision == Precision::Picked && !weights.latent.is_empty();
        let places: &[u32] = if picked { table(constants, weights.selected)? } else { &[] };
        let selected: &[u16] = if picked { &[] } else { table(constants, weights.selected)? };
        let latent = if weights.latent.is_empty() {
            Latent::None
        } else {
            let bytes = part(state.bytes(), weights.latent)?;
            let count = if picked { places.len() } else { rows * taps * selected.len() };
            if bytes.len() != count * weights.precision.bytes() {
                return Err(Fault::Size);
            }
            match weights.precision {
                Precision::Residual => Latent::Residual(typed(bytes)?),
                Precision::Stochastic => Latent::Stochastic(typed(bytes)?),
                Precision::Sign => Latent::Sign(typed(bytes)?),
                Precision::Picked => Latent::Picked(places, typed(bytes)?),
            }
        };
        if frozen.len() != rows * taps * channels
            || selected.iter().any(|&c| c as usize >= channels)
        {
            return Err(Fault::Size);
        }
        Ok(Rows { frozen, latent, selected, taps, channels: positive(channels)? })
    }

    /// Row `index`: the frozen row itself, or an assembled copy in `buffer`, which holds
    /// `taps * channels` bytes where weights are trained.
    ///
    /// # Errors
    /// A [`Fault`] where there is no such row, or `buffer` does not hold it.
    #[inline]
    pub fn row<'b>(&self, index: usize, buffer: &'b mut [i8]) -> Result<&'b [i8], Fault>
    where
        'm: 'b,
    {
        let length = self.taps * self.channels.get();
        if matches!(self.latent, Latent::None) {
            let at = index * length;
            return self.frozen.get(at..at + length).ok_or(Fault::OutOfBounds);
        }
        let buffer = buffer.get_mut(..length).ok_or(Fault::Size)?;
        for (tap, weights) in buffer.chunks_exact_mut(self.channels.get()).enumerate() {
            self.assemble(index, tap, weights)?;
        }
        Ok(buffer)
    }

    /// All frozen elements, where nothing is trained.
    #[inline]
    pub fn frozen(&self) -> Option<&'m [i8]> {
        match self.latent {
            Latent::None => Some(self.frozen),
            _ => None,
        }
    }

    /// The whole matrix: the frozen elements themselves, or an assembled copy in `buffer`.
    ///
    /// # Errors
    /// [`Fault::Size`] where weights are trained and `buffer` does not hold them.
    pub fn all<'b>(&self, buffer: &'b mut [i8]) -> Result<&'b [i8], Fault>
    where
        'm: 'b,
    {
        if let Some(frozen) = self.frozen() {
            return Ok(frozen);
        }
        let buffer = buffer.get_mut(..self.frozen.len()).ok_or(Fault::Size)?;
        for (place, weights) in buffer.chunks_exact_mut(self.channels.get()).enumerate() {
            self.place(place, weights)?;
        }
        Ok(buffer)
    }

    /// Writes kernel position `tap` of row `index` to `weights`, which holds `channels` bytes.
    ///
    /// # Errors
    /// [`Fault::OutOfBounds`] where there is no such place.
    pub fn assemble(&self, index: usize, tap: usize, weights: &mut [i8]) -> Result<(), Fault> {
        self.place(index * self.taps + tap, weights)
    }

    /// [`Rows::assemble`] by the place among the kernel positions of all rows.
    fn place(&self, place: usize, weights: &mut [i8]) -> Result<(), Fault> {
        let trained = self.selected.len();
        let (from, at) = (place * self.channels.get(), place * trained);
        if trained < self.channels.get() || !matches!(self.latent, Latent::Residual(_)) {
            let frozen = self.frozen.get(from..from + weights.len()).ok_or(Fault::OutOfBounds)?;
            weights.copy_from_slice(frozen);
        }
        match self.latent {
            Latent::None => {}
            Latent::Residual(latent) => {
                let latent = latent.get(at..at + trained).ok_or(Fault::OutOfBounds)?;
                for (&c, &m) in self.selected.iter().zip(latent) {
                    *weights.get_mut(c as usize).ok_or(Fault::OutOfBounds)? = effective(m);
                }
            }
            Latent::Stochastic(latent) => {
                let latent = latent.get(at..at + trained).ok_or(Fault::OutOfBounds)?;
                for (&c, &code) in self.selected.iter().zip(latent) {
                    let weight = weights.get_mut(c as usize).ok_or(Fault::OutOfBounds)?;
                    *weight = shifted(*weight, code);
                }
            }
            Latent::Picked(places, latent) => {
                let first = places.partition_point(|&at| (at as usize) < from);
                for (&at, &m) in places.iter().zip(latent).skip(first) {
                    let Some(weight) = weights.get_mut(at as usize - from) else { break };
                    *weight = effective(m);
                }
            }
            Latent::Sign(latent) => {
                let latent = latent.get(at..at + trained).ok_or(Fault::OutOfBounds)?;
                for (&c, &code) in self.selected.iter().zip(latent) {
                    let weight = weights.get_mut(c as usize).ok_or(Fault::OutOfBounds)?;
                    *weight = signed(*weight, code);
                }
            }
        }
        Ok(())
    }
}
