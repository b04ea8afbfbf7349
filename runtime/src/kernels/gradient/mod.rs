//! Backward kernels: the loss gradient, and the error tensor of each op's input.
//!
//! Every kernel sums int32 accumulators in units of a power of two, adds what another branch
//! brings (`skip`), and rounds once into the output's exponent: see [`sink`].

pub(super) mod axpy;
mod conv;
mod copy;
mod depthwise;
mod head;
mod loss;
mod matmul;
mod max_pool;
mod mul;
mod nest;
mod normalize;
mod pool;
mod sink;
mod softmax;
mod sum;
mod table;

pub(super) use sink::Sink;

/// Bits below an error's step in which kernels that only add errors count, so that another branch's
/// finer steps are kept.
const FRACTION: i32 = 12;

/// Channels that kernels without scratch sum at a time, on the stack.
const CHUNK: usize = 32;
