//! `Conv`, and the windows that it shares with pools.

use std::rc::Rc;

use tract_onnx::pb;

use crate::import::constant::{Constant, Elements, IntType, Parameter};
use crate::import::error::Problem;
use crate::import::layout::View;
use crate::import::pending::{Convolution, Kind, Pending};
use crate::import::proto::{self, MAX_DIMENSION};
use crate::import::value::{Activation, Value};
use crate::import::Importer;
use crate::ir::Data;
use crate::ops::window::Window;

/// Weights, and their scale: one, or one for each index of the axis they were asked for.
pub struct Weights {
    /// As the file has them.
    pub constant: Rc<Constant>,
    /// Elements in the file's order, int8 or real.
    pub values: Data,
    /// Scales; 1 of real weights.
    pub scale: Vec<f32>,
}

impl Weights {
    /// The weights that `parameter` holds, quantised along `axis` if along any.
    ///
    /// # Errors
    /// Weights that are not symmetric int8, or quantised along another axis.
    fn steps(parameter: &Parameter, axis: usize) -> Result<Weights, Problem> {
        let constant = &parameter.constant;
        let (kind, values) = parameter.integers();
        if !matches!(kind, IntType::I8 | IntType::U8) {
            return Err(constant.wrong_type(kind.name(), "int8, or uint8 around 128"));
        }
        if parameter.scale.len() > 1 && parameter.axis != axis {
            let (tensor, axis) = (constant.name.clone(), parameter.axis);
            return Err(Problem::PerAxis { tensor, axis, expected: "output channel" });
        }
        // Weights around another zero point are symmetric if all of them still fit int8.
        let inner: usize = constant.dims.iter().skip(parameter.axis + 1).product();
        let zero = |at: usize| match parameter.zero.len() {
            1 => parameter.zero[0],
            n => parameter.zero[at / inner.max(1) % n],
        };
        let centred = values.iter().enumerate().map(|(at, &q)| i8::try_from(q - zero(at)).ok());
        let values: Option<Vec<i8>> = centred.collect();
        let values = values.ok_or_else(|| Problem::ZeroPoint {
            tensor: parameter.zero_name.clone(),
            value: parameter.zero.iter().copied().find(|&z| z != kind.offset()).unwrap_or(0),
            expected: "weights must be symmetric: 0 for int8, 128 for uint8",
        })?;
        let scale = parameter.scale.clone();
        Ok(Weights { constant: constant.clone(), values: Data::I8(values.into()), scale })
    }
}

/// Height and width that attribute `name` gives, where it is there: of a map of rank 3, the width
/// alone, and `height`.
///
/// # Errors
/// Another count, or a value out of range.
pub fn spatial(
    node: &pb::NodeProto,
    name: &'static str,
    rank: usize,
    height: usize,
) -> Result<Option<[usize; 2]>, Problem> {
    if rank == 3 {
        Ok(proto::sizes(node, name)?.map(|[width]| [height, width]))
    } else {
        proto::sizes(node, name)
    }
}

