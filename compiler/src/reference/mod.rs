//! Evaluates the IR in real numbers, forward and backward: the yardstick for accuracy, and what
//! gradients are checked against.
//!
//! Weights and biases stand for their dequantised values; activations are not rounded. An
//! activation clamps to the range that its quantisation can hold, as the integer network does.

pub mod math;
mod training;
mod values;

pub use training::FloatTraining;
pub use values::{Step, Values};

use num_traits::Float;

use crate::ir::Graph;

impl<T: Float + Send + Sync> Values<'_, T> {
    /// Runs nodes `from..to` of the graph.
    pub fn run(&mut self, from: usize, to: usize) {
        let graph: &Graph = self.graph();
        for (_, node) in graph.nodes().take(to).skip(from) {
            node.op.evaluate(node, self);
        }
    }
}
