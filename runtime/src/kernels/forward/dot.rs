//! Dot products of one weight row with several windows at once.

/// Products that a host adds up in vector registers before they join a sum. Blocks of known
/// length are what makes the compiler multiply and add pairs of 16-bit numbers.
const BLOCK: usize = 32;

/// Blocks of this length take what [`BLOCK`] leaves.
const SHORT: usize = 8;

/// Adds to each `sums[n]` the dot product of `w` and `x[n]`, all of one length.
#[inline]
pub fn dot<const N: usize>(w: &[i8], x: [&[i8]; N], sums: &mut [i32; N]) {
    if cfg!(target_pointer_width = "64") {
        for (sum, x) in sums.iter_mut().zip(x) {
            *sum += vectorised(w, x);
        }
    } else {
        // One weight is loaded for all windows, and every sum stays in a register. Cut to one
        // length, the windows need no bounds check.
        let x = x.map(|x| x.get(..w.len()).unwrap_or(w));
        for (i, &w) in w.iter().enumerate() {
            for (sum, x) in sums.iter_mut().zip(x) {
                *sum += w as i32 * x.get(i).copied().unwrap_or_default() as i32;
            }
        }
    }
}

#[inline]
fn vectorised(w: &[i8], x: &[i8]) -> i32 {
    let (w, x) = (w.chunks_exact(BLOCK), x.chunks_exact(BLOCK));
    let (w_rest, x_rest) = (w.remainder(), x.remainder());
    let sum: i32 = w.zip(x).map(|(w, x)| products(w, x)).sum();
    let (w, x) = (w_rest.chunks_exact(SHORT), x_rest.chunks_exact(SHORT));
    let rest = products(w.remainder(), x.remainder());
    sum + rest + w.zip(x).map(|(w, x)| products(w, x)).sum::<i32>()
}

#[inline(always)]
fn products(w: &[i8], x: &[i8]) -> i32 {
    w.iter().zip(x).map(|(&w, &x)| w as i32 * x as i32).sum()
}

/// Sum of weights, for the correction by the input's zero point.
#[inline]
pub fn total(w: &[i8]) -> i32 {
    w.iter().map(|&w| w as i32).sum()
}
