//! The first content of trainable state.

use super::ensure;
use crate::machine::{part, typed, typed_mut};
use crate::program::op::{Init, Precision, Weights};
use crate::{Fault, Machine};

impl Init {
    /// Fills the state it names.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        match self {
            Init::Copy { from, to } => {
                let from = part(m.constants, *from)?;
                let (_, [to]) = m.state.split([], [*to])?;
                ensure(from.len() == to.len())?;
                to.copy_from_slice(from);
                Ok(())
            }
            Init::Latent(weights) => latent(weights, m),
        }
    }
}

/// Lays the selected channels of the frozen rows into state, where training goes on from them.
fn latent(weights: &Weights, m: &mut Machine<'_>) -> Result<(), Fault> {
    let frozen: &[i8] = typed(part(m.constants, weights.frozen)?)?;
    let selected: &[u16] = typed(part(m.constants, weights.selected)?)?;
    let (_, [to]) = m.state.split([], [weights.latent])?;
    let channels = weights.channels as usize;
    let rows = weights.rows as usize * weights.taps as usize;
    ensure(channels > 0 && frozen.len() == rows * channels)?;
    ensure(to.len() == rows * selected.len() * weights.precision.bytes())?;
    ensure(selected.iter().all(|&c| (c as usize) < channels))?;
    let taps = frozen.chunks_exact(channels);
    let kept = taps.flat_map(|w| selected.iter().filter_map(|&c| w.get(c as usize)));
    match weights.precision {
        Precision::Residual => {
            for (m, &w) in typed_mut::<i16>(to)?.iter_mut().zip(kept) {
                *m = (w as i16) << 8;
            }
        }
        Precision::Stochastic => {
            for (m, &w) in typed_mut::<i8>(to)?.iter_mut().zip(kept) {
                *m = w;
            }
        }
    }
    Ok(())
}
