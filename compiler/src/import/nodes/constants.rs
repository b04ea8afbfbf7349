//! Nodes on constants alone, and the shapes of tensors: what exporters leave to be computed where the
//! batch is free.

use std::rc::Rc;

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::binary::{broadcast, index};
use super::moves::{bad_axis, slice};
use crate::import::arrange::MOST_COMPUTED;
use crate::import::constant::{Constant, Elements, IntType};
use crate::import::error::Problem;
use crate::import::layout::{product, resolve_axis};
use crate::import::proto;
use crate::import::value::{Form, Value};
use crate::import::{Importer, FOLDED};

type Inputs = [Rc<Constant>];

impl Importer<'_> {
    /// What a node gives that is known when the file is read; none where it is not, or where the node's
    /// own reader knows.
    pub fn known(&mut self, node: &pb::NodeProto, name: &str) -> Result<Option<Value>, Problem> {
        let op = node.op_type.as_str();
        if op == "Shape" {
            let shape = self.value(node, 0)?.shape();
            let end = proto::attribute(node, "end").map_or(i64::MAX, |a| a.i);
            let range = slice(shape.len(), proto::int(node, "start", 0), end, 1);
            let sizes = range.map_or(&[][..], |r| &shape[r.start..r.start + r.count]);
            let sizes: Vec<i64> = sizes.iter().map(|&s| s as i64).collect();
            let (dims, elements) = (vec![sizes.len()], Elements::Int(IntType::I64, sizes));
            return Ok(Some(constant(name, dims, elements)));
        }
        if op == "Cast" && proto::int(node, "to", 0) == DataType::Float as i64 {
            // Real numbers stay what they are.
            match self.value(node, 0)? {
                Value::Pending(pending) => return Ok(Some(Value::Pending(pending))),
                Value::Activation(a) if matches!(a.form, Form::Float | Form::Dequantized) => {
                    return Ok(Some(Value::Activation(a)))
                }
                _ => {}
            }
        }
        let always = FOLDED.split(", ").any(|known| known == op);
        if !always && !"Add Sub Mul Div Concat Gather Slice".split(' ').any(|known| known == op) {
            return Ok(None);
        }
        let mut inputs = Vec::with_capacity(node.input.len());
        for at in 0..node.input.len() {
            match self.optional(node, at)? {
                Some(Value::Constant(constant)) => inputs.push(constant),
                _ if always => return Err(Problem::NotConstant(node.input[at].clone())),
                _ => return Ok(None),
            }
        }
        let least = match op {
            "Where" => 3,
            "Add" | "Sub" | "Mul" | "Div" | "Equal" | "Expand" | "Gather" => 2,
            _ => 1,
        };
        if inputs.len() < least {
            return Err(Problem::Missing(format!("input {}", inputs.len())));
        }
        let integers = inputs.iter().all(|c| matches!(c.elements, Elements::Int(..)));
        let input =
            |at: usize| inputs.get(at).ok_or_else(|| Problem::Missing(format!("input {at}")));
        let quotient = |a: f64, b: f64| if b == 0.0 { 0.0 } else { (a / b).trunc() };
        let (dims, elements) = match op {
            "Add" if integers => elementwise(&inputs, |v| v[0] + v[1])?,
            "Sub" if integers => elementwise(&inputs, |v| v[0] - v[1])?,
            "Mul" if integers => elementwise(&inputs, |v| v[0] * v[1])?,
            "Div" if integers => elementwise(&inputs, |v| quotient(v[0], v[1]))?,
            "Add" | "Sub" | "Mul" | "Div" => return Ok(None),
            "Equal" => elementwise(&inputs, |v| f64::from(v[0] == v[1]))?,
            "Where" => elementwise(&inputs, |v| if v[0] != 0.0 { v[1] } else { v[2] })?,
            "Sqrt" => elementwise(&inputs, |v| v[0].sqrt())?,
            "Cast" => {
                let kind = i32::try_from(proto::int(node, "to", 0)).ok();
                cast(input(0)?, kind.and_then(|kind| DataType::try_from(kind).ok()))?
            }
            "Expand" | "ConstantOfShape" => {
                let sizes = input(usize::from(op == "Expand"))?.integers()?;
                let sizes: Option<Vec<usize>> =
                    sizes.iter().map(|&s| usize::try_from(s).ok()).collect();
                let sizes = sizes.ok_or_else(|| Problem::Other("has a negative size".into()))?;
                let value = proto::attribute(node, "value").and_then(|a| a.t.as_ref());
                let filled = match (op, value) {
                    ("Expand", _) => (**input(0)?).clone(),
                    (_, Some(value)) => proto::constant(value, name)?,
                    _ => Constant {
                        name: name.into(),
                        dims: vec![],
                        elements: Elements::Float(vec![0.0]),
                    },
                };
                let dims = [filled.dims.clone(), sizes];
                let dims = broadcast(&dims).ok_or_else(|| misfit(&dims))?;
                spread(&filled, dims)?
            }
            _ => part(node, op, &inputs)?,
        };
        Ok(Some(constant(name, dims, elements)))
    }
}

