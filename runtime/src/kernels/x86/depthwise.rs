//! Depthwise convolution: sixteen channels of one pixel at a time, kernel positions in pairs.

use core::arch::x86_64::{
    _mm256_add_epi32, _mm256_madd_epi16, _mm256_permute2x128_si256, _mm256_setzero_si256,
    _mm256_unpackhi_epi16, _mm256_unpacklo_epi16,
};
use core::cell::RefCell;
use std::vec::Vec;

use super::finish::Channels;
use super::widen::Padded;
use super::{available, load, std, store, Lanes};
use crate::kernels::forward::Output;
use crate::kernels::scales::Scales;
use crate::program::op::Geometry;

#[derive(Debug, Default)]
struct Room {
    x: Padded,
    /// For each sixteen channels and pair of kernel positions, weights as they meet the input:
    /// interleaved, the lower and upper halves of each register's lanes.
    weights: Vec<[Lanes; 2]>,
    /// Where a pair's elements lie, from a window's corner on.
    offsets: Vec<[usize; 2]>,
    channels: Vec<[Channels; 2]>,
}

std::thread_local! {
    static ROOM: RefCell<Room> = RefCell::default();
}

/// The forward pass of a depthwise convolution; whether it was done.
pub fn depthwise(
    geometry: &Geometry,
    x: &[i8],
    weights: &[i8],
    (bias, scales): (&[i32], &Scales<'_>),
    zero: i16,
    y: &mut Output<'_>,
) -> bool {
    if i8::try_from(zero).is_err() || x.is_empty() || bias.len() < 8 || !available() {
        return false;
    }
    ROOM.with_borrow_mut(|room| {
        // SAFETY: the processor has AVX2.
        unsafe { room.run(geometry, x, weights, bias, scales, zero, y) }
    });
    true
}

impl Room {
    #[target_feature(enable = "avx2")]
    #[allow(clippy::too_many_arguments)]
    fn run(
        &mut self,
        geometry: &Geometry,
        x: &[i8],
        weights: &[i8],
        bias: &[i32],
        scales: &Scales<'_>,
        zero: i16,
        y: &mut Output<'_>,
    ) {
        let (channels, window) = (bias.len(), geometry.window);
        self.x.fill(geometry, x, zero, channels.next_multiple_of(16));
        self.arrange(geometry, weights, channels);
        self.channels.clear();
        let sixteen = |c| [c, c + 8].map(|c| Channels::new(c, bias, scales));
        self.channels.extend((0..channels).step_by(16).map(sixteen));
        let pairs = window.taps().div_ceil(2);
        let across = geometry.y.w as usize;
        for at in 0..super::outputs(geometry) {
            let corner = self.x.corner(geometry, at / across, at % across);
            let blocks = self.weights.chunks_exact(pairs).zip(&self.channels);
            for (block, (weights, [first, second])) in blocks.enumerate() {
                let x = &self.x.data[corner + block * 16..];
                let mut low = _mm256_setzero_si256();
                let mut high = low;
                for (offsets, [below, above]) in self.offsets.iter().zip(weights) {
                    let [a, b] = offsets.map(|at| x.get(at..).and_then(|x| x.first_chunk()));
                    let (Some(a), Some(b)) = (a, b) else { continue };
                    let (a, b) = (load(a), load(b));
                    let (l, h) = (_mm256_unpacklo_epi16(a, b), _mm256_unpackhi_epi16(a, b));
                    low = _mm256_add_epi32(low, _mm256_madd_epi16(l, load(below)));
                    high = _mm256_add_epi32(high, _mm256_madd_epi16(h, load(above)));
                }
                first.put(y, at * channels, _mm256_permute2x128_si256::<0x20>(low, high));
                second.put(y, at * channels, _mm256_permute2x128_si256::<0x31>(low, high));
            }
        }
    }

    /// Lays out weights, `[tap][channel]`, and where their elements are.
    #[target_feature(enable = "avx2")]
    fn arrange(&mut self, geometry: &Geometry, weights: &[i8], channels: usize) {
        let window = geometry.window;
        let (taps, width) = (window.taps(), window.kernel[1] as usize);
        let [down, right] = window.dilation.map(usize::from);
        let (columns, pitch) = (self.x.columns, self.x.pitch);
        let place = |tap: usize| (tap / width * down * columns + tap % width * right) * pitch;
        let pairs = (0..taps).step_by(2);
        self.offsets.clear();
        // An odd position has no partner: its own elements, times zero.
        let second = |tap: usize| if tap + 1 < taps { tap + 1 } else { tap };
        self.offsets.extend(pairs.clone().map(|tap| [place(tap), place(second(tap))]));
        self.weights.clear();
        for first in (0..channels).step_by(16) {
            for tap in pairs.clone() {
                let mut two: [Lanes; 2] = [[0; 16]; 2];
                let count = (channels - first).min(16);
                for (to, tap) in two.iter_mut().zip(tap..taps) {
                    let from = tap * channels + first;
                    for (to, &w) in to.iter_mut().zip(&weights[from..from + count]) {
                        *to = w.into();
                    }
                }
                let [a, b] = [load(&two[0]), load(&two[1])];
                store(_mm256_unpacklo_epi16(a, b), &mut two[0]);
                store(_mm256_unpackhi_epi16(a, b), &mut two[1]);
                self.weights.push(two);
            }
        }
    }
}
