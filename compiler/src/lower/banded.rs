//! What a lowered program says of its parts that run in bands.

use serde::{Deserialize, Serialize};

/// Part of a program that runs in bands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Banded {
    /// Name of the node of its first op.
    pub first: String,
    /// Name of the node of its last op.
    pub last: String,
    /// Ops that it would take as a whole.
    pub whole_ops: usize,
    /// Ops that it takes in bands, moves of rows included.
    pub ops: usize,
    /// Number of bands.
    pub bands: usize,
    /// Rows of the last op's output that a band has; the last one may have fewer.
    pub rows: u32,
}
