//! What updates heed beside the gradient, in real numbers.

use num_traits::Float;

use crate::ir::{Rule, Tensor};

/// The rate of each row, of that of all.
pub(super) fn rates<T: Float>(tensor: &Tensor, now: &[T], rate: T) -> Vec<T> {
    let rows = tensor.shape[0];
    let pace = tensor.trained.as_ref().map_or(1.0, |t| t.pace);
    let rate = rate * T::from(pace).unwrap_or_else(T::one);
    let Rule::Normed { size, most } = rule(tensor) else { return vec![rate; rows] };
    let [size, most] = [size, most].map(|v| T::from(v).unwrap_or_else(T::one));
    let start: Vec<f64> = tensor.reals().collect();
    let row = (now.len() / rows.max(1)).max(1);
    let of_row = |(now, start): (&[T], &[f64])| {
        let gone = now.iter().zip(start).map(|(&w, &s)| w - T::from(s).unwrap_or(w));
        let norm = gone.fold(T::zero(), |sum, d| sum + d * d).sqrt();
        rate * (T::one() / (norm / size + T::one() / (most * most)).sqrt())
    };
    now.chunks(row).zip(start.chunks(row)).map(of_row).collect()
}

/// Takes the step towards orthonormal rows or columns, where there is one.
pub(super) fn orthonormalize<T: Float>(tensor: &Tensor, now: &mut [T], rate: T) {
    let Rule::Orthonormal { size, strength, columns } = rule(tensor) else { return };
    let [size, strength] = [size, strength].map(|v| T::from(v).unwrap_or_else(T::one));
    let rows = tensor.shape[0];
    let row = now.len() / rows.max(1);
    let (count, length) = if columns { (row, rows) } else { (rows, row) };
    let place = |v: usize, at: usize| if columns { at * row + v } else { v * row + at };
    let most = T::from(0.25).unwrap_or_else(T::one);
    let mut counts = vec![T::zero(); count * count];
    for i in 0..count {
        for k in 0..count {
            let products = (0..length).map(|at| now[place(i, at)] * now[place(k, at)]);
            let product = products.fold(T::zero(), |sum, p| sum + p) / (size * size);
            let excess = if i == k { product - T::one() } else { product };
            counts[i * count + k] = (rate * strength * excess).max(-most).min(most);
        }
    }
    // Rows one after the other, as on the device.
    for o in 0..rows {
        let step = |column: usize| {
            let (own, at) = if columns { (column, o) } else { (o, column) };
            (0..count).fold(T::zero(), |sum, k| sum + counts[own * count + k] * now[place(k, at)])
        };
        let steps: Vec<T> = (0..row).map(step).collect();
        now[o * row..(o + 1) * row].iter_mut().zip(steps).for_each(|(w, s)| *w = *w - s);
    }
}

fn rule(tensor: &Tensor) -> Rule {
    tensor.trained.as_ref().map_or(Rule::Plain, |t| t.rule)
}

#[cfg(test)]
mod tests {
    use offshoot_runtime::program::op::Precision;

    use super::*;
    use crate::ir::{Data, Quant, Trained};

    /// Three rows of two weights, in steps of 0.1.
    fn tensor(rule: Rule) -> Tensor {
        let data = Data::I8(vec![0, 0, 30, -40, 10, 10].into());
        let quant = Quant::per_axis(vec![0.1; 3], 0);
        let mut tensor = Tensor::constant("w", vec![3, 1, 1, 2], data, quant);
        let plain = Trained::plain(Precision::Residual, None);
        tensor.trained = Some(Trained { rule, ..plain });
        tensor
    }

    #[test]
    fn rows_that_have_gone_far_are_slower() {
        let normed = tensor(Rule::Normed { size: 0.5, most: 4.0 });
        // The first row as it began, the second 0.5 from there, the third 5.
        let now = [0.0, 0.0, 3.3, -3.6, 4.0, 5.0];
        let expected = [4.0, 1.0 / 1.0625f64.sqrt(), 1.0 / 10.0625f64.sqrt()];
        for (rate, expected) in rates(&normed, &now, 1.0).into_iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-6, "{rate} {expected}");
        }
        let mut plain = tensor(Rule::Plain);
        assert_eq!(rates(&plain, &now, 1.0), [1.0; 3]);
        plain.trained.as_mut().unwrap().pace = 0.25;
        assert_eq!(rates(&plain, &now, 2.0), [0.5; 3]);
    }

    #[test]
    fn vectors_turn_towards_orthonormal_ones() {
        for columns in [false, true] {
            let rule = Rule::Orthonormal { size: 2.0, strength: 1.0, columns };
            let (tensor, mut now) = (tensor(rule), [2.2f64, 0.3, -0.4, 1.5, 0.2, -0.6]);
            let norms = |now: &[f64; 6]| match columns {
                true => [now[0].hypot(now[2]).hypot(now[4]), now[1].hypot(now[3]).hypot(now[5])],
                false => [now[0].hypot(now[1]), now[2].hypot(now[3])],
            };
            let off =
                |now: &[f64; 6]| norms(now).map(|norm| (norm - 2.0).abs()).iter().sum::<f64>();
            let before = off(&now);
            (0..40).for_each(|_| orthonormalize(&tensor, &mut now, 0.1));
            // Three rows of two weights cannot all be orthogonal; two columns of three can.
            let most = if columns { 0.05 } else { 0.9 * before };
            assert!(off(&now) < most, "{columns}: {before} -> {}", off(&now));
        }
        let mut plain = [1.0f64, 2.0, 3.0, 4.0, 5.0, 6.0];
        orthonormalize(&tensor(Rule::Plain), &mut plain, 0.1);
        assert_eq!(plain, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }
}
