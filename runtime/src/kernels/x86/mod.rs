//! Inner loops of the desktop, with AVX2 where the processor has it.
//!
//! Feature `host` alone brings them in; firmware never has it. They compute the very integers of the
//! portable kernels, which stay what they are tested against: an entry point says whether it did
//! the work, and where it did not (an older processor, an unusual shape) the portable loop runs.
//! Unlike the rest of the crate they allocate: working memory that each thread keeps.
#![allow(unsafe_code)]

extern crate std;

mod add;
mod depthwise;
mod finish;
mod forward;
mod gradient;
mod pending;
mod widen;

pub use add::add;
pub use depthwise::depthwise;
pub use forward::conv;
pub use gradient::{conv_input, depthwise_input, put};
pub use pending::Pending;

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_and_si256, _mm256_blendv_epi8, _mm256_cvtepi8_epi32,
    _mm256_loadu_si256, _mm256_set1_epi32, _mm256_srai_epi32, _mm256_storeu_si256,
    _mm256_xor_si256, _mm_set_epi64x,
};

use crate::program::op::Geometry;

/// Sixteen 16-bit numbers: what a register holds.
type Lanes = [i16; 16];

#[cfg(test)]
std::thread_local! {
    /// Tests switch the module off, to see the portable kernels.
    static OFF: core::cell::Cell<bool> = const { core::cell::Cell::new(false) };
}

/// Runs `f` with the portable kernels alone.
#[cfg(test)]
pub fn portably<R>(f: impl FnOnce() -> R) -> R {
    OFF.set(true);
    let result = f();
    OFF.set(false);
    result
}

/// Whether the processor has what this module uses.
#[inline]
fn available() -> bool {
    #[cfg(test)]
    if OFF.get() {
        return false;
    }
    std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma")
}

/// Runs `f` compiled for AVX2 where the processor has it: `f` and what it calls must be
/// `inline(always)`, or they stay as they are.
#[inline]
pub fn widest<R>(f: impl FnOnce() -> R) -> R {
    #[target_feature(enable = "avx2,fma")]
    fn wide<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
    if available() {
        // SAFETY: the processor has AVX2 and FMA.
        unsafe { wide(f) }
    } else {
        f()
    }
}

/// Output positions of `geometry`.
fn outputs(geometry: &Geometry) -> usize {
    geometry.y.h as usize * geometry.y.w as usize
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(v: &Lanes) -> __m256i {
    // SAFETY: the reference is to 32 bytes; the instruction asks for no alignment.
    unsafe { _mm256_loadu_si256(v.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(v: __m256i, to: &mut Lanes) {
    // SAFETY: as in `load`; the reference is exclusive.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), v) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load32(v: &[i32; 8]) -> __m256i {
    // SAFETY: as in `load`.
    unsafe { _mm256_loadu_si256(v.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store32(v: __m256i, to: &mut [i32; 8]) {
    // SAFETY: as in `store`.
    unsafe { _mm256_storeu_si256(to.as_mut_ptr().cast(), v) }
}

/// Eight int8, as 32 bits each.
#[inline]
#[target_feature(enable = "avx2")]
fn widen8(v: &[i8; 8]) -> __m256i {
    let bytes = i64::from_le_bytes(v.map(|v| v as u8));
    _mm256_cvtepi8_epi32(_mm_set_epi64x(0, bytes))
}

/// `i32::saturating_add`, eight times.
#[inline]
#[target_feature(enable = "avx2")]
fn saturating_add(a: __m256i, b: __m256i) -> __m256i {
    let sum = _mm256_add_epi32(a, b);
    // Overflow where both terms have a sign that the sum has not.
    let over = _mm256_and_si256(_mm256_xor_si256(a, sum), _mm256_xor_si256(b, sum));
    let bound = _mm256_xor_si256(_mm256_srai_epi32::<31>(a), _mm256_set1_epi32(i32::MAX));
    _mm256_blendv_epi8(sum, bound, _mm256_srai_epi32::<31>(over))
}

/// Bits `at..at + 8` of a clamp mask, the eighth and those before it spread over lanes: all ones
/// where a bit is set.
#[inline]
#[target_feature(enable = "avx2")]
fn spread(mask: &[u8], at: usize) -> __m256i {
    use core::arch::x86_64::{_mm256_cmpeq_epi32, _mm256_setr_epi32};
    let byte = |n: usize| u32::from(mask.get(at / 8 + n).copied().unwrap_or(0));
    let bits = ((byte(0) | byte(1) << 8) >> (at % 8)) as i32;
    let places = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    _mm256_cmpeq_epi32(_mm256_and_si256(_mm256_set1_epi32(bits), places), places)
}

#[cfg(test)]
mod tests;
