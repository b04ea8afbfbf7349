//! `QuantizeLinear` and `DequantizeLinear`: they give tensors their scales, and operators their
//! place in the graph.

use std::rc::Rc;

use tract_onnx::pb;

use super::constant::{Constant, Elements, IntType, Parameter};
use super::error::Problem;
use super::layout::resolve_axis;
use super::pending::{Kind, Pending, PROBABILITY};
use super::proto;
use super::value::{Activation, Form, Value};
use super::Importer;
use crate::ir::Quant;
use crate::ops::Op;

/// Scales and zero points of a node.
struct Params {
    scale: Vec<f32>,
    scale_name: String,
    zero: Vec<i64>,
    zero_name: String,
    kind: IntType,
}

/// No real quantity has steps beyond this: the file is damaged, or was calibrated on nothing.
const LARGEST_SCALE: f32 = 1e9;

/// As [`LARGEST_SCALE`], of activations; a channel of weights may well hold nothing but zeros.
const SMALLEST_SCALE: f32 = 1e-30;

impl Params {
    /// As the quantisation of an activation.
    fn per_tensor(&self, node: &pb::NodeProto) -> Result<Quant, Problem> {
        let (&[scale], &[zero]) = (self.scale.as_slice(), self.zero.as_slice()) else {
            return Err(Problem::PerAxis {
                tensor: self.scale_name.clone(),
                axis: proto::int(node, "axis", 1).unsigned_abs() as usize,
                expected: "weight's output channel (activations have one scale)",
            });
        };
        if scale < SMALLEST_SCALE {
            let (tensor, kind) = (self.scale_name.clone(), "vanishing");
            return Err(Problem::Scale { tensor, kind, value: scale });
        }
        Ok(Quant::per_tensor(scale, (zero - self.kind.offset()) as i32))
    }

    /// The axis of a constant of shape `dims` that scales run along.
    fn axis(&self, node: &pb::NodeProto, dims: &[usize]) -> Result<usize, Problem> {
        if self.scale.len() == 1 {
            return Ok(0);
        }
        let axis = proto::int(node, "axis", 1);
        // One scale for each of a row of biases needs no axis.
        let resolved = if dims.len() == 1 { Some(0) } else { resolve_axis(axis, dims.len()) };
        resolved.filter(|&a| dims[a] == self.scale.len()).ok_or_else(|| Problem::Size {
            tensor: self.scale_name.clone(),
            found: format!("{} scales", self.scale.len()),
            needed: format!("1, or as many as axis {axis} of {dims:?} is long"),
        })
    }
}

