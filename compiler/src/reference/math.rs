//! Loops of the float reference, written so that they vectorise.

use num_traits::Float;

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
pub fn multiply_add<T: Float>(y: &mut [T], a: &[T], b: &[T]) {
    for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
        *y = *y + a * b;
    }
}

/// A matrix of `rows` by `columns`, transposed.
pub fn transpose<T: Float>(matrix: &[T], rows: usize, columns: usize) -> Vec<T> {
    let mut transposed = Vec::with_capacity(matrix.len());
    for column in 0..columns {
        transposed.extend((0..rows).map(|row| matrix[row * columns + column]));
    }
    transposed
}
