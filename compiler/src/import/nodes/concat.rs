//! `Concat`.

use tract_onnx::pb;

use super::moves::{arrangement, bad_axis};
use crate::import::error::Problem;
use crate::import::layout::{resolve_axis, View};
use crate::import::pending::Pending;
use crate::import::proto::{self, MAX_DIMENSION};
use crate::import::value::Value;
use crate::import::Importer;
use crate::ops::Concat;

impl Importer<'_> {
    /// `Concat`; constants among its parts are kept in flash.
    pub fn concat(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let mut values = Vec::with_capacity(node.input.len());
        for index in 0..node.input.len() {
            values.push(self.value(node, index)?);
        }
        let shapes: Vec<Vec<usize>> = values.iter().map(Value::shape).collect();
        let first = shapes.first().cloned().ok_or_else(|| Problem::Missing("its inputs".into()))?;
        let rank = first.len();
        let axis = proto::attribute(node, "axis").map_or(1, |a| a.i);
        let at = resolve_axis(axis, rank).ok_or_else(|| bad_axis(axis, &first))?;
        let fits = |shape: &Vec<usize>| {
            shape.len() == rank && (0..rank).all(|d| d == at || shape[d] == first[d])
        };
        if let Some((index, shape)) = shapes.iter().enumerate().find(|(_, s)| !fits(s)) {
            return Err(Problem::Shape {
                tensor: Self::input_name(node, index).unwrap_or_default().into(),
                shape: shape.clone(),
                expected: format!("{first:?}, but for dimension {at}"),
            });
        }
        let mut parts = Vec::with_capacity(values.len());
        for (index, value) in values.iter().enumerate() {
            let label = Self::input_name(node, index).unwrap_or_default().to_string();
            parts.push(match value.is_constant() {
                true => None,
                false => Some(self.settled(value.clone(), &label)?),
            });
        }
        // The largest part says how all are laid out.
        let largest = parts.iter().flatten().max_by_key(|x| x.view.elements());
        let Some(largest) = largest else {
            return Err(Problem::Other("joins constants alone; fold them on export".into()));
        };
        let mut shape = first.clone();
        shape[at] = shapes.iter().map(|s| s[at]).fold(0usize, usize::saturating_add);
        if shape[at] > MAX_DIMENSION {
            return Err(Problem::Other(format!("gives a dimension of {}", shape[at])));
        }
        let order = arrangement(&largest.view);
        let axis = order.iter().position(|dims| dims.contains(&at)).unwrap_or(2);
        let inner = order[axis].iter().skip_while(|&&d| d != at).skip(1).any(|&d| first[d] > 1);
        let outer = order[axis].iter().take_while(|&&d| d != at).any(|&d| first[d] > 1);
        if outer || inner {
            return Err(Problem::Attribute {
                name: "axis",
                value: format!("{at} of {first:?}"),
                supported: "it must be one of the last two dimensions, or the first that is not 1",
            });
        }
        let mut tensors = Vec::with_capacity(parts.len());
        for (index, part) in parts.into_iter().enumerate() {
            let label = Self::input_name(node, index).unwrap_or_default().to_string();
            let view = View::arranged(&shapes[index], &order);
            tensors.push(match part {
                Some(x) => self.laid_out(x, view, &format!("{name}.{index}"))?.tensor,
                None => self.constant_seen(&values[index], view, &label)?.tensor,
            });
        }
        let view = View::arranged(&shape, &order);
        let op = Concat { axis: axis + 1 }.into();
        Ok(Value::Pending(Pending::op(name, "Concat", op, tensors, view)))
    }
}
