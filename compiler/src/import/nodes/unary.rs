//! Functions of each element by itself.

use std::rc::Rc;

use tract_onnx::pb;

use super::conv::{expect_channelwise, is_channelwise};
use crate::import::constant::Constant;
use crate::import::error::Problem;
use crate::import::pending::{Convolution, Kind, Pending};
use crate::import::proto;
use crate::import::value::{Activation, Value};
use crate::import::Importer;
use crate::ir::Data;
use crate::ops::window::Window;
use crate::ops::{Function, Mul, Unary};

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
        if self.model.real && !is_channelwise(&constant, &x.view) {
            return self.prelu_of_elements(x, constant, name);
        }
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

    /// `PRelu` with a factor for every element, which is not trained.
    fn prelu_of_elements(
        &mut self,
        x: Activation,
        slope: Rc<Constant>,
        name: &str,
    ) -> Result<Value, Problem> {
        let view = x.view.clone();
        let half = |what: &str, range: [f32; 2]| {
            let kind = Kind::Requantize { x: x.tensor };
            let pending = Pending::new(&format!("{name}.{what}"), "PRelu", kind, view.clone());
            Box::new(Pending { range, ..*pending })
        };
        let positive = self.step(half("positive", [0.0, f32::INFINITY]), None)?;
        let negative = self.step(half("negative", [f32::NEG_INFINITY, 0.0]), None)?;
        let label = slope.name.clone();
        let slope = self.constant_seen(&Value::Constant(slope), view.clone(), &label)?;
        let factors = vec![negative.tensor, slope.tensor];
        let label = format!("{name}.slope");
        let scaled =
            self.step(Pending::op(&label, "PRelu", Mul.into(), factors, view.clone()), None)?;
        let kind = Kind::Add { a: positive.tensor, b: scaled.tensor };
        Ok(Value::Pending(Pending::new(name, "PRelu", kind, view)))
    }
}
