//! Which kernel positions of a window fall inside a map.

use crate::program::op::{Geometry, Window};

/// Kernel positions of one output coordinate that lie inside the input:
/// input coordinate `first`, for kernel positions `from..to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Input coordinate that kernel position `from` sees.
    pub first: usize,
    /// First kernel position inside.
    pub from: usize,
    /// One past the last kernel position inside.
    pub to: usize,
}

/// Reach of output coordinate `y` along one axis.
#[inline]
pub fn reach(y: usize, stride: u16, pad: u16, kernel: u16, size: u16) -> Reach {
    let start = (y * stride as usize) as isize - pad as isize;
    let from = if start < 0 { (-start) as usize } else { 0 };
    let room = size as isize - start;
    let to = if room < 0 { 0 } else { (room as usize).min(kernel as usize) };
    Reach { first: (start + from as isize).max(0) as usize, from, to: to.max(from) }
}

impl Geometry {
    /// Reach of output row `y`.
    #[inline]
    pub fn rows(&self, y: usize) -> Reach {
        let Window { kernel, stride, pad } = self.window;
        reach(y, stride[0], pad[0], kernel[0], self.x.h)
    }

    /// Reach of output column `x`.
    #[inline]
    pub fn columns(&self, x: usize) -> Reach {
        let Window { kernel, stride, pad } = self.window;
        reach(x, stride[1], pad[1], kernel[1], self.x.w)
    }

    /// Output rows that see input row `x`, each with the kernel row that does.
    #[inline]
    pub(crate) fn rows_seeing(&self, x: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        let Window { kernel, stride, pad } = self.window;
        seen_from(x, stride[0], pad[0], kernel[0], self.y.h)
    }

    /// Output columns that see input column `x`, each with the kernel column that does.
    #[inline]
    pub(crate) fn columns_seeing(&self, x: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        let Window { kernel, stride, pad } = self.window;
        seen_from(x, stride[1], pad[1], kernel[1], self.y.w)
    }
}

/// Output coordinates along one axis whose window holds input coordinate `x`, each with the
/// kernel position that sees it.
#[inline]
fn seen_from(
    x: usize,
    stride: u16,
    pad: u16,
    kernel: u16,
    outputs: u16,
) -> impl Iterator<Item = (usize, usize)> + Clone {
    let padded = x + pad as usize;
    let stride = stride.max(1) as usize;
    let last = (padded / stride).min((outputs as usize).saturating_sub(1));
    let first = (padded + 1).saturating_sub(kernel as usize).div_ceil(stride);
    (first..last + 1).map(move |y| (y, padded - y * stride))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_name_the_same_pairs() {
        for (size, kernel, stride, pad, outputs) in
            [(8, 3, 1, 1, 8), (7, 5, 2, 2, 4), (6, 1, 2, 0, 3), (49, 10, 2, 4, 25), (4, 4, 4, 0, 1)]
        {
            let mut forward = Vec::new();
            for y in 0..outputs {
                let r = reach(y as usize, stride, pad, kernel, size);
                for (n, k) in (r.from..r.to).enumerate() {
                    forward.push((r.first + n, y as usize, k));
                }
            }
            let mut backward = Vec::new();
            for x in 0..size as usize {
                for (y, k) in seen_from(x, stride, pad, kernel, outputs) {
                    backward.push((x, y, k));
                }
            }
            forward.sort_unstable();
            backward.sort_unstable();
            assert_eq!(forward, backward);
        }
    }
}
