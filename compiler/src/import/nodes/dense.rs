//! `Gemm` and `MatMul`: convolutions whose kernel covers the whole of their input.

use tract_onnx::pb;

use super::conv::add_bias;
use crate::import::error::Problem;
use crate::import::layout::View;
use crate::import::pending::{Convolution, Kind, Pending};
use crate::import::proto;
use crate::import::value::Value;
use crate::import::Importer;
use crate::ops::window::Window;

impl Importer<'_> {
    /// `MatMul` of an activation by constant weights.
    pub fn matmul(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let (conv, view) = self.dense(node, false)?;
        Ok(Value::Pending(Pending::new(name, "MatMul", Kind::Conv(conv), view)))
    }

    /// `Gemm`.
    pub fn gemm(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let (mut conv, view) = self.dense(node, proto::int(node, "transB", 0) != 0)?;
        if let Some(bias) = self.optional(node, 2)? {
            let bias_name = Self::input_name(node, 2).unwrap_or_default();
            add_bias(&mut conv, &view, &bias, bias_name)?;
        }
        Ok(Value::Pending(Pending::new(name, "Gemm", Kind::Conv(conv), view)))
    }

    /// A fully connected layer, and the layout of its result. Weights are `[I, O]`, or `[O, I]`
    /// where they are `transposed`.
    fn dense(
        &mut self,
        node: &pb::NodeProto,
        transposed: bool,
    ) -> Result<(Convolution, View), Problem> {
        let x = self.activation(node, 0)?;
        let weights = self.weights(node, 1, usize::from(!transposed))?;
        let constant = &weights.constant;
        let x_name = Self::input_name(node, 0).unwrap_or_default();
        let (last, rest) = match x.view.dims.split_last() {
            Some((last, rest)) if rest.iter().all(Vec::is_empty) => (last, rest.len()),
            _ => {
                return Err(Problem::Shape {
                    tensor: x_name.into(),
                    shape: x.view.shape(),
                    expected: "one row of features; flatten the map first".into(),
                })
            }
        };
        let features: usize = x.view.size.iter().product();
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
        let [h, w, c] = x.view.size;
        let order = (0..outputs * features).map(|at| {
            let (o, at) = (at / features, at % features);
            let feature = x.view.position(last, [at / c / w, at / c % w, at % c]);
            o * stride_o + feature * stride_i
        });
        let values = weights.values.pick(order);
        let conv = Convolution {
            x: x.tensor,
            window: Window::whole(h, w),
            groups: 1,
            weights_name: constant.name.clone(),
            weights: values,
            shape: [outputs, h, w, c],
            scale: weights.scale,
            x_scale: self.scale_of(&x),
            bias: vec![0.0; outputs],
        };
        Ok((conv, View::row(outputs, rest + 1)))
    }
}
