//! The first content of trainable state.

use crate::kernels::ensure;
use crate::kernels::signs::start;
use crate::machine::{part, table, typed_mut};
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

/// Lets training go on from the frozen weights: those that are trained are laid into state, or what is
/// there is that they differ by nothing, or their signs.
fn latent(weights: &Weights, m: &mut Machine<'_>) -> Result<(), Fault> {
    let frozen: &[i8] = table(m.constants, weights.frozen)?;
    if weights.precision == Precision::Picked {
        let places: &[u32] = table(m.constants, weights.selected)?;
        ensure(places.iter().all(|&at| (at as usize) < frozen.len()))?;
        let kept = places.iter().filter_map(|&at| frozen.get(at as usize));
        return fill(weights, m, places.len(), kept);
    }
    let selected: &[u16] = table(m.constants, weights.selected)?;
    let channels = weights.channels as usize;
    let rows = weights.rows as usize * weights.taps as usize;
    ensure(channels > 0 && frozen.len() == rows * channels)?;
    ensure(selected.iter().all(|&c| (c as usize) < channels))?;
    let taps = frozen.chunks_exact(channels);
    let kept = taps.flat_map(|w| selected.iter().filter_map(|&c| w.get(c as usize)));
    fill(weights, m, rows * selected.len(), kept)
}

/// Fills state from the `count` weights that are `kept`.
fn fill<'w>(
    weights: &Weights,
    m: &mut Machine<'_>,
    count: usize,
    kept: impl Iterator<Item = &'w i8>,
) -> Result<(), Fault> {
    let (_, [to]) = m.state.split([], [weights.latent])?;
    ensure(to.len() == count * weights.precision.bytes())?;
    match weights.precision {
        Precision::Residual | Precision::Picked => {
            for (m, &w) in typed_mut::<i16>(to)?.iter_mut().zip(kept) {
                *m = (w as i16) << 8;
            }
        }
        Precision::Stochastic => to.fill(0),
        Precision::Sign => {
            for (code, &w) in typed_mut::<i8>(to)?.iter_mut().zip(kept) {
                *code = start(w);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::kernels::signs::start;
    use crate::kernels::testing::{Bench, Random};
    use crate::kernels::weights::effective;
    use crate::program::op::{Init, Precision};

    #[test]
    fn latent_weights_start_as_the_frozen_ones() {
        for precision in [Precision::Residual, Precision::Stochastic, Precision::Sign] {
            let mut bench = Bench::default();
            let (weights, _) = bench.weights(&mut Random::new(3), [4, 9, 6], 3, precision);
            let to = weights.latent;
            let frozen = bench.read::<i8>(weights.frozen);
            let selected = bench.read::<u16>(weights.selected);
            bench.with(|m| Init::Latent(weights).run(m)).unwrap();
            let weights: Vec<i8> = match precision {
                Precision::Residual | Precision::Picked => {
                    bench.read(to).into_iter().map(effective).collect()
                }
                Precision::Stochastic | Precision::Sign => bench.read(to),
            };
            for (n, w) in weights.into_iter().enumerate() {
                let (tap, c) = (n / selected.len(), selected[n % selected.len()] as usize);
                let frozen = frozen[tap * 6 + c];
                let expected = match precision {
                    Precision::Residual | Precision::Picked => frozen,
                    Precision::Stochastic => 0,
                    Precision::Sign => start(frozen),
                };
                assert_eq!(w, expected);
            }
        }
    }

    #[test]
    fn constants_are_copied() {
        let mut bench = Bench::default();
        let from = bench.constant(&[1i32, -2, 3]);
        let to = bench.state(&[0i32; 3]);
        bench.with(|m| Init::Copy { from, to }.run(m)).unwrap();
        assert_eq!(bench.read::<i32>(to), [1, -2, 3]);
    }
}
