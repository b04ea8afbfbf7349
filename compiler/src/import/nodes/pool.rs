//! `AveragePool` and `GlobalAveragePool`.

use tract_onnx::pb;

use super::conv::window;
use crate::import::error::Problem;
use crate::import::layout::View;
use crate::import::pending::{Kind, Pending};
use crate::import::proto;
use crate::import::value::Value;
use crate::import::Importer;
use crate::ops::window::Window;

impl Importer<'_> {
    /// `AveragePool`.
    pub fn average_pool(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let [h, w, c] = x.view.expect_map(Self::input_name(node, 0).unwrap_or_default())?;
        let kernel = proto::sizes(node, "kernel_shape")?
            .ok_or_else(|| Problem::Missing("attribute `kernel_shape`".into()))?;
        let window = window(node, kernel, [h, w])?;
        let refuse =
            |name, supported| Err(Problem::Attribute { name, value: "1".into(), supported });
        if proto::int(node, "count_include_pad", 0) != 0 && window.pad != [0; 4] {
            return refuse("count_include_pad", "with padding only 0 is supported");
        }
        let ragged = |axis: usize| {
            let padded = [h, w][axis] + window.pad[axis] + window.pad[axis + 2];
            (padded - kernel[axis]) % window.stride[axis] != 0
        };
        if proto::int(node, "ceil_mode", 0) != 0 && (ragged(0) || ragged(1)) {
            return refuse("ceil_mode", "only 0 is supported where windows do not divide the map");
        }
        let [oh, ow] = window.output(h, w).map_err(Problem::Other)?;
        let kind = Kind::AvgPool { x: x.tensor, window };
        let view = View::nchw([oh, ow, c]);
        Ok(Value::Pending(Pending::new(name, "AveragePool", kind, view)))
    }

    /// `GlobalAveragePool`.
    pub fn global_average_pool(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
    ) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let [h, w, c] = x.view.expect_map(Self::input_name(node, 0).unwrap_or_default())?;
        let kind = Kind::AvgPool { x: x.tensor, window: Window::whole(h, w) };
        let view = View::nchw([1, 1, c]);
        Ok(Value::Pending(Pending::new(name, "GlobalAveragePool", kind, view)))
    }
}
