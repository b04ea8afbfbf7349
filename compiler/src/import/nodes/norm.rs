//! `LayerNormalization` and `Softmax`: ops over the channels of each pixel.

use tract_onnx::pb;

use crate::import::error::Problem;
use crate::import::layout::{in_order, product, resolve_axis};
use crate::import::pending::Pending;
use crate::import::proto;
use crate::import::value::{Activation, Form, Value};
use crate::import::Importer;
use crate::ops::Softmax;

impl Importer<'_> {
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
        let at = resolve_axis(axis, shape.len()).ok_or_else(|| Problem::Attribute {
            name: "axis",
            value: format!("{axis} of {shape:?}"),
            supported: "it must be a dimension of its input",
        })?;
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
        let mut back = vec![0; order.len()];
        order.iter().enumerate().for_each(|(to, &from)| back[from] = to);
        pending.view = moved.view.transpose(&back);
        Ok(Value::Pending(pending))
    }
}
