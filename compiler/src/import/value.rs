//! What a tensor of the file stands for while the file is read.

use std::rc::Rc;

use super::constant::{Constant, IntType, Parameter};
use super::error::Problem;
use super::layout::View;
use super::pending::Pending;
use crate::ir::TensorId;

/// What a tensor of the file stands for.
#[derive(Clone, Debug)]
pub enum Value {
    /// A constant as the file has it.
    Constant(Rc<Constant>),
    /// A dequantised constant.
    Parameter(Rc<Parameter>),
    /// A tensor of the IR.
    Activation(Activation),
    /// The result of an operator that waits for its quantisation.
    Pending(Box<Pending>),
    /// The result of a node that was refused.
    Refused,
}

/// A tensor of the IR, as the file sees it.
#[derive(Clone, Debug)]
pub struct Activation {
    /// The tensor.
    pub tensor: TensorId,
    /// Its layout in the file.
    pub view: View,
    /// Its form in the file.
    pub form: Form,
}

/// In which form the file has an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The input, in float, not yet quantised.
    Float,
    /// Integers.
    Quantized(IntType),
    /// Real numbers behind a `DequantizeLinear`.
    Dequantized,
    /// Probabilities; their `Softmax` was dropped, and the tensor holds what it read.
    Dropped,
}

impl Value {
    /// Whether it is known when the file is read.
    pub fn is_constant(&self) -> bool {
        matches!(self, Value::Constant(_) | Value::Parameter(_))
    }

    /// What it holds in real numbers, where it is constant; it is called `name`.
    ///
    /// # Errors
    /// Where it is not.
    pub fn real(&self, name: &str) -> Result<Rc<Constant>, Problem> {
        match self {
            Value::Constant(constant) => Ok(constant.clone()),
            Value::Parameter(parameter) => Ok(Rc::new(parameter.real())),
            _ => Err(Problem::NotConstant(name.into())),
        }
    }

    /// Its dimensions in the file; of what was refused, none.
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Value::Constant(constant) => constant.dims.clone(),
            Value::Parameter(parameter) => parameter.constant.dims.clone(),
            Value::Activation(activation) => activation.view.shape(),
            Value::Pending(pending) => pending.view.shape(),
            Value::Refused => Vec::new(),
        }
    }

    /// The activation that this must be, dequantised; it is called `name`.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn dequantized(self, name: &str) -> Result<Activation, Problem> {
        let unquantized =
            |producer: String| Problem::NotQuantized { tensor: name.into(), producer };
        match self {
            Value::Activation(a) => match a.form {
                Form::Dequantized => Ok(a),
                Form::Float => Err(unquantized("the input".into())),
                Form::Quantized(kind) => Err(Problem::Type {
                    tensor: name.into(),
                    found: kind.name().into(),
                    expected: "real numbers behind a DequantizeLinear",
                }),
                Form::Dropped => {
                    Err(Problem::Other(format!("reads {name:?}, a Softmax that is not the end of the network; remove it, or quantise it with scale 1/256 and zero point -128")))
                }
            },
            Value::Pending(p) => Err(unquantized(format!("node {:?} ({})", p.name, p.op))),
            Value::Constant(_) | Value::Parameter(_) => Err(Problem::Other(format!(
                "{name:?} is constant where an activation is expected; fold constants on export"
            ))),
            Value::Refused => Err(Problem::UnknownTensor(name.into())),
        }
    }
}
