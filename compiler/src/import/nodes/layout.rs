//! `Reshape`, `Flatten`, `Squeeze`, `Unsqueeze` and `Transpose`: they become another view of a
//! tensor, or another order of a constant, and a node only where no view of the tensor does it.

use std::rc::Rc;

use tract_onnx::pb;

use crate::import::constant::{Constant, Parameter};
use crate::import::error::Problem;
use crate::import::layout::{in_order, permutation, product, reshape_target, resolve_axis, View};
use crate::import::proto;
use crate::import::value::{Activation, Value};
use crate::import::Importer;

/// A change of layout.
pub enum Change {
    /// Other dimensions for the same order of elements.
    Shape(Vec<usize>),
    /// Dimensions in another order.
    Transpose(Vec<usize>),
}

impl Importer<'_> {
    /// What a node does to the layout of its input of `shape`, if that is all it does.
    ///
    /// # Errors
    /// Where it does not fit that shape.
    pub fn change(
        &mut self,
        node: &pb::NodeProto,
        shape: &[usize],
    ) -> Result<Option<Change>, Problem> {
        let rank = shape.len();
        let change = match node.op_type.as_str() {
            "Transpose" => Change::Transpose(permutation(proto::ints(node, "perm"), rank)?),
            "Reshape" => {
                let target = self.constant(node, 1)?;
                let target = target.ok_or_else(|| Problem::Missing("its shape".into()))?;
                let zero_is_size = proto::int(node, "allowzero", 0) != 0;
                let target = target.integers()?;
                Change::Shape(reshape_target(shape, target, self.batch, zero_is_size)?)
            }
            "Flatten" => {
                let axis = proto::int(node, "axis", 1);
                let at = if axis == rank as i64 { Some(rank) } else { resolve_axis(axis, rank) };
                let at = at.ok_or_else(|| bad_axes(&[axis], rank))?;
                let sizes = [product(&shape[..at]), product(&shape[at..])];
                Change::Shape(sizes.into_iter().map(|s| s.unwrap_or(usize::MAX)).collect())
            }
            "Squeeze" => {
                let axes = self.axes(node)?;
                let resolved: Option<Vec<usize>> = match &axes {
                    None => Some((0..rank).filter(|&a| shape[a] == 1).collect()),
                    Some(axes) => axes
                        .iter()
                        .map(|&a| resolve_axis(a, rank).filter(|&a| shape[a] == 1))
                        .collect(),
                };
                let dropped = resolved.ok_or_else(|| bad_axes(&axes.unwrap_or_default(), rank))?;
                let kept = (0..rank).filter(|a| !dropped.contains(a));
                Change::Shape(kept.map(|a| shape[a]).collect())
            }
            "Unsqueeze" => {
                let axes = self.axes(node)?.ok_or_else(|| Problem::Missing("`axes`".into()))?;
                let total = rank + axes.len();
                let added: Option<Vec<usize>> =
                    axes.iter().map(|&a| resolve_axis(a, total)).collect();
                let mut added = added.ok_or_else(|| bad_axes(&axes, total))?;
                added.sort_unstable();
                added.dedup();
                let mut rest = shape.iter().copied();
                let dims = (0..rank + added.len()).map(|a| {
                    if added.contains(&a) {
                        1
                    } else {
                        rest.next().unwrap_or(1)
                    }
                });
                Change::Shape(dims.collect())
            }
            _ => return Ok(None),
        };
        Ok(Some(change))
    }

    /// Axes as an attribute, or from operator set 13 as an input.
    fn axes(&mut self, node: &pb::NodeProto) -> Result<Option<Vec<i64>>, Problem> {
        if let Some(axes) = proto::ints(node, "axes") {
            return Ok(Some(axes.to_vec()));
        }
        let Some(constant) = self.constant(node, 1)? else { return Ok(None) };
        constant.integers().map(|axes| Some(axes.to_vec()))
    }

    /// Carries out a node that only changes the layout.
    pub fn rearrange(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let mut value = self.value(node, 0)?;
        let shape = value.shape();
        let Some(change) = self.change(node, &shape)? else { return Err(Problem::Operator) };
        match &mut value {
            Value::Constant(c) => *c = Rc::new(rearranged(c, &change)?),
            Value::Parameter(p) => *p = Rc::new(parameter(p, &change)?),
            Value::Activation(a) => *a = self.viewed(a.clone(), &change, name)?,
            Value::Pending(p) => match view(&p.view, &change) {
                Some(view) => p.view = view,
                None => {
                    let x = self.activation(node, 0)?;
                    value = Value::Activation(self.viewed(x, &change, name)?);
                }
            },
            Value::Refused => {}
        }
        Ok(value)
    }

    /// `x` in another layout: another view of it, or, where none does it, of a copy in the file's
    /// order.
    fn viewed(
        &mut self,
        x: Activation,
        change: &Change,
        name: &str,
    ) -> Result<Activation, Problem> {
        if let Some(view) = view(&x.view, change) {
            return Ok(Activation { view, ..x });
        }
        let order = in_order(x.view.dims.len());
        let plain = self.arrange(x, &order, name)?;
        let view = view(&plain.view, change).ok_or_else(|| {
            Problem::Other(format!("cannot lay {} out anew; reshape it in fewer steps", plain.view))
        })?;
        Ok(Activation { view, ..plain })
    }
}

