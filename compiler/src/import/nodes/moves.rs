//! `Slice`, `Split` and `Gather`: parts of tensors.

use tract_onnx::pb;

use crate::import::arrange::{path, strides, Stride};
use crate::import::error::Problem;
use crate::import::layout::{channels_first, in_order, resolve_axis, Arrangement, View};
use crate::import::pending::Pending;
use crate::import::proto::{self, MAX_DIMENSION};
use crate::import::value::{Activation, Value};
use crate::import::Importer;
use crate::ops::{Concat, Copy};

/// Regular parts that indices may consist of.
const MOST_PARTS: usize = 32;

/// What is taken of a dimension: the first element, the distance to the next, and how many; then each
/// of them so many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: usize,
    pub step: i64,
    pub count: usize,
    pub times: usize,
}

impl Range {
    /// All of `size` elements.
    pub fn all(size: usize) -> Range {
        Range { start: 0, step: 1, count: size, times: 1 }
    }
}

/// How a tensor of this layout is laid out behind an op that changes its sizes: as a map where it is
/// one, else in order.
pub fn arrangement(view: &View) -> Arrangement {
    let rank = view.dims.len();
    let map = channels_first(rank);
    if rank >= 3 && *view == View::arranged(&view.shape(), &map) {
        map
    } else {
        in_order(rank)
    }
}

