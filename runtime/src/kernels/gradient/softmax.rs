//! Input gradient of softmax.

use super::sink::Sink;
use crate::error_scale::{exponent, write};
use crate::kernels::{ensure, positive};
use crate::machine::Machine;
use crate::program::op::SoftmaxInputGrad;
use crate::{Fault, Slot};

/// Binary places of a probability.
const PLACES: i32 = 8;

impl SoftmaxInputGrad {
    /// `p (e - sum e p)`, exact in units of a 65536th of the error's step: both probabilities count
    /// 256ths.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let depth = self.depth as usize;
        let unit = exponent(&m.state, &self.error)?.saturating_sub(2 * PLACES);
        let errors = [&self.error, &self.skip, &self.output];
        let others = [self.probability, Slot::default()];
        let (error, [probability, _], mut sink) =
            Sink::open_with(&mut m.arena, &m.state, unit, errors, self.mask, others)?;
        let each = positive(depth)?;
        ensure(sink.len() == error.len() && probability.len() == error.len())?;
        ensure(error.len().is_multiple_of(depth))?;
        // From the zero point -128 on.
        let share = |p: u8| i32::from(p as i8) + 128;
        write(&mut m.state, &self.output, unit, |quantizer, _| {
            let rows = error.chunks_exact(each.get()).zip(probability.chunks_exact(each.get()));
            for (pixel, (e, p)) in rows.enumerate() {
                let products = e.iter().zip(p).map(|(&e, &p)| i32::from(e) * share(p));
                let mean = products.fold(0, i32::wrapping_add);
                sink.put_each(quantizer, pixel * depth, depth, |c| {
                    let e = e.get(c).copied().unwrap_or_default();
                    let off = (i32::from(e) << PLACES).saturating_sub(mean);
                    p.get(c).map_or(0, |&p| share(p)).saturating_mul(off)
                });
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::testing::{assert_near, Bench, Random};

    #[test]
    fn agrees_with_the_definition() {
        for seed in 0..60 {
            let r = &mut Random::new(seed);
            let mut bench = Bench::default();
            let (pixels, depth) = (1 + r.below(6), 2 + r.below(50));
            let e = r.sparse(pixels * depth, 4);
            let skip = r.sparse(pixels * depth, 2);
            // Shares that come to 256 a row, as far as they last.
            let mut p = Vec::new();
            for _ in 0..pixels {
                let mut left = 256;
                for _ in 0..depth {
                    let taken = r.within(0, left.min(255));
                    left -= taken;
                    p.push((taken - 128) as i8);
                }
            }
            let op = SoftmaxInputGrad {
                error: bench.error(&e, -8),
                output: bench.error_out(e.len()),
                skip: bench.error(&skip, -12),
                probability: bench.arena(&p),
                depth: depth as u16,
                ..SoftmaxInputGrad::default()
            };
            bench.run(op);
            let mut exact: Vec<f64> = skip.iter().map(|&e| f64::from(e) / 4096.0).collect();
            let share = |i: usize| (f64::from(p[i]) + 128.0) / 256.0;
            for i in 0..e.len() {
                let row = i / depth * depth..(i / depth + 1) * depth;
                let mean: f64 = row.map(|j| f64::from(e[j]) / 256.0 * share(j)).sum();
                exact[i] += share(i) * (f64::from(e[i]) / 256.0 - mean);
            }
            assert_near(&bench, &op.output, &exact, |_| 0.0);
        }
    }

    /// Bytes that are no probabilities saturate.
    #[test]
    fn extreme_values_saturate() {
        let mut bench = Bench::default();
        let mut e = [127i8; 4095];
        e[0] = -127;
        let op = SoftmaxInputGrad {
            error: bench.error(&e, -8),
            output: bench.error_out(4095),
            probability: bench.arena(&[127i8; 4095]),
            depth: 4095,
            ..SoftmaxInputGrad::default()
        };
        bench.run(op);
        assert!(bench.read::<i8>(op.output.data).iter().all(|&e| e < -60));
    }
}
