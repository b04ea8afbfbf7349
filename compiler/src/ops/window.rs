//! Sliding windows: attributes that convolutions and pools share, and their shape rule.

use offshoot_runtime::program::op as rt;

use crate::ir::Attributes;

/// Kernel size, stride, dilation and padding `[top, left, bottom, right]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Kernel height and width.
    pub kernel: [usize; 2],
    /// Vertical and horizontal stride.
    pub stride: [usize; 2],
    /// Padding: top, left, bottom, right.
    pub pad: [usize; 4],
    /// Distance between kernel positions, vertical and horizontal.
    pub dilation: [usize; 2],
}

impl Window {
    /// A window that covers a whole map.
    pub fn whole(height: usize, width: usize) -> Window {
        Window { kernel: [height, width], stride: [1, 1], pad: [0; 4], dilation: [1, 1] }
    }

    /// Its attributes.
    pub fn attributes(&self) -> Attributes {
        let wide = |v: usize| v as i64;
        let plain = Attributes::new()
            .with("kernel", self.kernel.map(wide))
            .with("stride", self.stride.map(wide))
            .with("pad", self.pad.map(wide));
        match self.dilation {
            [1, 1] => plain,
            dilation => plain.with("dilation", dilation.map(wide)),
        }
    }

    /// The window that attributes describe.
    ///
    /// # Errors
    /// Which attribute is missing or wrong.
    pub fn from_attributes(attributes: &Attributes) -> Result<Window, String> {
        Ok(Window {
            kernel: attributes.get("kernel")?,
            stride: attributes.get("stride")?,
            pad: attributes.get("pad")?,
            dilation: attributes.find("dilation")?.unwrap_or([1, 1]),
        })
    }

    /// Size of the output map over an input of `height` by `width`.
    ///
    /// # Errors
    /// Where the window does not fit, or some output would see padding alone.
    pub fn output(&self, height: usize, width: usize) -> Result<[usize; 2], String> {
        let size = [height, width];
        let mut output = [0; 2];
        for axis in 0..2 {
            let (kernel, stride) = (self.kernel[axis], self.stride[axis]);
            let (before, after) = (self.pad[axis], self.pad[axis + 2]);
            let padded = size[axis] + before + after;
            let span = self.span(axis);
            if kernel == 0 || stride == 0 || self.dilation[axis] == 0 || padded < span {
                return Err(format!(
                    "a {}x{} kernel with stride {:?}, padding {:?} and dilation {:?} does not fit a {height}x{width} map",
                    self.kernel[0], self.kernel[1], self.stride, self.pad, self.dilation
                ));
            }
            if before >= span || after >= span {
                return Err(format!("padding {:?} is as large as the kernel", self.pad));
            }
            output[axis] = (padded - span) / stride + 1;
        }
        Ok(output)
    }

    /// Pixels that the window spans along `axis` (0: vertical).
    pub fn span(&self, axis: usize) -> usize {
        self.kernel[axis].saturating_sub(1).saturating_mul(self.dilation[axis]).saturating_add(1)
    }

    /// The runtime's description.
    pub fn lower(&self) -> rt::Window {
        let narrow = |v: usize| v as u16;
        rt::Window {
            kernel: self.kernel.map(narrow),
            stride: self.stride.map(narrow),
            pad: [self.pad[0] as u16, self.pad[1] as u16],
            dilation: self.dilation.map(narrow),
        }
    }

    /// Pairs of input row (or column) and kernel position that output coordinate `at` sees
    /// along `axis` (0 vertical) of a map of `size`.
    pub fn taps(
        &self,
        axis: usize,
        at: usize,
        size: usize,
    ) -> impl Iterator<Item = (usize, usize)> {
        let (pad, start) = (self.pad[axis], at * self.stride[axis]);
        let dilation = self.dilation[axis];
        (0..self.kernel[axis])
            .filter_map(move |k| (start + k * dilation).checked_sub(pad).map(|i| (i, k)))
            .filter(move |&(i, _)| i < size)
    }
}

/// A runtime shape.
pub fn shape(hwc: [usize; 3]) -> rt::Shape {
    rt::Shape { h: hwc[0] as u16, w: hwc[1] as u16, c: hwc[2] as u16 }
}
