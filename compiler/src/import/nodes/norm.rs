//! `LayerNormalization` and `Softmax`: ops over the channels of each pixel.

use tract_onnx::pb;

use super::affine::Affine;
use super::layout::axes_of;
use super::moves::bad_axis;
use crate::import::error::Problem;
use crate::import::layout::{in_order, product, resolve_axis, View};
use crate::import::pending::Pending;
use crate::import::proto;
use crate::import::value::{Activation, Form, Value};
use crate::import::Importer;
use crate::ir::Quant;
use crate::ops::{Normalize, Softmax};

/// Steps of what is normalised, where the file does not say: int8 spans six deviations, one way and the
/// other.
const NORMAL_SCALE: f32 = 6.0 / 127.0;

impl Importer<'_> {
    /// `LayerNormalization`: the normalisation itself, and its scale and bias, where it has any, as a
    /// layer behind it.
    pub fn layer_normalization(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
    ) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let shape = x.view.shape();
        let rank = shape.len();
        let axis = proto::int(node, "axis", -1);
        // Dimensions anywhere come from patterns, which have neither scale nor bias.
        let axes = match proto::ints(node, "axes") {
            Some(axes) => axes_of(axes, rank)?,
            None => match resolve_axis(axis, rank) {
                Some(at) => (at..rank).collect(),
                None => return Err(bad_axis(axis, &shape)),
            },
        };
        let mut order: Vec<usize> = (0..rank).filter(|dim| !axes.contains(dim)).collect();
        let at = order.len();
        order.extend(&axes);
        let moved = View::transpose(&x.view, &order);
        let sizes = moved.shape();
        let x = self.with_row(Activation { view: moved, ..x }, at, name)?;
        // The dimensions as the file has them.
        let whole = x.view.reshape(&sizes).map(|view| view.transpose(&inverse(&order)));
        let view = whole.unwrap_or_else(|| x.view.clone());
        let channels = x.view.size[2];
        let epsilon = proto::float(node, "epsilon").unwrap_or(1e-5);
        let normal = |label: &str, view: View| {
            let op = Normalize { epsilon }.into();
            Pending::op(label, "LayerNormalization", op, vec![x.tensor], view)
        };
        let given = [1, 2].map(|index| Self::input_name(node, index).is_some());
        if given == [false; 2] {
            return Ok(Value::Pending(normal(name, view)));
        }
        let mut rows = Vec::with_capacity(2);
        for (index, default) in [(1, 1.0), (2, 0.0)] {
            rows.push(match given[index - 1] {
                false => vec![default; channels],
                true => self.row(node, index, channels)?,
            });
        }
        let quant = self.graph.tensor(x.tensor).quant.is_some();
        let quant = quant.then(|| Quant::per_tensor(NORMAL_SCALE, 0));
        let normal = self.step(normal(&format!("{name}.normal"), x.view.clone()), quant)?;
        let [factor, offset] = <[Vec<f64>; 2]>::try_from(rows).unwrap_or_default();
        let affine = Affine { factor, offset };
        let mut pending = self.affine_layer(name, "LayerNormalization", normal, &affine);
        pending.view = view;
        Ok(Value::Pending(pending))
    }

    /// A constant input as one number for each of what is normalised.
    fn row(
        &mut self,
        node: &pb::NodeProto,
        index: usize,
        channels: usize,
    ) -> Result<Vec<f64>, Problem> {
        let constant = self.reals(node, index)?;
        let values: Vec<f64> = constant.finite()?.iter().map(|&v| v.into()).collect();
        match values.len() {
            1 => Ok(vec![values[0]; channels]),
            n if n == channels && product(&constant.dims) == Some(n) => Ok(values),
            _ => Err(Problem::Shape {
                tensor: constant.name.clone(),
                shape: constant.dims.clone(),
                expected: format!("one value for each of {channels} that are normalised"),
            }),
        }
    }

    /// `x` with all dimensions from `at` on as one, its last, which is its channels.
    fn with_row(&mut self, x: Activation, at: usize, name: &str) -> Result<Activation, Problem> {
        let shape = x.view.shape();
        let row = product(&shape[at..]).unwrap_or(usize::MAX);
        let joined = [&shape[..at], &[row]].concat();
        let x = match x.view.reshape(&joined) {
            Some(view) => Activation { view, ..x },
            None => {
                let plain = self.arrange(x, &in_order(shape.len()), name)?;
                let view = plain.view.reshape(&joined).unwrap_or(plain.view);
                Activation { view, ..plain }
            }
        };
        self.last_as_channels(x, name)
    }

    /// `Softmax`.
    pub fn softmax(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let value = self.value(node, 0)?;
        if matches!(&value, Value::Activation(a) if a.form == Form::Dropped) {
            return Ok(value);
        }
        let x = self.activation(node, 0)?;
        let shape = x.view.shape();
        let old = self.model.opset < 13;
        let axis = proto::int(node, "axis", if old { 1 } else { -1 });
        let at = resolve_axis(axis, shape.len()).ok_or_else(|| bad_axis(axis, &shape))?;
        let softmax = |x: &Activation| {
            Pending::op(name, "Softmax", Softmax.into(), vec![x.tensor], x.view.clone())
        };
        if old {
            // Before operator set 13 it runs over all dimensions from the axis on.
            let row = self.with_row(x, at, name)?;
            let mut pending = softmax(&row);
            if let Some(view) = row.view.reshape(&shape) {
                pending.view = view;
            }
            return Ok(Value::Pending(pending));
        }
        if x.view.dims[at] == x.view.channels() && shape[at] == x.view.size[2] {
            return Ok(Value::Pending(softmax(&x)));
        }
        let mut order: Vec<usize> = (0..shape.len()).filter(|&dim| dim != at).collect();
        order.push(at);
        let moved = Activation { view: x.view.transpose(&order), ..x };
        let moved = self.last_as_channels(moved, name)?;
        let mut pending = softmax(&moved);
        pending.view = moved.view.transpose(&inverse(&order));
        Ok(Value::Pending(pending))
    }
}

/// The permutation that takes `order` back.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
    back
}
