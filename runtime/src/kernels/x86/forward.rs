//! Dense convolution: eight output channels of one pixel at a time.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi32, _mm256_hadd_epi32, _mm256_madd_epi16, _mm256_permute2x128_si256,
    _mm256_setzero_si256,
};
use core::cell::RefCell;
use std::vec::Vec;

use super::finish::Channels;
use super::widen::{Blocks, Padded};
use super::{available, load, outputs, std, Lanes};
use crate::kernels::forward::Output;
use crate::kernels::scales::Scales;
use crate::kernels::weights::Rows;
use crate::program::op::Geometry;
use crate::Fault;

/// Fewer windows than this do not pay for weights laid out anew.
const FEWEST: usize = 3;

/// Elements of windows that are laid out at a time, more or less.
const PORTION: usize = 1 << 17;

#[derive(Debug, Default)]
struct Room {
    x: Padded,
    windows: Vec<i16>,
    weights: Blocks,
    channels: Vec<Channels>,
}

std::thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// The forward pass of a convolution with one group; whether it was done.
pub fn conv(
    geometry: &Geometry,
    groups: usize,
    x: &[i8],
    (rows, buffer): (&Rows<'_>, &mut [i8]),
    (bias, scales): (&[i32], &Scales<'_>),
    zero: i16,
    y: &mut Output<'_>,
) -> bool {
    let plain = groups == 1 && i8::try_from(zero).is_ok() && !bias.is_empty();
    if !plain || outputs(geometry) < FEWEST || x.is_empty() || !available() {
        return false;
    }
    ROOM.with_borrow_mut(|room| {
        // SAFETY: the processor has AVX2.
        unsafe { room.run(geometry, x, rows, buffer, bias, scales, zero, y) }
    })
    .is_ok()
}

impl Room {
    #[target_feature(enable = "avx2")]
    #[allow(clippy::too_many_arguments)]
    fn run(
        &mut self,
        geometry: &Geometry,
        x: &[i8],
        rows: &Rows<'_>,
        buffer: &mut [i8],
        bias: &[i32],
        scales: &Scales<'_>,
        zero: i16,
        y: &mut Output<'_>,
    ) -> Result<(), Fault> {
        let (channels, taps) = (geometry.x.c as usize, geometry.window.taps());
        let (across, count, outputs) = (geometry.y.w as usize, outputs(geometry), bias.len());
        let length = taps * channels;
        let whole = length.next_multiple_of(16);
        self.weights.clear(outputs, length);
        for o in 0..outputs {
            self.weights.set(o, rows.row(o, buffer)?);
        }
        self.channels.clear();
        self.channels.extend((0..outputs).step_by(8).map(|o| Channels::new(o, bias, scales)));
        self.x.fill(geometry, x, zero, if taps == 1 { whole } else { channels });
        let blocks = self.weights.data.chunks_exact(whole / 16);
        if taps == 1 {
            for (weights, end) in blocks.zip(&self.channels) {
                for at in 0..count {
                    let corner = self.x.corner(geometry, at / across, at % across);
                    let (window, _) = self.x.data[corner..corner + whole].as_chunks::<16>();
                    end.put(y, at * outputs, eight(window, weights));
                }
            }
            return Ok(());
        }
        let portion = (PORTION / whole).max(1);
        for first in (0..count).step_by(portion) {
            let positions = first..count.min(first + portion);
            self.windows.clear();
            self.windows.resize(positions.len() * whole, 0);
            for (at, to) in positions.clone().zip(self.windows.chunks_exact_mut(whole)) {
                copy_window(geometry, &self.x, [at / across, at % across], to);
            }
            for (weights, end) in blocks.clone().zip(&self.channels) {
                for (at, window) in positions.clone().zip(self.windows.chunks_exact(whole)) {
                    end.put(y, at * outputs, eight(window.as_chunks::<16>().0, weights));
                }
            }
        }
        Ok(())
    }
}

/// Writes the elements of one window in the order of a row of weights.
#[inline(always)]
fn copy_window(geometry: &Geometry, x: &Padded, [row, column]: [usize; 2], to: &mut [i16]) {
    let window = geometry.window;
    let [height, width] = window.kernel.map(usize::from);
    let [down, right] = window.dilation.map(usize::from);
    let corner = x.corner(geometry, row, column);
    let (runs, run) = if right == 1 { (1, width * x.pitch) } else { (width, x.pitch) };
    let lines = (0..height).flat_map(|ky| (0..runs).map(move |kx| [ky, kx]));
    for ([ky, kx], to) in lines.zip(to.chunks_exact_mut(run)) {
        let from = corner + (ky * down * x.columns + kx * right) * x.pitch;
        to.copy_from_slice(&x.data[from..from + run]);
    }
}

/// Dot products of one window with eight rows.
#[inline]
#[target_feature(enable = "avx2")]
fn eight(window: &[Lanes], rows: &[[Lanes; 8]]) -> __m256i {
    let mut sums = [_mm256_setzero_si256(); 8];
    for (x, rows) in window.iter().zip(rows) {
        let x = load(x);
        for (sum, w) in sums.iter_mut().zip(rows) {
            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(x, load(w)));
        }
    }
    let [a, b, c, d, e, f, g, h] = sums;
    let (ab, cd) = (_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    let (ef, gh) = (_mm256_hadd_epi32(e, f), _mm256_hadd_epi32(g, h));
    let (low, high) = (_mm256_hadd_epi32(ab, cd), _mm256_hadd_epi32(ef, gh));
    let left = _mm256_permute2x128_si256::<0x20>(low, high);
    _mm256_add_epi32(left, _mm256_permute2x128_si256::<0x31>(low, high))
}
