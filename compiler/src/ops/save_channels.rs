//! Keeps the channels of an activation that a weight gradient will read.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::{expect_inputs, nhwc, Operator, OutputType};
use crate::ir::{Attributes, Node, NodeId, Tensor};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y = x[.., channels]`, with x's quantisation.
#[derive(Clone, Debug, PartialEq)]
pub struct SaveChannels {
    /// Channels that are kept, ascending.
    pub channels: Vec<u16>,
}

impl Operator for SaveChannels {
    const NAME: &'static str = "save_channels";

    fn attributes(&self) -> Attributes {
        Attributes::new().with("channels", self.channels.iter().map(|&c| i64::from(c)))
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(SaveChannels { channels: attributes.list("channels")? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        let [h, w, c] = nhwc(inputs[0])?;
        if self.channels.is_empty() || self.channels.windows(2).any(|p| p[0] >= p[1]) {
            return Err("channels must be ascending, at least one".into());
        }
        if self.channels.iter().any(|&k| usize::from(k) >= c) {
            return Err(format!("a channel is beyond the {c} of `{}`", inputs[0].name));
        }
        Ok(vec![(inputs[0].dtype, vec![1, h, w, self.channels.len()])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let [_, _, c] = values.hwc(node.inputs[0]);
        let x = values.get(node.inputs[0]);
        let kept = x.chunks_exact(c).flat_map(|x| self.channels.iter().map(|&k| x[k as usize]));
        let kept = kept.collect();
        values.set(node.outputs[0], kept);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let channels = cx.hwc(node.inputs[0])[2] as u16;
        let (input, output) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        let selected = cx.indices(&self.channels);
        cx.push(id, rt::SaveChannels { input, output, selected, channels });
        Ok(())
    }
}
