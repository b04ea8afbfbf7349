//! From what a sensor gives to what a network reads: audio to mel spectra or MFCCs, camera images
//! to the input's size, real values to int8.
//!
//! A network must be trained on the features that the device will compute, so desktop and device
//! run this same code. Invariants: both compute the same bits, since nothing is used but IEEE
//! operations that are defined to the last bit (`+ - * /` and square root, never fused) and the
//! functions of `libm`, which are built from those; nothing allocates, the caller gives all memory;
//! nothing panics.
#![deny(missing_docs)]

pub mod audio;
pub mod image;
pub mod quantize;

pub use quantize::{pixel, Quantizer};
