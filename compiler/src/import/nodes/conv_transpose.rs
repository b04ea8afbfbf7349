//! `ConvTranspose`: a convolution over its input with zeros between the pixels.

use tract_onnx::pb;

use super::conv::{add_bias, spatial};
use crate::import::arrange::{path, Stride};
use crate::import::error::Problem;
use crate::import::layout::View;
use crate::import::pending::{Convolution, Kind, Pending};
use crate::import::proto::{self, MAX_DIMENSION};
use crate::import::value::{Activation, Value};
use crate::import::Importer;
use crate::ops::window::Window;
use crate::ops::Copy;

/// Padding of a node, and rows and columns that it adds behind its result.
struct Sides {
    pad: [usize; 4],
    more: [usize; 2],
}

impl Importer<'_> {
    /// `ConvTranspose`. Output `t` gets `w[k] x[i]` for all `i stride + k dilation - pad = t`: a
    /// convolution of stride 1 with the kernel the other way round.
    pub fn conv_transpose(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let x = self.activation(node, 0)?;
        let x = self.as_map(x, Self::input_name(node, 0).unwrap_or_default(), name)?;
        let rank = x.view.dims.len();
        let [h, w, channels] = x.view.size;
        let groups = proto::int(node, "group", 1);
        // Scales of weights run along the output channels, which of one group are axis 1.
        let weights = self.weights(node, 1, usize::from(groups == 1))?;
        let dims = &weights.constant.dims;
        let (i, per_group, kernel) = match *dims.as_slice() {
            [i, o, kh, kw] if rank == 4 => (i, o, [kh, kw]),
            [i, o, k] if rank == 3 => (i, o, [1, k]),
            _ => {
                let tensor = weights.constant.name.clone();
                let expected = "input channels, output channels, and the kernel".into();
                return Err(Problem::Shape { tensor, shape: dims.clone(), expected });
            }
        };
        let fits = |g: &usize| *g > 0 && i == channels && channels % g == 0;
        let count = usize::try_from(groups).ok().filter(fits);
        let outputs = count.and_then(|g| per_group.checked_mul(g)).filter(|&o| o <= MAX_DIMENSION);
        let (Some(count), Some(outputs)) = (count, outputs) else {
            return Err(Problem::Groups { groups, channels, weights: dims.clone() });
        };
        if weights.scale.len() > 1 && count > 1 {
            return Err(Problem::Other("has weights in groups with a scale for each channel; one scale, or one group, is supported".into()));
        }
        let stride = spatial(node, "strides", rank, 1)?.unwrap_or([1; 2]);
        let dilation = spatial(node, "dilations", rank, 1)?.unwrap_or([1; 2]);
        let window = Window { kernel, stride, dilation, pad: [0; 4] };
        let sides = self.sides(node, &window, [h, w], rank)?;
        let mut pad = [0; 4];
        for (side, pad) in pad.iter_mut().enumerate() {
            let reach = window.span(side % 2) - 1;
            *pad = reach.checked_sub(sides.pad[side]).ok_or_else(|| {
                Problem::Other(format!(
                    "pads by {:?}, more than its kernel of {kernel:?} reaches; crop the result instead",
                    sides.pad
                ))
            })?;
        }
        let spread = self.spread(x, stride, sides.more, name)?;
        let [h, w, _] = spread.view.size;
        let window = Window { stride: [1; 2], pad, ..window };
        let [oh, ow] = window.output(h, w).map_err(Problem::Other)?;
        // From [I, O/g, kh, kw] to [O, kh, kw, I/g], the kernel the other way round.
        let (taps, inputs) = (kernel[0] * kernel[1], channels / count);
        let order = (0..outputs * taps * inputs).map(|at| {
            let (o, tap, i) = (at / inputs / taps, at / inputs % taps, at % inputs);
            let from = o / per_group * inputs + i;
            (from * per_group + o % per_group) * taps + taps - 1 - tap
        });
        let mut conv = Convolution {
            x: spread.tensor,
            window,
            groups: count,
            weights_name: weights.constant.name.clone(),
            weights: weights.values.pick(order),
            shape: [outputs, kernel[0], kernel[1], inputs],
            scale: weights.scale,
            x_scale: self.scale_of(&spread),
            bias: vec![0.0; outputs],
        };
        if let Some(bias) = self.optional(node, 2)? {
            let bias_name = Self::input_name(node, 2).unwrap_or_default();
            add_bias(&mut conv, &View::row(outputs, 1), &bias, bias_name)?;
        }
        let view = View::map([oh, ow, outputs], rank);
        Ok(Value::Pending(Pending::new(name, "ConvTranspose", Kind::Conv(conv), view)))
    }

    /// Padding, given or found from the size of the result.
    fn sides(
        &self,
        node: &pb::NodeProto,
        window: &Window,
        size: [usize; 2],
        rank: usize,
    ) -> Result<Sides, Problem> {
        if window.stride.contains(&0) || window.kernel.contains(&0) || window.dilation.contains(&0)
        {
            return Err(Problem::Other("has a kernel, stride or dilation of 0".into()));
        }
        let more = spatial(node, "output_padding", rank, 0)?.unwrap_or([0; 2]);
        let pad = match rank {
            3 => proto::sizes(node, "pads")?.map(|[first, last]| [0, first, 0, last]),
            _ => proto::sizes(node, "pads")?,
        };
        let auto = proto::attribute(node, "auto_pad").map_or(&b"NOTSET"[..], |a| &a.s);
        let same = auto.starts_with(b"SAME");
        let result = match spatial(node, "output_shape", rank, 1)? {
            Some(result) => Some(result),
            None if same => Some([0, 1].map(|axis| size[axis].saturating_mul(window.stride[axis]))),
            None => None,
        };
        let Some(result) = result else {
            let given = if auto == b"VALID" { None } else { pad };
            return Ok(Sides { pad: given.unwrap_or([0; 4]), more });
        };
        let mut sides = Sides { pad: [0; 4], more };
        for axis in 0..2 {
            let whole = (size[axis] - 1)
                .saturating_mul(window.stride[axis])
                .saturating_add(window.span(axis))
                .saturating_add(more[axis]);
            if whole < result[axis] {
                // What the kernel does not reach is added behind.
                sides.more[axis] += result[axis] - whole;
                continue;
            }
            let total = whole - result[axis];
            let (less, rest) = (total / 2, total - total / 2);
            let first = if auto == b"SAME_UPPER" { less } else { rest };
            (sides.pad[axis], sides.pad[axis + 2]) = (first, total - first);
        }
        Ok(sides)
    }

    /// A map with `stride - 1` zeros between its rows and columns, and `more` behind them.
    fn spread(
        &mut self,
        x: Activation,
        stride: [usize; 2],
        more: [usize; 2],
        name: &str,
    ) -> Result<Activation, Problem> {
        if stride == [1; 2] && more == [0; 2] {
            return Ok(x);
        }
        let [h, w, c] = x.view.size;
        let long = |size: usize, axis: usize| {
            let size = (size - 1).checked_mul(stride[axis])?.checked_add(1 + more[axis])?;
            (size <= MAX_DIMENSION).then_some(size)
        };
        let (Some(oh), Some(ow)) = (long(h, 0), long(w, 1)) else {
            return Err(Problem::Other(format!("spreads a {h}x{w} map beyond {MAX_DIMENSION}")));
        };
        let axis =
            |size: usize, from: usize, to: usize| Stride { size, from: from as i64, to: to as i64 };
        let strides =
            [axis(h, w * c, stride[0] * ow * c), axis(w, c, stride[1] * c), axis(c, 1, 1)];
        let view = View::map([oh, ow, c], x.view.dims.len());
        let op = Copy { shape: view.size, path: path(0, 0, &strides)?, fill: 0.0 };
        let label = format!("{name}.spread");
        let quant = self.quant_of(&x);
        self.step(Pending::op(&label, "ConvTranspose", op.into(), vec![x.tensor], view), quant)
    }
}