/// Kernel, stride and padding of a node over a map of `size` that the file sees in `rank`
/// dimensions, and which another node pads by `padded` before.
///
/// # Errors
/// Attributes that are not read, or a window that does not fit.
pub fn window(
    node: &pb::NodeProto,
    kernel: [usize; 2],
    size: [usize; 2],
    padded: [usize; 4],
    rank: usize,
) -> Result<Window, Problem> {
    let stride = spatial(node, "strides", rank, 1)?.unwrap_or([1; 2]);
    let pads = if rank == 3 {
        proto::sizes(node, "pads")?.map(|[first, last]| [0, first, 0, last])
    } else {
        proto::sizes(node, "pads")?
    };
    let dilation = spatial(node, "dilations", rank, 1)?.unwrap_or([1; 2]);
    let mut pad: [usize; 4] = pads.unwrap_or([0; 4]);
    let window = Window { kernel, stride, pad, dilation };
    let auto = proto::attribute(node, "auto_pad").map_or(&b"NOTSET"[..], |a| &a.s);
    match auto {
        b"NOTSET" | b"" => {}
        b"VALID" => pad = [0; 4],
        b"SAME_UPPER" | b"SAME_LOWER" => {
            if padded != [0; 4] {
                return Err(Problem::Other("pads a padded map".into()));
            }
            for axis in 0..2 {
                let step = stride[axis].max(1);
                let reach = (size[axis].div_ceil(step) - 1) * step + window.span(axis);
                let total = reach.saturating_sub(size[axis]);
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
    (0..4).for_each(|side| pad[side] += padded[side]);
    let window = Window { pad, ..window };
    window.output(size[0], size[1]).map_err(Problem::Other)?;
    Ok(window)
}

impl Importer<'_> {
    /// `Conv`.
    pub fn conv(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let weights = self.weights(node, 1, 0)?;
        let dims = &weights.constant.dims;
        let (x, padded) = self.unpadded(node, name, dims)?;
        let [h, w, channels] = x.view.size;
        let rank = x.view.dims.len();
        let (o, per_group, kh, kw) = match *dims.as_slice() {
            [o, i, kh, kw] if rank == 4 => (o, i, kh, kw),
            [o, i, k] if rank == 3 => (o, i, 1, k),
            _ => {
                return Err(Problem::Shape {
                    tensor: weights.constant.name.clone(),
                    shape: dims.clone(),
                    expected: format!(
                        "{rank} dimensions: output channels, input channels, {}",
                        if rank == 3 { "length" } else { "height, width" }
                    ),
                })
            }
        };
        let groups = proto::int(node, "group", 1);
        let fits = |g: &usize| *g > 0 && o % g == 0 && per_group.checked_mul(*g) == Some(channels);
        let Some(count) = usize::try_from(groups).ok().filter(fits) else {
            return Err(Problem::Groups { groups, channels, weights: dims.clone() });
        };
        let kernel = spatial(node, "kernel_shape", rank, 1)?.unwrap_or([kh, kw]);
        if kernel != [kh, kw] {
            return Err(Problem::Attribute {
                name: "kernel_shape",
                value: format!("{kernel:?}"),
                supported: "it must be that of the weights",
            });
        }
        let window = window(node, kernel, [h, w], padded, rank)?;
        let [oh, ow] = window.output(h, w).map_err(Problem::Other)?;
        // From [O, I, kh, kw] to [O, kh, kw, I].
        let taps = kh * kw;
        let order = (0..weights.values.len()).map(|at| {
            let (row, tap, i) = (at / per_group / taps, at / per_group % taps, at % per_group);
            (row * per_group + i) * taps + tap
        });
        let values = weights.values.pick(order);
        let mut conv = Convolution {
            x: x.tensor,
            window,
            groups: count,
            weights_name: weights.constant.name.clone(),
            weights: values,
            shape: [o, kh, kw, per_group],
            scale: weights.scale,
            x_scale: self.scale_of(&x),
            bias: vec![0.0; o],
        };
        if let Some(bias) = self.optional(node, 2)? {
            let bias_name = Self::input_name(node, 2).unwrap_or_default();
            add_bias(&mut conv, &View::row(o, 1), &bias, bias_name)?;
        }
        let view = View::map([oh, ow, o], rank);
        Ok(Value::Pending(Pending::new(name, "Conv", Kind::Conv(conv), view)))
    }

    /// The map that a convolution reads, and how it is padded by a node of its own that the
    /// convolution can do the work of.
    fn unpadded(
        &mut self,
        node: &pb::NodeProto,
        name: &str,
        weights: &[usize],
    ) -> Result<(Activation, [usize; 4]), Problem> {
        let kernel = match *weights {
            [_, _, kh, kw] => [kh, kw],
            [_, _, k] => [1, k],
            _ => [1; 2],
        };
        if let Value::Pending(pending) = self.value(node, 0)? {
            if let (true, Kind::Pad { x, pads }) = (pending.is_free(), &pending.kind) {
                let [h, w, _] = x.view.size;
                let rank = x.view.dims.len();
                if window(node, kernel, [h, w], *pads, rank).is_ok() {
                    self.note_fold(&pending.name, "Pad", name);
                    return Ok((x.clone(), *pads));
                }
            }
        }
        let x = self.activation(node, 0)?;
        let x = self.as_map(x, Self::input_name(node, 0).unwrap_or_default(), name)?;
        Ok((x, [0; 4]))
    }

    /// A node's input, which must be a constant: dequantised, along `axis` if along any, or of a
    /// real network.
    pub fn weights(
        &mut self,
        node: &pb::NodeProto,
        index: usize,
        axis: usize,
    ) -> Result<Weights, Problem> {
        let value = self.value(node, index)?;
        let name = Self::input_name(node, index).unwrap_or_default();
        let constant = match &value {
            Value::Parameter(parameter) => &parameter.constant,
            Value::Constant(constant) => constant,
            _ => return Err(Problem::NotConstant(name.into())),
        };
        if let Some(dim) = constant.dims.iter().find(|d| !(1..=MAX_DIMENSION).contains(*d)) {
            let (tensor, dimension) = (constant.name.clone(), dim.to_string());
            return Err(Problem::Dimension { tensor, dimension });
        }
        match value {
            Value::Parameter(parameter) => Weights::steps(&parameter, axis),
            Value::Constant(constant) if self.model.real => {
                let values = Data::F32(constant.finite()?.to_vec().into());
                Ok(Weights { constant, values, scale: vec![1.0] })
            }
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

/// Whether a constant holds one value, or one for each channel of an activation laid out as `view`.
pub fn is_channelwise(constant: &Constant, view: &View) -> bool {
    let (row, channels) = (view.channels(), view.size[2]);
    let mut aligned = view.dims.iter().rev().zip(constant.dims.iter().rev());
    let narrow = constant.dims.len() <= view.dims.len() || constant.dims.len() <= 1;
    narrow
        && aligned.all(|(run, &dim)| dim == 1 || (dim == channels && *run == row))
        && (constant.len() == 1 || constant.len() == channels)
}

/// Checks that a constant [`is_channelwise`].
///
/// # Errors
/// Where it is not.
pub fn expect_channelwise(constant: &Constant, view: &View) -> Result<(), Problem> {
    if is_channelwise(constant, view) {
        return Ok(());
    }
    Err(Problem::Shape {
        tensor: constant.name.clone(),
        shape: constant.dims.clone(),
        expected: format!("one value for each of {} channels", view.size[2]),
    })
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
    expect_channelwise(constant, view)?;
    let at = |o: usize| if constant.len() == 1 { 0 } else { o };
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
