//! What input gradients begin and end with.

use core::arch::x86_64::{
    __m256i, _mm256_abs_epi32, _mm256_and_si256, _mm256_cmpgt_epi32, _mm256_max_epi32,
    _mm256_max_epu32, _mm256_min_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_setzero_si256,
    _mm256_sll_epi32, _mm256_sra_epi32, _mm256_sub_epi32, _mm_cvtsi32_si128,
};
use core::cell::RefCell;
use std::vec::Vec;

use super::finish::narrow;
use super::{available, load32, saturating_add, spread, std, store32};
use crate::error_scale::Quantizer;
use crate::kernels::gradient::Sink;
use crate::kernels::weights::Rows;
use crate::Fault;

std::thread_local! {
    static MATRIX: RefCell<Vec<i8>> = RefCell::default();
}

/// Hands the whole matrix to `f`, frozen or assembled in memory of this module's own; nothing
/// where that does not pay.
pub fn with_matrix<R>(
    rows: &Rows<'_>,
    f: impl FnOnce(&[i8]) -> Result<R, Fault>,
) -> Option<Result<R, Fault>> {
    if rows.frozen().is_some() || !available() {
        return None;
    }
    MATRIX.with_borrow_mut(|matrix| {
        matrix.clear();
        matrix.resize(rows.elements(), 0);
        Some(rows.all(matrix).and_then(f))
    })
}

/// `sums += e w`, element by element.
#[inline]
pub fn multiply_add(sums: &mut [i32], error: &[i8], weights: &[i8]) {
    #[inline(always)]
    fn each(sums: &mut [i32], error: &[i8], weights: &[i8]) {
        for ((s, &e), &w) in sums.iter_mut().zip(error).zip(weights) {
            *s = s.wrapping_add(i32::from(i16::from(e) * i16::from(w)));
        }
    }
    super::widest(
        #[inline(always)]
        || each(sums, error, weights),
    );
}

/// Writes elements from `at` on of an error tensor from their accumulators; whether it was done.
pub fn put(sink: &mut Sink<'_>, quantizer: &mut Quantizer, at: usize, sums: &[i32]) -> bool {
    // Finer or coarser branches than this do not arise.
    if !(-23..=31).contains(&sink.skip_down) || !available() {
        return false;
    }
    // SAFETY: the processor has AVX2.
    unsafe { put_all(sink, quantizer, at, sums) };
    true
}

#[target_feature(enable = "avx2")]
fn put_all(sink: &mut Sink<'_>, quantizer: &mut Quantizer, at: usize, sums: &[i32]) {
    let (whole, rest) = sums.as_chunks::<8>();
    let mut peak = _mm256_setzero_si256();
    let right = quantizer.right();
    for (n, sums) in whole.iter().enumerate() {
        let at = at + 8 * n;
        let mut sums = load32(sums);
        if let Some(branch) = sink.skip.get(at..).and_then(|skip| skip.first_chunk::<8>()) {
            let [a, b, c, d, e, f, g, h] = branch.map(i32::from);
            let branch = _mm256_setr_epi32(a, b, c, d, e, f, g, h);
            sums = saturating_add(sums, shift(branch, sink.skip_down));
        }
        if !sink.mask.is_empty() {
            sums = _mm256_and_si256(sums, spread(sink.mask, at));
        }
        peak = _mm256_max_epu32(peak, _mm256_abs_epi32(sums));
        let least = _mm256_set1_epi32(-127);
        let most = _mm256_set1_epi32(127);
        let bound = |v| _mm256_max_epi32(_mm256_min_epi32(v, most), least);
        // Seven places to the left leave nothing between 0 and the bounds.
        let errors = match right {
            32.. => _mm256_setzero_si256(),
            0..32 => bound(shift(sums, right)),
            _ => bound(shift(bound(sums), right.max(-7))),
        };
        if let Some(to) = sink.out.get_mut(at..).and_then(|out| out.first_chunk_mut::<8>()) {
            *to = narrow(errors);
        }
    }
    let mut lanes = [0; 8];
    store32(peak, &mut lanes);
    lanes.iter().for_each(|&peak| quantizer.note(peak as u32));
    sink.put(quantizer, at + 8 * whole.len(), rest.len(), |i| rest[i]);
}

/// `round(x / 2^down)`, half away from zero; to the left where nothing is lost.
#[inline]
#[target_feature(enable = "avx2")]
fn shift(x: __m256i, down: i32) -> __m256i {
    if down < 0 {
        return _mm256_sll_epi32(x, _mm_cvtsi32_si128(-down));
    }
    let lost = ((1u32 << down) - 1) as i32;
    let negative = _mm256_cmpgt_epi32(_mm256_setzero_si256(), x);
    let half = _mm256_sub_epi32(_mm256_set1_epi32(((lost as u32) >> 1) as i32), negative);
    let above = _mm256_cmpgt_epi32(_mm256_and_si256(x, _mm256_set1_epi32(lost)), half);
    _mm256_sub_epi32(_mm256_sra_epi32(x, _mm_cvtsi32_si128(down)), above)
}
