//! Tensors laid out for vectors: 16 bits an element, padded to whole registers.

use std::vec::Vec;

use super::Lanes;
use crate::program::op::Geometry;

use super::std;

/// An input less its zero point, with zeros wherever windows reach beyond it, and after the
/// channels of each pixel up to `pitch`.
#[derive(Debug, Default)]
pub struct Padded {
    pub data: Vec<i16>,
    pub columns: usize,
    pub pitch: usize,
}

impl Padded {
    /// Lays `x` out for the windows of `geometry`.
    #[inline(always)]
    pub fn fill(&mut self, geometry: &Geometry, x: &[i8], zero: i16, pitch: usize) {
        let Geometry { x: shape, y, window } = *geometry;
        let span = |outputs: u16, axis: usize| {
            (outputs as usize).saturating_sub(1) * window.stride[axis] as usize
                + (window.kernel[axis] as usize).saturating_sub(1) * window.dilation[axis] as usize
                + 1
        };
        let (rows, columns) = (span(y.h, 0), span(y.w, 1));
        let channels = shape.c as usize;
        self.data.clear();
        self.data.resize(rows * columns * pitch, 0);
        (self.columns, self.pitch) = (columns, pitch);
        let (down, right) = (window.pad[0] as usize, window.pad[1] as usize);
        for (row, x) in x.chunks_exact(shape.w as usize * channels).enumerate() {
            let row = row + down;
            if row >= rows {
                break;
            }
            let line = &mut self.data[row * columns * pitch..(row + 1) * columns * pitch];
            let pixels = line.chunks_exact_mut(pitch).skip(right);
            for (to, x) in pixels.zip(x.chunks_exact(channels)) {
                for (to, &x) in to.iter_mut().zip(x) {
                    *to = i16::from(x).wrapping_sub(zero);
                }
            }
        }
    }

    /// Where the window of output position `(row, column)` begins.
    #[inline]
    pub fn corner(&self, geometry: &Geometry, row: usize, column: usize) -> usize {
        let [down, right] = geometry.window.stride.map(usize::from);
        (row * down * self.columns + column * right) * self.pitch
    }
}

/// Rows of weights in blocks of eight: sixteen elements of each of the eight follow each other.
#[derive(Debug, Default)]
pub struct Blocks {
    pub data: Vec<[Lanes; 8]>,
}

impl Blocks {
    /// Makes room for `rows` rows of `length` elements, all zero.
    pub fn clear(&mut self, rows: usize, length: usize) {
        self.data.clear();
        self.data.resize(rows.div_ceil(8) * length.div_ceil(16), [[0; 16]; 8]);
    }

    /// Lays out row `index`.
    #[inline(always)]
    pub fn set(&mut self, index: usize, row: &[i8]) {
        let steps = row.len().div_ceil(16);
        let block = &mut self.data[index / 8 * steps..(index / 8 + 1) * steps];
        for (to, from) in block.iter_mut().zip(row.chunks(16)) {
            let to = &mut to[index % 8];
            for (to, &w) in to.iter_mut().zip(from) {
                *to = w.into();
            }
        }
    }
}
