//! Concatenation along height, width or channels.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::copy::{lowered, places};
use super::{expect_activation, expect_dtype, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y` is its inputs one after the other along an axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Concat {
    /// 1: height, 2: width, 3: channels.
    pub axis: usize,
}

impl Concat {
    /// Where each input, of height, width and channels, goes in the output.
    fn paths(&self, inputs: &[[usize; 3]]) -> Vec<rt::Path> {
        let axis = self.axis.clamp(1, 3) - 1;
        let mut whole = inputs.first().copied().unwrap_or_default();
        whole[axis] = inputs.iter().map(|hwc| hwc[axis]).sum();
        let steps = |[_, w, c]: [usize; 3]| [0, 0, (w * c) as i32, c as i32, 1];
        let (to, mut before) = (steps(whole), 0);
        let piece = |&hwc: &[usize; 3]| {
            let [h, w, c] = hwc.map(|n| n as u16);
            let to_at = before as u32 * to[2 + axis] as u32;
            before += hwc[axis];
            rt::Path { size: [1, 1, h, w, c], from_at: 0, from: steps(hwc), to_at, to }
        };
        inputs.iter().map(piece).collect()
    }
}

impl Operator for Concat {
    const NAME: &'static str = "concat";

    fn attributes(&self) -> Attributes {
        Attributes::new().with("axis", [self.axis as i64])
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [axis] = attributes.get("axis")?;
        match axis {
            1..=3 => Ok(Concat { axis }),
            _ => Err(format!("axis {axis} is not height (1), width (2) or channels (3)")),
        }
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        let Some(first) = inputs.first() else { return Err("has no inputs".into()) };
        let dtype = expect_activation(first)?;
        let mut shape = first.shape.clone();
        for (index, input) in inputs.iter().enumerate() {
            expect_activation(input)?;
            expect_dtype(input, dtype)?;
            nhwc(input)?;
            if (1..4).any(|d| d != self.axis && input.shape[d] != shape[d]) {
                let (name, found) = (&input.name, &input.shape);
                return Err(format!(
                    "`{name}` has shape {found:?}, which does not go with {shape:?}"
                ));
            }
            shape[self.axis] += if index > 0 { input.shape[self.axis] } else { 0 };
        }
        Ok(vec![(dtype, shape)])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let sizes: Vec<[usize; 3]> = node.inputs.iter().map(|&x| values.hwc(x)).collect();
        let mut y = vec![T::zero(); values.hwc(node.outputs[0]).iter().product()];
        for (path, &x) in self.paths(&sizes).iter().zip(&node.inputs) {
            let x = values.get(x);
            places(path).for_each(|(from, to)| y[to] = x[from]);
        }
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let shape = |&x: &TensorId| {
            let shape = &cx.graph().tensor(x).shape;
            [shape[1], shape[2], shape[3]]
        };
        let sizes: Vec<[usize; 3]> = node.inputs.iter().map(shape).collect();
        for (index, path) in self.paths(&sizes).into_iter().enumerate() {
            cx.contribute_copy(node, index, dy, path);
        }
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let y = node.outputs[0];
        let sizes: Vec<[usize; 3]> = node.inputs.iter().map(|&x| cx.hwc(x)).collect();
        for (index, (path, &x)) in self.paths(&sizes).into_iter().zip(&node.inputs).enumerate() {
            let (moved, whole) = (lowered(cx, x, y, path), cx.slot(y));
            let op = match index {
                0 => rt::Copy { output: whole, ..moved },
                _ => rt::Copy { part: whole, ..moved },
            };
            cx.push(id, op);
        }
        Ok(())
    }
}
