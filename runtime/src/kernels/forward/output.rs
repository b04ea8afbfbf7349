//! What every requantising kernel does last: scale, clamp, note the mask bit, store.

use crate::kernels::{ensure, mask};
use crate::program::op::Range;
use crate::Fault;

/// An int8 tensor under construction, with its clamp mask.
#[derive(Debug)]
pub struct Output<'m> {
    pub(in crate::kernels) y: &'m mut [i8],
    pub(in crate::kernels) mask: &'m mut [u8],
    pub(in crate::kernels) zero: i32,
    pub(in crate::kernels) min: i32,
    pub(in crate::kernels) max: i32,
}

impl<'m> Output<'m> {
    /// `mask` is empty where it is not kept. It starts as zero, so that bits beyond the last
    /// element are the same on every core.
    pub fn new(y: &'m mut [i8], mask: &'m mut [u8], range: Range) -> Result<Self, Fault> {
        ensure(mask.is_empty() || mask.len() == mask::bytes(y.len()))?;
        ensure(range.min <= range.max)?;
        mask.fill(0);
        Ok(Output {
            y,
            mask,
            zero: range.zero.into(),
            min: range.min.into(),
            max: range.max.into(),
        })
    }

    /// Elements of the tensor.
    pub fn len(&self) -> usize {
        self.y.len()
    }

    /// What lies at element `index`; 0 beyond the tensor.
    #[inline]
    pub fn get(&self, index: usize) -> i8 {
        self.y.get(index).copied().unwrap_or_default()
    }

    /// Stores element `index`, which lies `scaled` steps from the zero point.
    #[inline]
    pub fn put(&mut self, index: usize, scaled: i32) {
        let value = scaled.saturating_add(self.zero);
        let kept = value.max(self.min).min(self.max);
        if let Some(y) = self.y.get_mut(index) {
            *y = kept as i8;
        }
        if kept == value && !self.mask.is_empty() {
            mask::set(self.mask, index, true);
        }
    }
}
