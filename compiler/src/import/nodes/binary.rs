//! `Add`, `Sub`, `Mul` and `Div`: of two activations, of an activation and a constant, or of constants.

use std::rc::Rc;

use tract_onnx::pb;

use super::conv::{add_bias, is_channelwise};
use crate::import::arrange::MOST_COMPUTED;
use crate::import::constant::{Constant, Elements};
use crate::import::error::Problem;
use crate::import::layout::{in_order, normal, product, Axis, Run, View};
use crate::import::pending::{Kind, Pending};
use crate::import::value::{Activation, Value};
use crate::import::Importer;
use crate::ir::Quant;
use crate::ops::{Function, Mul, Op, Unary};

impl Importer<'_> {
    /// `Add`, `Sub`, `Mul` or `Div`, as `op` says.
    pub fn binary(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        op: &'static str,
    ) -> Result<Value, Problem> {
        let values = [self.value(node, 0)?, self.value(node, 1)?];
        match values.each_ref().map(Value::is_constant) {
            [true, true] => {
                let [a, b] = [self.reals(node, 0)?, self.reals(node, 1)?];
                Ok(Value::Constant(Rc::new(computed(op, &a, &b, name)?)))
            }
            [false, false] => self.of_activations(node, name, op, values),
            [true, false] => self.with_constant(node, name, op, 0, values),
            [false, true] => self.with_constant(node, name, op, 1, values),
        }
    }

    /// Operand `at` is constant, the other is not.
    fn with_constant(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        op: &'static str,
        at: usize,
        [a, b]: [Value; 2],
    ) -> Result<Value, Problem> {
        let (constant, x) = if at == 0 { (a, b) } else { (b, a) };
        if let (false, "Add", Value::Pending(pending)) = (self.model.real, op, &x) {
            if let (true, Kind::Conv(conv)) = (pending.is_free(), &pending.kind) {
                let (mut pending, mut conv) = (pending.clone(), conv.clone());
                let bias = Self::input_name(node, at).unwrap_or_default();
                add_bias(&mut conv, &pending.view, &constant, bias)?;
                pending.kind = Kind::Conv(conv);
                return Ok(Value::Pending(pending));
            }
        }
        let view = self.affine_view(&x, node, 1 - at)?;
        let reals = self.reals(node, at)?;
        if is_channelwise(&reals, &view) {
            return self.affine(node, name, op, at, &reals);
        }
        if op == "Div" {
            if at == 0 {
                return Err(Problem::Other("divides a constant by an activation; only a division by constants other than 0 is supported".into()));
            }
            let one = Constant {
                name: String::new(),
                dims: vec![],
                elements: Elements::Float(vec![1.0]),
            };
            let inverse = computed("Div", &one, &reals, &reals.name)?;
            let inverse = Value::Constant(Rc::new(inverse));
            return self.of_activations(node, name, "Mul", [x, inverse]);
        }
        let pair = if at == 0 { [constant, x] } else { [x, constant] };
        self.of_activations(node, name, op, pair)
    }

    /// A constant operand in real numbers.
    pub fn reals(&mut self, node: &pb::NodeProto, index: usize) -> Result<Rc<Constant>, Problem> {
        self.value(node, index)?.real(Self::input_name(node, index).unwrap_or_default())
    }

    /// An op on two tensors in memory.
    fn of_activations(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        op: &'static str,
        values: [Value; 2],
    ) -> Result<Value, Problem> {
        if op == "Mul" {
            if let Some(gated) = self.gated(node, name, &values)? {
                return Ok(gated);
            }
        }
        let shapes = values.each_ref().map(Value::shape);
        let shape = broadcast(&shapes).ok_or_else(|| Problem::Shape {
            tensor: Self::input_name(node, 1).unwrap_or_default().into(),
            shape: shapes[1].clone(),
            expected: format!("a shape that goes with that of the other operand, {:?}", shapes[0]),
        })?;
        let [first, second] = values;
        // The first operand that has the result's size says how it is laid out.
        let leads = usize::from(product(&shapes[0]) != product(&shape));
        let (lead, other) = if leads == 0 { (first, second) } else { (second, first) };
        let [lead_at, other_at] = [leads, 1 - leads];
        let lead_name = Self::input_name(node, lead_at).unwrap_or_default().to_string();
        let mut lead = match lead.is_constant() {
            true => {
                let view = View::arranged(&shape, &in_order(shape.len()));
                self.constant_seen(&lead, view, &lead_name)?
            }
            false => self.settled(lead, &lead_name)?,
        };
        widen(&mut lead.view, shape.len());
        if lead.view.shape() != shape {
            let target = View::arranged(&shape, &in_order(shape.len()));
            lead = self.laid_out(lead, target, name)?;
        }
        let other_name = Self::input_name(node, other_at).unwrap_or_default().to_string();
        let sizes = if lead_at == 0 { &shapes[1] } else { &shapes[0] };
        let target = match op {
            "Mul" => part(&lead.view, sizes),
            _ => lead.view.clone(),
        };
        let mut other = match other.is_constant() {
            true => self.constant_seen(&other, target, &other_name)?,
            false => {
                let mut other = self.settled(other, &other_name)?;
                widen(&mut other.view, shape.len());
                self.laid_out(other, target, name)?
            }
        };
        let view = lead.view.clone();
        if op == "Sub" {
            let subtracted = if lead_at == 0 { &mut other } else { &mut lead };
            *subtracted = self.negated(subtracted.clone(), name)?;
        }
        Ok(Value::Pending(match op {
            "Mul" => Pending::op(name, "Mul", Mul.into(), vec![lead.tensor, other.tensor], view),
            "Div" => return Err(Problem::Other(
                "divides by an activation; only a division by constants other than 0 is supported"
                    .into(),
            )),
            _ => {
                let [a, b] = match lead_at {
                    0 => [lead.tensor, other.tensor],
                    _ => [other.tensor, lead.tensor],
                };
                Pending::new(name, op, Kind::Add { a, b }, view)
            }
        }))
    }

    /// `x` times a sigmoid of `x` is one function of `x`.
    fn gated(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        values: &[Value; 2],
    ) -> Result<Option<Value>, Problem> {
        for (gate, x) in [(0, 1), (1, 0)] {
            let (Value::Pending(pending), false) = (&values[gate], values[x].is_constant()) else {
                continue;
            };
            let Kind::Op { op: Op::Unary(unary), inputs } = &pending.kind else { continue };
            let function = match unary.function {
                Function::Sigmoid => Function::Silu,
                Function::HardSigmoid([alpha, beta])
                    if (alpha * 6.0 - 1.0).abs() < 1e-5 && beta == 0.5 =>
                {
                    Function::HardSwish
                }
                _ => continue,
            };
            let x = self.activation(node, x)?;
            if pending.is_free() && inputs[0] == x.tensor && pending.view == x.view {
                let into = name.to_string();
                self.note_fold(&pending.name.clone(), pending.op, &into);
                let op = Unary { function }.into();
                let pending = Pending::op(name, "Mul", op, vec![x.tensor], x.view);
                return Ok(Some(Value::Pending(pending)));
            }
        }
        Ok(None)
    }

    /// `-x`, exactly.
    fn negated(&mut self, x: Activation, name: &str) -> Result<Activation, Problem> {
        let quant = self.quant_of(&x);
        // -1 - q stands for what q stood for, negated.
        let quant = quant.map(|q| Quant::per_tensor(q.scale_of(0), -1 - q.zero));
        let label = format!("{name}.negative");
        let op = Unary { function: Function::Negate }.into();
        self.step(Pending::op(&label, "Sub", op, vec![x.tensor], x.view), quant)
    }
}

