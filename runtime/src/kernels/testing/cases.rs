//! What kernels are tested on: random numbers and windowed shapes.

use crate::fixed::Multiplier;
use crate::program::op::{Contraction, Geometry, Precision, Range, Shape, Strides, Window};

/// Linear congruential generator.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    /// Uniform in `low..=high`.
    pub fn within(&mut self, low: i32, high: i32) -> i32 {
        low.wrapping_add(self.below(high.abs_diff(low) as usize + 1) as i32)
    }

    pub fn int8(&mut self, length: usize) -> Vec<i8> {
        (0..length).map(|_| self.within(-128, 127) as i8).collect()
    }

    /// Values of +-127, one in `sparsity` of them 0.
    pub fn sparse(&mut self, length: usize, sparsity: usize) -> Vec<i8> {
        let value = |r: &mut Self| r.within(-127, 127) as i8;
        (0..length).map(|_| if self.below(sparsity) == 0 { 0 } else { value(self) }).collect()
    }

    pub fn mask(&mut self, elements: usize) -> Vec<u8> {
        (0..elements.div_ceil(8)).map(|_| self.below(256) as u8).collect()
    }

    /// A multiplier around `factor`.
    pub fn multiplier(&mut self, factor: f64) -> Multiplier {
        Multiplier::from_f64(factor * (0.5 + self.within(0, 1000) as f64 / 1000.0))
    }

    /// An output range that clamps some values.
    pub fn range(&mut self) -> Range {
        let min = self.within(-128, -20) as i8;
        Range { zero: self.within(-30, 30) as i16, min, max: self.within(20, 127) as i8 }
    }

    /// A window over some map, with padding of its own on each side.
    pub fn geometry(&mut self, x_channels: usize, y_channels: usize) -> Geometry {
        let mut axis = || {
            let (size, kernel) = (self.within(1, 11), self.within(1, 4));
            let dilation = if self.below(3) == 0 { self.within(1, size.min(3)) } else { 1 };
            let (stride, pad) = (self.within(1, 3), self.within(0, (kernel - 1) * dilation));
            let outputs = self.within(1, (size - 1 + pad) / stride + 1);
            [size, outputs, kernel, stride, pad, dilation].map(|n| n as u16)
        };
        let (v, h) = (axis(), axis());
        Geometry {
            x: Shape { h: v[0], w: h[0], c: x_channels as u16 },
            y: Shape { h: v[1], w: h[1], c: y_channels as u16 },
            window: Window {
                kernel: [v[2], h[2]],
                stride: [v[3], h[3]],
                pad: [v[4], h[4]],
                dilation: [v[5], h[5]],
            },
        }
    }

    /// An ascending choice of `count` of `channels`.
    pub fn choice(&mut self, count: usize, channels: usize) -> Vec<u16> {
        let mut all: Vec<u16> = (0..channels as u16).collect();
        while all.len() > count {
            all.remove(self.below(all.len()));
        }
        all
    }

    /// How many of `channels` are trained (none in a third of all cases), and how.
    pub fn training(&mut self, channels: usize) -> (usize, Precision) {
        let trained = if self.below(3) == 0 { 0 } else { 1 + self.below(channels) };
        let all = [Precision::Residual, Precision::Stochastic, Precision::Sign];
        (trained, all[self.below(3)])
    }
}

/// Windowed shapes: strides, padding more on one side, kernels that leave pixels unseen, dilation.
pub fn shapes() -> Vec<Geometry> {
    let shape = |[h, w, c]: [u16; 3]| Shape { h, w, c };
    let geometry = |x, y, kernel, stride, pad| Geometry {
        x: shape(x),
        y: shape(y),
        window: Window { kernel, stride, pad, dilation: [1, 1] },
    };
    let dilated = |mut g: Geometry, dilation| {
        g.window.dilation = dilation;
        g
    };
    vec![
        dilated(geometry([7, 6, 4], [7, 4, 8], [3, 2], [1, 1], [2, 0]), [2, 2]),
        dilated(geometry([9, 8, 4], [3, 4, 4], [2, 3], [2, 2], [1, 2]), [3, 2]),
        geometry([4, 5, 12], [4, 5, 8], [1, 1], [1, 1], [0, 0]),
        geometry([6, 5, 4], [6, 5, 8], [3, 3], [1, 1], [1, 1]),
        geometry([7, 8, 8], [4, 4, 4], [3, 3], [2, 2], [1, 0]),
        geometry([9, 4, 8], [4, 2, 12], [5, 3], [2, 2], [1, 1]),
        geometry([5, 7, 4], [2, 3, 4], [1, 1], [3, 3], [0, 0]),
        geometry([1, 1, 20], [1, 1, 12], [1, 1], [1, 1], [0, 0]),
        geometry([6, 3, 4], [3, 3, 4], [4, 2], [2, 1], [1, 1]),
    ]
}

/// Products of two tensors: plain, transposed, split into heads, broadcast, with parts that no loop
/// meets.
pub fn contractions() -> Vec<Contraction> {
    let strides = |at, step| Strides { at, step };
    let contraction = |size: [u16; 4], a, b| {
        let [_, rows, columns, _] = size.map(u32::from);
        Contraction { size, a, b, y: strides(0, [rows * columns, columns, 1, 0]) }
    };
    vec![
        // a b, one batch, and three.
        contraction([1, 3, 4, 5], strides(0, [0, 5, 0, 1]), strides(0, [0, 0, 1, 4])),
        contraction([3, 2, 4, 5], strides(0, [10, 5, 0, 1]), strides(0, [20, 0, 1, 4])),
        // a times b transposed; a transposed times b.
        contraction([1, 3, 4, 70], strides(0, [0, 70, 0, 1]), strides(0, [0, 0, 70, 1])),
        contraction([1, 5, 2, 6], strides(0, [0, 1, 0, 5]), strides(0, [0, 0, 1, 2])),
        // Two heads of 4 in rows of 8 (queries and keys); probabilities times values.
        contraction([2, 5, 6, 4], strides(0, [4, 8, 0, 1]), strides(0, [4, 0, 8, 1])),
        contraction([2, 5, 4, 6], strides(0, [30, 6, 0, 1]), strides(0, [4, 0, 1, 8])),
        // Queries and keys in rows of 24 that hold all three.
        contraction([2, 5, 6, 4], strides(0, [4, 24, 0, 1]), strides(8, [4, 0, 24, 1])),
        // b is the same for all batches; a for all rows.
        contraction([3, 2, 4, 5], strides(0, [10, 5, 0, 1]), strides(1, [0, 0, 5, 1])),
        contraction([2, 3, 4, 6], strides(2, [6, 0, 0, 1]), strides(0, [24, 0, 1, 4])),
        // Every second element.
        contraction([1, 3, 2, 4], strides(1, [0, 8, 0, 2]), strides(0, [0, 0, 9, 2])),
        // Single elements.
        contraction([1, 1, 1, 1], strides(0, [0, 0, 0, 0]), strides(0, [7, 7, 7, 7])),
        contraction([1, 4, 1, 1], strides(0, [0, 1, 0, 1]), strides(0, [0, 0, 0, 1])),
    ]
}
