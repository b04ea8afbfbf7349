//! Activations laid out anew: copies in memory, where no view of a tensor as it is will do.

use offshoot_runtime::program::op::Path;

use super::constant;
use super::error::Problem;
use super::layout::{in_order, normal, offsets, product, Arrangement, Axis, Run, View};
use super::pending::Pending;
use super::value::{Activation, Form, Value};
use super::Importer;
use crate::ir::{Data, Quant, Tensor};
use crate::ops::Copy;
use crate::quantize;

/// Elements that constants may be spread to.
pub const MOST_COMPUTED: usize = 1 << 22;

/// Loops of a [`Path`].
const LOOPS: usize = 5;

/// Elements of a file's dimension in two tensors: how many, and how far apart in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stride {
    /// How many.
    pub size: usize,
    /// Distance in the first tensor; 0 where one element stands for all.
    pub from: i64,
    /// Distance in the second tensor.
    pub to: i64,
}

/// The strides at which two runs of one length go through their tensors together; none where no
/// regular strides do. A run of one element goes with any other.
pub fn strides(from: &[Axis], to: &[Axis]) -> Option<Vec<Stride>> {
    let stride =
        |size: usize, from: usize, to: usize| Stride { size, from: from as i64, to: to as i64 };
    if from.is_empty() {
        return Some(to.iter().map(|axis| stride(axis.size, 0, axis.step)).collect());
    }
    let [mut a, mut b]: [Run; 2] = [from.to_vec(), to.to_vec()];
    let mut both = Vec::new();
    while let (Some(one), Some(other)) = (a.pop(), b.pop()) {
        let size = one.size.min(other.size);
        both.push(stride(size, one.step, other.step));
        for (rest, axis) in [(&mut a, one), (&mut b, other)] {
            if axis.size % size != 0 {
                return None;
            }
            let outer = Axis { size: axis.size / size, step: axis.step * size };
            rest.extend((outer.size > 1).then_some(outer));
        }
    }
    both.reverse();
    (a.is_empty() && b.is_empty()).then_some(both)
}

/// The path of `strides`, the slowest first, from place `from_at` to place `to_at`.
///
/// # Errors
/// Where it takes more loops than there are, or longer ones.
pub fn path(from_at: usize, to_at: usize, strides: &[Stride]) -> Result<Path, Problem> {
    let mut joined: Vec<Stride> = Vec::new();
    for &inner in strides.iter().filter(|s| s.size != 1) {
        let follows = |outer: &Stride| {
            let size = inner.size as i64;
            outer.from == inner.from * size && outer.to == inner.to * size
        };
        match joined.last_mut() {
            Some(outer) if follows(outer) && outer.size * inner.size <= usize::from(u16::MAX) => {
                *outer = Stride { size: outer.size * inner.size, ..inner };
            }
            _ => joined.push(inner),
        }
    }
    let tangled = || {
        Problem::Other("rearranges its input in more ways at once than are supported; do it in several nodes, or give the network fewer dimensions".into())
    };
    let mut path = Path { size: [1; LOOPS], ..Path::default() };
    let free = LOOPS.checked_sub(joined.len()).ok_or_else(tangled)?;
    for (at, stride) in joined.iter().enumerate().map(|(at, stride)| (free + at, stride)) {
        path.size[at] = u16::try_from(stride.size).map_err(|_| tangled())?;
        path.from[at] = i32::try_from(stride.from).map_err(|_| tangled())?;
        path.to[at] = i32::try_from(stride.to).map_err(|_| tangled())?;
    }
    path.from_at = u32::try_from(from_at).map_err(|_| tangled())?;
    path.to_at = u32::try_from(to_at).map_err(|_| tangled())?;
    Ok(path)
}

impl Importer<'_> {
    /// `x` with the file's dimensions laid into memory as `arrangement` says: itself, or a copy made
    /// for node `name`.
    ///
    /// # Errors
    /// A rearrangement that cannot be done at once.
    pub fn arrange(
        &mut self,
        x: Activation,
        arrangement: &Arrangement,
        name: &str,
    ) -> Result<Activation, Problem> {
        let target = View::arranged(&x.view.shape(), arrangement);
        self.laid_out(x, target, name)
    }

    /// `x` seen as `target`, a view of the same shape, or one that its dimensions of 1 are repeated to:
    /// itself, or a copy made for node `name`.
    ///
    /// # Errors
    /// A rearrangement that cannot be done at once.
    pub fn laid_out(
        &mut self,
        x: Activation,
        target: View,
        name: &str,
    ) -> Result<Activation, Problem> {
        if x.view == target {
            return Ok(x);
        }
        let mut all = Vec::new();
        for (from, to) in x.view.dims.iter().zip(&target.dims) {
            let Some(both) = strides(from, to) else {
                // In the file's order, any other grouping is a view.
                let order = in_order(x.view.dims.len());
                let plain = View::arranged(&x.view.shape(), &order);
                let split = x.view == plain;
                if split {
                    return Err(Problem::Other(format!("cannot lay {} out as {target}", x.view)));
                }
                let x = self.arrange(x, &order, name)?;
                return self.laid_out(x, target, name);
            };
            all.extend(both);
        }
        let path = path(0, 0, &all)?;
        self.copy(x, path, target, name)
    }

    /// A copy of `x` along `path`, which reaches all elements of a tensor seen as `target`.
    fn copy(
        &mut self,
        x: Activation,
        path: Path,
        target: View,
        name: &str,
    ) -> Result<Activation, Problem> {
        let (quant, label) = (self.quant_of(&x), format!("{name}.layout"));
        let op = Copy { shape: target.size, path, fill: 0.0 };
        let copy = Pending::op(&label, "Transpose", op.into(), vec![x.tensor], target);
        Ok(Activation { form: x.form, ..self.step(copy, quant)? })
    }

    /// `x` with its last dimension as channels, whatever the others are.
    ///
    /// # Errors
    /// A rearrangement that cannot be done at once.
    pub fn last_as_channels(&mut self, x: Activation, name: &str) -> Result<Activation, Problem> {
        let whole = x.view.size[2];
        let last = x.view.dims.last();
        let channels = last.is_some_and(|run| *run == x.view.channels());
        let size: usize = last.iter().flat_map(|run| run.iter()).map(|axis| axis.size).product();
        if channels && size == whole {
            return Ok(x);
        }
        let order = in_order(x.view.dims.len());
        self.arrange(x, &order, name)
    }

    /// `x` as a map: batch, channels, height, width, or batch, channels, length.
    ///
    /// # Errors
    /// Another number of dimensions, or a rearrangement that cannot be done at once.
    pub fn as_map(
        &mut self,
        x: Activation,
        tensor: &str,
        name: &str,
    ) -> Result<Activation, Problem> {
        let rank = x.view.dims.len();
        if rank != 3 && rank != 4 {
            let expected =
                "4 dimensions: batch, channels, height, width (or 3: batch, channels, length)"
                    .into();
            let (tensor, shape) = (tensor.into(), x.view.shape());
            return Err(Problem::Shape { tensor, shape, expected });
        }
        if !x.view.dims[0].is_empty() {
            let expected = "a batch of 1 as its first dimension".into();
            let (tensor, shape) = (tensor.into(), x.view.shape());
            return Err(Problem::Shape { tensor, shape, expected });
        }
        self.arrange(x, &super::layout::channels_first(rank), name)
    }
}

