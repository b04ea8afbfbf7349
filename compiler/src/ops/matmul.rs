//! Product of two activations, and its gradient for each of them.

use num_traits::Float;
use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y[batch][row][column] = sum over inner of a b`: four loops, of which a and b are indexed as
/// their steps say, so that transposed, split and broadcast factors are read where they lie.
///
/// y has shape `[1, batch, rows, columns]`. Each element of a factor is met by one turn of the loops
/// that index it.
#[derive(Clone, Debug, PartialEq)]
pub struct MatMul {
    /// Turns of the loops: batch, row, column, inner.
    pub size: [u16; 4],
    /// How a lies under them.
    pub a: rt::Strides,
    /// How b lies under them.
    pub b: rt::Strides,
}

/// Gradient of [`MatMul`] for one factor: `dy` times the other, summed over the loops that do not
/// index it. Inputs are `dy` and the other factor.
#[derive(Clone, Debug, PartialEq)]
pub struct MatMulInputGrad {
    /// Height, width and channels of the factor.
    pub factor: [usize; 3],
    /// Turns of the forward op's loops.
    pub size: [u16; 4],
    /// How the factor lies under them.
    pub own: rt::Strides,
    /// How the other factor lies under them.
    pub other: rt::Strides,
}

/// How a product lies under its loops: batch, row, column.
fn canonical([_, rows, columns, _]: [u16; 4]) -> rt::Strides {
    let [rows, columns] = [rows, columns].map(u32::from);
    rt::Strides { at: 0, step: [rows * columns, columns, 1, 0] }
}

/// `attributes` with how a tensor lies; where it begins only if that is not its beginning.
fn write(attributes: Attributes, name: &str, strides: rt::Strides) -> Attributes {
    let attributes = attributes.with(name, strides.step.map(i64::from));
    match strides.at {
        0 => attributes,
        at => attributes.with(&format!("{name}_at"), [i64::from(at)]),
    }
}

fn read(attributes: &Attributes, name: &str) -> Result<rt::Strides, String> {
    let [at] = attributes.find(&format!("{name}_at"))?.unwrap_or([0]);
    Ok(rt::Strides { at, step: attributes.get(name)? })
}

/// Hands every three places in a, b and y that the loops meet together to `f`.
fn products(loops: &rt::Contraction, mut f: impl FnMut(usize, usize, usize)) {
    let count: usize = loops.size.iter().map(|&n| usize::from(n)).product();
    for mut turn in 0..count {
        let mut places = [loops.a.at, loops.b.at, loops.y.at].map(|at| at as usize);
        for k in (0..4).rev() {
            let n = turn % usize::from(loops.size[k]);
            turn /= usize::from(loops.size[k]);
            for (place, strides) in places.iter_mut().zip([&loops.a, &loops.b, &loops.y]) {
                *place += n * strides.step[k] as usize;
            }
        }
        f(places[0], places[1], places[2]);
    }
}

/// Checks that loops stay inside a tensor of so many elements.
fn inside(name: &str, strides: rt::Strides, size: [u16; 4], elements: usize) -> Result<(), String> {
    if size.contains(&0) {
        return Err(format!("has loops of {size:?} turns"));
    }
    if strides.last(size) >= elements as u64 {
        return Err(format!("its loops leave {name} of {elements} elements"));
    }
    Ok(())
}

/// As [`inside`]; also that no element is met by two turns of the loops that index it.
fn distinct(
    name: &str,
    strides: rt::Strides,
    size: [u16; 4],
    elements: usize,
) -> Result<(), String> {
    inside(name, strides, size, elements)?;
    if !strides.are_distinct(size) {
        let steps = strides.step;
        return Err(format!("steps {steps:?} over {size:?} meet elements of {name} twice"));
    }
    Ok(())
}

impl Operator for MatMul {
    const NAME: &'static str = "matmul";

    fn attributes(&self) -> Attributes {
        let size = Attributes::new().with("size", self.size.map(i64::from));
        write(write(size, "a", self.a), "b", self.b)
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [a, b] = [read(attributes, "a")?, read(attributes, "b")?];
        Ok(MatMul { size: attributes.get("size")?, a, b })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        let dtype = expect_activation(inputs[0])?;
        expect_activation(inputs[1])?;
        expect_dtype(inputs[1], dtype)?;
        for (input, strides) in inputs.iter().zip([self.a, self.b]) {
            nhwc(input)?;
            distinct(&format!("`{}`", input.name), strides, self.size, input.elements())?;
        }
        let [batch, rows, columns, _] = self.size.map(usize::from);
        Ok(vec![(dtype, vec![1, batch, rows, columns])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (a, b) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let mut y = vec![T::zero(); values.hwc(node.outputs[0]).iter().product()];
        let y_strides = canonical(self.size);
        let loops = rt::Contraction { size: self.size, a: self.a, b: self.b, y: y_strides };
        products(&loops, |from, by, to| y[to] = y[to] + a[from] * b[by]);
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let [a, b] = [node.inputs[0], node.inputs[1]];
        let factors = [(a, b, self.a, self.b, 'a'), (b, a, self.b, self.a, 'b')];
        for (factor, by, own, other, letter) in factors {
            if cx.wants(factor) {
                let shape = cx.graph().tensor(factor).shape.clone();
                let hwc = [shape[1], shape[2], shape[3]];
                let op = MatMulInputGrad { factor: hwc, size: self.size, own, other };
                let name = format!("{}.d{letter}", node.name);
                let gradient = cx.error(&name, op.into(), vec![dy, by], &shape);
                cx.contribute(factor, gradient);
            }
        }
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let terms = u64::from(self.size[3]);
        if terms > rt::MatMul::MOST_TERMS {
            let most = rt::MatMul::MOST_TERMS;
            let why = format!("it sums {terms} products, at most {most} fit 32 bits");
            return Err(LowerError::new(cx.graph, id, &why));
        }
        let node = cx.graph.node(id);
        let [a, b, y] =
            [node.inputs[0], node.inputs[1], node.outputs[0]].map(|t| cx.graph.tensor(t));
        let product = f64::from(a.scale_of(0)) * f64::from(b.scale_of(0));
        let scale = Multiplier::from_f64(product / f64::from(y.scale_of(0)));
        let zeros = [a.zero() as i16, b.zero() as i16];
        let range = cx.range(node.outputs[0], None);
        let y = canonical(self.size);
        let loops = rt::Contraction { size: self.size, a: self.a, b: self.b, y };
        let [a, b, output] = [node.inputs[0], node.inputs[1], node.outputs[0]].map(|t| cx.slot(t));
        cx.push(id, rt::MatMul { a, b, output, loops, zeros, scale, range });
        Ok(())
    }
}

impl MatMulInputGrad {
    /// The loops, with `dy` and the other factor as a and b, and the factor as their sum.
    fn loops(&self) -> rt::Contraction {
        let a = canonical(self.size);
        rt::Contraction { size: self.size, a, b: self.other, y: self.own }
    }
}

impl Operator for MatMulInputGrad {
    const NAME: &'static str = "matmul_input_grad";

    fn attributes(&self) -> Attributes {
        let size = Attributes::new().with("size", self.size.map(i64::from));
        let strides = write(write(size, "own", self.own), "other", self.other);
        strides.with("factor", self.factor.map(|v| v as i64))
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        let [own, other] = [read(attributes, "own")?, read(attributes, "other")?];
        let (factor, size) = (attributes.get("factor")?, attributes.get("size")?);
        Ok(MatMulInputGrad { factor, size, own, other })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_activation(inputs[1])?;
        let [batch, rows, columns, _] = self.size.map(usize::from);
        if inputs[0].shape != [1, batch, rows, columns] {
            let shape = &inputs[0].shape;
            return Err(format!("a gradient of {shape:?} does not come from {:?}", self.size));
        }
        let [h, w, c] = self.factor;
        let elements = h.checked_mul(w).and_then(|n| n.checked_mul(c)).unwrap_or(usize::MAX);
        distinct("the factor", self.own, self.size, elements)?;
        let other = format!("`{}`", inputs[1].name);
        inside(&other, self.other, self.size, inputs[1].elements())?;
        Ok(vec![(DType::Error, vec![1, h, w, c])])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (dy, other) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let mut dx = vec![T::zero(); self.factor.iter().product()];
        products(&self.loops(), |from, by, to| dx[to] = dx[to] + dy[from] * other[by]);
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let [dy, other] = [cx.graph.node(id).inputs[0], cx.graph.node(id).inputs[1]];
        let factor = cx.graph.tensor(other);
        let (other_zero, s) = (factor.zero() as i16, factor.scale_of(0));
        let turns: f64 = self.size.iter().map(|&n| f64::from(n)).product();
        let terms = turns / self.own.elements(self.size) as f64;
        let (fraction, scale) = super::mul::sum_scale(s, terms);
        let (error, input, epilogue) = (cx.error(dy), cx.slot(other), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        cx.push(
            id,
            rt::MatMulInputGrad {
                error,
                output,
                skip,
                mask,
                other: input,
                loops: self.loops(),
                other_zero,
                scale,
                fraction,
            },
        );
        Ok(())
    }
}
