//! Which kernel positions of a window fall inside a map.

use crate::program::op::{Geometry, Window};

/// Kernel positions of one output coordinate that lie inside the input:
/// input coordinate `first`, for kernel positions `from..to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Input coordinate that kernel position `from` sees; the next see `step` further each.
    pub first: usize,
    /// Dilation.
    pub step: usize,
    /// First kernel position inside.
    pub from: usize,
    /// One past the last kernel position inside.
    pub to: usize,
}

/// Reach of output coordinate `y` along one axis.
#[inline]
pub fn reach(y: usize, window: &Window, axis: usize, size: u16) -> Reach {
    let step = window.dilation[axis] as usize;
    // Most windows are not dilated: no division for them.
    let steps = |room: usize| if step == 1 { room } else { room.div_ceil(step.max(1)) };
    let start = (y * window.stride[axis] as usize) as isize - window.pad[axis] as isize;
    let from = if start < 0 { steps((-start) as usize) } else { 0 };
    let room = size as isize - start;
    let to = if room < 0 { 0 } else { steps(room as usize).min(window.kernel[axis] as usize) };
    if to <= from {
        // A dilated window may step over the whole map: it names nothing, not even its beginning.
        return Reach { first: 0, step, from: 0, to: 0 };
    }
    let first = (start + (from * step) as isize).max(0) as usize;
    Reach { first, step, from, to }
}

impl Geometry {
    /// Reach of output row `y`.
    #[inline]
    pub fn rows(&self, y: usize) -> Reach {
        reach(y, &self.window, 0, self.x.h)
    }

    /// Reach of output column `x`.
    #[inline]
    pub fn columns(&self, x: usize) -> Reach {
        reach(x, &self.window, 1, self.x.w)
    }

    /// Output rows that see input row `x`, each with the kernel row that does.
    #[inline]
    pub(crate) fn rows_seeing(&self, x: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        seen_from(x, &self.window, 0, self.y.h)
    }

    /// Output columns that see input column `x`, each with the kernel column that does.
    #[inline]
    pub(crate) fn columns_seeing(&self, x: usize) -> impl Iterator<Item = (usize, usize)> + Clone {
        seen_from(x, &self.window, 1, self.y.w)
    }
}

/// Output coordinates along one axis whose window holds input coordinate `x`, each with the
/// kernel position that sees it.
#[inline]
fn seen_from(
    x: usize,
    window: &Window,
    axis: usize,
    outputs: u16,
) -> impl Iterator<Item = (usize, usize)> + Clone {
    let padded = x + window.pad[axis] as usize;
    let stride = window.stride[axis].max(1) as usize;
    let dilation = window.dilation[axis].max(1) as usize;
    let last = (padded / stride).min((outputs as usize).saturating_sub(1));
    let first = (padded + 1).saturating_sub(window.span(axis) as usize).div_ceil(stride);
    (first..last + 1).filter_map(move |y| {
        let offset = padded - y * stride;
        match dilation {
            1 => Some((y, offset)),
            _ => offset.is_multiple_of(dilation).then_some((y, offset / dilation)),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_name_the_same_pairs() {
        for (size, kernel, stride, pad, outputs, dilation) in [
            (8, 3, 1, 1, 8, 1),
            (7, 5, 2, 2, 4, 1),
            (6, 1, 2, 0, 3, 1),
            (49, 10, 2, 4, 25, 1),
            (4, 4, 4, 0, 1, 1),
            (9, 3, 1, 2, 9, 2),
            (11, 3, 2, 3, 5, 3),
            (2, 2, 1, 4, 5, 4),
        ] {
            let window = Window {
                kernel: [kernel, 1],
                stride: [stride, 1],
                pad: [pad, 0],
                dilation: [dilation, 1],
            };
            let mut forward = Vec::new();
            for y in 0..outputs {
                let r = reach(y as usize, &window, 0, size);
                for (n, k) in (r.from..r.to).enumerate() {
                    forward.push((r.first + n * r.step, y as usize, k));
                }
            }
            let mut backward = Vec::new();
            for x in 0..size as usize {
                for (y, k) in seen_from(x, &window, 0, outputs) {
                    backward.push((x, y, k));
                }
            }
            forward.sort_unstable();
            backward.sort_unstable();
            assert_eq!(forward, backward);
        }
    }
}