fn constant(name: &str, dims: Vec<usize>, elements: Elements) -> Value {
    Value::Constant(Rc::new(Constant { name: name.into(), dims, elements }))
}

fn misfit(shapes: &[Vec<usize>]) -> Problem {
    Problem::Other(format!("combines constants of shapes {shapes:?}; fold them on export"))
}

/// The elements as numbers.
fn numbers(constant: &Constant) -> Vec<f64> {
    match &constant.elements {
        Elements::Float(v) => v.iter().map(|&v| v.into()).collect(),
        Elements::Int(_, v) => v.iter().map(|&v| v as f64).collect(),
    }
}

/// A function of the elements of constants that are broadcast to one shape, in the type of the last.
fn elementwise(
    inputs: &Inputs,
    f: impl Fn(&[f64]) -> f64,
) -> Result<(Vec<usize>, Elements), Problem> {
    let shapes: Vec<Vec<usize>> = inputs.iter().map(|c| c.dims.clone()).collect();
    let joined = |all: Option<Vec<usize>>, next: &Vec<usize>| broadcast(&[all?, next.clone()]);
    let dims = shapes.iter().fold(Some(Vec::new()), joined).ok_or_else(|| misfit(&shapes))?;
    let count = product(&dims).filter(|&n| n <= MOST_COMPUTED).ok_or_else(|| misfit(&shapes))?;
    let values: Vec<Vec<f64>> = inputs.iter().map(|c| numbers(c)).collect();
    let one = |at: usize| {
        let own = values.iter().zip(&shapes).map(|(v, shape)| v[index(&dims, shape, at)]);
        f(&own.collect::<Vec<f64>>())
    };
    let results = (0..count).map(one);
    let elements = match inputs.last().map(|c| &c.elements) {
        Some(Elements::Int(kind, _)) => Elements::Int(*kind, results.map(|v| v as i64).collect()),
        _ => Elements::Float(results.map(|v| v as f32).collect()),
    };
    Ok((dims, elements))
}

/// A constant repeated to `dims`.
fn spread(constant: &Constant, dims: Vec<usize>) -> Result<(Vec<usize>, Elements), Problem> {
    let count = product(&dims).filter(|&n| n <= MOST_COMPUTED);
    let count = count.ok_or_else(|| misfit(std::slice::from_ref(&dims)))?;
    let order: Vec<usize> = (0..count).map(|at| index(&dims, &constant.dims, at)).collect();
    Ok((dims, constant.elements.pick(&order)))
}

fn cast(x: &Constant, kind: Option<DataType>) -> Result<(Vec<usize>, Elements), Problem> {
    let values = numbers(x);
    let integers = |kind| Elements::Int(kind, values.iter().map(|&v| v as i64).collect());
    let elements = match kind {
        Some(DataType::Float | DataType::Double) => {
            Elements::Float(values.iter().map(|&v| v as f32).collect())
        }
        Some(DataType::Int64) => integers(IntType::I64),
        Some(DataType::Int32) => integers(IntType::I32),
        Some(DataType::Bool) => {
            Elements::Int(IntType::I64, values.iter().map(|&v| i64::from(v != 0.0)).collect())
        }
        other => {
            let value = other.map_or("no type".into(), |kind| kind.as_str_name().to_lowercase());
            let supported = "float, double, int32, int64 and bool are supported";
            return Err(Problem::Attribute { name: "to", value, supported });
        }
    };
    Ok((x.dims.clone(), elements))
}

