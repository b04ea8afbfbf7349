//! Elementwise sum, eight elements at a time.

use core::arch::x86_64::{_mm256_set1_epi32, _mm256_slli_epi32, _mm256_sub_epi32};

use super::finish::Channels;
use super::{available, saturating_add, widen8};
use crate::kernels::forward::Output;
use crate::program::op::Add;

/// As many elements as fill whole registers; gives how many.
pub fn add<const SHIFT: i32>(op: &Add, a: &[i8], b: &[i8], y: &mut Output<'_>) -> usize {
    let small = |shift: i32| (-31..=31).contains(&shift);
    let multipliers = [op.scales[0], op.scales[1], op.y_scale];
    if !multipliers.iter().all(|m| small(m.shift)) || !available() {
        return 0;
    }
    // SAFETY: the processor has AVX2.
    unsafe { all::<SHIFT>(op, a, b, y) }
}

#[target_feature(enable = "avx2")]
fn all<const SHIFT: i32>(op: &Add, a: &[i8], b: &[i8], y: &mut Output<'_>) -> usize {
    let ((a, _), (b, _)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let [first, second] = op.scales.map(Channels::uniform);
    let end = Channels::uniform(op.y_scale);
    let zeros = op.zeros.map(|zero| _mm256_set1_epi32(zero.into()));
    for (n, (a, b)) in a.iter().zip(b).enumerate() {
        let a = _mm256_slli_epi32::<SHIFT>(_mm256_sub_epi32(widen8(a), zeros[0]));
        let b = _mm256_slli_epi32::<SHIFT>(_mm256_sub_epi32(widen8(b), zeros[1]));
        end.put(y, 8 * n, saturating_add(first.scaled(a), second.scaled(b)));
    }
    8 * a.len().min(b.len())
}
