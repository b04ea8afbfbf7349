//! `Pad`: zeros or another constant around a tensor, or its own elements continued.

use tract_onnx::pb;

use super::layout::axes_of;
use super::moves::{arrangement, Range};
use crate::import::arrange::{path, strides, Stride};
use crate::import::error::Problem;
use crate::import::layout::{channels_first, View};
use crate::import::pending::{Kind, Pending};
use crate::import::proto::{self, MAX_DIMENSION};
use crate::import::value::{Activation, Value};
use crate::import::Importer;
use crate::ops::Copy;

/// The op that lays zeros around a map, and gives one seen as `view`.
///
/// # Errors
/// More elements than are supported.
pub fn padding(x: &Activation, pads: &[usize; 4], view: &View) -> Result<Copy, Problem> {
    let all: Option<Vec<Vec<Stride>>> = x
        .view
        .dims
        .iter()
        .zip(&view.dims)
        .map(|(from, to)| match to.as_slice() {
            // A dimension that padding makes longer is one axis.
            [to] => Some(
                from.iter()
                    .map(|a| Stride { size: a.size, from: a.step as i64, to: to.step as i64 })
                    .collect(),
            ),
            _ => strides(from, to),
        })
        .collect();
    let [_, w, c] = view.size;
    let first = (pads[0] * w + pads[1]) * c;
    let path = path(0, first, &all.unwrap_or_default().concat())?;
    Ok(Copy { shape: view.size, path, fill: 0.0 })
}