impl Importer<'_> {
    /// The parts of `x` that `ranges` name, one for each dimension.
    ///
    /// # Errors
    /// A layout whose parts cannot be taken at once.
    pub fn taken(
        &mut self,
        x: Activation,
        ranges: &[Range],
        name: &str,
        op: &'static str,
    ) -> Result<Box<Pending>, Problem> {
        let shape: Vec<usize> = ranges.iter().map(|r| r.count * r.times).collect();
        if let Some(size) = shape.iter().find(|size| !(1..=MAX_DIMENSION).contains(*size)) {
            return Err(Problem::Other(format!(
                "gives a dimension of {size}; dimensions must be from 1 to {MAX_DIMENSION}"
            )));
        }
        let view = View::arranged(&shape, &arrangement(&x.view));
        let (mut all, mut first) = (Vec::new(), 0usize);
        for (at, range) in ranges.iter().enumerate() {
            let (from, to) = (&x.view.dims[at], &view.dims[at]);
            let size: usize = from.iter().map(|axis| axis.size).product();
            if *range == Range::all(size) {
                let Some(both) = strides(from, to) else {
                    return self.taken_in_order(x, ranges, name, op);
                };
                all.extend(both);
                continue;
            }
            let step = match from.as_slice() {
                [] => 0,
                [axis] => axis.step,
                _ => return self.taken_in_order(x, ranges, name, op),
            };
            first += range.start * step;
            let to = to.first().map_or(0, |axis| axis.step as i64);
            let times = range.times as i64;
            all.push(Stride { size: range.count, from: range.step * step as i64, to: times * to });
            all.push(Stride { size: range.times, from: 0, to });
        }
        let path = path(first, 0, &all)?;
        let copy = Copy { shape: view.size, path, fill: 0.0 };
        Ok(Pending::op(name, op, copy.into(), vec![x.tensor], view))
    }

    /// As [`Importer::taken`], of a copy in the file's order.
    fn taken_in_order(
        &mut self,
        x: Activation,
        ranges: &[Range],
        name: &str,
        op: &'static str,
    ) -> Result<Box<Pending>, Problem> {
        let order = in_order(x.view.dims.len());
        let plain = self.arrange(x, &order, name)?;
        self.taken(plain, ranges, name, op)
    }

    /// `Slice`, with its bounds as attributes or as constant inputs.
    pub fn slice(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let shape = x.view.shape();
        let mut lists = Vec::with_capacity(4);
        for (index, attribute) in ["starts", "ends", "axes", "steps"].into_iter().enumerate() {
            let list = match proto::ints(node, attribute) {
                Some(list) => Some(list.to_vec()),
                None => self
                    .constant(node, index + 1)?
                    .map(|c| c.integers().map(<[i64]>::to_vec))
                    .transpose()?,
            };
            lists.push(list);
        }
        let [starts, ends, axes, steps] =
            <[Option<Vec<i64>>; 4]>::try_from(lists).unwrap_or_default();
        let (Some(starts), Some(ends)) = (starts, ends) else {
            return Err(Problem::Missing("its starts and ends".into()));
        };
        let count = starts.len();
        let axes = axes.unwrap_or_else(|| (0..count as i64).collect());
        let steps = steps.unwrap_or_else(|| vec![1; count]);
        if ends.len() != count || axes.len() != count || steps.len() != count {
            return Err(Problem::Other("its starts, ends, axes and steps are not as many".into()));
        }
        let mut ranges: Vec<Range> = shape.iter().map(|&size| Range::all(size)).collect();
        for (((&start, &end), &axis), &step) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
            let resolved = resolve_axis(axis, shape.len()).ok_or_else(|| bad_axis(axis, &shape))?;
            ranges[resolved] = slice(shape[resolved], start, end, step).ok_or_else(|| {
                Problem::Other(format!(
                    "takes {start} to {end} in steps of {step} of {} elements, which are none",
                    shape[resolved]
                ))
            })?;
        }
        Ok(Value::Pending(self.taken(x, &ranges, name, "Slice")?))
    }

    /// `Split` into parts of given sizes, or into equal ones.
    pub fn split(&mut self, node: &pb::NodeProto, name: &str) -> Result<Vec<Value>, Problem> {
        let x = self.activation(node, 0)?;
        let shape = x.view.shape();
        let axis = proto::int(node, "axis", 0);
        let at = resolve_axis(axis, shape.len()).ok_or_else(|| bad_axis(axis, &shape))?;
        let parts = node.output.len().max(1);
        let sizes: Vec<usize> = match proto::ints(node, "split") {
            Some(sizes) => sizes.to_vec(),
            None => match self.constant(node, 1)? {
                Some(sizes) => sizes.integers()?.to_vec(),
                None => {
                    let each = shape[at].div_ceil(parts);
                    let size = |part: usize| shape[at].saturating_sub(part * each).min(each);
                    (0..parts).map(|part| size(part) as i64).collect()
                }
            },
        }
        .iter()
        .map(|&size| usize::try_from(size).unwrap_or(0))
        .collect();
        let total = sizes.iter().try_fold(0usize, |sum, &size| sum.checked_add(size));
        if sizes.len() != parts || total != Some(shape[at]) || sizes.contains(&0) {
            return Err(Problem::Other(format!(
                "splits {} elements into {parts} parts of {sizes:?}; their sizes must add up",
                shape[at]
            )));
        }
        let (mut values, mut start) = (Vec::with_capacity(parts), 0);
        for (part, count) in sizes.into_iter().enumerate() {
            let mut ranges: Vec<Range> = shape.iter().map(|&size| Range::all(size)).collect();
            ranges[at] = Range { start, step: 1, count, times: 1 };
            start += count;
            let label = if part == 0 { name.to_string() } else { format!("{name}.{part}") };
            values.push(Value::Pending(self.taken(x.clone(), &ranges, &label, "Split")?));
        }
        Ok(values)
    }

    /// Elements `indices` of dimension `dim`: one part where they are regular, else several, joined.
    ///
    /// # Errors
    /// As [`Importer::taken`].
    pub fn gathered(
        &mut self,
        x: Activation,
        dim: usize,
        indices: &[i64],
        name: &str,
        op: &'static str,
    ) -> Result<Box<Pending>, Problem> {
        let mut shape = x.view.shape();
        let mut parts = Vec::new();
        let mut rest = indices;
        while !rest.is_empty() {
            let (range, later) = regular_part(rest);
            let mut ranges: Vec<Range> = shape.iter().map(|&size| Range::all(size)).collect();
            ranges[dim] = range;
            parts.push(ranges);
            rest = later;
        }
        if let [ranges] = parts.as_slice() {
            return self.taken(x, ranges, name, op);
        }
        // Parts are joined along an axis of memory.
        let order = arrangement(&x.view);
        let axis = order.iter().position(|dims| dims.contains(&dim)).unwrap_or(2);
        let alone = order[axis].iter().all(|&d| d == dim || shape[d] == 1);
        if parts.len() > MOST_PARTS || !alone {
            return Err(Problem::Other(format!(
                "takes elements of dimension {dim} of {shape:?} in {} regular parts; at most {MOST_PARTS}, of one of the last two dimensions, are supported",
                parts.len()
            )));
        }
        let quant = self.quant_of(&x);
        let mut tensors = Vec::with_capacity(parts.len());
        for (index, ranges) in parts.iter().enumerate() {
            let label = format!("{name}.{index}");
            let part = self.taken(x.clone(), ranges, &label, op)?;
            let part = self.step(part, quant.clone())?;
            tensors.push(self.arrange(part, &order, &label)?.tensor);
        }
        shape[dim] = indices.len();
        let view = View::arranged(&shape, &order);
        Ok(Pending::op(name, op, Concat { axis: axis + 1 }.into(), tensors, view))
    }

    /// `Gather` of constant indices.
    pub fn gather(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let shape = x.view.shape();
        let axis = proto::int(node, "axis", 0);
        let at = resolve_axis(axis, shape.len()).ok_or_else(|| bad_axis(axis, &shape))?;
        let constant = self.constant(node, 1)?;
        let constant = constant.ok_or_else(|| Problem::Missing("its indices".into()))?;
        let size = shape[at] as i64;
        let from_start = |&i: &i64| if i < 0 { i.saturating_add(size) } else { i };
        let indices: Vec<i64> = constant.integers()?.iter().map(from_start).collect();
        let known = !indices.is_empty() && indices.iter().all(|i| (0..size).contains(i));
        if !known || constant.dims.len() > 1 || indices.len() > MAX_DIMENSION {
            return Err(Problem::Attribute {
                name: "indices",
                value: format!("of shape {:?}", constant.dims),
                supported:
                    "one index, or a row of them, each of an element that is there, are supported",
            });
        }
        let mut pending = self.gathered(x, at, &indices, name, "Gather")?;
        if constant.dims.is_empty() {
            pending.view.dims.remove(at);
        }
        Ok(Value::Pending(pending))
    }
}

