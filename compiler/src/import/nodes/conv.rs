//! `Conv`, and the windows that it shares with pools.

use std::rc::Rc;
use std::sync::Arc;

use tract_onnx::pb;

use crate::import::constant::{Elements, IntType, Parameter};
use crate::import::error::Problem;
use crate::import::layout::View;
use crate::import::pending::{Convolution, Kind, Pending};
use crate::import::proto::{self, MAX_DIMENSION};
use crate::import::value::{Activation, Value};
use crate::import::Importer;
use crate::ops::window::Window;

/// Weights in int8, and their scale: one, or one for each index of the axis they were asked for.
pub struct Weights {
    /// Elements in the file's order.
    pub values: Vec<i8>,
    /// Scales.
    pub scale: Vec<f32>,
}

impl Weights {
    /// The weights that `parameter` holds, quantised along `axis` if along any.
    ///
    /// # Errors
    /// Weights that are not symmetric int8, or quantised along another axis.
    pub fn new(parameter: &Parameter, axis: usize) -> Result<Weights, Problem> {
        let constant = &parameter.constant;
        let (kind, values) = parameter.integers();
        if !matches!(kind, IntType::I8 | IntType::U8) {
            return Err(constant.wrong_type(kind.name(), "int8, or uint8 around 128"));
        }
        if let Some(&zero) = parameter.zero.iter().find(|&&z| z != kind.offset()) {
            let expected = "weights must be symmetric: 0 for int8, 128 for uint8";
            let tensor = parameter.zero_name.clone();
            return Err(Problem::ZeroPoint { tensor, value: zero, expected });
        }
        if parameter.scale.len() > 1 && parameter.axis != axis {
            let (tensor, axis) = (constant.name.clone(), parameter.axis);
            return Err(Problem::PerAxis { tensor, axis, expected: "output channel" });
        }
        if let Some(dim) = constant.dims.iter().find(|d| !(1..=MAX_DIMENSION).contains(*d)) {
            let (tensor, dimension) = (constant.name.clone(), dim.to_string());
            return Err(Problem::Dimension { tensor, dimension });
        }
        let values = values.iter().map(|&v| (v - kind.offset()) as i8).collect();
        Ok(Weights { values, scale: parameter.scale.clone() })
    }
}

/// Kernel, stride and padding of a node over a map of `size`.
///
/// # Errors
/// Attributes that are not read, or a window that does not fit.
pub fn window(
    node: &pb::NodeProto,
    kernel: [usize; 2],
    size: [usize; 2],
) -> Result<Window, Problem> {
    let stride: [usize; 2] = proto::sizes(node, "strides")?.unwrap_or([1; 2]);
    let mut pad: [usize; 4] = proto::sizes(node, "pads")?.unwrap_or([0; 4]);
    let auto = proto::attribute(node, "auto_pad").map_or(&b"NOTSET"[..], |a| &a.s);
    match auto {
        b"NOTSET" | b"" => {}
        b"VALID" => pad = [0; 4],
        b"SAME_UPPER" | b"SAME_LOWER" => {
            for axis in 0..2 {
                let step = stride[axis].max(1);
                let span = (size[axis].div_ceil(step) - 1) * step + kernel[axis];
                let total = span.saturating_sub(size[axis]);
                let (less, more) = (total / 2, total - total / 2);
                let upper = auto == b"SAME_UPPER";
                (pad[axis], pad[axis + 2]) = if upper { (less, more) } else { (more, less) };
            }
        }
        other => {
            return Err(Problem::Attribute {
                name: "auto_pad",
                value: String::from_utf8_lossy(other).into_owned(),
                supported: "NOTSET, VALID, SAME_UPPER and SAME_LOWER are supported",
            })
        }
    }
    let window = Window { kernel, stride, pad };
    window.output(size[0], size[1]).map_err(Problem::Other)?;
    Ok(window)
}