/// Dimensions of 1 in front, up to `rank`.
fn widen(view: &mut View, rank: usize) {
    while view.dims.len() < rank {
        view.dims.insert(0, Vec::new());
    }
}

/// The shape that two operands are broadcast to.
pub fn broadcast(shapes: &[Vec<usize>; 2]) -> Option<Vec<usize>> {
    let rank = shapes[0].len().max(shapes[1].len());
    let size =
        |shape: &[usize], at: usize| (at + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    (0..rank)
        .map(|at| match [size(&shapes[0], at), size(&shapes[1], at)] {
            [a, b] if a == b || b == 1 => Some(a),
            [1, b] => Some(b),
            _ => None,
        })
        .collect()
}

/// How a factor of shape `sizes` lies in memory beside one seen as `full`: as its channels, as its
/// pixels, as one number, or spread over all of it.
fn part(full: &View, sizes: &[usize]) -> View {
    let rank = full.dims.len();
    let [h, w, c] = full.size;
    let covered = |at: usize| (at + sizes.len()).checked_sub(rank).is_some_and(|at| sizes[at] != 1);
    let runs = || full.dims.iter().enumerate().filter(|(at, _)| covered(*at)).flat_map(|(_, r)| r);
    let elements: usize = runs().map(|axis| axis.size).product();
    let (channels, pixels) = (runs().all(|a| a.step * a.size <= c), runs().all(|a| a.step >= c));
    let (size, divisor) = match elements {
        1 => ([1, 1, 1], 1),
        n if n == c && channels => ([1, 1, c], 1),
        n if n == h * w && pixels => ([h, w, 1], c),
        _ => return full.clone(),
    };
    let moved = |run: &Run| -> Run {
        normal(&run.iter().map(|a| Axis { size: a.size, step: a.step / divisor }).collect::<Run>())
    };
    let dims = full.dims.iter().enumerate();
    let dims = dims.map(|(at, run)| if covered(at) { moved(run) } else { Vec::new() }).collect();
    View { size, dims }
}

/// Two constants made one.
fn computed(op: &str, a: &Constant, b: &Constant, name: &str) -> Result<Constant, Problem> {
    let shapes = [a.dims.clone(), b.dims.clone()];
    let dims = broadcast(&shapes).ok_or_else(|| Problem::Shape {
        tensor: b.name.clone(),
        shape: b.dims.clone(),
        expected: format!("a shape that goes with that of the other operand, {:?}", a.dims),
    })?;
    let (x, y) = (a.finite()?, b.finite()?);
    let one = |at: usize| {
        let (x, y) = (x[index(&dims, &a.dims, at)], y[index(&dims, &b.dims, at)]);
        match op {
            "Add" => x + y,
            "Sub" => x - y,
            "Mul" => x * y,
            _ => x / y,
        }
    };
    // No more than there are elements in the larger of two constants, or in a table of both.
    let count = product(&dims).filter(|&n| n <= MOST_COMPUTED).ok_or_else(|| {
        Problem::Other(format!("computes {dims:?} constants; fold them on export"))
    })?;
    let values: Vec<f32> = (0..count).map(one).collect();
    if values.iter().any(|v| !v.is_finite()) {
        return Err(Problem::Other(
            "divides by 0; only a division by constants other than 0 is supported".into(),
        ));
    }
    Ok(Constant { name: name.into(), dims, elements: Elements::Float(values) })
}

/// Index in a constant of shape `part` of element `at` of the shape that it is broadcast to.
pub fn index(full: &[usize], part: &[usize], at: usize) -> usize {
    let (mut at, mut index, mut stride) = (at, 0, 1);
    for (axis, &size) in full.iter().enumerate().rev() {
        let own = (axis + part.len()).checked_sub(full.len()).map_or(1, |a| part[a]);
        index += if own == 1 { 0 } else { at % size * stride };
        stride *= own;
        at /= size;
    }
    index
}
