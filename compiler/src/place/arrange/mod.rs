//! The planner without a program: sizes and lives in, offsets out.

use super::fit::Problem;
use super::improve::{best_fit_with, Effort};
use super::sections::Sections;
use super::Life;

/// Where tensors lie, and how good that is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Arrangement {
    /// First byte of each tensor; 0 for one without a life.
    pub offsets: Vec<u32>,
    /// Bytes needed.
    pub peak: u32,
    /// Most live bytes at any time: no arrangement needs less.
    pub lower_bound: u32,
    /// Nodes of the search; 0 where none was needed.
    pub nodes: u64,
}

/// Tensors that cannot be arranged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArrangeError {
    /// Sizes and lives are not of the same tensors.
    #[error("{bytes} tensors have a size, but {lives} a life; give one of each")]
    Lengths {
        /// Number of sizes.
        bytes: usize,
        /// Number of lives.
        lives: usize,
    },
    /// A life ends before it begins.
    #[error("tensor {tensor} lives from {first} to {last}; a life must not end before it begins")]
    Backward {
        /// Number of the tensor.
        tensor: usize,
        /// The beginning of its life.
        first: u32,
        /// Its end.
        last: u32,
    },
    /// An offset could exceed 32 bits.
    #[error(
        "the tensors take {bytes} bytes together; offsets have 32 bits: arrange fewer at once"
    )]
    TooLarge {
        /// Bytes of all tensors.
        bytes: u64,
    },
}

/// Arranges tensors of `bytes` each that share no byte with another where their lives meet. Offsets
/// are sums of sizes: multiples of [`super::ALIGNMENT`] where all sizes are. Equal tensors get
/// equal offsets with equal effort.
///
/// # Errors
/// Where sizes and lives do not fit together or exceed 32 bits.
pub fn arrange(
    bytes: &[u32],
    live: &[Option<Life>],
    effort: Effort,
) -> Result<Arrangement, ArrangeError> {
    if bytes.len() != live.len() {
        return Err(ArrangeError::Lengths { bytes: bytes.len(), lives: live.len() });
    }
    let lives = live.iter().enumerate().filter_map(|(tensor, life)| Some((tensor, (*life)?)));
    for (tensor, Life { first, last }) in lives {
        if last < first {
            return Err(ArrangeError::Backward { tensor, first, last });
        }
    }
    let total: u64 = bytes.iter().copied().map(u64::from).sum();
    if total >= u32::MAX.into() {
        return Err(ArrangeError::TooLarge { bytes: total });
    }
    let problem = Problem::new(bytes, live);
    let lower_bound = Sections::of(&problem).lower_bound();
    let fitted = best_fit_with(&problem, lower_bound, effort);
    let (offsets, peak, nodes) = (fitted.offsets, fitted.peak, fitted.nodes);
    Ok(Arrangement { offsets, peak, lower_bound, nodes })
}

#[cfg(test)]
mod tests;