/// The complaint about an axis that is none.
pub fn bad_axis(axis: i64, shape: &[usize]) -> Problem {
    Problem::Attribute {
        name: "axis",
        value: format!("{axis} of {shape:?}"),
        supported: "it must be a dimension of its input",
    }
}

/// What Python's `start:end:step` takes of `size` elements; nothing gives none.
pub fn slice(size: usize, start: i64, end: i64, step: i64) -> Option<Range> {
    let size = i64::try_from(size).ok()?;
    let from_start = |at: i64| if at < 0 { at.saturating_add(size) } else { at };
    let (low, high) = if step < 0 { (-1, size - 1) } else { (0, size) };
    let (start, end) = (from_start(start).clamp(low, high), from_start(end).clamp(low, high));
    let span = if step < 0 { start - end } else { end - start };
    let count = if span > 0 && step != 0 { (span - 1) / step.checked_abs()? + 1 } else { 0 };
    let range = Range {
        start: usize::try_from(start).ok()?,
        step,
        count: usize::try_from(count).ok()?,
        times: 1,
    };
    (range.count > 0).then_some(range)
}

/// The longest part of `indices`, from the first on, that lies at equal distances, each as often as
/// the others; and the rest. Indices are at least 0.
pub fn regular_part(indices: &[i64]) -> (Range, &[i64]) {
    let Some(&first) = indices.first() else { return (Range::all(0), &[]) };
    let times = indices.iter().take_while(|&&i| i == first).count();
    let step = indices.get(times).map_or(1, |next| next - first);
    let at = |n: usize| first + (n / times) as i64 * step;
    let equal = (0..indices.len()).take_while(|&n| indices[n] == at(n)).count();
    let count = (equal / times).max(1);
    let range = Range { start: first as usize, step, count, times };
    (range, &indices[count * times..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_those_of_python() {
        let taken = |size, start, end, step| {
            slice(size, start, end, step).map(|r| (r.start, r.step, r.count))
        };
        assert_eq!(taken(10, 2, 7, 1), Some((2, 1, 5)));
        assert_eq!(taken(10, -3, i64::MAX, 2), Some((7, 2, 2)));
        assert_eq!(taken(10, -1, i64::MIN, -1), Some((9, -1, 10)));
        assert_eq!(taken(10, 20, -20, -3), Some((9, -3, 4)));
        assert_eq!(taken(10, 5, 5, 1), None);
        assert_eq!(taken(10, 0, 5, 0), None);
        assert_eq!(taken(10, 0, 10, i64::MIN), None);
    }

    #[test]
    fn indices_in_regular_parts() {
        let all = |indices: &[i64]| {
            let (mut parts, mut rest) = (Vec::new(), indices);
            while !rest.is_empty() {
                let (range, later) = regular_part(rest);
                parts.push((range.start, range.step, range.count, range.times));
                rest = later;
            }
            parts
        };
        assert_eq!(all(&[0, 0, 1, 1, 2, 2]), [(0, 1, 3, 2)]);
        assert_eq!(all(&[1, 4, 7]), [(1, 3, 3, 1)]);
        assert_eq!(all(&[3, 2, 1]), [(3, -1, 3, 1)]);
        assert_eq!(all(&[5, 5]), [(5, 1, 1, 2)]);
        assert_eq!(all(&[0, 0, 1, 2, 2]), [(0, 1, 1, 2), (1, 1, 2, 1), (2, 1, 1, 1)]);
        assert_eq!(all(&[]), []);
    }
}
