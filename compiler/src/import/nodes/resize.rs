//! `Resize` and `Upsample` to the nearest element.

use tract_onnx::pb;

use super::layout::axes_of;
use super::moves::{regular, Range};
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
    /// `Resize` and `Upsample`, where every dimension repeats its elements equally often, or leaves
    /// equally many out.
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
        let (scales, sizes) = self.targets(node, old)?;
        let dims = match proto::ints(node, "axes") {
            Some(axes) => axes_of(axes, shape.len())?,
            None => (0..shape.len()).collect(),
        };
        let count = scales.as_ref().map_or_else(|| sizes.as_ref().map_or(0, Vec::len), Vec::len);
        if count != dims.len() {
            return Err(Problem::Other(format!(
                "gives {count} scales or sizes for {} dimensions",
                dims.len()
            )));
        }
        let mut ranges: Vec<Range> = shape.iter().map(|&size| Range::all(size)).collect();
        for (n, &dim) in dims.iter().enumerate() {
            let size = shape[dim];
            let (scale, target) = match (&scales, &sizes) {
                (Some(scales), _) => {
                    let scale = f64::from(scales[n]);
                    (scale, (size as f64 * scale).floor())
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
            ranges[dim] = regular(&indices).ok_or_else(|| {
                Problem::Other(format!(
                    "makes a dimension of {size} one of {target} by taking some elements more often than others; resize by a whole factor"
                ))
            })?;
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
        if let Some(policy) = proto::attribute(node, "keep_aspect_ratio_policy") {
            if policy.s != b"stretch" {
                let value = String::from_utf8_lossy(&policy.s).into_owned();
                let (name, supported) = ("keep_aspect_ratio_policy", "only stretch is supported");
                return Err(Problem::Attribute { name, value, supported });
            }
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
