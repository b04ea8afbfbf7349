//! Input gradient of max pooling.

use super::sink::Sink;
use super::{CHUNK, FRACTION};
use crate::error_scale::{exponent, write};
use crate::kernels::{ensure, positive};
use crate::machine::Machine;
use crate::program::op::MaxPoolInputGrad;
use crate::{Fault, Slot};

impl MaxPoolInputGrad {
    /// Each window's error goes to the pixel that its index names.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let (x, y) = (self.geometry.x, self.geometry.y);
        let unit = exponent(&m.state, &self.error)?.saturating_sub(FRACTION);
        let errors = [&self.error, &self.skip, &self.output];
        let others = [self.index, Slot::default()];
        let (error, [index, _], mut sink) =
            Sink::open_with(&mut m.arena, &m.state, unit, errors, self.mask, others)?;
        let channels = x.c as usize;
        ensure(x.c == y.c && sink.len() == x.elements() && error.len() == y.elements())?;
        ensure(index.len() == error.len() && !error.is_empty())?;
        let columns = positive(x.w as usize)?;
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            for pixel in 0..x.positions() {
                for from in (0..channels).step_by(CHUNK) {
                    let count = CHUNK.min(channels - from);
                    let mut sums = [0i32; CHUNK];
                    for (r, ky) in self.geometry.rows_seeing(pixel / columns) {
                        for (c, kx) in self.geometry.columns_seeing(pixel % columns) {
                            let tap = ky * self.geometry.window.kernel[1] as usize + kx;
                            let at = (r * y.w as usize + c) * channels + from;
                            let error = error.get(at..at + count).ok_or(Fault::OutOfBounds)?;
                            let index = index.get(at..at + count).ok_or(Fault::OutOfBounds)?;
                            let won = error.iter().zip(index);
                            for (sum, (&e, &winner)) in sums.iter_mut().zip(won) {
                                *sum += if usize::from(winner) == tap {
                                    i32::from(e) << FRACTION
                                } else {
                                    0
                                };
                            }
                        }
                    }
                    let sums = sums.get(..count).unwrap_or(&sums);
                    sink.put(quantizer, pixel * channels + from, sums);
                }
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, joined, shapes, Bench, Random};

    #[test]
    fn errors_go_to_winners() {
        let mut random = Random::new(5);
        for mut geometry in shapes() {
            geometry.y.c = geometry.x.c;
            let channels = geometry.x.c as usize;
            let mut bench = Bench::default();
            let e = random.sparse(geometry.y.elements(), 3);
            let skip = random.sparse(geometry.x.elements(), 2);
            let taps = geometry.window.taps();
            let index: Vec<u8> = e.iter().map(|_| random.below(taps) as u8).collect();
            let op = MaxPoolInputGrad {
                error: bench.error(&e, -9),
                output: bench.error_out(geometry.x.elements()),
                skip: bench.error(&skip, -10),
                index: bench.arena(&index),
                geometry,
                ..MaxPoolInputGrad::default()
            };
            bench.run(op);
            let mut exact: Vec<f64> = skip.iter().map(|&e| f64::from(e) / 1024.0).collect();
            for [at, tap, pixel] in joined(&geometry) {
                for c in 0..channels {
                    if usize::from(index[at * channels + c]) == tap {
                        exact[pixel * channels + c] += f64::from(e[at * channels + c]) / 512.0;
                    }
                }
            }
            assert_near(&bench, &op.output, &exact, |_| 0.0);
        }
    }
}
