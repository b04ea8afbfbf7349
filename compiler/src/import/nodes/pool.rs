//! Pools: `MaxPool`, `AveragePool`, their global forms, and `ReduceMean`.

use tract_onnx::pb;

use super::conv::{spatial, window};
use super::layout::axes_of;
use crate::import::error::Problem;
use crate::import::layout::{Run, View};
use crate::import::pending::{Kind, Pending};
use crate::import::proto;
use crate::import::value::{Activation, Value};
use crate::import::Importer;
use crate::ops::window::Window;
use crate::ops::{AvgPool, MaxPool, Op};

impl Importer<'_> {
    /// `MaxPool` and `AveragePool`.
    pub fn pool(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let mut x = self.as_map(x, Self::input_name(node, 0).unwrap_or_default(), name)?;
        let [h, w, c] = x.view.size;
        let rank = x.view.dims.len();
        let kernel = spatial(node, "kernel_shape", rank, 1)?
            .ok_or_else(|| Problem::Missing("attribute `kernel_shape`".into()))?;
        let mut window = window(node, kernel, [h, w], [0; 4], rank)?;
        if proto::int(node, "ceil_mode", 0) != 0 {
            window = rounded_up(window, [h, w])?;
        }
        let max = node.op_type == "MaxPool";
        if !max && window.pad != [0; 4] && proto::int(node, "count_include_pad", 0) != 0 {
            // Zeros that count are part of the map.
            x = self.with_zeros(x, window.pad, name)?;
            window.pad = [0; 4];
        }
        let [h, w, _] = x.view.size;
        let [oh, ow] = window.output(h, w).map_err(Problem::Other)?;
        let (op, label): (Op, _) = match max {
            true => (MaxPool { window }.into(), "MaxPool"),
            false => (AvgPool { window }.into(), "AveragePool"),
        };
        let view = View::map([oh, ow, c], rank);
        Ok(Value::Pending(Pending::op(name, label, op, vec![x.tensor], view)))
    }

    /// A map with rows and columns of zeros around it.
    fn with_zeros(
        &mut self,
        x: Activation,
        pads: [usize; 4],
        name: &str,
    ) -> Result<Activation, Problem> {
        let [h, w, c] = x.view.size;
        let size = [h + pads[0] + pads[2], w + pads[1] + pads[3], c];
        let (view, label) = (View::map(size, x.view.dims.len()), format!("{name}.pad"));
        let quant = self.quant_of(&x);
        self.step(Pending::new(&label, "Pad", Kind::Pad { x, pads }, view), quant)
    }

    /// `GlobalMaxPool` and `GlobalAveragePool`.
    pub fn global_pool(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let x = self.as_map(x, Self::input_name(node, 0).unwrap_or_default(), name)?;
        let [h, w, c] = x.view.size;
        let window = Window::whole(h, w);
        let (op, label): (Op, _) = match node.op_type.as_str() {
            "GlobalMaxPool" => (MaxPool { window }.into(), "GlobalMaxPool"),
            _ => (AvgPool { window }.into(), "GlobalAveragePool"),
        };
        let view = View::map([1, 1, c], x.view.dims.len());
        Ok(Value::Pending(Pending::op(name, label, op, vec![x.tensor], view)))
    }

    /// `ReduceMean`: an average over whole maps, laid out so that what is averaged are their pixels.
    pub fn reduce_mean(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let rank = x.view.dims.len();
        let axes = match proto::ints(node, "axes") {
            Some(axes) => Some(axes.to_vec()),
            None => {
                self.constant(node, 1)?.map(|c| c.integers().map(<[i64]>::to_vec)).transpose()?
            }
        };
        let reduced = match axes.filter(|axes| !axes.is_empty()) {
            Some(axes) => axes_of(&axes, rank)?,
            None if proto::int(node, "noop_with_empty_axes", 0) != 0 => {
                return Ok(Value::Activation(x))
            }
            None => (0..rank).collect(),
        };
        let kept: Vec<usize> = (0..rank).filter(|dim| !reduced.contains(dim)).collect();
        let row = x.view.channels();
        let others = |run: &Run| run.is_empty() || *run == row;
        let pixels = |run: &Run| run.iter().all(|axis| axis.step >= x.view.size[2]);
        let as_it_is = kept.iter().all(|&d| others(&x.view.dims[d]))
            && reduced.iter().all(|&d| pixels(&x.view.dims[d]));
        let x = match as_it_is {
            true => x,
            false => self.arrange(x, &[vec![], reduced.clone(), kept], name)?,
        };
        let [h, w, c] = x.view.size;
        let mut view = View { size: [1, 1, c], dims: x.view.dims.clone() };
        reduced.iter().for_each(|&dim| view.dims[dim].clear());
        if proto::int(node, "keepdims", 1) == 0 {
            let mut at = 0..;
            view.dims.retain(|_| !reduced.contains(&at.next().unwrap_or_default()));
        }
        let op = AvgPool { window: Window::whole(h, w) }.into();
        Ok(Value::Pending(Pending::op(name, "ReduceMean", op, vec![x.tensor], view)))
    }
}

/// The window with padding behind the map until its last, partial position counts.
fn rounded_up(window: Window, size: [usize; 2]) -> Result<Window, Problem> {
    let mut window = window;
    for (axis, size) in size.into_iter().enumerate() {
        let (before, stride) = (window.pad[axis], window.stride[axis]);
        let padded = before + size + window.pad[axis + 2];
        let rest = (padded - window.span(axis)) % stride;
        if rest == 0 {
            continue;
        }
        // A position that begins behind the map does not count.
        let begin = padded - window.span(axis) - rest + stride;
        if begin < before + size {
            window.pad[axis + 2] += stride - rest;
        }
    }
    window.output(size[0], size[1]).map_err(Problem::Other)?;
    Ok(window)
}
