//! Update of convolution weights, one output row at a time.

use super::rule::{Descent, Held, Latent, Optimized, Pace};
use crate::arena::Arena;
use crate::kernels::x86::Pending;
use crate::kernels::{ensure, positive};
use crate::machine::{table, typed, typed_mut};
use crate::program::op::{ConvOptimize, ConvUpdate, Geometry};
use crate::{Fault, Machine};
use core::num::NonZero;

impl ConvUpdate {
    /// Steps every row whose output had an error.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let open = |state| Latent::open(state, &self.weights, self.random);
        self.step(m, 1, open, |_, _| 1.0)
    }

    /// Steps every row by what `open` finds in state, at the pace of a sample of a `batch`, times what
    /// `own` makes of the row.
    pub(super) fn step<'m, 'a, D: Descent>(
        &self,
        m: &'m mut Machine<'a>,
        batch: u16,
        open: impl FnOnce(&'m mut Arena<'a>) -> Result<D, Fault>,
        own: impl Fn(&D, usize) -> f32,
    ) -> Result<(), Fault> {
        let geometry = self.geometry;
        let pace = Pace::new(&m.step, &m.state, &self.error)?.shared(batch);
        let factors: &[f32] = table(m.constants, self.factor)?;
        let ([error, saved], []) = m.arena.split([self.error.data, self.saved], [])?;
        let (error, saved): (&[i8], &[i8]) = (typed(error)?, typed(saved)?);
        let (_, [scratch]) = m.scratch.split([], [self.scratch])?;
        let sums: &mut [i32] = typed_mut(scratch)?;
        let (outputs, groups) = (geometry.y.c as usize, self.groups as usize);
        let (taps, trained) = (geometry.window.taps(), positive(self.weights.selected.len() / 2)?);
        let (kept, depth) = (trained.get(), positive(outputs / positive(groups)?)?);
        ensure(depth.get() * groups == outputs)?;
        ensure(factors.len() == outputs && error.len() == geometry.y.elements())?;
        ensure(saved.len() == geometry.x.positions() * kept * groups)?;
        let sums = sums.get_mut(..taps * kept).ok_or(Fault::Size)?;
        let mut latent = open(&mut m.state)?;
        latent.ensure_len(outputs * taps * kept)?;

        let across = positive(geometry.window.kernel[1] as usize)?;
        let pitch = kept * groups;
        let of_all = positive(outputs)?;
        let gradient = Gradient {
            geometry,
            error,
            saved,
            trained: kept,
            pitch,
            outputs: of_all,
            depth,
            across,
        };
        for (o, &factor) in factors.iter().enumerate() {
            let stride = pace.times(factor * own(&latent, o));
            if stride.is_zero() && latent.rests() {
                continue;
            }
            let mut any = false;
            for (tap, sums) in sums.chunks_exact_mut(trained.get()).enumerate() {
                sums.fill(0);
                any |= gradient.add(o, tap, self.x_zero, sums)?;
            }
            if any || !latent.rests() {
                latent.descend(o * taps * kept, sums, |_| stride);
            }
        }
        Ok(())
    }
}

impl ConvOptimize {
    /// Takes every row one sample further.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let ConvOptimize { update, optimizer } = self;
        let held = Held::Weight(update.weights.precision);
        let open = |state| Optimized::open(state, update.weights.latent, held, optimizer);
        update.step(m, optimizer.batch, open, |_, _| 1.0)
    }
}

/// What the gradients of all rows are computed from.
#[derive(Clone, Copy, Debug)]
struct Gradient<'a> {
    geometry: Geometry,
    error: &'a [i8],
    saved: &'a [i8],
    /// Saved channels of a group.
    trained: usize,
    /// Saved channels of all groups.
    pitch: usize,
    /// Output channels, of all groups and of one.
    outputs: NonZero<usize>,
    depth: NonZero<usize>,
    /// Columns of a kernel.
    across: NonZero<usize>,
}

