//! Update of depthwise weights, one kernel position at a time.

use super::rule::{Descent, Held, Latent, Optimized, Pace};
use crate::arena::Arena;
use crate::kernels::{ensure, positive};
use crate::machine::{table, typed, typed_mut};
use crate::program::op::{DepthwiseOptimize, DepthwiseUpdate};
use crate::{Fault, Machine};

impl DepthwiseUpdate {
    /// Steps the trained channels of every kernel position.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        self.step(m, 1, |state| Latent::open(state, &self.weights, self.random))
    }

    /// Steps every kernel position by what `open` finds in state, at the pace of a sample of a `batch`.
    fn step<'m, 'a, D: Descent>(
        &self,
        m: &'m mut Machine<'a>,
        batch: u16,
        open: impl FnOnce(&'m mut Arena<'a>) -> Result<D, Fault>,
    ) -> Result<(), Fault> {
        let (x, y, window) = (self.geometry.x, self.geometry.y, self.geometry.window);
        let pace = Pace::new(&m.step, &m.state, &self.error)?.shared(batch);
        let factors: &[f32] = table(m.constants, self.factor)?;
        let selected: &[u16] = table(m.constants, self.weights.selected)?;
        let ([error, saved], []) = m.arena.split([self.error.data, self.saved], [])?;
        let (error, saved): (&[i8], &[i8]) = (typed(error)?, typed(saved)?);
        let (_, [scratch]) = m.scratch.split([], [self.scratch])?;
        let sums: &mut [i32] = typed_mut(scratch)?;
        let (channels, trained, taps) = (y.c as usize, selected.len(), window.taps());
        ensure(trained > 0 && selected.iter().all(|&c| (c as usize) < channels))?;
        ensure(factors.len() == channels && error.len() == y.elements())?;
        ensure(saved.len() == x.positions() * trained)?;
        let sums = sums.get_mut(..trained).ok_or(Fault::Size)?;
        let mut latent = open(&mut m.state)?;
        latent.ensure_len(taps * trained)?;

        let across = positive(window.kernel[1] as usize)?;
        let chosen = Chosen::new(selected);
        for tap in 0..taps {
            sums.fill(0);
            let (rows, first_row) = self.geometry.inside(0, tap / across);
            let (columns, first_column) = self.geometry.inside(1, tap % across);
            for (n, row) in rows.enumerate() {
                let seen = (first_row + n * window.stride[0] as usize) * x.w as usize;
                for (n, column) in columns.clone().enumerate() {
                    let pixel = seen + first_column + n * window.stride[1] as usize;
                    let at = (row * y.w as usize + column) * channels;
                    let error = error.get(at..at + channels).ok_or(Fault::OutOfBounds)?;
                    let from = pixel * trained;
                    let saved = saved.get(from..from + trained).ok_or(Fault::OutOfBounds)?;
                    chosen.add(error, saved, self.x_zero, sums)?;
                }
            }
            let stride = |j: usize| {
                let factor = selected.get(j).and_then(|&c| factors.get(c as usize));
                pace.times(factor.copied().unwrap_or_default())
            };
            latent.descend(tap * trained, sums, stride);
        }
        Ok(())
    }
}

impl DepthwiseOptimize {
    /// Takes every kernel position one sample further.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let DepthwiseOptimize { update, optimizer } = self;
        let held = Held::Weight(update.weights.precision);
        update.step(m, optimizer.batch, |state| {
            Optimized::open(state, update.weights.latent, held, optimizer)
        })
    }
}

/// The trained channels: neighbours, whose errors lie side by side, or scattered ones.
#[derive(Clone, Copy, Debug)]
enum Chosen<'a> {
    Neighbours(usize),
    Scattered(&'a [u16]),
}

impl<'a> Chosen<'a> {
    fn new(selected: &'a [u16]) -> Self {
        let mut pairs = selected.iter().zip(selected.iter().skip(1));
        let neighbours = pairs.all(|(a, b)| b.wrapping_sub(*a) == 1);
        match selected.first() {
            Some(&first) if neighbours => Chosen::Neighbours(first as usize),
            _ => Chosen::Scattered(selected),
        }
    }

    /// Adds `e (x - zero)` of one pixel.
    #[inline]
    fn add(self, error: &[i8], saved: &[i8], zero: i16, sums: &mut [i32]) -> Result<(), Fault> {
        let product = |e: i8, x: i8| e as i32 * (x as i16).wrapping_sub(zero) as i32;
        match self {
            Chosen::Neighbours(first) => {
                let error = error.get(first..).ok_or(Fault::OutOfBounds)?;
                for ((s, &e), &x) in sums.iter_mut().zip(error).zip(saved) {
                    *s = s.wrapping_add(product(e, x));
                }
            }
            Chosen::Scattered(selected) => {
                for ((s, &c), &x) in sums.iter_mut().zip(selected).zip(saved) {
                    let &e = error.get(c as usize).ok_or(Fault::OutOfBounds)?;
                    *s = s.wrapping_add(product(e, x));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{joined, shapes, Bench, Random};
    use crate::program::op::Precision;
    use crate::Slot;

    #[test]
    fn agrees_with_a_float_step() {
        let mut random = Random::new(14);
        for (mut geometry, trained) in shapes().into_iter().flat_map(|g| [(g, 1), (g, 3), (g, 4)]) {
            geometry.y.c = geometry.x.c;
            let (channels, taps) = (geometry.x.c as usize, geometry.window.taps());
            let mut bench = Bench::default();
            let e = random.sparse(geometry.y.elements(), 3);
            let saved = random.sparse(geometry.x.positions() * trained, 9);
            let (weights, _) =
                bench.weights(&mut random, [taps, 1, channels], trained, Precision::Residual);
            let factors: Vec<f32> =
                (0..channels).map(|_| 0.1 * random.within(0, 9) as f32).collect();
            let op = DepthwiseUpdate {
                error: bench.error(&e, -12),
                saved: bench.arena(&saved),
                geometry,
                weights,
                factor: bench.constant(&factors),
                random: Slot::default(),
                x_zero: 90,
                scratch: bench.scratch(4 * trained),
            };
            bench.step.rate = 0.02;
            bench.step.gamma = 0.9;
            let pace = 0.02f32 as f64 * 0.9f32 as f64 / 4096.0;
            let before = bench.read::<i16>(weights.latent);
            bench.run(op);
            let after = bench.read::<i16>(weights.latent);
            let selected = bench.read::<u16>(weights.selected);
            let agrees = |zero: f64| {
                let mut gradient = vec![0.0; taps * trained];
                for [p, t, pixel] in joined(&geometry) {
                    for (j, &c) in selected.iter().enumerate() {
                        gradient[t * trained + j] += pace
                            * factors[c as usize] as f64
                            * e[p * channels + c as usize] as f64
                            * (saved[pixel * trained + j] as f64 - zero);
                    }
                }
                before.iter().zip(&after).zip(&gradient).all(|((&before, &after), g)| {
                    let exact = before as f64 - (256.0 * g).clamp(-1024.0, 1024.0);
                    (after as f64 - exact.clamp(-32640.0, 32639.0)).abs() < 0.5001
                })
            };
            assert!(agrees(90.0));
            assert!(trained == 1 || !agrees(0.0));
        }
    }

    #[test]
    fn neighbours_are_recognised() {
        assert!(matches!(Chosen::new(&[3, 4, 5]), Chosen::Neighbours(3)));
        assert!(matches!(Chosen::new(&[3, 5, 6]), Chosen::Scattered(_)));
        assert!(matches!(Chosen::new(&[5, 4]), Chosen::Scattered(_)));
    }
}
