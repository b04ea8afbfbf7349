//! How much ops can sum: what the verifier holds them to, and the compiler says by node name.

use super::{MatMul, MeanSquare, Normalize, Softmax};

impl Softmax {
    /// Row length up to which the sum of exponentials stays in 31 bits.
    pub const MOST_CHANNELS: u16 = 4095;
}

impl Normalize {
    /// Row length up to which sums of squares, and of errors times elements, stay in 31 bits.
    pub const MOST_CHANNELS: u16 = 4096;
}

impl MeanSquare {
    /// Elements up to which squares of differences, of 22 bits each, add up in 63 bits.
    pub const MOST_ELEMENTS: u32 = 1 << 19;
}

impl MatMul {
    /// Terms of a sum up to which products of offset int8 stay in 31 bits.
    pub const MOST_TERMS: u64 = i32::MAX as u64 / (255 * 255);
}
