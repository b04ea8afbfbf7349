//! Loops of the float reference, written so that they vectorise.
//!
//! They are `inline(always)`, so that a caller under [`widest`] has them compiled for the registers
//! that the processor has. Sums stay in registers over all terms.

use num_traits::Float;
pub use offshoot_runtime::kernels::widest;

/// `y += sum_k factors[k step] rows[k pitch ..]`, for `count` terms.
#[inline(always)]
pub fn add_rows<T: Float>(
    y: &mut [T],
    count: usize,
    (factors, step): (&[T], usize),
    (rows, pitch): (&[T], usize),
) {
    let mut at = 0;
    while at < y.len() {
        let terms = (count, factors, step, rows, pitch);
        at += match y.len() - at {
            32.. => add_block::<T, 32>(y, at, terms),
            16.. => add_block::<T, 16>(y, at, terms),
            8.. => add_block::<T, 8>(y, at, terms),
            4.. => add_block::<T, 4>(y, at, terms),
            _ => add_block::<T, 1>(y, at, terms),
        };
    }
}

/// [`add_rows`] for `N` elements from `at` on; gives `N`.
#[inline(always)]
fn add_block<T: Float, const N: usize>(
    y: &mut [T],
    at: usize,
    (count, factors, step, rows, pitch): (usize, &[T], usize, &[T], usize),
) -> usize {
    if let Some(y) = y[at..].first_chunk_mut::<N>() {
        let mut sums = *y;
        for k in 0..count {
            let Some(row) = rows[k * pitch + at..].first_chunk::<N>() else { break };
            let factor = factors[k * step];
            for n in 0..N {
                sums[n] = sums[n] + factor * row[n];
            }
        }
        *y = sums;
    }
    N
}

/// `y += sum_k a[i_k ..] b[j_k ..]`, element by element, for pairs `[i_k, j_k]`.
#[inline(always)]
pub fn add_products<T: Float>(y: &mut [T], pairs: &[[usize; 2]], a: &[T], b: &[T]) {
    let mut at = 0;
    while at < y.len() {
        at += match y.len() - at {
            32.. => product_block::<T, 32>(y, at, pairs, a, b),
            16.. => product_block::<T, 16>(y, at, pairs, a, b),
            8.. => product_block::<T, 8>(y, at, pairs, a, b),
            4.. => product_block::<T, 4>(y, at, pairs, a, b),
            _ => product_block::<T, 1>(y, at, pairs, a, b),
        };
    }
}

/// [`add_products`] for `N` elements from `at` on; gives `N`.
#[inline(always)]
fn product_block<T: Float, const N: usize>(
    y: &mut [T],
    at: usize,
    pairs: &[[usize; 2]],
    a: &[T],
    b: &[T],
) -> usize {
    if let Some(y) = y[at..].first_chunk_mut::<N>() {
        let mut sums = *y;
        for &[i, j] in pairs {
            let factors = a[i + at..].first_chunk::<N>().zip(b[j + at..].first_chunk::<N>());
            let Some((a, b)) = factors else { break };
            for n in 0..N {
                sums[n] = sums[n] + a[n] * b[n];
            }
        }
        *y = sums;
    }
    N
}

/// `sum a_i b_i`, in eight partial sums.
pub fn dot<T: Float>(a: &[T], b: &[T]) -> T {
    let mut partial = [T::zero(); 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = a8.remainder().iter().zip(b8.remainder());
    let rest = rest.fold(T::zero(), |sum, (&x, &y)| sum + x * y);
    for (x, y) in a8.zip(b8) {
        for i in 0..8 {
            partial[i] = partial[i] + x[i] * y[i];
        }
    }
    partial.iter().fold(rest, |sum, &p| sum + p)
}

/// `y += a x`.
pub fn axpy<T: Float>(y: &mut [T], a: T, x: &[T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = *y + a * x;
    }
}

/// `y += a * b`, element by element.
#[inline(always)]
pub fn multiply_add<T: Float>(y: &mut [T], a: &[T], b: &[T]) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = *y + a * b;
    }
}

/// A matrix of `rows` by `columns`, transposed.
pub fn transpose<T: Float>(matrix: &[T], rows: usize, columns: usize) -> Vec<T> {
    let mut transposed = vec![T::zero(); matrix.len()];
    // Strips that stay in the cache while their columns are written.
    for first in (0..rows).step_by(16) {
        let strip = first..rows.min(first + 16);
        for column in 0..columns {
            let to = &mut transposed[column * rows..(column + 1) * rows][strip.clone()];
            for (to, row) in to.iter_mut().zip(strip.clone()) {
                *to = matrix[row * columns + column];
            }
        }
    }
    transposed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers whose sums are exact.
    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|n| (n * 37 % 29) as f32 - 14.0).collect()
    }

    #[test]
    fn blocks_of_any_width_give_the_plain_sums() {
        for width in 0..70 {
            let (factors, rows) = (numbers(3 * 5), numbers(5 * (width + 2)));
            let (mut y, mut plain) = (numbers(width), numbers(width));
            widest(
                #[inline(always)]
                || add_rows(&mut y, 5, (&factors, 3), (&rows, width + 2)),
            );
            for (k, row) in rows.chunks(width + 2).enumerate() {
                axpy(&mut plain, factors[3 * k], row);
            }
            assert_eq!(y, plain);
            let pairs = [[0, 2], [width + 1, 7], [9, 9]];
            let other = numbers(2 * width + 40);
            add_products(&mut y, &pairs, &other, &other[1..]);
            for [i, j] in pairs {
                multiply_add(&mut plain, &other[i..], &other[j + 1..]);
            }
            assert_eq!(y, plain);
        }
    }

    #[test]
    fn transposed_twice_is_as_before() {
        let matrix = numbers(37 * 21);
        let once = transpose(&matrix, 37, 21);
        assert_eq!(once[5 * 37 + 20], matrix[20 * 21 + 5]);
        assert_eq!(transpose(&once, 21, 37), matrix);
    }
}
