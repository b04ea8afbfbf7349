//! Update of single weights, wherever they lie in a matrix.

use super::rule::Pace;
use crate::kernels::{ensure, positive};
use crate::machine::{table, typed, typed_mut};
use crate::program::op::PickUpdate;
use crate::{Fault, Machine};

impl PickUpdate {
    /// Steps every weight whose output had an error.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let geometry = self.geometry;
        let pace = Pace::new(&m.step, &m.state, &self.error)?;
        let factors: &[f32] = table(m.constants, self.factor)?;
        let places: &[u32] = table(m.constants, self.weights.selected)?;
        let ([error, saved], []) = m.arena.split([self.error.data, self.saved], [])?;
        let (error, saved): (&[i8], &[i8]) = (typed(error)?, typed(saved)?);
        let ([], [latent]) = m.state.split([], [self.weights.latent])?;
        let latent: &mut [i16] = typed_mut(latent)?;
        let (outputs, channels) = (geometry.y.c as usize, positive(geometry.x.c as usize)?);
        let kept: &[u16] = table(m.constants, self.channels)?;
        let width = if kept.is_empty() { channels.get() } else { kept.len() };
        let (taps, across) =
            (positive(geometry.window.taps())?, positive(geometry.window.kernel[1] as usize)?);
        ensure(factors.len() == outputs && error.len() == geometry.y.elements())?;
        ensure(saved.len() == geometry.x.positions() * width && latent.len() == places.len())?;
        let (down, right) =
            (geometry.window.stride[0] as usize, geometry.window.stride[1] as usize);
        for (m, &place) in latent.iter_mut().zip(places) {
            let (row, channel) = (place as usize / channels, place as usize % channels);
            let (o, tap) = (row / taps, row % taps);
            // Where the channel lies among those that are kept.
            let channel = match kept {
                [] => channel,
                kept => kept.partition_point(|&c| usize::from(c) < channel),
            };
            let stride = pace.times(factors.get(o).copied().unwrap_or_default());
            if stride.is_zero() {
                continue;
            }
            let (rows, first_row) = geometry.inside(0, tap / across);
            let (columns, first_column) = geometry.inside(1, tap % across);
            let mut sum = 0i32;
            for (n, line) in rows.enumerate() {
                let mut pixel = (first_row + n * down) * geometry.x.w as usize + first_column;
                for at in columns.clone() {
                    let e = error.get((line * geometry.y.w as usize + at) * outputs + o);
                    let x = saved.get(pixel * width + channel);
                    let (e, x) = (e.ok_or(Fault::OutOfBounds)?, x.ok_or(Fault::OutOfBounds)?);
                    sum =
                        sum.wrapping_add(i32::from(*e) * (i32::from(*x) - i32::from(self.x_zero)));
                    pixel += right;
                }
            }
            if sum != 0 {
                *m = stride.residual(*m, sum);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{shapes, Bench, Random};
    use crate::program::op::{ConvUpdate, Init, PickUpdate, Precision, Weights};
    use crate::Slot;

    /// Weights that are picked move as they do where all are trained, and the others not at all.
    #[test]
    fn picked_weights_move_as_those_of_a_whole_matrix() {
        let mut random = Random::new(31);
        for geometry in shapes() {
            let (outputs, taps) = (geometry.y.c as usize, geometry.window.taps());
            let channels = geometry.x.c as usize;
            let count = outputs * taps * channels;
            let mut bench = Bench::default();
            let size = [outputs, taps, channels];
            let (whole, _) = bench.weights(&mut random, size, channels, Precision::Residual);
            let places: Vec<u32> = (0..count as u32).filter(|_| random.below(3) == 0).collect();
            // Those of every other channel, of which alone the input is kept; where there is but one, of that.
            let odd: Vec<u16> = (0..channels as u16).filter(|c| c % 2 == 1).collect();
            let odd = if odd.is_empty() { vec![0] } else { odd };
            let is_odd = |at: &u32| odd.contains(&((*at as usize % channels) as u16));
            let of_odd: Vec<u32> = places.iter().copied().filter(is_odd).collect();
            let [picked, again] = [&places, &of_odd].map(|places| Weights {
                selected: bench.constant(places),
                latent: bench.state(&vec![0i16; places.len()]),
                precision: Precision::Picked,
                ..whole
            });
            bench.with(|m| Init::Latent(whole).run(m)).unwrap();
            bench.with(|m| Init::Latent(picked).run(m)).unwrap();
            bench.with(|m| Init::Latent(again).run(m)).unwrap();
            let e = random.sparse(geometry.y.elements(), 2);
            let x = random.int8(geometry.x.elements());
            let mut factors: Vec<f32> = (0..outputs).map(|o| 0.1 + 0.1 * o as f32).collect();
            factors[1] = 0.0;
            let error = bench.error(&e, -12);
            let (saved, factor) = (bench.arena(&x), bench.constant(&factors));
            let all = ConvUpdate {
                error,
                saved,
                geometry,
                groups: 1,
                weights: whole,
                factor,
                x_zero: -20,
                scratch: bench.scratch(4 * taps * channels),
                ..ConvUpdate::default()
            };
            let op = PickUpdate {
                error,
                saved,
                channels: Slot::default(),
                geometry,
                weights: picked,
                factor,
                x_zero: -20,
            };
            let kept: Vec<i8> =
                x.chunks_exact(channels).flat_map(|x| odd.iter().map(|&c| x[c as usize])).collect();
            let of_kept = PickUpdate {
                weights: again,
                saved: bench.arena(&kept),
                channels: bench.constant(&odd),
                ..op
            };
            (bench.step.rate, bench.step.gamma) = (0.02, 0.9);
            let before = bench.read::<i16>(whole.latent);
            bench.run(all);
            bench.run(op);
            bench.run(of_kept);
            let after = bench.read::<i16>(whole.latent);
            for (single, places) in [(picked, &places), (again, &of_odd)] {
                let expected: Vec<i16> = places.iter().map(|&at| after[at as usize]).collect();
                assert_eq!(bench.read::<i16>(single.latent), expected);
            }
            let moved = places.iter().filter(|&&at| after[at as usize] != before[at as usize]);
            assert!(moved.count() > 0);
        }
    }
}
