//! What one step of a program does: plain descriptors that carry everything a kernel needs.
//!
//! Every descriptor has a `run` method (beside its kernel, under `crate::kernels`) and a `visit`
//! method that shows each memory slot with the way it is used. Planner, checker, verifier and
//! simulator learn what an op touches from `visit` alone.
//!
//! Conventions shared by all ops:
//! * activations are NHWC with batch 1, int8; convolution weights `[O][kh][kw][I/groups]`,
//!   depthwise weights `[kh][kw][C]`;
//! * tables indexed by output channel lie in constant memory, aligned to 4 bytes;
//! * an empty slot (0 bytes) means "not there";
//! * an error tensor holds `e` in int8 with `dL/dy = gamma * 2^exponent * e`, y in real units
//!   and gamma the step's loss-gradient scale; the exponent lies in its tracker, or is
//!   [`LOSS_EXPONENT`] where the tracker is empty (the loss gradient itself).

#[macro_use]
mod macros;
mod forward;
mod gradient;
mod in_place;
mod limits;
mod loss;
mod optimizer;
mod parts;
mod state;
mod update;

pub use forward::{
    Add, AvgPool, Conv, Copy, Depthwise, Head, MatMul, MaxPool, Mul, Nest, Normalize, PoolMean,
    Receive, Requantize, SaveChannels, Softmax, Table,
};
pub use gradient::{
    ConvInputGrad, CopyInputGrad, DepthwiseInputGrad, HeadInputGrad, MatMulInputGrad,
    MaxPoolInputGrad, MulInputGrad, NestInputGrad, NormalizeInputGrad, PoolInputGrad,
    SoftmaxInputGrad, SumGrad, TableInputGrad,
};
pub use in_place::InPlace;
pub use loss::{MeanSquare, SigmoidCrossEntropy, SoftmaxCrossEntropy};
pub use optimizer::{BiasOptimize, ConvOptimize, DepthwiseOptimize, HeadOptimize, Optimizer};
pub use parts::{
    ChannelScale, Contraction, Error, Geometry, Path, Precision, Range, Shape, Steps, Strides,
    Weights, Window, FEATURE_BITS, LOSS_EXPONENT,
};
pub use state::Init;
pub use update::{
    BiasUpdate, ConvNormed, ConvUpdate, DepthwiseUpdate, HeadUpdate, Orthonormalize, PickUpdate,
};

use crate::{Access, Slot};
// In this order in files of programs.
ops! {
    Conv, Depthwise, Add, AvgPool, MaxPool, Table, Mul, MatMul, Normalize, Copy, PoolMean,
    Requantize, Softmax, Head, SaveChannels, SoftmaxCrossEntropy, SigmoidCrossEntropy, MeanSquare, HeadInputGrad, HeadUpdate,
    ConvInputGrad, DepthwiseInputGrad, PoolInputGrad, MaxPoolInputGrad, TableInputGrad,
    MulInputGrad, MatMulInputGrad, NormalizeInputGrad, SoftmaxInputGrad, CopyInputGrad, SumGrad,
    BiasUpdate, ConvUpdate, DepthwiseUpdate,
    HeadOptimize, BiasOptimize, ConvOptimize, DepthwiseOptimize, Receive, ConvNormed, Orthonormalize,
    Nest, NestInputGrad, PickUpdate,
}