/// Dimensions that `axes` name, each once, ascending or not.
///
/// # Errors
/// One that is none.
pub fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>, Problem> {
    let resolved: Option<Vec<usize>> = axes.iter().map(|&a| resolve_axis(a, rank)).collect();
    let distinct = |dims: &Vec<usize>| (1..dims.len()).all(|n| !dims[..n].contains(&dims[n]));
    resolved.filter(distinct).ok_or_else(|| bad_axes(axes, rank))
}

fn view(view: &View, change: &Change) -> Option<View> {
    match change {
        Change::Transpose(perm) => Some(view.transpose(perm)),
        Change::Shape(shape) => view.reshape(shape),
    }
}

fn rearranged(constant: &Constant, change: &Change) -> Result<Constant, Problem> {
    match change {
        Change::Transpose(perm) => Ok(constant.transposed(perm)),
        Change::Shape(dims) if product(dims) == Some(constant.len()) => {
            Ok(Constant { dims: dims.clone(), ..constant.clone() })
        }
        Change::Shape(dims) => Err(Problem::Shape {
            tensor: constant.name.clone(),
            shape: constant.dims.clone(),
            expected: format!("as many elements as {dims:?}"),
        }),
    }
}

/// A dequantised constant in another layout: the axis of its scales moves along.
fn parameter(parameter: &Parameter, change: &Change) -> Result<Parameter, Problem> {
    let constant = Rc::new(rearranged(&parameter.constant, change)?);
    let mut moved = Parameter { constant, ..parameter.clone() };
    if moved.scale.len() > 1 {
        let (old, axis) = (&parameter.constant.dims, parameter.axis);
        let found = match change {
            Change::Transpose(perm) => perm.iter().position(|&p| p == axis),
            // The same run of elements before it, and the same size: the same axis.
            Change::Shape(dims) => (0..dims.len())
                .find(|&a| dims[a] == old[axis] && product(&dims[..a]) == product(&old[..axis])),
        };
        moved.axis = found.ok_or_else(|| Problem::PerAxis {
            tensor: parameter.constant.name.clone(),
            axis,
            expected: "index of an axis that the reshape keeps",
        })?;
    }
    Ok(moved)
}

fn bad_axes(axes: &[i64], rank: usize) -> Problem {
    Problem::Attribute {
        name: "axes",
        value: format!("{axes:?}"),
        supported: if rank == 0 {
            "its input has no dimensions"
        } else {
            "they must be dimensions of its input, of size 1 where they are dropped"
        },
    }
}
