//! What input gradients begin and end with.

use core::arch::x86_64::{
    __m256i, _mm256_abs_epi32, _mm256_add_epi32, _mm256_and_si256, _mm256_cmpgt_epi32,
    _mm256_max_epi32, _mm256_max_epu32, _mm256_min_epi32, _mm256_mullo_epi16, _mm256_set1_epi32,
    _mm256_setr_epi32, _mm256_setzero_si256, _mm256_sll_epi32, _mm256_slli_epi32, _mm256_sra_epi32,
    _mm256_srai_epi32, _mm256_sub_epi32, _mm_cvtsi32_si128,
};
use core::cell::RefCell;
use std::vec::Vec;

use super::finish::{narrow, Wide};
use super::pending::add;
use super::{available, load32, saturating_add, spread, std, store32, widen8};
use crate::error_scale::Quantizer;
use crate::kernels::gradient::Sink;
use crate::kernels::scales::Scales;
use crate::kernels::weights::Rows;
use crate::program::op::Geometry;
use crate::Fault;

#[derive(Debug, Default)]
struct Room {
    /// Assembled weights.
    matrix: Vec<i8>,
    scales: Vec<Wide>,
    /// Scaled errors of one output pixel.
    scaled: Vec<i16>,
    /// Of each output pixel: those that are not 0, and the channels they belong to.
    factors: Vec<i16>,
    channels: Vec<usize>,
    ends: Vec<usize>,
    sums: Vec<i32>,
}