impl Importer<'_> {
    /// A constant as a tensor seen as `view`, to whose shape its dimensions of 1 are repeated.
    ///
    /// # Errors
    /// A shape that does not go with the view's, or values that are no numbers.
    pub fn constant_seen(
        &mut self,
        value: &Value,
        view: View,
        name: &str,
    ) -> Result<Activation, Problem> {
        let constant = match value {
            Value::Constant(constant) => constant.clone(),
            Value::Parameter(parameter) => parameter.constant.clone(),
            _ => return Err(Problem::NotConstant(name.into())),
        };
        let order = places(&constant.dims, &view).ok_or_else(|| Problem::Shape {
            tensor: name.into(),
            shape: constant.dims.clone(),
            expected: format!("a shape that goes with {view}"),
        })?;
        let [h, w, c] = view.size;
        let shape = vec![1, h, w, c];
        let form = Form::Dequantized;
        let tensor = match value {
            Value::Parameter(p) if p.scale.len() == 1 => {
                let (kind, steps) = p.integers();
                let zero = p.zero[0] - kind.offset();
                let steps: Option<Vec<i8>> =
                    order.iter().map(|&at| i8::try_from(steps[at] - kind.offset()).ok()).collect();
                let (Some(steps), Ok(zero)) = (steps, i8::try_from(zero)) else {
                    return Err(constant.wrong_type(kind.name(), "int8 or uint8"));
                };
                let quant = Quant::per_tensor(p.scale[0], zero.into());
                Tensor::constant(name, shape, Data::I8(steps.into()), quant)
            }
            value => {
                let reals = value.real(name)?;
                let values = reals.finite()?;
                let values: Vec<f32> = order.iter().map(|&at| values[at]).collect();
                let real = Tensor::real(name, shape, Data::F32(values.into()));
                if self.model.real {
                    real
                } else {
                    quantize::constant(&real)
                }
            }
        };
        Ok(Activation { tensor: self.graph.add_tensor(tensor), view, form })
    }
}

/// For each element of memory, the element of a constant of shape `dims` that `view` shows there; none
/// where the shapes do not go together.
fn places(dims: &[usize], view: &View) -> Option<Vec<usize>> {
    let elements = product(&view.size).filter(|&n| n <= MOST_COMPUTED)?;
    let rank = view.dims.len();
    if dims.len() > rank || dims.contains(&0) {
        return None;
    }
    let mut pairs = vec![(0usize, 0usize)];
    let strides = constant::strides(dims);
    for (at, run) in view.dims.iter().enumerate() {
        let size: usize = run.iter().map(|axis| axis.size).product();
        let own = (at + dims.len()).checked_sub(rank);
        let stride = match own.map(|at| (dims[at], strides[at])) {
            None | Some((1, _)) => 0,
            Some((n, stride)) if n == size => stride,
            Some(_) => return None,
        };
        let offsets = offsets(run);
        let next = pairs.iter().flat_map(|&(memory, own)| {
            let offsets = offsets.iter().enumerate();
            offsets.map(move |(n, offset)| (memory + offset, own + n * stride))
        });
        pairs = next.collect();
    }
    let mut places = vec![0; elements];
    for (memory, own) in pairs {
        *places.get_mut(memory)? = own;
    }
    Some(places)
}

impl View {
    /// With its last dimension, which is the channels, of another size: every other axis steps over as
    /// many of them.
    pub fn with_last(&self, channels: usize) -> View {
        let [h, w, c] = self.size;
        let axis = |a: &Axis| Axis { size: a.size, step: a.step / c.max(1) * channels };
        let moved = |run: &Run| normal(&run.iter().map(axis).collect::<Run>());
        let mut view = View { size: [h, w, channels], dims: self.dims.iter().map(moved).collect() };
        let row = view.channels();
        if let Some(last) = view.dims.last_mut() {
            *last = row;
        }
        view
    }
}
