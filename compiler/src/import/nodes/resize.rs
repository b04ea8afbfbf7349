//! `Resize` and `Upsample` to the nearest element.

use tract_onnx::pb;

use super::layout::axes_of;
use super::moves::{regular_part, Range};
use crate::import::error::Problem;
use crate::import::proto::{self, MAX_DIMENSION};
use crate::import::value::Value;
use crate::import::Importer;

/// How a coordinate of the result becomes one of the input, and how that is rounded.
struct Rule {
    transformation: String,
    rounding: String,
}

impl Importer<'_> {
    /// `Resize` and `Upsample`: one node where every dimension repeats its elements equally often, or
    /// leaves equally many out; others are a node each.
    pub fn resize(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let op = if node.op_type == "Upsample" { "Upsample" } else { "Resize" };
        let text = |name: &str, default: &str| {
            let found =
                proto::attribute(node, name).map(|a| String::from_utf8_lossy(&a.s).into_owned());
            found.filter(|text| !text.is_empty()).unwrap_or_else(|| default.into())
        };
        let mode = text("mode", "nearest");
        if mode != "nearest" {
            let supported = "only nearest is supported";
            return Err(Problem::Attribute { name: "mode", value: mode, supported });
        }
        // Before operator set 11 there was one rule.
        let old = op == "Upsample" || self.model.opset < 11;
        let rule = match old {
            true => Rule { transformation: "asymmetric".into(), rounding: "floor".into() },
            false => Rule {
                transformation: text("coordinate_transformation_mode", "half_pixel"),
                rounding: text("nearest_mode", "round_prefer_floor"),
            },
        };
        let x = self.activation(node, 0)?;
        let shape = x.view.shape();
        let dims = match proto::ints(node, "axes") {
            Some(axes) => axes_of(axes, shape.len())?,
            None => (0..shape.len()).collect(),
        };
        let (mut scales, sizes) = self.targets(node, old)?;
        let mut round: fn(f64) -> f64 = f64::floor;
        if let (Some(sizes), Some(policy)) =
            (&sizes, proto::attribute(node, "keep_aspect_ratio_policy"))
        {
            let ratios =
                || dims.iter().zip(sizes).map(|(&dim, &size)| size as f32 / shape[dim] as f32);
            let scale = match policy.s.as_slice() {
                b"stretch" => None,
                b"not_larger" => Some(ratios().fold(f32::INFINITY, f32::min)),
                b"not_smaller" => Some(ratios().fold(0.0, f32::max)),
                other => {
                    let value = String::from_utf8_lossy(other).into_owned();
                    let supported = "stretch, not_larger and not_smaller are supported";
                    return Err(Problem::Attribute {
                        name: "keep_aspect_ratio_policy",
                        value,
                        supported,
                    });
                }
            };
            if let Some(scale) = scale {
                scales = Some(vec![scale; dims.len()]);
                round = |v| (v + 0.5).floor();
            }
        }
        let count = scales.as_ref().map_or_else(|| sizes.as_ref().map_or(0, Vec::len), Vec::len);
        if count != dims.len() {
            return Err(Problem::Other(format!(
                "gives {count} scales or sizes for {} dimensions",
                dims.len()
            )));
        }
        let mut x = x;
        let mut ranges: Vec<Range> = shape.iter().map(|&size| Range::all(size)).collect();
        for (n, &dim) in dims.iter().enumerate() {
            let size = shape[dim];
            let (scale, target) = match (&scales, &sizes) {
                (Some(scales), _) => {
                    let scale = f64::from(scales[n]);
                    (scale, round(size as f64 * scale))
                }
                (None, Some(sizes)) => (sizes[n] as f64 / size as f64, sizes[n] as f64),
                (None, None) => return Err(Problem::Missing("its scales or sizes".into())),
            };
            if !(1.0..=MAX_DIMENSION as f64).contains(&target) {
                return Err(Problem::Other(format!(
                    "makes a dimension of {size} one of {target}; dimensions must be from 1 to {MAX_DIMENSION}"
                )));
            }
            let indices: Option<Vec<i64>> = (0..target as usize)
                .map(|at| rule.source(at as f64, scale, size as f64, target))
                .collect();
            let indices = indices.ok_or_else(|| Problem::Attribute {
                name: "coordinate_transformation_mode",
                value: format!("{} with nearest_mode {}", rule.transformation, rule.rounding),
                supported: "half_pixel, half_pixel_symmetric, pytorch_half_pixel, align_corners and asymmetric are supported, with floor, ceil, round_prefer_floor and round_prefer_ceil",
            })?;
            let (range, rest) = regular_part(&indices);
            if rest.is_empty() {
                ranges[dim] = range;
                continue;
            }
            let quant = self.quant_of(&x);
            let pending = self.gathered(x, dim, &indices, &format!("{name}.{dim}"), op)?;
            x = self.step(pending, quant)?;
            ranges[dim] = Range::all(indices.len());
        }
        Ok(Value::Pending(self.taken(x, &ranges, name, op)?))
    }

    /// Scales or sizes, wherever the operator set has them.
    #[allow(clippy::type_complexity)]
    fn targets(
        &mut self,
        node: &pb::NodeProto,
        old: bool,
    ) -> Result<(Option<Vec<f32>>, Option<Vec<i64>>), Problem> {
        if let Some(attribute) = proto::attribute(node, "scales") {
            return Ok((Some(attribute.floats.clone()), None));
        }
        let scales = match self.constant(node, if old { 1 } else { 2 })? {
            Some(constant) if constant.len() > 0 => Some(constant.finite()?.to_vec()),
            _ => None,
        };
        let sizes = match self.constant(node, 3)? {
            Some(constant) if scales.is_none() => Some(constant.integers()?.to_vec()),
            _ => None,
        };
        Ok((scales, sizes))
    }
}

impl Rule {
    /// The element of a dimension of `size` that stands at `at` in one of `target`.
    fn source(&self, at: f64, scale: f64, size: f64, target: f64) -> Option<i64> {
        let exact = match self.transformation.as_str() {
            "asymmetric" => at / scale,
            "half_pixel" => (at + 0.5) / scale - 0.5,
            "pytorch_half_pixel" if target > 1.0 => (at + 0.5) / scale - 0.5,
            "pytorch_half_pixel" => 0.0,
            "align_corners" if target > 1.0 => at * (size - 1.0) / (target - 1.0),
            "align_corners" => 0.0,
            // The scale asked for may not be that of the sizes: what is lost is lost on both sides.
            "half_pixel_symmetric" => {
                let adjusted = target / (scale * size);
                let offset = size / 2.0 * (1.0 - adjusted);
                offset + (at + 0.5) / scale - 0.5
            }
            _ => return None,
        };
        let whole = match self.rounding.as_str() {
            "floor" => exact.floor(),
            "ceil" => exact.ceil(),
            "round_prefer_floor" => (exact - 0.5).ceil(),
            "round_prefer_ceil" => (exact + 0.5).floor(),
            _ => return None,
        };
        Some(whole.clamp(0.0, size - 1.0) as i64)
    }
}
