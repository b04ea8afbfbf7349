//! What a lowered program says of what it computes again.

use serde::{Deserialize, Serialize};

/// An op of the forward pass that runs once more in the backward pass, so that what it computes need
/// not be kept until then.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recomputed {
    /// Name of the node that it comes from.
    pub layer: String,
    /// Its multiply-accumulates.
    pub macs: u64,
}