/// `Concat`, `Gather` and `Slice`: which elements there are, and in which order.
fn part(
    node: &pb::NodeProto,
    op: &str,
    inputs: &Inputs,
) -> Result<(Vec<usize>, Elements), Problem> {
    let list = |at: usize| inputs.get(at).map(|c| c.integers()).transpose();
    let missing = |what: &str| Problem::Missing(what.into());
    let x = inputs.first().ok_or_else(|| missing("its input"))?;
    let axis = |axis: i64| resolve_axis(axis, x.dims.len()).ok_or_else(|| bad_axis(axis, &x.dims));
    match op {
        "Concat" => {
            let at = axis(proto::int(node, "axis", 0))?;
            let fits = |c: &Rc<Constant>| {
                c.dims.len() == x.dims.len()
                    && (0..x.dims.len()).all(|d| d == at || c.dims[d] == x.dims[d])
            };
            if !inputs.iter().all(fits) {
                return Err(misfit(&inputs.iter().map(|c| c.dims.clone()).collect::<Vec<_>>()));
            }
            let mut dims = x.dims.clone();
            dims[at] = inputs.iter().map(|c| c.dims[at]).fold(0, usize::saturating_add);
            let outer = product(&dims[..at]).unwrap_or(0);
            let values: Vec<Vec<f64>> = inputs.iter().map(|c| numbers(c)).collect();
            let piece = |n: usize, v: &Vec<f64>| {
                let size = v.len() / outer.max(1);
                v[n * size..(n + 1) * size].to_vec()
            };
            let all = (0..outer).flat_map(|n| values.iter().flat_map(move |v| piece(n, v)));
            let elements = match x.elements {
                Elements::Int(kind, _) => Elements::Int(kind, all.map(|v| v as i64).collect()),
                Elements::Float(_) => Elements::Float(all.map(|v| v as f32).collect()),
            };
            Ok((dims, elements))
        }
        "Gather" => {
            let at = axis(proto::int(node, "axis", 0))?;
            let indices = list(1)?.ok_or_else(|| missing("its indices"))?;
            let size = x.dims[at] as i64;
            let chosen = indices.iter().map(|&i| if i < 0 { i.saturating_add(size) } else { i });
            let mut taken = along(x, at, &chosen.collect::<Vec<i64>>())?;
            taken.dims.splice(at..=at, inputs[1].dims.iter().copied());
            Ok((taken.dims, taken.elements))
        }
        _ => {
            let given = |at: usize, name: &str| match proto::ints(node, name) {
                Some(list) => Ok(Some(list)),
                None => list(at),
            };
            let (starts, ends) = (given(1, "starts")?, given(2, "ends")?);
            let (axes, steps) = (given(3, "axes")?, given(4, "steps")?);
            let (Some(starts), Some(ends)) = (starts, ends) else {
                return Err(missing("its starts and ends"));
            };
            let mut taken = (**x).clone();
            for (n, (&start, &end)) in starts.iter().zip(ends).enumerate() {
                let one = |list: Option<&[i64]>, default| match list {
                    Some(list) => list.get(n).copied().ok_or_else(|| missing("an axis or step")),
                    None => Ok(default),
                };
                let at = axis(one(axes, n as i64)?)?;
                let range = slice(taken.dims[at], start, end, one(steps, 1)?);
                let place = |r: &super::moves::Range, n: usize| r.start as i64 + n as i64 * r.step;
                let places =
                    range.map(|r| (0..r.count).map(|n| place(&r, n)).collect::<Vec<i64>>());
                taken = along(&taken, at, &places.unwrap_or_default())?;
            }
            Ok((taken.dims, taken.elements))
        }
    }
}

/// The elements at `places` of a dimension.
fn along(x: &Constant, at: usize, places: &[i64]) -> Result<Constant, Problem> {
    let inner = product(&x.dims[at + 1..]).unwrap_or(0);
    let size = x.dims[at];
    if let Some(place) = places.iter().find(|p| !(0..size as i64).contains(p)) {
        return Err(Problem::Other(format!("takes element {place} of {size}")));
    }
    let mut dims = x.dims.clone();
    dims[at] = places.len();
    let count = product(&dims).filter(|&n| n <= MOST_COMPUTED);
    let count = count.ok_or_else(|| misfit(std::slice::from_ref(&dims)))?;
    let row = places.len().saturating_mul(inner).max(1);
    let from = |n: usize| {
        let place = places[n % row / inner.max(1)] as usize;
        (n / row * size + place) * inner + n % inner.max(1)
    };
    let order: Vec<usize> = (0..count).map(from).collect();
    Ok(Constant { name: x.name.clone(), dims, elements: x.elements.pick(&order) })
}