impl Importer<'_> {
    /// `Pad`.
    pub fn pad(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let mode = proto::attribute(node, "mode").map_or(&b"constant"[..], |a| a.s.as_slice());
        let x = self.activation(node, 0)?;
        let shape = x.view.shape();
        let rank = shape.len();
        let pads = match proto::ints(node, "pads") {
            Some(pads) => pads.to_vec(),
            None => {
                let pads =
                    self.constant(node, 1)?.ok_or_else(|| Problem::Missing("`pads`".into()))?;
                pads.integers()?.to_vec()
            }
        };
        let fill = match (proto::float(node, "value"), Self::input_name(node, 2)) {
            (Some(value), _) => value,
            (None, Some(_)) => self.number(node, 2)?,
            (None, None) => 0.0,
        };
        let dims: Vec<usize> = match self.constant(node, 3)? {
            None => (0..rank).collect(),
            Some(axes) => axes_of(axes.integers()?, rank)?,
        };
        if pads.len() != 2 * dims.len() {
            return Err(Problem::Other(format!(
                "has {} pads for {} dimensions; expected two for each",
                pads.len(),
                dims.len()
            )));
        }
        let mut sides = vec![[0i64; 2]; rank];
        for (n, &dim) in dims.iter().enumerate() {
            sides[dim] = [pads[n], pads[n + dims.len()]];
        }
        match mode {
            b"constant" => self.padded(x, &sides, fill, name),
            _ => self.continued(x, &sides, mode, name),
        }
    }

    /// `x` continued beyond its sides by its own elements.
    fn continued(
        &mut self,
        x: Activation,
        sides: &[[i64; 2]],
        mode: &[u8],
        name: &str,
    ) -> Result<Value, Problem> {
        let mut x = x;
        for (dim, &[before, behind]) in sides.iter().enumerate() {
            let size = x.view.shape()[dim] as i64;
            let target = size.checked_add(before).and_then(|s| s.checked_add(behind));
            let target = target.filter(|t| (1..=MAX_DIMENSION as i64).contains(t));
            let target = target.ok_or_else(|| {
                Problem::Other(format!("pads a dimension of {size} by {before} and {behind}"))
            })?;
            if (before, behind) == (0, 0) {
                continue;
            }
            let source = |at: i64| match mode {
                b"edge" => Some(at.clamp(0, size - 1)),
                b"wrap" => Some(at.rem_euclid(size)),
                b"reflect" => {
                    let period = (2 * (size - 1)).max(1);
                    let folded = at.rem_euclid(period);
                    Some(folded.min(period - folded).min(size - 1))
                }
                _ => None,
            };
            let indices: Option<Vec<i64>> = (0..target).map(|at| source(at - before)).collect();
            let indices = indices.ok_or_else(|| Problem::Attribute {
                name: "mode",
                value: String::from_utf8_lossy(mode).into_owned(),
                supported: "constant, edge, reflect and wrap are supported",
            })?;
            let quant = self.quant_of(&x);
            let pending = self.gathered(x, dim, &indices, &format!("{name}.{dim}"), "Pad")?;
            x = self.step(pending, quant)?;
        }
        Ok(Value::Activation(x))
    }

    /// `x` with so many elements of `fill` before and behind each dimension; fewer than none cut it.
    fn padded(
        &mut self,
        x: Activation,
        sides: &[[i64; 2]],
        fill: f32,
        name: &str,
    ) -> Result<Value, Problem> {
        let shape = x.view.shape();
        let misfit = || {
            Problem::Other(format!(
                "pads {shape:?} by {sides:?}; dimensions must be from 1 to {MAX_DIMENSION}"
            ))
        };
        // What is cut is cut first.
        let mut ranges = Vec::new();
        for (&size, &[before, behind]) in shape.iter().zip(sides) {
            let start = usize::try_from(-before.min(0)).map_err(|_| misfit())?;
            let end =
                (size as i64).checked_add(behind.min(0)).and_then(|e| usize::try_from(e).ok());
            let count =
                end.and_then(|end| end.checked_sub(start)).filter(|&n| n > 0).ok_or_else(misfit)?;
            ranges.push(Range { start, step: 1, count, times: 1 });
        }
        let whole = ranges.iter().zip(&shape).all(|(range, &size)| *range == Range::all(size));
        let x = if whole {
            x
        } else {
            let quant = self.quant_of(&x);
            let cut = self.taken(x, &ranges, &format!("{name}.cut"), "Pad")?;
            self.step(cut, quant)?
        };
        let mut grown = Vec::new();
        for (range, &[before, behind]) in ranges.iter().zip(sides) {
            let size = (range.count as i64)
                .checked_add(before.max(0))
                .and_then(|s| s.checked_add(behind.max(0)));
            let size = size.and_then(|s| usize::try_from(s).ok()).filter(|&s| s <= MAX_DIMENSION);
            grown.push(size.ok_or_else(misfit)?);
        }
        let before = |dim: usize| sides[dim][0].max(0) as usize;
        let rank = shape.len();
        let map = channels_first(rank);
        let around = sides[..2.min(rank)].iter().all(|s| s.iter().all(|&n| n <= 0));
        if fill == 0.0 && around && (rank == 3 || rank == 4) && x.view.dims[0].is_empty() {
            let x = self.arrange(x, &map, name)?;
            let view = View::arranged(&grown, &map);
            let side = |dim: usize, end: usize| sides[dim][end].max(0) as usize;
            let pads = match rank {
                3 => [0, side(2, 0), 0, side(2, 1)],
                _ => [side(2, 0), side(3, 0), side(2, 1), side(3, 1)],
            };
            return Ok(Value::Pending(Pending::new(name, "Pad", Kind::Pad { x, pads }, view)));
        }
        let order = arrangement(&x.view);
        let x = self.arrange(x, &order, name)?;
        let view = View::arranged(&grown, &order);
        let (mut all, mut first, mut step) = (Vec::new(), 0, 1usize);
        for &dim in order.iter().flatten().rev() {
            first += before(dim) * step;
            let from = x.view.dims[dim].first().map_or(0, |axis| axis.step as i64);
            all.push(Stride { size: ranges[dim].count, from, to: step as i64 });
            step = step.saturating_mul(grown[dim]);
        }
        all.reverse();
        let path = path(0, first, &all)?;
        let copy = Copy { shape: view.size, path, fill };
        Ok(Value::Pending(Pending::op(name, "Pad", copy.into(), vec![x.tensor], view)))
    }

    /// A constant input of one number.
    pub fn number(&mut self, node: &pb::NodeProto, index: usize) -> Result<f32, Problem> {
        let constant = self.reals(node, index)?;
        match constant.finite()? {
            &[number] => Ok(number),
            _ => Err(Problem::Shape {
                tensor: constant.name.clone(),
                shape: constant.dims.clone(),
                expected: "one number".into(),
            }),
        }
    }
}
