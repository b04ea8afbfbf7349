//! `Gemm` and `MatMul`: convolutions over one pixel, or over the whole of a flattened map; or products
//! of two activations.

use std::rc::Rc;

use offshoot_runtime::program::op::Strides;
use tract_onnx::pb;

use super::binary::broadcast;
use super::conv::{add_bias, is_channelwise, Weights};
use crate::import::constant::{Constant, Elements};
use crate::import::error::Problem;
use crate::import::layout::{in_order, normal, offsets, product, Axis, Run, View};
use crate::import::pending::{Convolution, Kind, Pending};
use crate::import::proto::{self, MAX_DIMENSION};
use crate::import::value::Value;
use crate::import::Importer;
use crate::ops::window::Window;
use crate::ops::MatMul;

impl Importer<'_> {
    /// `MatMul`.
    pub fn matmul(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let weights = self.value(node, 1)?;
        if !weights.is_constant() || weights.shape().len() > 2 || self.value(node, 0)?.is_constant()
        {
            return self.product(node, name);
        }
        let (conv, view) = self.dense(node, name, false)?;
        Ok(Value::Pending(Pending::new(name, "MatMul", Kind::Conv(conv), view)))
    }

    /// `Gemm`.
    pub fn gemm(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let (mut conv, view) = self.dense(node, name, proto::int(node, "transB", 0) != 0)?;
        let factor = |name| f64::from(proto::float(node, name).unwrap_or(1.0));
        conv.scale_by(factor("alpha"))?;
        if let Some(bias) = self.optional(node, 2)? {
            let bias_name = Self::input_name(node, 2).unwrap_or_default();
            let bias = match factor("beta") {
                1.0 => bias,
                beta => scaled(&bias, beta, bias_name)?,
            };
            let plain = self.model.real && !is_channelwise(&*bias.real(bias_name)?, &view);
            if plain {
                // A bias for each row too: an addition of its own.
                let label = format!("{name}.product");
                let x = self.step(Pending::new(&label, "Gemm", Kind::Conv(conv), view), None)?;
                let bias = self.constant_seen(&bias, x.view.clone(), bias_name)?;
                let kind = Kind::Add { a: x.tensor, b: bias.tensor };
                return Ok(Value::Pending(Pending::new(name, "Gemm", kind, x.view)));
            }
            add_bias(&mut conv, &view, &bias, bias_name)?;
        }
        Ok(Value::Pending(Pending::new(name, "Gemm", Kind::Conv(conv), view)))
    }

    /// A fully connected layer, and the layout of its result. Weights are `[I, O]`, or `[O, I]`
    /// where they are `transposed`.
    fn dense(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        transposed: bool,
    ) -> Result<(Convolution, View), Problem> {
        let mut x = self.activation(node, 0)?;
        if node.op_type == "Gemm" && proto::int(node, "transA", 0) != 0 && x.view.dims.len() == 2 {
            x.view = x.view.transpose(&[1, 0]);
        }
        let weights = self.weights(node, 1, usize::from(!transposed))?;
        let features = x.view.shape().last().copied().unwrap_or(1);
        let constant = &weights.constant;
        let (outputs, stride_o, stride_i) = match constant.dims.as_slice() {
            &[o, i] if transposed && i == features => (o, i, 1),
            &[i, o] if !transposed && i == features => (o, 1, o),
            dims => {
                let order = if transposed { "[outputs, features]" } else { "[features, outputs]" };
                return Err(Problem::Shape {
                    tensor: constant.name.clone(),
                    shape: dims.to_vec(),
                    expected: format!("{order} with {features} features"),
                });
            }
        };
        let one_row = x.view.elements() == features;
        // A row of features that is a whole map is read by a kernel of its size; of several rows, each
        // is a pixel.
        let x = if one_row { x } else { self.last_as_channels(x, name)? };
        let (kernel, view) = match one_row {
            true => (x.view.size, View::row(outputs, x.view.dims.len())),
            false => ([1, 1, features], x.view.with_last(outputs)),
        };
        let mut at = vec![0; features];
        let last: &[Axis] = x.view.dims.last().map_or(&[], Vec::as_slice);
        offsets(last).into_iter().enumerate().for_each(|(feature, place)| at[place] = feature);
        let order =
            (0..outputs * features).map(|n| n / features * stride_o + at[n % features] * stride_i);
        let Weights { values, scale, .. } = &weights;
        let conv = Convolution {
            x: x.tensor,
            window: Window::whole(kernel[0], kernel[1]),
            groups: 1,
            weights_name: constant.name.clone(),
            weights: values.pick(order),
            shape: [outputs, kernel[0], kernel[1], kernel[2]],
            scale: scale.clone(),
            x_scale: self.scale_of(&x),
            bias: vec![0.0; outputs],
        };
        Ok((conv, view))
    }

    /// A product of two activations, or of one and a constant that is no matrix of weights: factors are
    /// read where they lie, where strides reach their elements.
    fn product(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let mut factors = Vec::with_capacity(2);
        for index in 0..2 {
            let value = self.value(node, index)?;
            let label = Self::input_name(node, index).unwrap_or_default().to_string();
            let mut factor = match value.is_constant() {
                true => {
                    let shape = value.shape();
                    self.constant_seen(
                        &value,
                        View::arranged(&shape, &in_order(shape.len())),
                        &label,
                    )?
                }
                false => self.settled(value, &label)?,
            };
            // A vector is a row on the left, a column on the right.
            if let [only] = factor.view.dims.as_slice() {
                let only = only.clone();
                factor.view.dims = if index == 0 { vec![vec![], only] } else { vec![only, vec![]] };
            }
            if factor.view.dims.len() < 2 {
                let (shape, expected) = (factor.view.shape(), "a matrix or a vector".into());
                return Err(Problem::Shape { tensor: label, shape, expected });
            }
            factors.push(factor);
        }
        let shapes: Vec<Vec<usize>> = factors.iter().map(|f| f.view.shape()).collect();
        let [m, k] = [2, 1].map(|n| shapes[0].len() - n);
        let [rows, inner] = [shapes[0][m], shapes[0][k]];
        let [l, n] = [2, 1].map(|n| shapes[1].len() - n);
        let columns = shapes[1][n];
        let batches = broadcast(&[shapes[0][..m].to_vec(), shapes[1][..l].to_vec()]);
        let (Some(batches), true) = (batches, shapes[1][l] == inner) else {
            return Err(Problem::Shape {
                tensor: Self::input_name(node, 1).unwrap_or_default().into(),
                shape: shapes[1].clone(),
                expected: format!("a matrix that goes with {:?}", shapes[0]),
            });
        };
        let batch = product(&batches).filter(|&b| b <= MAX_DIMENSION);
        let batch =
            batch.ok_or_else(|| Problem::Other(format!("multiplies {batches:?} matrices")))?;
        let mut strides = Vec::with_capacity(2);
        for (index, factor) in factors.iter_mut().enumerate() {
            let own = product(&factor.view.shape()[..factor.view.dims.len() - 2]);
            let loops = match self::strides(&factor.view) {
                Some(loops) if own == Some(batch) || own == Some(1) => loops,
                _ => {
                    // Other batches are repeated; what strides do not reach is laid out anew.
                    let matrix = shapes[index][shapes[index].len() - 2..].to_vec();
                    let shape = if own == Some(1) {
                        shapes[index].clone()
                    } else {
                        [&batches[..], &matrix].concat()
                    };
                    while factor.view.dims.len() < shape.len() {
                        factor.view.dims.insert(0, Vec::new());
                    }
                    let target = View::arranged(&shape, &in_order(shape.len()));
                    let label = format!("{name}.{}", ["a", "b"][index]);
                    *factor = self.laid_out(factor.clone(), target, &label)?;
                    self::strides(&factor.view).unwrap_or_default()
                }
            };
            strides.push(loops);
        }
        let step = |step: usize| step as u32;
        let [[a_batch, a_row, a_inner], [b_batch, b_inner, b_column]] = [strides[0], strides[1]];
        let op = MatMul {
            size: [batch, rows, columns, inner].map(|n| n as u16),
            a: Strides { at: 0, step: [step(a_batch), step(a_row), 0, step(a_inner)] },
            b: Strides { at: 0, step: [step(b_batch), 0, step(b_column), step(b_inner)] },
        };
        let shape = [&batches[..], &[rows, columns]].concat();
        let view = View::arranged(&shape, &in_order(shape.len()));
        let tensors = factors.iter().map(|f| f.tensor).collect();
        Ok(Value::Pending(Pending::op(name, "MatMul", op.into(), tensors, view)))
    }
}

/// Steps of the matrices, rows and columns of a tensor, where each of them is one axis.
fn strides(view: &View) -> Option<[usize; 3]> {
    let (batches, matrix) = view.dims.split_at(view.dims.len().saturating_sub(2));
    let runs = [normal(&batches.concat()), matrix.first()?.clone(), matrix.get(1)?.clone()];
    let one = |run: &Run| match run.as_slice() {
        [] => Some(0),
        [axis] => Some(axis.step),
        _ => None,
    };
    Some([one(&runs[0])?, one(&runs[1])?, one(&runs[2])?])
}

/// A constant times `factor`.
fn scaled(value: &Value, factor: f64, name: &str) -> Result<Value, Problem> {
    let constant = value.real(name)?;
    let values = constant.finite()?.iter().map(|&v| (f64::from(v) * factor) as f32).collect();
    let scaled = Constant { elements: Elements::Float(values), ..(*constant).clone() };
    Ok(Value::Constant(Rc::new(scaled)))
}
