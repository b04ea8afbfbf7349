//! Boards as data, their images, and how to build and emulate them.
//!
//! `images/<name>/` holds a board: `board.toml` and the sources of a small program that plugs the
//! chip into the application of `offshoot-firmware`. [`image::materialise`] copies it beside an
//! emitted model, [`build::build`] compiles and measures it, [`emulator::start`] runs it and hands
//! out its byte link. [`baseline`] holds what an image takes against what was agreed to.
//!
//! Invariants: nothing here knows what travels over the link or what the image computes; the
//! limits in `board.toml` are those that the image is linked with.

pub mod baseline;
mod board;
pub mod build;
pub mod elf;
pub mod emulator;
pub mod image;
pub mod toolchain;

pub use board::{
    all, emulated, find, names, Board, BoardError, Checkpoints, Emulation, KeptMemory, LogChannel,
    Region, Register, Sram, Uart,
};
pub use build::build;
