//! `Relu` and `Clip`: ranges of what is computed.

use tract_onnx::pb;

use crate::import::error::Problem;
use crate::import::pending::{Kind, Pending};
use crate::import::proto;
use crate::import::value::Value;
use crate::import::Importer;

impl Importer<'_> {
    /// `Relu`.
    pub fn relu(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        self.clamp(node, name, "Relu", [0.0, f32::INFINITY])
    }

    /// `Clip`, with its bounds as attributes or as constant inputs.
    pub fn clip(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let mut range = [f32::NEG_INFINITY, f32::INFINITY];
        for (index, attribute) in ["min", "max"].into_iter().enumerate() {
            if let Some(bound) = proto::float(node, attribute) {
                range[index] = bound;
            }
            if let Some(constant) = self.constant(node, index + 1)? {
                let &[bound] = constant.finite()? else {
                    let expected = "one number".into();
                    let (tensor, shape) = (constant.name.clone(), constant.dims.clone());
                    return Err(Problem::Shape { tensor, shape, expected });
                };
                range[index] = bound;
            }
        }
        // Exporters write no bound as the largest number.
        range = range.map(|v| if v.abs() == f32::MAX { v * 2.0 } else { v });
        if range[0].is_nan() || range[1].is_nan() || range[0] > range[1] {
            return Err(Problem::Attribute {
                name: "min",
                value: format!("{} beside max {}", range[0], range[1]),
                supported: "min must be at most max",
            });
        }
        self.clamp(node, name, "Clip", range)
    }

    fn clamp(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        op: &'static str,
        [low, high]: [f32; 2],
    ) -> Result<Value, Problem> {
        let mut pending = match self.value(node, 0)? {
            Value::Pending(pending) => pending,
            _ => {
                let x = self.activation(node, 0)?;
                Pending::new(name, op, Kind::Requantize { x: x.tensor }, x.view)
            }
        };
        pending.range = pending.range.map(|bound| bound.clamp(low, high));
        Ok(Value::Pending(pending))
    }
}
