//! Stands where no faster inner loops exist: every entry point leaves the work to the portable one.

use crate::error_scale::Quantizer;
use crate::kernels::forward::Output;
use crate::kernels::gradient::Sink;
use crate::kernels::scales::Scales;
use crate::kernels::weights::Rows;
use crate::program::op::{Add, Geometry};
use crate::Fault;

pub use crate::kernels::gradient::axpy::Pending;

/// Runs `f`.
#[cfg(feature = "host")]
pub fn widest<R>(f: impl FnOnce() -> R) -> R {
    f()
}

/// Runs `f`.
#[cfg(test)]
pub fn portably<R>(f: impl FnOnce() -> R) -> R {
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
pub fn add<const SHIFT: i32>(_: &Add, _: &[i8], _: &[i8], _: &mut Output<'_>) -> usize {
    0
}

/// Not done.
#[inline(always)]
pub fn put(_: &mut Sink<'_>, _: &mut Quantizer, _: usize, _: &[i32]) -> usize {
    0
}

/// Not done.
#[inline(always)]
pub fn conv_input(
    _: &Geometry,
    _: usize,
    _: &[i8],
    _: &Rows<'_>,
    _: &Scales<'_>,
    _: (&mut Sink<'_>, &mut Quantizer),
) -> Result<bool, Fault> {
    Ok(false)
}

/// Not done.
#[inline(always)]
pub fn depthwise_input(
    _: &Geometry,
    _: &[i8],
    _: &[i8],
    _: &Scales<'_>,
    _: (&mut Sink<'_>, &mut Quantizer),
) -> bool {
    false
}
