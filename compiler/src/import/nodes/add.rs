//! `Add`: of two activations, or of a bias to a layer.

use tract_onnx::pb;

use super::conv::add_bias;
use crate::import::error::Problem;
use crate::import::pending::{Kind, Pending};
use crate::import::value::Value;
use crate::import::Importer;

impl Importer<'_> {
    /// `Add`.
    pub fn add(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let values = [self.value(node, 0)?, self.value(node, 1)?];
        let constant = |v: &Value| matches!(v, Value::Constant(_) | Value::Parameter(_));
        if let Some(index) = values.iter().position(constant) {
            if self.model.real {
                return self.affine(node, name, "Add");
            }
            let [first, second] = values;
            let (bias, layer) = if index == 0 { (first, second) } else { (second, first) };
            let bias_name = Self::input_name(node, index).unwrap_or_default();
            if let Value::Pending(mut pending) = layer {
                if let (true, Kind::Conv(conv)) = (pending.is_free(), &mut pending.kind) {
                    add_bias(conv, &pending.view, &bias, bias_name)?;
                    return Ok(Value::Pending(pending));
                }
            }
            return self.affine(node, name, "Add");
        }
        let [a, b] = [self.activation(node, 0)?, self.activation(node, 1)?];
        if a.view != b.view {
            return Err(Problem::Shape {
                tensor: Self::input_name(node, 1).unwrap_or_default().into(),
                shape: b.view.shape(),
                expected: format!(
                    "the shape and layout of the other term, {}, without broadcasting; this one is {}",
                    a.view, b.view
                ),
            });
        }
        let kind = Kind::Add { a: a.tensor, b: b.tensor };
        Ok(Value::Pending(Pending::new(name, "Add", kind, a.view)))
    }
}
