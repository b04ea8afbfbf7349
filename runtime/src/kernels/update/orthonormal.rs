//! Keeps the vectors of a matrix orthonormal while they are trained.
//! Cao and Song, "SORSA: Singular Values and Orthonormal Regularized Singular Vectors Adaptation", 2024.
//!
//! The gradient of `1/4 ||W W^T - I||^2` is `(W W^T - I) W`. Rows are turned one after the other; their
//! products are those that they begin with.

use super::rule::{Descent, Latent, Stride, RESIDUAL_BITS};
use crate::kernels::ensure;
use crate::machine::{table, typed_mut};
use crate::program::op::Orthonormalize;
use crate::{Fault, Machine};

/// Fraction bits of what a vector counts in the step of another.
const BITS: i32 = 16;

/// Most that it counts: a vector is turned by a quarter of another at once.
const MOST: f32 = 0.25;

impl Orthonormalize {
    /// One step.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let (rows, columns) =
            (self.weights.rows as usize, self.start.len() / (self.weights.rows.max(1) as usize));
        let count = self.vectors();
        let start: &[i8] = table(m.constants, self.start)?;
        let (_, [scratch]) = m.scratch.split([], [self.scratch])?;
        let scratch: &mut [i32] = typed_mut(scratch)?;
        ensure(start.len() == rows * columns)?;
        let scratch = scratch.get_mut(..count * count + columns).ok_or(Fault::Size)?;
        let (products, sums) = scratch.split_at_mut_checked(count * count).ok_or(Fault::Size)?;
        let mut latent = Latent::open(&mut m.state, &self.weights, self.random)?;
        latent.ensure_len(rows * columns)?;
        let weight = |latent: &Latent<'_>, row: usize, column: usize| {
            let at = row * columns + column;
            latent.weight(at, start.get(at).copied().unwrap_or_default())
        };
        // Element `at` of vector `v`.
        let element = |latent: &Latent<'_>, v: usize, at: usize| match self.columns {
            true => weight(latent, at, v),
            false => weight(latent, v, at),
        };
        let length = if self.columns { rows } else { columns };
        let unit = self.unit / (1 << RESIDUAL_BITS) as f32;
        let pull = m.step.rate * self.strength;
        for i in 0..count {
            for k in 0..=i {
                let product: i64 = (0..length)
                    .map(|at| {
                        i64::from(element(&latent, i, at)) * i64::from(element(&latent, k, at))
                    })
                    .sum();
                let excess = product as f32 * (unit * unit) - if i == k { 1.0 } else { 0.0 };
                let counts = (pull * excess).clamp(-MOST, MOST) * (1 << BITS) as f32;
                for place in [i * count + k, k * count + i] {
                    *products.get_mut(place).ok_or(Fault::Size)? = counts as i32;
                }
            }
        }
        for row in 0..rows {
            for (column, sum) in sums.iter_mut().enumerate() {
                // Which vector the weight is of, and where the others have what it turns by.
                let (own, at) = if self.columns { (column, row) } else { (row, column) };
                let counts = products.get(own * count..(own + 1) * count).unwrap_or_default();
                let turned: i64 = counts
                    .iter()
                    .enumerate()
                    .map(|(k, &c)| i64::from(c) * i64::from(element(&latent, k, at)))
                    .sum();
                *sum = (turned >> RESIDUAL_BITS).clamp(i32::MIN.into(), i32::MAX.into()) as i32;
            }
            latent.descend(row * columns, sums, |_| Stride::of_bits(BITS));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::{Bench, Random};
    use crate::program::op::{Init, Orthonormalize, Precision, Weights};

    const UNIT: f32 = 1.0 / 50.0;

    fn weights(bench: &mut Bench, [rows, row]: [usize; 2], precision: Precision) -> Weights {
        let values: Vec<i8> = Random::new(8).int8(rows * row).iter().map(|w| w / 3).collect();
        let selected: Vec<u16> = (0..row as u16).collect();
        Weights {
            frozen: bench.constant(&values),
            latent: bench.state(&vec![0u8; rows * row * precision.bytes()]),
            selected: bench.constant(&selected),
            rows: rows as u16,
            taps: 1,
            channels: row as u16,
            precision,
        }
    }

    /// How far the vectors' products are from those of orthonormal ones: `||G - I||^2`.
    fn off(values: &[f64], [rows, row]: [usize; 2], columns: bool) -> f64 {
        let at =
            |v: usize, at: usize| if columns { values[at * row + v] } else { values[v * row + at] };
        let (count, length) = if columns { (row, rows) } else { (rows, row) };
        let mut off = 0.0;
        for i in 0..count {
            for k in 0..count {
                let product: f64 = (0..length).map(|j| at(i, j) * at(k, j)).sum();
                let wanted = if i == k { 1.0 } else { 0.0 };
                off += (product * f64::from(UNIT).powi(2) - wanted).powi(2);
            }
        }
        off
    }

    #[test]
    fn vectors_become_orthonormal() {
        for (size, columns) in [([4, 30], false), ([30, 4], true), ([1, 9], false)] {
            for precision in [Precision::Residual, Precision::Stochastic] {
                let mut bench = Bench::default();
                bench.room(8);
                let weights = weights(&mut bench, size, precision);
                let count = if columns { size[1] } else { size[0] };
                let op = Orthonormalize {
                    weights,
                    start: weights.frozen,
                    columns,
                    unit: UNIT,
                    strength: 5.0,
                    random: match precision {
                        Precision::Residual => Default::default(),
                        _ => bench.state(&[3u32]),
                    },
                    scratch: bench.scratch(4 * (count * count + size[1])),
                };
                bench.step.rate = 0.01;
                bench.with(|m| Init::Latent(weights).run(m)).unwrap();
                let before = off(&bench.held(&weights), size, columns);
                let mut after = before;
                for step in 0..300 {
                    bench.run(op);
                    let now = off(&bench.held(&weights), size, columns);
                    // Each of the first steps turns them the right way.
                    assert!(step > 5 || now < after, "{step}: {now} after {after}");
                    after = now;
                }
                assert!(after < 0.05f64.min(before / 2.0), "{before} -> {after}");
            }
        }
    }

    #[test]
    fn steps_are_those_of_the_formula() {
        let (size, columns) = ([3, 5], false);
        let mut bench = Bench::default();
        bench.room(8);
        let weights = weights(&mut bench, size, Precision::Residual);
        let op = Orthonormalize {
            weights,
            start: weights.frozen,
            columns,
            unit: UNIT,
            strength: 2.0,
            random: Default::default(),
            scratch: bench.scratch(4 * (9 + 5)),
        };
        bench.step.rate = 0.03;
        bench.with(|m| Init::Latent(weights).run(m)).unwrap();
        let mut w = bench.held(&weights);
        bench.run(op);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let row = |w: &[f64], i: usize| w[5 * i..5 * (i + 1)].to_vec();
        let first = w.clone();
        for i in 0..3 {
            let mut step = vec![0.0; 5];
            for k in 0..3 {
                let product = dot(&row(&first, i), &row(&first, k)) * f64::from(UNIT).powi(2);
                let counts = (0.06 * (product - f64::from(u8::from(i == k)))).clamp(-0.25, 0.25);
                step.iter_mut().zip(row(&w, k)).for_each(|(s, w)| *s += counts * w);
            }
            for (j, step) in step.into_iter().enumerate() {
                w[5 * i + j] -= step.clamp(-4.0, 4.0);
            }
        }
        for (now, w) in bench.held(&weights).into_iter().zip(w) {
            assert!((now - w).abs() < 0.02, "{now} {w}");
        }
    }
}