impl Importer<'_> {
    /// Reads scales and zero points; `kind` is the type where there is no zero point.
    fn params(&mut self, node: &pb::NodeProto, kind: IntType) -> Result<Params, Problem> {
        let scale = self.constant(node, 1)?.ok_or_else(|| Problem::Missing("its scale".into()))?;
        let Elements::Float(scales) = &scale.elements else {
            return Err(scale.wrong_type("an integer", "float"));
        };
        for &value in scales {
            let kind = match value {
                v if v.is_nan() => "NaN",
                v if v.is_infinite() => "infinite",
                v if v < 0.0 => "negative",
                0.0 => "zero",
                v if v > LARGEST_SCALE => "vast",
                _ => continue,
            };
            return Err(Problem::Scale { tensor: scale.name.clone(), kind, value });
        }
        if scales.is_empty() || scale.dims.len() > 1 {
            let expected = "one scale, or a row of them".into();
            let (tensor, shape) = (scale.name.clone(), scale.dims.clone());
            return Err(Problem::Shape { tensor, shape, expected });
        }
        let mut params = Params {
            scale: scales.clone(),
            scale_name: scale.name.clone(),
            zero: vec![0; scales.len()],
            zero_name: "0, as none is given".into(),
            kind,
        };
        if let Some(zero) = self.constant(node, 2)? {
            let Elements::Int(kind, zeros) = &zero.elements else {
                return Err(zero.wrong_type("float", "int8, uint8 or int32"));
            };
            params.kind = *kind;
            params.zero_name = zero.name.clone();
            match zeros.len() {
                1 => params.zero = vec![zeros[0]; scales.len()],
                n if n == scales.len() => params.zero = zeros.clone(),
                n => {
                    return Err(Problem::Size {
                        tensor: zero.name.clone(),
                        found: format!("{n} zero points"),
                        needed: format!("as many as scales, {}", scales.len()),
                    })
                }
            }
        }
        Ok(params)
    }

    /// `QuantizeLinear`.
    pub fn quantize(&mut self, node: &pb::NodeProto, name: &str) -> Result<Value, Problem> {
        let value = self.value(node, 0)?;
        let params = self.params(node, IntType::U8)?;
        if !matches!(params.kind, IntType::I8 | IntType::U8) {
            return Err(Problem::Type {
                tensor: params.zero_name,
                found: params.kind.name().into(),
                expected: "int8 or uint8",
            });
        }
        let form = Form::Quantized(params.kind);
        let output = node.output.first().map_or("", String::as_str);
        let pending = match value {
            Value::Constant(constant) => return quantize_constant(node, &constant, &params),
            Value::Parameter(p) => return quantize_constant(node, &p.real(), &params),
            Value::Pending(pending) => pending,
            Value::Activation(a) => match a.form {
                Form::Dropped => return Ok(Value::Activation(a)),
                Form::Quantized(kind) => {
                    let tensor = node.input.first().cloned().unwrap_or_default();
                    let found = kind.name().into();
                    return Err(Problem::Type { tensor, found, expected: "float" });
                }
                Form::Float => {
                    self.set_quant(&a, params.per_tensor(node)?)?;
                    return Ok(Value::Activation(Activation { form, ..a }));
                }
                Form::Dequantized => {
                    let quant = params.per_tensor(node)?;
                    if self.graph.tensor(a.tensor).quant.as_ref() == Some(&quant) {
                        return Ok(Value::Activation(Activation { form, ..a }));
                    }
                    let kind = Kind::Requantize { x: a.tensor };
                    Pending::new(name, "QuantizeLinear", kind, a.view)
                }
            },
            other => {
                let input = node.input.first().map_or("", String::as_str);
                other.dequantized(input)?;
                return Ok(Value::Refused);
            }
        };
        let quant = params.per_tensor(node)?;
        let view = pending.view.clone();
        if let Kind::Op { op: Op::Softmax(_), inputs } = &pending.kind {
            // At the end of the network, steps of another size mean the same as what it reads.
            if (quant.scale_of(0), quant.zero) != PROBABILITY && self.leads_to_output(output) {
                let form = Form::Dropped;
                return Ok(Value::Activation(Activation { tensor: inputs[0], view, form }));
            }
        }
        let tensor = self.finish(pending, Some(quant), output)?;
        Ok(Value::Activation(Activation { tensor, view, form }))
    }

    /// `DequantizeLinear`.
    pub fn dequantize(&mut self, node: &pb::NodeProto) -> Result<Value, Problem> {
        match self.value(node, 0)? {
            Value::Constant(constant) => {
                let Elements::Int(kind, _) = constant.elements else {
                    return Err(constant.wrong_type("float", "int8, uint8 or int32"));
                };
                let params = self.params(node, kind)?;
                expect_kind(&params, kind)?;
                let axis = params.axis(node, &constant.dims)?;
                let Params { scale, zero, zero_name, .. } = params;
                let parameter = Parameter { constant, scale, zero, zero_name, axis };
                Ok(match self.model.real {
                    true => Value::Constant(Rc::new(parameter.real())),
                    false => Value::Parameter(Rc::new(parameter)),
                })
            }
            Value::Activation(a) => match a.form {
                Form::Dropped => Ok(Value::Activation(a)),
                Form::Quantized(kind) => {
                    let params = self.params(node, kind)?;
                    expect_kind(&params, kind)?;
                    self.set_quant(&a, params.per_tensor(node)?)?;
                    Ok(Value::Activation(Activation { form: Form::Dequantized, ..a }))
                }
                Form::Float | Form::Dequantized => Err(reads_float(node)),
            },
            _ => Err(reads_float(node)),
        }
    }

    /// Gives an activation its quantisation, or checks the one it has.
    fn set_quant(&mut self, activation: &Activation, quant: Quant) -> Result<(), Problem> {
        let tensor = self.graph.tensor_mut(activation.tensor);
        match &tensor.quant {
            None => tensor.quant = Some(quant),
            Some(known) if *known == quant => {}
            Some(known) => {
                return Err(Problem::Other(format!(
                    "reads {:?} with scale {} and zero point {}, which was quantised with scale {} and zero point {} (as int8); use one quantisation for both",
                    tensor.name, quant.scale_of(0), quant.zero, known.scale_of(0), known.zero
                )))
            }
        }
        Ok(())
    }
}

fn reads_float(node: &pb::NodeProto) -> Problem {
    Problem::Type {
        tensor: node.input.first().cloned().unwrap_or_default(),
        found: "float".into(),
        expected: "int8 or uint8",
    }
}

fn expect_kind(params: &Params, kind: IntType) -> Result<(), Problem> {
    if params.kind == kind && kind != IntType::I64 {
        return Ok(());
    }
    Err(Problem::Type {
        tensor: params.zero_name.clone(),
        found: params.kind.name().into(),
        expected: "the type of what is dequantised: int8, uint8 or int32",
    })
}

/// A float constant in the integers that stand for it.
fn quantize_constant(
    node: &pb::NodeProto,
    constant: &Constant,
    params: &Params,
) -> Result<Value, Problem> {
    let axis = params.axis(node, &constant.dims)?;
    let inner: usize = constant.dims.iter().skip(axis + 1).product();
    let range = params.kind.range();
    let quantize = |(at, &value): (usize, &f32)| {
        let channel =
            if params.scale.len() == 1 { 0 } else { at / inner.max(1) % params.scale.len() };
        let steps = (f64::from(value) / f64::from(params.scale[channel])).round_ties_even();
        (steps as i64).saturating_add(params.zero[channel]).clamp(*range.start(), *range.end())
    };
    let values = constant.finite()?.iter().enumerate().map(quantize).collect();
    Ok(Value::Constant(Rc::new(Constant {
        name: constant.name.clone(),
        dims: constant.dims.clone(),
        elements: Elements::Int(params.kind, values),
    })))
}
