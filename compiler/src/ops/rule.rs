//! What updates heed beside the gradient, in real numbers.

use num_traits::Float;

use crate::ir::{Rule, Tensor};

/// Factor of the rate of each row.
pub(super) fn paces<T: Float>(tensor: &Tensor, now: &[T]) -> Vec<T> {
    let rows = tensor.shape[0];
    let Rule::Normed { size, most } = rule(tensor) else { return vec![T::one(); rows] };
    let [size, most] = [size, most].map(|v| T::from(v).unwrap_or_else(T::one));
    let start: Vec<f64> = tensor.reals().collect();
    let row = (now.len() / rows.max(1)).max(1);
    let of_row = |(now, start): (&[T], &[f64])| {
        let gone = now.iter().zip(start).map(|(&w, &s)| w - T::from(s).unwrap_or(w));
        let norm = gone.fold(T::zero(), |sum, d| sum + d * d).sqrt();
        T::one() / (norm / size + T::one() / (most * most)).sqrt()
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
