//! Compiles an ONNX network into a `no_std` program that trains on a microcontroller.
//!
//! The pipeline, left to right, each stage a module: [`import`] reads ONNX, [`quantize`]
//! makes int8 of real numbers, [`adapt`] gives the
//! network a new head and marks what is trained, [`differentiate`] adds the backward pass,
//! [`prune`] keeps what feeds an update, [`lower`] turns real arithmetic into integer ops,
//! [`band`] runs some of them a few rows at a time, [`trim`] leaves out what need not be kept,
//! [`schedule`] orders them, [`place`] gives every tensor its offset, [`emit`] writes the program.

pub mod adapt;
pub mod adapter;
pub mod band;
pub mod bank;
pub mod device;
pub mod differentiate;
pub mod emit;
pub mod fit;
pub mod guard;
pub mod import;
pub mod inspect;
pub mod ir;
pub mod learn;
pub mod lower;
pub mod ops;
pub mod pipeline;
pub mod place;
pub mod prune;
pub mod quantize;
pub mod reference;
pub mod report;
pub mod schedule;
pub mod scheme;
pub mod search;
pub mod trim;
