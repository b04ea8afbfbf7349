//! Updates: trainable state takes one step down its gradient.
//!
//! A gradient row lives in int32 scratch only until it is applied. How a step is scaled and
//! rounded is the same for all of them: see [`rule`].

mod bias;
mod conv;
mod depthwise;
mod head;
mod normed;
mod orthonormal;
mod picked;
#[cfg(test)]
mod properties;
mod rule;

use crate::program::op::Geometry;
use core::ops::Range;

impl Geometry {
    /// Outputs along one axis (0: rows) whose kernel position `tap` lies inside the input, and the
    /// input coordinate that the first of them sees there; the next see one stride further.
    fn inside(&self, axis: usize, tap: usize) -> (Range<usize>, usize) {
        let (size, outputs) = match axis {
            0 => (self.x.h as usize, self.y.h as usize),
            _ => (self.x.w as usize, self.y.w as usize),
        };
        let stride = (self.window.stride[axis] as usize).max(1);
        let pad = self.window.pad[axis] as usize;
        let tap = tap * self.window.dilation[axis] as usize;
        let from = pad.saturating_sub(tap).div_ceil(stride);
        let to = (size + pad).saturating_sub(tap).div_ceil(stride).min(outputs);
        (from..to.max(from), (from * stride + tap).saturating_sub(pad))
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::testing::shapes;

    #[test]
    fn inside_names_the_pairs_that_the_forward_pass_sees() {
        for g in shapes() {
            let (mut forward, mut here) = (Vec::new(), Vec::new());
            for y in 0..g.y.w as usize {
                let reach = g.columns(y);
                forward.extend(
                    (reach.from..reach.to)
                        .map(|k| (k, y, reach.first + (k - reach.from) * reach.step)),
                );
            }
            for k in 0..g.window.kernel[1] as usize {
                let (outputs, first) = g.inside(1, k);
                let stride = g.window.stride[1] as usize;
                here.extend(outputs.enumerate().map(|(n, y)| (k, y, first + n * stride)));
            }
            forward.sort_unstable();
            assert_eq!(forward, here);
        }
    }
}
