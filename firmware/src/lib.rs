//! The application around an emitted program: takes samples and labels over a byte link, trains
//! and infers on the device, and tells what that cost.
//!
//! [`app::App`] is the device's half and needs a [`offshoot_runtime::Trainer`] and a [`Board`];
//! `client::Client` (feature `std`) is the host's half. Both speak [`link`]. What was learnt is kept in
//! flash by [`store`], where the board has some, and watched by [`guard`], where that was asked for.
//!
//! Invariants: nothing allocates on the device; no bytes on the link make it panic, and none that
//! are damaged, repeated or out of order make it train; no chip register is touched here.
#![cfg_attr(not(any(test, feature = "std")), no_std)]

pub mod app;
pub mod bank;
mod board;
#[cfg(feature = "std")]
pub mod client;
mod crc;
pub mod guard;
mod line;
pub mod link;
pub mod station;
pub mod store;

pub use app::{serve, App};
pub use board::{Board, Counter, Stack};
pub use line::Line;
