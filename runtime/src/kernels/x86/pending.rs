//! `sums += factor * row`, many rows a pass.

use core::arch::x86_64::{
    __m128i, __m256i, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_madd_epi16, _mm256_set1_epi32,
    _mm_loadu_si128, _mm_set_epi64x, _mm_unpackhi_epi8, _mm_unpacklo_epi8,
};

use super::{available, load32, store32};
use crate::kernels::gradient::axpy::Pending as Portable;

/// Rows that wait for each other, an even number.
const HELD: usize = 32;

/// As the portable one of this name, with more rows a pass.
#[derive(Debug)]
pub struct Pending<'r> {
    factors: [i16; HELD],
    rows: [&'r [i8]; HELD],
    held: usize,
}

impl<'r> Pending<'r> {
    /// Nothing waits.
    #[inline]
    pub fn new() -> Self {
        Pending { factors: [0; HELD], rows: [&[]; HELD], held: 0 }
    }

    /// Adds `factor * row` to `sums`, at the latest when flushed. Until then every call must name
    /// the same sums, and rows as long as they.
    #[inline]
    pub fn push(&mut self, sums: &mut [i32], factor: i16, row: &'r [i8]) {
        let at = self.held % HELD;
        self.factors[at] = factor;
        self.rows[at] = row;
        self.held = at + 1;
        if self.held == HELD {
            self.flush(sums);
        }
    }

    /// Adds what still waits.
    pub fn flush(&mut self, sums: &mut [i32]) {
        let count = self.held.min(HELD);
        self.held = 0;
        let (factors, rows) = (&mut self.factors[..count], &self.rows[..count]);
        let fits = rows.iter().all(|row| row.len() >= sums.len());
        if fits && available() {
            // SAFETY: the processor has AVX2.
            unsafe { add(sums, factors, |n| rows[n]) };
            return;
        }
        let mut few = Portable::new();
        for (&factor, row) in factors.iter().zip(rows) {
            few.push(sums, factor, row);
        }
        few.flush(sums);
    }
}

/// Adds a row for each factor, given by its number; rows are as long as the sums or longer.
#[inline]
#[target_feature(enable = "avx2")]
pub fn add<'r>(sums: &mut [i32], factors: &[i16], row: impl Fn(usize) -> &'r [i8]) {
    let (vectors, rest) = sums.as_chunks_mut::<8>();
    let mut at = 0;
    let mut many = vectors.chunks_exact_mut(8);
    for sums in &mut many {
        chunk::<4>(sums, factors, &row, at);
        at += 64;
    }
    let mut two = many.into_remainder().chunks_exact_mut(2);
    for sums in &mut two {
        chunk::<1>(sums, factors, &row, at);
        at += 16;
    }
    if let [sums] = two.into_remainder() {
        last(sums, factors, &row, at);
        at += 8;
    }
    if rest.is_empty() {
        return;
    }
    for (n, &factor) in factors.iter().enumerate() {
        for (sum, &w) in rest.iter_mut().zip(&row(n)[at..]) {
            *sum = sum.wrapping_add(i32::from(factor) * i32::from(w));
        }
    }
}

/// Both rows of pair `n`. A row without a partner stands for both: the other factor is zero.
#[inline]
#[target_feature(enable = "avx2")]
fn two_rows<'r>(n: usize, count: usize, row: &impl Fn(usize) -> &'r [i8]) -> [&'r [i8]; 2] {
    [row(2 * n), row((2 * n + 1).min(count - 1))]
}

/// Both factors of a pair in every lane.
#[inline]
#[target_feature(enable = "avx2")]
fn pair(factors: &[i16]) -> __m256i {
    let (low, high) = match *factors {
        [a, b] => (a as u16, b as u16),
        [a] => (a as u16, 0),
        _ => (0, 0),
    };
    _mm256_set1_epi32((u32::from(low) | u32::from(high) << 16) as i32)
}

/// Sums `at..at + 16 N` of the rows; `sums` are `2 N` registers.
#[inline]
#[target_feature(enable = "avx2")]
fn chunk<'r, const N: usize>(
    sums: &mut [[i32; 8]],
    factors: &[i16],
    row: &impl Fn(usize) -> &'r [i8],
    at: usize,
) {
    let mut low = [load32(&[0; 8]); N];
    let mut high = low;
    for n in 0..N {
        low[n] = load32(&sums[2 * n]);
        high[n] = load32(&sums[2 * n + 1]);
    }
    let count = factors.len();
    for (n, factors) in factors.chunks(2).enumerate() {
        let factors = pair(factors);
        let [a, b] = two_rows(n, count, row);
        let (a, b) = (&a[at..at + 16 * N], &b[at..at + 16 * N]);
        for (n, (a, b)) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0).enumerate() {
            let (a, b) = (bytes(a), bytes(b));
            let l = _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(a, b));
            let h = _mm256_cvtepi8_epi16(_mm_unpackhi_epi8(a, b));
            low[n] = _mm256_add_epi32(low[n], _mm256_madd_epi16(l, factors));
            high[n] = _mm256_add_epi32(high[n], _mm256_madd_epi16(h, factors));
        }
    }
    for n in 0..N {
        store32(low[n], &mut sums[2 * n]);
        store32(high[n], &mut sums[2 * n + 1]);
    }
}

/// As [`chunk`], for eight sums.
#[inline]
#[target_feature(enable = "avx2")]
fn last<'r>(sums: &mut [i32; 8], factors: &[i16], row: &impl Fn(usize) -> &'r [i8], at: usize) {
    let mut sum = load32(sums);
    let eight = |row: &[i8]| match row.get(at..).and_then(|row| row.first_chunk::<8>()) {
        Some(row) => _mm_set_epi64x(0, i64::from_le_bytes(row.map(|w| w as u8))),
        None => _mm_set_epi64x(0, 0),
    };
    let count = factors.len();
    for (n, factors) in factors.chunks(2).enumerate() {
        let [a, b] = two_rows(n, count, row);
        let pairs = _mm_unpacklo_epi8(eight(a), eight(b));
        let products = _mm256_madd_epi16(_mm256_cvtepi8_epi16(pairs), pair(factors));
        sum = _mm256_add_epi32(sum, products);
    }
    store32(sum, sums);
}

#[inline]
#[target_feature(enable = "avx2")]
fn bytes(v: &[i8; 16]) -> __m128i {
    // SAFETY: the reference is to 16 bytes; the instruction asks for no alignment.
    unsafe { _mm_loadu_si128(v.as_ptr().cast()) }
}