impl Importer<'_> {
    /// `Conv`.
    pub fn conv(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let parameter = self.weights(node, 1)?;
        let dims = &parameter.constant.dims;
        let [h, w, channels] = x.view.expect_map(Self::input_name(node, 0).unwrap_or_default())?;
        let &[o, per_group, kh, kw] = dims.as_slice() else {
            return Err(Problem::Shape {
                tensor: parameter.constant.name.clone(),
                shape: dims.clone(),
                expected: "4 dimensions: output channels, input channels, height, width".into(),
            });
        };
        let weights = Weights::new(&parameter, 0)?;
        let groups = proto::int(node, "group", 1);
        let fits = |g: &usize| *g > 0 && o % g == 0 && per_group.checked_mul(*g) == Some(channels);
        let Some(count) = usize::try_from(groups).ok().filter(fits) else {
            return Err(Problem::Groups { groups, channels, weights: dims.clone() });
        };
        let kernel = proto::sizes(node, "kernel_shape")?.unwrap_or([kh, kw]);
        if kernel != [kh, kw] {
            return Err(Problem::Attribute {
                name: "kernel_shape",
                value: format!("{kernel:?}"),
                supported: "it must be that of the weights",
            });
        }
        let window = window(node, kernel, [h, w])?;
        let [oh, ow] = window.output(h, w).map_err(Problem::Other)?;
        // From [O, I, kh, kw] to [O, kh, kw, I].
        let taps = kh * kw;
        let mut values = Vec::with_capacity(weights.values.len());
        for row in weights.values.chunks_exact(per_group * taps) {
            for tap in 0..taps {
                values.extend((0..per_group).map(|i| row[i * taps + tap]));
            }
        }
        let mut conv = Convolution {
            x: x.tensor,
            window,
            groups: count,
            weights_name: parameter.constant.name.clone(),
            weights: Arc::new(values),
            shape: [o, kh, kw, per_group],
            scale: weights.scale,
            x_scale: self.scale_of(&x),
            bias: vec![0.0; o],
        };
        if let Some(bias) = self.optional(node, 2)? {
            let bias_name = Self::input_name(node, 2).unwrap_or_default();
            add_bias(&mut conv, &View::row(o, 1), &bias, bias_name)?;
        }
        let view = View::nchw([oh, ow, o]);
        Ok(Value::Pending(Pending::new(name, "Conv", Kind::Conv(conv), view)))
    }

    /// A node's input, which must be a dequantised constant.
    pub fn weights(
        &mut self,
        node: &pb::NodeProto,
        index: usize,
    ) -> Result<Rc<Parameter>, Problem> {
        let value = self.value(node, index)?;
        let name = Self::input_name(node, index).unwrap_or_default();
        match value {
            Value::Parameter(parameter) => Ok(parameter),
            Value::Constant(constant) => {
                if matches!(constant.elements, Elements::Float(_)) {
                    constant.finite()?;
                }
                let producer = "an initializer of float weights".into();
                Err(Problem::NotQuantized { tensor: name.into(), producer })
            }
            _ => Err(Problem::NotConstant(name.into())),
        }
    }

    /// Scale of an activation.
    pub fn scale_of(&self, activation: &Activation) -> f32 {
        self.graph.tensor(activation.tensor).scale_of(0)
    }
}

/// Adds a constant to the bias of `conv`, whose result (or whose bias) has layout `view`.
///
/// # Errors
/// What is not one value, or one for each channel, or does not fit int32.
pub fn add_bias(
    conv: &mut Convolution,
    view: &View,
    bias: &Value,
    name: &str,
) -> Result<(), Problem> {
    let constant = match bias {
        Value::Constant(constant) => constant,
        Value::Parameter(parameter) => &parameter.constant,
        _ => return Err(Problem::NotConstant(name.into())),
    };
    let channels = conv.shape[0];
    let shape = view.shape();
    let aligned = shape.iter().zip(&view.dims).rev().zip(constant.dims.iter().rev());
    let broadcasts = |((_, run), &dim): ((&usize, &Vec<_>), &usize)| {
        dim == 1 || (dim == channels && *run == view.run(&[crate::import::layout::Axis::C]))
    };
    let count = constant.len();
    if constant.dims.len() > shape.len() && constant.dims.len() > 1
        || !aligned.map(broadcasts).eq(constant.dims.iter().map(|_| true))
        || (count != 1 && count != channels)
    {
        return Err(Problem::Shape {
            tensor: constant.name.clone(),
            shape: constant.dims.clone(),
            expected: format!("a bias: one value for each of {channels} channels"),
        });
    }
    let at = |o: usize| if count == 1 { 0 } else { o };
    let steps: Vec<f64> = match bias {
        Value::Parameter(p) => {
            let (_, values) = p.integers();
            let scale = |o: usize| if p.scale.len() == 1 { 0 } else { at(o) };
            let step = |o: usize| {
                let q = (values[at(o)] - p.zero[scale(o)]) as f64;
                let ratio = f64::from(p.scale[scale(o)]) / conv.bias_scale(o);
                // Exporters round scales: within a thousandth they mean the same.
                if (ratio - 1.0).abs() <= 1e-3 {
                    q
                } else {
                    q * ratio
                }
            };
            (0..channels).map(step).collect()
        }
        _ => {
            let values = constant.finite()?;
            (0..channels).map(|o| f64::from(values[at(o)]) / conv.bias_scale(o)).collect()
        }
    };
    conv.add_bias(&steps)
}
