//! Which ops may write over what they read.

use super::{Error, Op};
use crate::Slot;

/// An output, and the inputs in whose very place it may lie: that of one of them, element by element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InPlace {
    /// What is written.
    pub output: Slot,
    /// What is read; empty where there is no second one.
    pub inputs: [Slot; 2],
}

impl Op {
    /// Where the op may write over what it reads: ops of single elements over an input, input gradients
    /// over the branch that they add. None of the others.
    pub fn in_place(&self) -> Option<InPlace> {
        let one = |output, input| Some(InPlace { output, inputs: [input, Slot::default()] });
        let branch = |output: Error, skip: Error| one(output.data, skip.data);
        match self {
            Op::Add(op) => Some(InPlace { output: op.output, inputs: [op.a, op.b] }),
            Op::Mul(op) => one(op.output, op.a),
            Op::Requantize(op) => one(op.output, op.input),
            Op::Table(op) => one(op.output, op.input),
            Op::Nest(op) => one(op.output, op.input),
            Op::ConvInputGrad(op) => branch(op.output, op.skip),
            Op::DepthwiseInputGrad(op) => branch(op.output, op.skip),
            Op::PoolInputGrad(op) => branch(op.output, op.skip),
            Op::MaxPoolInputGrad(op) => branch(op.output, op.skip),
            Op::TableInputGrad(op) => branch(op.output, op.skip),
            Op::MulInputGrad(op) => branch(op.output, op.skip),
            Op::MatMulInputGrad(op) => branch(op.output, op.skip),
            Op::NormalizeInputGrad(op) => branch(op.output, op.skip),
            Op::SoftmaxInputGrad(op) => branch(op.output, op.skip),
            Op::NestInputGrad(op) => branch(op.output, op.skip),
            Op::SumGrad(op) => branch(op.output, op.skip),
            // Not those of a copy: elements that several others come from are written twice.
            _ => None,
        }
    }
}
