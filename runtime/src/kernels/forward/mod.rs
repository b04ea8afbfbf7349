//! Forward kernels: activations from activations, bit for bit as TensorFlow Lite's int8 kernels
//! where those exist.
//!
//! A `run` method resolves and checks its slots once; what follows cannot go out of bounds.
//! Padding stands for the input's zero point, so it contributes nothing to any sum.

mod add;
mod conv;
mod copy;
mod depthwise;
mod dot;
mod head;
mod init;
mod matmul;
mod max_pool;
mod mul;
mod nest;
mod normalize;
mod output;
mod pool;
mod receive;
mod requantize;
mod save;
mod softmax;
mod table;

pub(super) use nest::{kept, passing, share};
pub(super) use output::Output;
pub(super) use table::entry;

/// Channels that a channel-wise kernel accumulates side by side: enough to share what a kernel
/// position costs, few enough for the registers.
const LANES: usize = if cfg!(target_pointer_width = "32") { 8 } else { 16 };

/// Where blocks of [`LANES`] channels begin, the last one moved back so that it ends with the
/// channels (what two blocks share is computed twice, to the same result); none where there are
/// fewer channels than lanes.
fn blocks(channels: usize) -> impl Iterator<Item = usize> {
    let last = channels.checked_sub(LANES);
    last.into_iter().flat_map(move |last| (0..channels).step_by(LANES).map(move |c| c.min(last)))
}
