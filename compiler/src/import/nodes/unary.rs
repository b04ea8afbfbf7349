//! Functions of each element by itself.

use std::rc::Rc;

use tract_onnx::pb;

use super::conv::expect_channelwise;
use crate::import::constant::Constant;
use crate::import::error::Problem;
use crate::import::pending::{Convolution, Kind, Pending};
use crate::import::proto;
use crate::import::value::Value;
use crate::import::Importer;
use crate::ir::Data;
use crate::ops::window::Window;
use crate::ops::{Function, Unary};

/// The function that a node's operator is, if it is one.
///
/// # Errors
/// An attribute that is not read.
pub fn function(node: &pb::NodeProto) -> Result<Option<(Function, &'static str)>, Problem> {
    let float = |name, default| proto::float(node, name).unwrap_or(default);
    let found = match node.op_type.as_str() {
        "LeakyRelu" => (Function::LeakyRelu(float("alpha", 0.01)), "LeakyRelu"),
        "Sigmoid" => (Function::Sigmoid, "Sigmoid"),
        "HardSigmoid" => {
            (Function::HardSigmoid([float("alpha", 0.2), float("beta", 0.5)]), "HardSigmoid")
        }
        "HardSwish" => (Function::HardSwish, "HardSwish"),
        "Tanh" => (Function::Tanh, "Tanh"),
        "Elu" => (Function::Elu(float("alpha", 1.0)), "Elu"),
        "Erf" => (Function::Erf, "Erf"),
        "Neg" => (Function::Negate, "Neg"),
        "Gelu" => match proto::attribute(node, "approximate").map(|a| a.s.as_slice()) {
            None | Some(b"none") => (Function::Gelu, "Gelu"),
            Some(b"tanh") => (Function::GeluTanh, "Gelu"),
            Some(other) => {
                return Err(Problem::Attribute {
                    name: "approximate",
                    value: String::from_utf8_lossy(other).into_owned(),
                    supported: "none and tanh are supported",
                })
            }
        },
        _ => return Ok(None),
    };
    Ok(Some(found))
}

impl Importer<'_> {
    /// A node whose operator is a [`function`].
    pub fn unary(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let Some((function, op)) = function(node)? else { return Err(Problem::Operator) };
        let x = self.activation(node, 0)?;
        let unary = Unary { function }.into();
        Ok(Value::Pending(Pending::op(name, op, unary, vec![x.tensor], x.view)))
    }

    /// `PRelu`: what is negative is a layer of its own, so that its factors can be trained.
    pub fn prelu(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let weights = self.weights(node, 1, 0)?;
        let constant: Rc<Constant> = weights.constant;
        expect_channelwise(&constant, &x.view)?;
        let channels = x.view.size[2];
        let each = (0..channels).map(|c| if constant.len() == 1 { 0 } else { c });
        let values: Data = weights.values.pick(each);
        let slope = Convolution {
            x: x.tensor,
            window: Window::whole(1, 1),
            groups: channels,
            weights_name: constant.name.clone(),
            weights: values,
            shape: [channels, 1, 1, 1],
            scale: weights.scale,
            x_scale: self.scale_of(&x),
            bias: vec![0.0; channels],
        };
        let kind = Kind::PRelu { x: x.tensor, slope };
        Ok(Value::Pending(Pending::new(name, "PRelu", kind, x.view)))
    }
}
