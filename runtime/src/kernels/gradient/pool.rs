//! Input gradient of average pooling.

use super::sink::Sink;
use super::CHUNK;
use crate::error_scale::{exponent, write};
use crate::kernels::{ensure, positive};
use crate::program::op::PoolInputGrad;
use crate::{Fault, Machine};

impl PoolInputGrad {
    /// Each window's error, divided by the pixels that the window counted, goes to those pixels.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let (x, y) = (self.geometry.x, self.geometry.y);
        let unit = exponent(&m.state, &self.error)?.saturating_sub(self.fraction as i32);
        let errors = [&self.error, &self.skip, &self.output];
        let (error, mut sink) = Sink::open(&mut m.arena, &m.state, unit, errors, self.mask)?;
        let channels = x.c as usize;
        ensure(x.c == y.c && sink.len() == x.elements() && error.len() == y.elements())?;
        ensure(!error.is_empty())?;
        let columns = positive(x.w as usize)?;
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            for pixel in 0..x.positions() {
                for from in (0..channels).step_by(CHUNK) {
                    let count = CHUNK.min(channels - from);
                    let mut sums = [0i32; CHUNK];
                    for (r, _) in self.geometry.rows_seeing(pixel / columns) {
                        for (c, _) in self.geometry.columns_seeing(pixel % columns) {
                            let share = self.share(r, c);
                            let at = (r * y.w as usize + c) * channels + from;
                            let error = error.get(at..at + count).ok_or(Fault::OutOfBounds)?;
                            for (s, &e) in sums.iter_mut().zip(error) {
                                *s = s.wrapping_add(share.wrapping_mul(e as i32));
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

    /// `round(2^fraction / count)` of the window of output row `r`, column `c`.
    fn share(&self, r: usize, c: usize) -> i32 {
        let (rows, columns) = (self.geometry.rows(r), self.geometry.columns(c));
        let count = ((rows.to - rows.from) * (columns.to - columns.from)).max(1) as u32;
        let whole = 1u32 << self.fraction.clamp(0, 30);
        ((whole + count / 2) / count) as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, joined, near, shapes, Bench, Random};
    use crate::program::op::{Error, Geometry, Shape, Window};

    fn exact(op: &PoolInputGrad, e: &[i8], k: i32) -> (Vec<f64>, Vec<f64>) {
        let g = op.geometry;
        let mut sums = vec![0.0; g.x.elements()];
        let mut slack = vec![0.0; g.x.elements()];
        let joined = joined(&g);
        let mut counts = vec![0.0; g.y.positions()];
        joined.iter().for_each(|[at, ..]| counts[*at] += 1.0);
        for [at, _, pixel] in joined {
            for n in 0..g.x.c as usize {
                let error = e[at * g.x.c as usize + n] as f64 * (k as f64).exp2();
                sums[pixel * g.x.c as usize + n] += error / counts[at];
                slack[pixel * g.x.c as usize + n] +=
                    error.abs() * 0.5 * (-(op.fraction as f64)).exp2();
            }
        }
        (sums, slack)
    }

    #[test]
    fn agrees_with_a_float_average() {
        let mut random = Random::new(3);
        let whole = Geometry {
            x: Shape { h: 5, w: 4, c: 70 },
            y: Shape { h: 1, w: 1, c: 70 },
            window: Window { kernel: [5, 4], stride: [1, 1], pad: [0, 0], dilation: [1, 1] },
        };
        let mut cases = vec![whole];
        cases.extend(shapes().into_iter().map(|mut g| {
            g.y.c = g.x.c;
            g
        }));
        for geometry in cases {
            let mut bench = Bench::default();
            let e = random.sparse(geometry.y.elements(), 2);
            let skip = random.sparse(geometry.x.elements(), 2);
            let mut op = PoolInputGrad {
                error: bench.error(&e, -9),
                output: bench.error_out(geometry.x.elements()),
                skip: bench.error(&skip, -10),
                geometry,
                fraction: 14,
                ..PoolInputGrad::default()
            };
            bench.run(op);
            let (mut sums, slack) = exact(&op, &e, -9);
            for (s, &e) in sums.iter_mut().zip(&skip) {
                *s += e as f64 / 1024.0;
            }
            assert_near(&bench, &op.output, &sums, |i| slack[i]);
            op.skip = Error::default();
            bench.run(op);
            assert!(!near(&bench, &op.output, &sums, |i| slack[i]));
        }
    }
}
