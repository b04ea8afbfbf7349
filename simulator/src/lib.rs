//! Runs a compiled program on the desktop, with the kernels that the device runs.
//!
//! There is no second implementation of anything here: [`Simulation`] drives
//! [`offshoot_runtime::Interpreter`]. What is added is what a desktop has: files of programs and
//! samples, epochs in a reproducible order, and a cache of what the frozen front of the network
//! computes, which changes no bit of any result.

mod adapter_file;
pub mod data;
mod memory;
mod program_file;
mod round;
mod sealed;
mod simulation;
mod state_file;

pub use adapter_file::{AdapterError, AdapterFile};
pub use memory::AlignedBytes;
pub use program_file::{ProgramError, ProgramFile};
pub use round::{Decay, Round};
pub use simulation::{Memories, Simulation};
pub use state_file::{StateError, StateFile};
