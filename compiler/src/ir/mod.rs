//! The training IR: tensors with quantisation, nodes in execution order, text in and out.
//!
//! A graph says *what* is computed in real numbers, forward and backward; how it is done in
//! integers is decided when it is lowered.

mod attributes;
mod entity;
mod graph;
mod lex;
mod parse;
mod print;
mod tensor;
#[cfg(test)]
mod tests;
mod verify;

pub use attributes::Attributes;
pub use entity::{NodeId, TensorId};
pub use graph::{Fold, Graph, Node};
pub use parse::{parse, ParseError};
pub use print::{print, Constants};
pub use tensor::{DType, Data, Quant, Rule, Tensor, Trained};
pub use verify::{verify, VerifyError};
