//! Moves of elements: slices, padding, transposes, repetitions; and their gradient.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Quant, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// Moves elements of x along a path into y, which holds `fill` elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Copy {
    /// Height, width and channels of y.
    pub shape: [usize; 3],
    /// Which elements go where.
    pub path: rt::Path,
    /// In real units.
    pub fill: f32,
}

/// Gradient of [`Copy`], and of a part of a concatenation, for its input.
#[derive(Clone, Debug, PartialEq)]
pub struct CopyInputGrad {
    /// Height, width and channels of x.
    pub input: [usize; 3],
    /// Which elements went where.
    pub path: rt::Path,
}

fn attributes(path: &rt::Path) -> Attributes {
    Attributes::new()
        .with("size", path.size.map(i64::from))
        .with("from", path.from.map(i64::from))
        .with("from_at", [i64::from(path.from_at)])
        .with("to", path.to.map(i64::from))
        .with("to_at", [i64::from(path.to_at)])
}

fn path(attributes: &Attributes) -> Result<rt::Path, String> {
    let [from_at] = attributes.get("from_at")?;
    let [to_at] = attributes.get("to_at")?;
    let (size, from, to) =
        (attributes.get("size")?, attributes.get("from")?, attributes.get("to")?);
    Ok(rt::Path { size, from_at, from, to_at, to })
}

/// Pairs of places that a path joins.
pub(crate) fn places(path: &rt::Path) -> impl Iterator<Item = (usize, usize)> + '_ {
    let count: usize = path.size.iter().map(|&n| usize::from(n)).product();
    (0..count).map(move |mut turn| {
        let (mut from, mut to) = (i64::from(path.from_at), i64::from(path.to_at));
        for axis in (0..5).rev() {
            let n = (turn % usize::from(path.size[axis])) as i64;
            turn /= usize::from(path.size[axis]);
            from += n * i64::from(path.from[axis]);
            to += n * i64::from(path.to[axis]);
        }
        (from as usize, to as usize)
    })
}

/// Checks that a path stays inside tensors of so many elements.
fn inside(path: &rt::Path, from: usize, to: usize) -> Result<(), String> {
    if path.size.contains(&0) {
        return Err(format!("its path has loops of {:?} turns", path.size));
    }
    let ends = |at: u32, steps: &[i32; 5]| {
        let (mut least, mut most) = (i128::from(at), i128::from(at));
        for (&turns, &step) in path.size.iter().zip(steps) {
            let moved = (i128::from(turns) - 1) * i128::from(step);
            least += moved.min(0);
            most += moved.max(0);
        }
        (least, most)
    };
    for ((least, most), elements) in
        [(ends(path.from_at, &path.from), from), (ends(path.to_at, &path.to), to)]
    {
        if least < 0 || most >= elements as i128 {
            return Err(format!("its path leads out of a tensor of {elements} elements"));
        }
    }
    Ok(())
}

impl Operator for Copy {
    const NAME: &'static str = "copy";

    fn attributes(&self) -> Attributes {
        let all = attributes(&self.path).with("shape", self.shape.map(|v| v as i64));
        if self.fill == 0.0 {
            all
        } else {
            all.with_real("fill", [self.fill])
        }
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [fill] = attributes.find_real("fill")?.unwrap_or([0.0]);
        Ok(Copy { shape: attributes.get("shape")?, path: path(attributes)?, fill })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        let dtype = expect_activation(inputs[0])?;
        nhwc(inputs[0])?;
        let [h, w, c] = self.shape;
        let elements = h.checked_mul(w).and_then(|n| n.checked_mul(c)).unwrap_or(usize::MAX);
        inside(&self.path, inputs[0].elements(), elements)?;
        if !self.path.is_distinct() {
            return Err("its path leads to one place twice".into());
        }
        Ok(vec![(dtype, vec![1, h, w, c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let x = values.get(node.inputs[0]);
        let fill = T::from(self.fill).unwrap_or_else(T::nan);
        let mut y = vec![fill; self.shape.iter().product()];
        places(&self.path).for_each(|(from, to)| y[to] = x[from]);
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        if self.path.is_reversible() {
            cx.contribute_copy(node, 0, dy, self.path);
        } else {
            cx.stop();
        }
    }

    /// Moving changes no value, if the steps of x have one for what fills the rest.
    fn quantization(&self, inputs: &[&Tensor]) -> Option<Quant> {
        let held = |q: &Quant| (-128.0..=127.0).contains(&steps(self.fill, q));
        inputs[0].quant.clone().filter(held)
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let y = cx.graph.tensor(node.outputs[0]);
        let fill = y.quant.as_ref().map_or(0.0, |q| steps(self.fill, q));
        let output = cx.slot(node.outputs[0]);
        let moved = lowered(cx, node.inputs[0], node.outputs[0], self.path);
        cx.push(id, rt::Copy { output, fill: fill.clamp(-128.0, 127.0) as i8, ..moved });
        Ok(())
    }
}

/// The step that a real number falls on, which may lie outside int8.
fn steps(value: f32, quant: &Quant) -> f64 {
    (f64::from(value) / f64::from(quant.scale_of(0))).round() + f64::from(quant.zero)
}

/// The runtime's move from `x` to `y`, which is not named yet.
pub(super) fn lowered(cx: &mut Lowering<'_>, x: TensorId, y: TensorId, path: rt::Path) -> rt::Copy {
    let (from, to) = (cx.graph.tensor(x), cx.graph.tensor(y));
    let (x_zero, y_zero) = (from.zero() as i16, to.zero() as i16);
    let scale = match from.quant == to.quant {
        true => Multiplier::default(),
        false => Multiplier::from_f64(f64::from(from.scale_of(0)) / f64::from(to.scale_of(0))),
    };
    rt::Copy { input: cx.slot(x), path, x_zero, scale, y_zero, ..rt::Copy::default() }
}

impl Operator for CopyInputGrad {
    const NAME: &'static str = "copy_input_grad";

    fn attributes(&self) -> Attributes {
        attributes(&self.path).with("input", self.input.map(|v| v as i64))
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(CopyInputGrad { input: attributes.get("input")?, path: path(attributes)? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        expect_dtype(inputs[0], DType::Error)?;
        let [h, w, c] = self.input;
        let elements = h.checked_mul(w).and_then(|n| n.checked_mul(c)).unwrap_or(usize::MAX);
        inside(&self.path, elements, inputs[0].elements())?;
        if !self.path.is_reversible() {
            return Err("its path cannot be gone back".into());
        }
        Ok(vec![(DType::Error, vec![1, h, w, c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let dy = values.get(node.inputs[0]);
        let mut dx = vec![T::zero(); self.input.iter().product()];
        places(&self.path).for_each(|(from, to)| dx[from] = dx[from] + dy[to]);
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let dy = cx.graph.node(id).inputs[0];
        let (error, epilogue) = (cx.error(dy), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        cx.push(id, rt::CopyInputGrad { error, output, skip, mask, path: self.path });
        Ok(())
    }
}
