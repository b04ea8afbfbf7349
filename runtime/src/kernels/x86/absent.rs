//! Stands where no faster inner loops exist: every entry point leaves the work to the portable one.

use crate::error_scale::Quantizer;
use crate::kernels::forward::Output;
use crate::kernels::gradient::Sink;
use crate::kernels::scales::Scales;
use crate::kernels::weights::Rows;
use crate::program::op::Geometry;
use crate::Fault;

pub use crate::kernels::gradient::axpy::Pending;

/// Runs `f`.
#[cfg(feature = "host")]
pub fn widest<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Not done.
#[inline(always)]
pub fn conv(
    _: &Geometry,
    _: usize,
    _: &[i8],
    _: (&Rows<'_>, &mut [i8]),
    _: (&[i32], &Scales<'_>),
    _: i16,
    _: &mut Output<'_>,
) -> bool {
    false
}

/// Not done.
#[inline(always)]
pub fn depthwise(
    _: &Geometry,
    _: &[i8],
    _: &[i8],
    _: (&[i32], &Scales<'_>),
    _: i16,
    _: &mut Output<'_>,
) -> bool {
    false
}

/// Not done.
#[inline(always)]
pub fn with_matrix<R>(
    _: &Rows<'_>,
    _: impl FnOnce(&[i8]) -> Result<R, Fault>,
) -> Option<Result<R, Fault>> {
    None
}

/// `sums += e w`, element by element.
#[inline(always)]
pub fn multiply_add(sums: &mut [i32], error: &[i8], weights: &[i8]) {
    for ((s, &e), &w) in sums.iter_mut().zip(error).zip(weights) {
        *s = s.wrapping_add(e as i32 * w as i32);
    }
}

/// Not done.
#[inline(always)]
pub fn put(_: &mut Sink<'_>, _: &mut Quantizer, _: usize, _: &[i32]) -> bool {
    false
}
