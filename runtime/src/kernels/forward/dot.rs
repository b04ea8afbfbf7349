//! Dot products of one weight row with several windows at once.

/// Adds to each `sums[n]` the dot product of `w` and `x[n]`, over the length of the shortest.
///
/// Several windows share one pass over the weights: a weight is loaded and widened once.
#[inline]
pub fn dot<const N: usize>(w: &[i8], x: [&[i8]; N], sums: &mut [i32; N]) {
    for (sum, x) in sums.iter_mut().zip(x) {
        for (&w, &x) in w.iter().zip(x) {
            *sum += (w as i16 * x as i16) as i32;
        }
    }
}

/// Sum of weights, for the correction by the input's zero point.
#[inline]
pub fn total(w: &[i8]) -> i32 {
    w.iter().map(|&w| w as i32).sum()
}
