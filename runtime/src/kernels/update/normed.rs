//! Update of convolution weights whose rows slow down as they grow.
//! Huang and Balestriero, "ALLoRA: Adaptive Learning Rate Mitigates LoRA Fatal Flaws", 2024.

use super::rule::{Latent, RESIDUAL_BITS};
use crate::kernels::{ensure, positive};
use crate::machine::table;
use crate::program::op::ConvNormed;
use crate::{Fault, Machine};

impl ConvNormed {
    /// Steps every row whose output had an error, at its own rate.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let start: &[i8] = table(m.constants, self.start)?;
        let units: &[f32] = table(m.constants, self.unit)?;
        let row = start.len() / positive(units.len())?;
        ensure(row * units.len() == start.len() && self.damping > 0.0)?;
        let open = |state| Latent::open(state, &self.update.weights, self.update.random);
        self.update.step(m, 1, open, |latent, o| {
            let at = o * row;
            let start = start.get(at..at + row).unwrap_or_default();
            let squares = start.iter().enumerate().map(|(j, &w)| {
                let gone =
                    (latent.weight(at + j, w) - (i32::from(w) << RESIDUAL_BITS)).unsigned_abs();
                u64::from(gone) * u64::from(gone)
            });
            let gone = libm::sqrtf(squares.sum::<u64>() as f32) / (1 << RESIDUAL_BITS) as f32;
            let unit = units.get(o).copied().unwrap_or_default();
            1.0 / libm::sqrtf(gone * unit + self.damping)
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{shapes, Bench, Random};
    use crate::program::op::{ConvNormed, ConvUpdate, Init, Precision};

    /// A row moves by what it would by the plain update, over the root of how far it has gone.
    #[test]
    fn rows_slow_down_as_they_grow() {
        for precision in [Precision::Residual, Precision::Stochastic] {
            let mut random = Random::new(5);
            let geometry = shapes()[0];
            let (outputs, taps) = (geometry.y.c as usize, geometry.window.taps());
            let (channels, size) = (geometry.x.c as usize, [outputs, taps, geometry.x.c as usize]);
            let mut bench = Bench::default();
            let (weights, _) = bench.weights(&mut random, size, channels, precision);
            let error = random.sparse(geometry.y.elements(), 2);
            let saved = random.int8(geometry.x.elements());
            let update = ConvUpdate {
                error: bench.error(&error, -12),
                saved: bench.arena(&saved),
                geometry,
                groups: 1,
                weights,
                factor: bench.constant(&vec![0.5f32; outputs]),
                random: match precision {
                    Precision::Residual => Default::default(),
                    _ => bench.state(&[7u32]),
                },
                x_zero: -3,
                scratch: bench.scratch(4 * taps * channels),
            };
            let (unit, damping) = (0.125f32, 0.25f32);
            let op = ConvNormed {
                update,
                start: weights.frozen,
                unit: bench.constant(&vec![unit; outputs]),
                damping,
            };
            (bench.step.rate, bench.step.gamma) = (0.02, 0.9);
            bench.with(|m| Init::Latent(weights).run(m)).unwrap();
            let row = taps * channels;
            let frozen = bench.read::<i8>(weights.frozen);
            for _ in 0..3 {
                let before = bench.held(&weights);
                let mut plain = bench.clone();
                plain.run(update);
                bench.run(op);
                let (fast, slow) = (plain.held(&weights), bench.held(&weights));
                for o in 0..outputs {
                    let at = o * row..(o + 1) * row;
                    let gone = at.clone().map(|j| (before[j] - f64::from(frozen[j])).powi(2));
                    let norm = gone.sum::<f64>().sqrt();
                    let factor = 1.0 / (norm * f64::from(unit) + f64::from(damping)).sqrt();
                    for j in
                        at.filter(|&j| (fast[j] - before[j]).abs() < 1.5 && slow[j].abs() < 127.0)
                    {
                        let (by, would) = (slow[j] - before[j], fast[j] - before[j]);
                        // A code of a weight far off is worth 2 steps; both were rounded.
                        let off = match precision {
                            Precision::Residual => 1.0 / 128.0 + would.abs() / 64.0,
                            _ => 2.0 + 2.0 * factor,
                        };
                        assert!((by - factor * would).abs() <= off, "{by} {would} {factor}");
                    }
                }
            }
            assert_ne!(
                bench.held(&weights)[..row],
                frozen.iter().map(|&w| f64::from(w)).collect::<Vec<_>>()[..row]
            );
        }
    }
}
