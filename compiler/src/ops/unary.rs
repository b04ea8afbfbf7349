//! A function of each element, and its gradient.

use num_traits::Float;
use offshoot_runtime::program::op as rt;

use super::{expect_activation, expect_dtype, expect_inputs, nhwc, Function, Operator, OutputType};
use crate::differentiate::Backward;
use crate::ir::{Attributes, DType, Node, NodeId, Tensor, TensorId};
use crate::lower::{LowerError, Lowering};
use crate::reference::Values;

/// `y = f(x)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Unary {
    /// f.
    pub function: Function,
}

/// Gradient of [`Unary`] for its input: `dx = dy f'(x)`. Inputs are `dy` and `x`.
#[derive(Clone, Debug, PartialEq)]
pub struct UnaryInputGrad {
    /// f.
    pub function: Function,
}

/// `f` of an element.
fn real<T: Float>(f: impl Fn(f64) -> f64, x: T) -> T {
    x.to_f64().and_then(|x| T::from(f(x))).unwrap_or_else(T::nan)
}

/// What each int8 stands for in `x`, from -128 on.
fn steps(x: &Tensor) -> impl Iterator<Item = f64> + '_ {
    (-128..=127).map(|q: i32| f64::from(x.scale_of(0)) * f64::from(q - x.zero()))
}

impl Operator for Unary {
    const NAME: &'static str = "unary";

    fn attributes(&self) -> Attributes {
        self.function.attributes()
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(Unary { function: Function::from_attributes(attributes)? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 1)?;
        nhwc(inputs[0])?;
        Ok(vec![(expect_activation(inputs[0])?, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let x = values.get(node.inputs[0]);
        let y = x.iter().map(|&x| real(|x| self.function.value(x), x)).collect();
        values.set(node.outputs[0], y);
    }

    fn gradient(&self, cx: &mut Backward, node: &Node, dy: TensorId) {
        let x = node.inputs[0];
        if cx.wants(x) {
            let shape = cx.graph().tensor(x).shape.clone();
            let op = UnaryInputGrad { function: self.function };
            let dx = cx.error(&format!("{}.dx", node.name), op.into(), vec![dy, x], &shape);
            cx.contribute(x, dx);
        }
    }

    /// By a table, whose entries are rounded half away from zero, as TensorFlow Lite fills its own.
    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let node = cx.graph.node(id);
        let (x, y) = (cx.graph.tensor(node.inputs[0]), cx.graph.tensor(node.outputs[0]));
        let entry = |x: f64| {
            let steps = (self.function.value(x) / f64::from(y.scale_of(0))).round();
            (steps + f64::from(y.zero())).clamp(-128.0, 127.0) as i8 as u8
        };
        let table: Vec<u8> = steps(x).map(entry).collect();
        let table = cx.table(&table);
        let (input, output) = (cx.slot(node.inputs[0]), cx.slot(node.outputs[0]));
        cx.push(id, rt::Table { input, output, table });
        Ok(())
    }
}

impl Operator for UnaryInputGrad {
    const NAME: &'static str = "unary_input_grad";

    fn attributes(&self) -> Attributes {
        self.function.attributes()
    }

    fn from_attributes(attributes: &Attributes) -> Result<Self, String> {
        Ok(UnaryInputGrad { function: Function::from_attributes(attributes)? })
    }

    fn infer(&self, inputs: &[&Tensor]) -> Result<Vec<OutputType>, String> {
        expect_inputs(inputs, 2)?;
        expect_dtype(inputs[0], DType::Error)?;
        expect_activation(inputs[1])?;
        if inputs[0].shape != inputs[1].shape {
            let (dy, x) = (&inputs[0].shape, &inputs[1].shape);
            return Err(format!("the gradient has shape {dy:?}, the input {x:?}"));
        }
        Ok(vec![(DType::Error, inputs[0].shape.clone())])
    }

    fn evaluate<T: Float + Send + Sync>(&self, node: &Node, values: &mut Values<'_, T>) {
        let (dy, x) = (values.get(node.inputs[0]), values.get(node.inputs[1]));
        let slope = |x: &T| real(|x| self.function.slope(x), *x);
        let dx = dy.iter().zip(x).map(|(&dy, x)| dy * slope(x)).collect();
        values.set(node.outputs[0], dx);
    }

    fn lower(&self, cx: &mut Lowering<'_>, id: NodeId) -> Result<(), LowerError> {
        let [dy, x] = [cx.graph.node(id).inputs[0], cx.graph.node(id).inputs[1]];
        let slopes: Vec<f64> = steps(cx.graph.tensor(x)).map(|x| self.function.slope(x)).collect();
        let most = slopes.iter().fold(0.0f64, |most, s| most.max(s.abs()));
        // As fine as int16 holds.
        let fraction = match most > 0.0 {
            true => (f64::from(i16::MAX) / most).log2().floor().clamp(-24.0, 24.0),
            false => 0.0,
        };
        let fixed = |slope: &f64| ((slope * fraction.exp2()).round() as i16).to_le_bytes();
        let slope = cx.table(&slopes.iter().flat_map(fixed).collect::<Vec<u8>>());
        let (error, input, epilogue) = (cx.error(dy), cx.slot(x), cx.epilogue(id));
        let (output, skip, mask) = (epilogue.output, epilogue.skip, epilogue.mask);
        let fraction = fraction as i8;
        cx.push(id, rt::TableInputGrad { error, output, skip, mask, input, slope, fraction });
        Ok(())
    }
}
