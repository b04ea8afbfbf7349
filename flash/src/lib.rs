//! Programs boards through debug probes, and shows their logs.
//!
//! A [`Chip`] is what probe-rs knows of a chip's memories; a [`Plan`] is what of an image would be
//! written where, held against chip and board; [`probe`] finds the probe and the chip behind it;
//! [`program`] erases, writes, verifies and starts; [`log`] reads what the image logs (defmt over RTT).
//!
//! Invariants: what a plan shows is what is written, byte for byte; nothing is erased before the
//! plan fits and the chip is known to be the one asked for, but that a locked chip is unlocked by
//! erasing it, where that is asked for, before it can say what it is.

mod chip;
mod error;
mod esp;
pub mod log;
mod plan;
pub mod probe;
pub mod program;

pub use chip::Chip;
pub use error::FlashError;
pub use plan::{Plan, Segment, Share};