impl Gradient<'_> {
    /// Adds `sum_p e (x - zero)` for one output channel and kernel position; says whether any
    /// error was not 0.
    fn add(&self, o: usize, tap: usize, zero: i16, sums: &mut [i32]) -> Result<bool, Fault> {
        let Geometry { x, y, window } = self.geometry;
        let (rows, first_row) = self.geometry.inside(0, tap / self.across);
        let (columns, first_column) = self.geometry.inside(1, tap % self.across);
        let (down, right) = (window.stride[0] as usize, window.stride[1] as usize * self.pitch);
        let outputs = self.outputs;
        let group = o / self.depth * self.trained;
        let mut pending = Pending::new();
        // The zero point is taken off at the end, times the errors that met an input.
        let (mut total, mut any) = (0i32, false);
        for (n, row) in rows.enumerate().filter(|_| !columns.is_empty()) {
            let pixel = (first_row + n * down) * x.w as usize + first_column;
            let mut from = pixel * self.pitch + group;
            let line = row * y.w as usize;
            let at = (line + columns.start) * outputs.get() + o;
            let end = (line + columns.end - 1) * outputs.get() + o + 1;
            let errors = self.error.get(at..end).ok_or(Fault::OutOfBounds)?;
            for &e in errors.chunks(outputs.get()).filter_map(|pixel| pixel.first()) {
                if e != 0 {
                    let saved = self.saved.get(from..from + self.trained);
                    pending.push(sums, e as i16, saved.ok_or(Fault::OutOfBounds)?);
                    total = total.wrapping_add(e as i32);
                    any = true;
                }
                from += right;
            }
        }
        pending.flush(sums);
        let shift = total.wrapping_mul(zero as i32);
        sums.iter_mut().for_each(|s| *s = s.wrapping_sub(shift));
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::companded::expand;
    use crate::kernels::testing::{joined, shapes, Bench, Random};
    use crate::program::op::Precision;

    fn agrees(op: &ConvUpdate, bench: &mut Bench, gradient: &[f64]) -> bool {
        let stochastic = op.weights.precision == Precision::Stochastic;
        let read = |bench: &Bench| -> Vec<f64> {
            match stochastic {
                true => {
                    let codes = bench.read::<i8>(op.weights.latent);
                    codes.into_iter().map(|code| expand(code) as f64 / 4.0).collect()
                }
                false => {
                    bench.read::<i16>(op.weights.latent).iter().map(|&m| m as f64 / 256.0).collect()
                }
            }
        };
        let before = read(bench);
        bench.run(*op);
        let (bound, range) = match stochastic {
            // What the farthest codes are apart.
            true => (2.0001, (-118.0, 118.0)),
            false => (0.5001 / 256.0, (-127.5, 32639.0 / 256.0)),
        };
        read(bench).iter().zip(&before).zip(gradient).all(|((after, before), g)| {
            let exact = (before - g.clamp(-4.0, 4.0)).clamp(range.0, range.1);
            (after - exact).abs() < bound
        })
    }

    #[test]
    fn agrees_with_a_float_step() {
        let mut random = Random::new(13);
        for geometry in shapes() {
            for (groups, trained, precision) in [
                (1, 1, Precision::Residual),
                (1, 4, Precision::Residual),
                (1, 3, Precision::Stochastic),
                (4, geometry.x.c as usize / 4, Precision::Residual),
            ] {
                let (outputs, taps) = (geometry.y.c as usize, geometry.window.taps());
                let width = geometry.x.c as usize / groups;
                let mut bench = Bench::default();
                let e = random.sparse(geometry.y.elements(), 2);
                let saved = random.sparse(geometry.x.positions() * trained * groups, 9);
                let (weights, _) =
                    bench.weights(&mut random, [outputs, taps, width], trained, precision);
                let mut factors: Vec<f32> =
                    (0..outputs).map(|_| 0.1 * random.within(1, 9) as f32).collect();
                factors[1] = 0.0;
                let op = ConvUpdate {
                    error: bench.error(&e, -12),
                    saved: bench.arena(&saved),
                    geometry,
                    groups: groups as u16,
                    weights,
                    factor: bench.constant(&factors),
                    random: match precision {
                        Precision::Residual => Default::default(),
                        _ => bench.state(&[0u32]),
                    },
                    x_zero: -100,
                    scratch: bench.scratch(4 * taps * trained),
                };
                bench.step.rate = 0.02;
                bench.step.gamma = 0.9;
                let pace = 0.02f32 as f64 * 0.9f32 as f64 / 4096.0;
                let mut gradient = vec![0.0; outputs * taps * trained];
                for [p, t, pixel] in joined(&geometry) {
                    for o in 0..outputs {
                        let from = pixel * trained * groups + o / (outputs / groups) * trained;
                        for j in 0..trained {
                            gradient[(o * taps + t) * trained + j] += pace
                                * factors[o] as f64
                                * e[p * outputs + o] as f64
                                * (saved[from + j] as f64 + 100.0);
                        }
                    }
                }
                assert!(agrees(&op, &mut bench, &gradient));
                if precision == Precision::Residual {
                    let shifted = ConvUpdate { x_zero: 0, ..op };
                    assert!(!agrees(&shifted, &mut bench, &gradient));
                } else {
                    assert_ne!(bench.read::<u32>(op.random), [0]);
                }
            }
        }
    }

    #[test]
    fn sizes_are_checked() {
        let op = ConvUpdate { geometry: shapes()[0], groups: 0, ..ConvUpdate::default() };
        assert_eq!(Bench::default().with(|m| op.run(m)), Err(Fault::Size));
    }
}
