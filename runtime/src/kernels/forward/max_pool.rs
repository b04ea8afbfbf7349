//! Maxima over sliding windows.

use crate::kernels::window::Reach;
use crate::kernels::{ensure, positive};
use crate::machine::{typed, typed_mut};
use crate::program::op::{Geometry, MaxPool};
use crate::{Fault, Machine};

impl MaxPool {
    /// Runs the kernel.
    ///
    /// # Errors
    /// A [`Fault`] where a slot fits neither its memory nor the shapes.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let Geometry { x: xs, y: ys, .. } = self.geometry;
        let channels = xs.c as usize;
        let ([x], [y, index]) = m.arena.split([self.input], [self.output, self.index])?;
        let (x, y): (&[i8], &mut [i8]) = (typed(x)?, typed_mut(y)?);
        ensure(x.len() == xs.elements() && y.len() == ys.elements())?;
        ensure(ys.c == xs.c && channels > 0 && (index.is_empty() || index.len() == y.len()))?;
        let mut index = index.chunks_exact_mut(channels);
        let across = positive(ys.w as usize)?;
        for (at, y) in y.chunks_exact_mut(channels).enumerate() {
            let v = self.geometry.rows(at / across);
            let h = self.geometry.columns(at % across);
            y.fill(i8::MIN);
            match index.next() {
                None => self.pixels(v, h, |_, pixel| {
                    let x = x.get(pixel * channels..).ok_or(Fault::Size)?;
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y = x.max(*y));
                    Ok(())
                })?,
                Some(index) => {
                    let mut first = true;
                    self.pixels(v, h, |tap, pixel| {
                        let x = x.get(pixel * channels..).ok_or(Fault::Size)?;
                        for ((y, index), &x) in y.iter_mut().zip(index.iter_mut()).zip(x) {
                            if first || x > *y {
                                (*y, *index) = (x, tap as u8);
                            }
                        }
                        first = false;
                        Ok(())
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Kernel position and input pixel of all that one window sees, in order.
    #[inline]
    fn pixels(
        &self,
        v: Reach,
        h: Reach,
        mut f: impl FnMut(usize, usize) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for (line, ky) in (v.from..v.to).enumerate() {
            let row = (v.first + line * v.step) * self.geometry.x.w as usize + h.first;
            for (column, kx) in (h.from..h.to).enumerate() {
                let tap = ky * self.geometry.window.kernel[1] as usize + kx;
                f(tap, row + column * h.step)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{joined, Bench, Random};
    use crate::Slot;

    #[test]
    fn agrees_with_the_definition() {
        for seed in 0..200 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let channels = [1, 3, 16, 35][r.below(4)];
            let geometry = r.geometry(channels, channels);
            // Few values, so that several pixels of a window hold the largest.
            let x: Vec<i8> = r.int8(geometry.x.elements()).iter().map(|v| v / 40 - 100).collect();
            let mut expected = vec![(i8::MIN, None); geometry.y.elements()];
            for [at, tap, pixel] in joined(&geometry) {
                for c in 0..channels {
                    let (value, best) = (x[pixel * channels + c], &mut expected[at * channels + c]);
                    if best.1.is_none() || value > best.0 {
                        *best = (value, Some(tap as u8));
                    }
                }
            }
            let kept = r.below(2) == 0;
            let op = MaxPool {
                input: bench.arena(&x),
                output: bench.room(expected.len()),
                index: if kept { bench.room(expected.len()) } else { Slot::default() },
                geometry,
            };
            bench.run(op);
            let values: Vec<i8> = expected.iter().map(|e| e.0).collect();
            assert_eq!(bench.read::<i8>(op.output), values, "seed {seed}");
            if kept {
                let taps: Vec<u8> = expected.iter().filter_map(|e| e.1).collect();
                assert_eq!(bench.read::<u8>(op.index), taps, "seed {seed}");
            }
        }
    }
}
