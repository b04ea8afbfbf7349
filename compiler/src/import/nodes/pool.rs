//! `AveragePool` and `GlobalAveragePool`.

use tract_onnx::pb;

use super::conv::{spatial, window};
use crate::import::error::Problem;
use crate::import::layout::{resolve_axis, Axis, View, AXES};
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
        let rank = x.view.dims.len();
        let kernel = spatial(node, "kernel_shape", rank, 1)?
            .ok_or_else(|| Problem::Missing("attribute `kernel_shape`".into()))?;
        let window = window(node, kernel, [h, w], rank)?;
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
        let view = View::map([oh, ow, c], rank);
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
        let view = View::map([1, 1, c], x.view.dims.len());
        Ok(Value::Pending(Pending::new(name, "GlobalAveragePool", kind, view)))
    }

    /// `ReduceMean` over all of height and width.
    pub fn reduce_mean(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let rank = x.view.dims.len();
        let axes = match proto::ints(node, "axes") {
            Some(axes) => Some(axes.to_vec()),
            None => {
                self.constant(node, 1)?.map(|c| c.integers().map(<[i64]>::to_vec)).transpose()?
            }
        };
        let axes = axes.unwrap_or_default();
        let resolved: Option<Vec<usize>> = axes.iter().map(|&a| resolve_axis(a, rank)).collect();
        let over = |axis: &Axis| {
            let at = |run: &Vec<Axis>| run.contains(axis);
            x.view.dims.iter().position(at).is_none_or(|d| {
                let reduced = resolved.as_ref().is_some_and(|r| r.contains(&d));
                reduced == (*axis != Axis::C)
            })
        };
        if axes.is_empty() || resolved.is_none() || !AXES.iter().all(over) {
            return Err(Problem::Attribute {
                name: "axes",
                value: format!("{axes:?} of {}", x.view),
                supported: "only a mean over all of height and width is supported",
            });
        }
        let reduced = resolved.unwrap_or_default();
        let [h, w, c] = x.view.size;
        let mut view = View { size: [1, 1, c], dims: x.view.dims.clone() };
        reduced.iter().for_each(|&d| view.dims[d].clear());
        if proto::int(node, "keepdims", 1) == 0 {
            let mut at = 0..;
            view.dims.retain(|_| !reduced.contains(&at.next().unwrap_or_default()));
        }
        let kind = Kind::AvgPool { x: x.tensor, window: Window::whole(h, w) };
        Ok(Value::Pending(Pending::new(name, "ReduceMean", kind, view)))
    }
}
