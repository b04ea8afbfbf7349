//! The arithmetic: one file a kernel, portable Rust; `x86` repeats inner loops for the desktop.
//!
//! `forward` computes activations, `gradient` error tensors, `update` changes trainable state.
//! A kernel's file holds the descriptor's `run` method, which resolves its slots, and the loops.

pub(crate) mod companded;
mod contraction;
mod forward;
mod gradient;
mod mask;
mod scales;
pub mod scratch;
pub(crate) mod signs;
#[cfg(test)]
pub(crate) mod testing;
mod update;
mod weights;
mod window;
#[cfg(all(feature = "host", target_arch = "x86_64"))]
mod x86;
#[cfg(not(all(feature = "host", target_arch = "x86_64")))]
#[path = "x86/absent.rs"]
mod x86;

pub use companded::shifted;
pub use signs::signed;
pub use weights::effective;
#[cfg(feature = "host")]
pub use x86::widest;

use crate::Fault;
use core::num::NonZero;

/// [`Fault::Size`] unless `holds`.
fn ensure(holds: bool) -> Result<(), Fault> {
    if holds {
        Ok(())
    } else {
        Err(Fault::Size)
    }
}

/// `count` as what divides: of 0 there is [`Fault::Size`].
fn positive(count: usize) -> Result<NonZero<usize>, Fault> {
    NonZero::new(count).ok_or(Fault::Size)
}

/// Index of the greatest value, the first of equals; 0 of nothing.
pub fn argmax<T: PartialOrd + Copy>(values: &[T]) -> u16 {
    let mut best = 0;
    for (i, v) in values.iter().enumerate() {
        if values.get(best).is_some_and(|b| v > b) {
            best = i;
        }
    }
    best as u16
}

/// By how much the greatest value exceeds the next one; 0 where there are fewer than two.
pub fn margin<T: Copy + Into<i32>>(values: &[T]) -> u32 {
    let (mut first, mut second) = (None, None);
    for &value in values {
        let value: i32 = value.into();
        if first.is_none_or(|first| value > first) {
            (first, second) = (Some(value), first);
        } else if second.is_none_or(|second| value > second) {
            second = Some(value);
        }
    }
    first.zip(second).map_or(0, |(first, second)| first.abs_diff(second))
}