std::thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// The input gradient of a convolution with one group; whether it was done.
///
/// # Errors
/// A [`Fault`] where weights are damaged.
pub fn conv_input(
    geometry: &Geometry,
    groups: usize,
    error: &[i8],
    rows: &Rows<'_>,
    scales: &Scales<'_>,
    (sink, quantizer): (&mut Sink<'_>, &mut Quantizer),
) -> Result<bool, Fault> {
    if groups != 1 || error.is_empty() || !available() {
        return Ok(false);
    }
    ROOM.with_borrow_mut(|room| {
        // SAFETY: the processor has AVX2.
        unsafe { room.conv(geometry, error, rows, scales, sink, quantizer) }
    })?;
    Ok(true)
}

/// The input gradient of a depthwise convolution; whether it was done.
pub fn depthwise_input(
    geometry: &Geometry,
    error: &[i8],
    weights: &[i8],
    scales: &Scales<'_>,
    (sink, quantizer): (&mut Sink<'_>, &mut Quantizer),
) -> bool {
    if error.is_empty() || !available() {
        return false;
    }
    ROOM.with_borrow_mut(|room| {
        // SAFETY: the processor has AVX2.
        unsafe { room.depthwise(geometry, error, weights, scales, sink, quantizer) }
    });
    true
}

impl Room {
    #[target_feature(enable = "avx2")]
    fn conv(
        &mut self,
        geometry: &Geometry,
        error: &[i8],
        rows: &Rows<'_>,
        scales: &Scales<'_>,
        sink: &mut Sink<'_>,
        quantizer: &mut Quantizer,
    ) -> Result<(), Fault> {
        let (x, y, window) = (geometry.x, geometry.y, geometry.window);
        let (width, outputs, taps) = (x.c as usize, y.c as usize, window.taps());
        self.matrix.clear();
        self.matrix.resize(if rows.frozen().is_some() { 0 } else { rows.frozen.len() }, 0);
        let matrix = rows.all(&mut self.matrix)?;
        self.scales.clear();
        self.scales.extend((0..outputs).step_by(8).map(|o| Wide::new(o, scales)));
        self.factors.clear();
        self.factors.resize(error.len(), 0);
        self.channels.clear();
        self.channels.resize(error.len(), 0);
        self.ends.clear();
        self.scaled.resize(outputs, 0);
        for (n, error) in error.chunks_exact(outputs).enumerate() {
            scale(&self.scales, scales, error, &mut self.scaled);
            let factors = &mut self.factors[n * outputs..(n + 1) * outputs];
            let channels = &mut self.channels[n * outputs..(n + 1) * outputs];
            let mut count = 0;
            // Every one is written; those that are 0 are written over by the next.
            for (o, &q) in self.scaled.iter().enumerate() {
                (factors[count], channels[count]) = (q, o);
                count += usize::from(q != 0);
            }
            self.ends.push(n * outputs + count);
        }
        let (columns, across) = (x.w as usize, window.kernel[1] as usize);
        self.sums.resize(width, 0);
        for pixel in 0..x.positions() {
            self.sums.fill(0);
            for (row, ky) in geometry.rows_seeing(pixel / columns) {
                for (column, kx) in geometry.columns_seeing(pixel % columns) {
                    let n = row * y.w as usize + column;
                    let tap = ky * across + kx;
                    let (from, to) = (n * outputs, self.ends[n]);
                    let (factors, channels) = (&self.factors[from..to], &self.channels[from..to]);
                    add(&mut self.sums, factors, |n| {
                        let at = (channels[n] * taps + tap) * width;
                        &matrix[at..at + width]
                    });
                }
            }
            sink.put(quantizer, pixel * width, &self.sums);
        }
        Ok(())
    }

    #[target_feature(enable = "avx2")]
    fn depthwise(
        &mut self,
        geometry: &Geometry,
        error: &[i8],
        weights: &[i8],
        scales: &Scales<'_>,
        sink: &mut Sink<'_>,
        quantizer: &mut Quantizer,
    ) {
        let (x, y) = (geometry.x, geometry.y);
        let (channels, columns) = (x.c as usize, x.w as usize);
        let across = geometry.window.kernel[1] as usize;
        self.scales.clear();
        self.scales.extend((0..channels).step_by(8).map(|c| Wide::new(c, scales)));
        self.sums.resize(channels, 0);
        let mut seen: Vec<[usize; 2]> = Vec::new();
        for pixel in 0..x.positions() {
            seen.clear();
            for (r, ky) in geometry.rows_seeing(pixel / columns) {
                for (c, kx) in geometry.columns_seeing(pixel % columns) {
                    let at = (r * y.w as usize + c) * channels;
                    seen.push([at, (ky * across + kx) * channels]);
                }
            }
            let (whole, rest) = self.sums.as_chunks_mut::<8>();
            for (n, (sums, wide)) in whole.iter_mut().zip(&self.scales).enumerate() {
                let mut sum = _mm256_setzero_si256();
                for &[e, w] in &seen {
                    let (e, w) =
                        (error[8 * n + e..].first_chunk(), weights[8 * n + w..].first_chunk());
                    let (Some(e), Some(w)) = (e, w) else { continue };
                    // Eight products of 16 bits each, in 32: the upper halves are signs alone.
                    let product = _mm256_mullo_epi16(widen8(e), widen8(w));
                    sum = _mm256_add_epi32(sum, sign_extend(product));
                }
                store32(wide.scale(sum), sums);
            }
            let first = 8 * whole.len();
            for ((c, sum), scale) in (first..channels).zip(rest).zip(scales.from(first)) {
                let products =
                    seen.iter().map(|&[e, w]| i32::from(error[e + c]) * i32::from(weights[w + c]));
                *sum = scale.scale_wide(products.fold(0, i32::wrapping_add), 0);
            }
            sink.put(quantizer, pixel * channels, &self.sums);
        }
    }
}

/// Sign-extends the lower half of every 32-bit lane.
#[inline]
#[target_feature(enable = "avx2")]
fn sign_extend(v: __m256i) -> __m256i {
    _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(v))
}

/// The errors of one pixel, each times its channel's factor, in 16 bits.
#[target_feature(enable = "avx2")]
fn scale(wide: &[Wide], scales: &Scales<'_>, error: &[i8], to: &mut [i16]) {
    let ((errors, rest), (whole, last)) = (error.as_chunks::<8>(), to.as_chunks_mut::<8>());
    let most = _mm256_set1_epi32(32767);
    let least = _mm256_set1_epi32(-32767);
    for ((error, wide), to) in errors.iter().zip(wide).zip(whole) {
        let scaled = wide.scale(widen8(error));
        let mut lanes = [0; 8];
        store32(_mm256_max_epi32(_mm256_min_epi32(scaled, most), least), &mut lanes);
        *to = lanes.map(|q| q as i16);
    }
    let first = 8 * errors.len();
    for ((&e, scale), to) in rest.iter().zip(scales.from(first)).zip(last) {
        *to = scale.scale_wide(e.into(), 0).clamp(-32767, 32767) as i16;
    }
}

/// [`Sink::put`] of the first accumulators; how many that were.
pub fn put(sink: &mut Sink<'_>, quantizer: &mut Quantizer, at: usize, sums: &[i32]) -> usize {
    let (whole, _) = sums.as_chunks::<8>();
    // Finer or coarser branches than this do not arise.
    if whole.is_empty() || !(-23..=31).contains(&sink.skip_down) || !available() {
        return 0;
    }
    // SAFETY: the processor has AVX2.
    unsafe { put_eights(sink, quantizer, at, whole) };
    8 * whole.len()
}

#[target_feature(enable = "avx2")]
fn put_eights(sink: &mut Sink<'_>, quantizer: &mut Quantizer, at: usize, whole: &[[i32; 8]]) {
    let mut peak = _mm256_setzero_si256();
    let right = quantizer.right;
    for (n, sums) in whole.iter().enumerate() {
        let at = at + 8 * n;
        let mut sums = load32(sums);
        let skip = if sink.over { &*sink.out } else { sink.skip };
        if let Some(branch) = skip.get(at..).and_then(|skip| skip.first_chunk::<8>()) {
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
        if quantizer.measures {
            continue;
        }
        if let Some(to) = sink.out.get_mut(at..).and_then(|out| out.first_chunk_mut::<8>()) {
            *to = narrow(errors);
        }
    }
    let mut lanes = [0; 8];
    store32(peak, &mut lanes);
    lanes.iter().for_each(|&peak| quantizer.peak = quantizer.peak.max(peak as u32));
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
