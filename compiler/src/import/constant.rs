//! Constants of the file, and constants behind a `DequantizeLinear`.

use std::ops::RangeInclusive;
use std::rc::Rc;

use super::error::Problem;

/// Type of integer elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntType {
    /// int8.
    I8,
    /// uint8.
    U8,
    /// int32.
    I32,
    /// int64.
    I64,
}

impl IntType {
    /// The values that the type holds.
    pub fn range(self) -> RangeInclusive<i64> {
        match self {
            IntType::I8 => -128..=127,
            IntType::U8 => 0..=255,
            IntType::I32 => i64::from(i32::MIN)..=i64::from(i32::MAX),
            IntType::I64 => i64::MIN..=i64::MAX,
        }
    }

    /// Its name in ONNX.
    pub fn name(self) -> &'static str {
        match self {
            IntType::I8 => "int8",
            IntType::U8 => "uint8",
            IntType::I32 => "int32",
            IntType::I64 => "int64",
        }
    }

    /// What is taken from elements and zero points so that they fit int8.
    pub fn offset(self) -> i64 {
        if self == IntType::U8 {
            128
        } else {
            0
        }
    }
}

/// Elements of a constant.
#[derive(Clone, Debug)]
pub enum Elements {
    /// float32.
    Float(Vec<f32>),
    /// Integers of a type.
    Int(IntType, Vec<i64>),
}

impl Elements {
    /// Elements in another order, or some of them.
    pub fn pick(&self, order: &[usize]) -> Elements {
        match self {
            Elements::Float(v) => Elements::Float(order.iter().map(|&i| v[i]).collect()),
            Elements::Int(t, v) => Elements::Int(*t, order.iter().map(|&i| v[i]).collect()),
        }
    }
}

/// An initializer, or what a `Constant` node gives.
#[derive(Clone, Debug)]
pub struct Constant {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub dims: Vec<usize>,
    /// Its elements, as many as the shape says.
    pub elements: Elements,
}

impl Constant {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.elements {
            Elements::Float(v) => v.len(),
            Elements::Int(_, v) => v.len(),
        }
    }

    /// The elements, which must be finite floats.
    ///
    /// # Errors
    /// Another type, or a NaN or infinite element.
    pub fn finite(&self) -> Result<&[f32], Problem> {
        match &self.elements {
            Elements::Float(v) if v.iter().all(|x| x.is_finite()) => Ok(v),
            Elements::Float(_) => Err(Problem::NotFinite(self.name.clone())),
            Elements::Int(kind, _) => Err(self.wrong_type(kind.name(), "float")),
        }
    }

    /// The elements, which must be int64 or int32: a shape or axes.
    ///
    /// # Errors
    /// Another type.
    pub fn integers(&self) -> Result<&[i64], Problem> {
        match &self.elements {
            Elements::Int(IntType::I64 | IntType::I32, v) => Ok(v),
            Elements::Int(kind, _) => Err(self.wrong_type(kind.name(), "int64")),
            Elements::Float(_) => Err(self.wrong_type("float", "int64")),
        }
    }

    /// The complaint about its type.
    pub fn wrong_type(&self, found: &str, expected: &'static str) -> Problem {
        Problem::Type { tensor: self.name.clone(), found: found.into(), expected }
    }

    /// With its axes in another order.
    pub fn transposed(&self, perm: &[usize]) -> Constant {
        let dims: Vec<usize> = perm.iter().map(|&p| self.dims[p]).collect();
        let strides = strides(&self.dims);
        let source: Vec<usize> = perm.iter().map(|&p| strides[p]).collect();
        let order: Vec<usize> = (0..self.len())
            .map(|mut at| {
                let mut from = 0;
                for (&dim, &stride) in dims.iter().zip(&source).rev() {
                    from += at % dim * stride;
                    at /= dim;
                }
                from
            })
            .collect();
        let elements = self.elements.pick(&order);
        Constant { name: self.name.clone(), dims, elements }
    }
}

/// Steps between neighbours along each axis.
pub fn strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for axis in (1..dims.len()).rev() {
        strides[axis - 1] = strides[axis] * dims[axis];
    }
    strides
}

/// An integer constant with what its elements stand for.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The integers.
    pub constant: Rc<Constant>,
    /// Its scales and zero points.
    pub scale: Vec<f32>,
    /// Zero points, as many as scales.
    pub zero: Vec<i64>,
    /// Name of the zero point, for complaints.
    pub zero_name: String,
    /// The axis that scales run along, where there are several.
    pub axis: usize,
}

impl Parameter {
    /// The integers, with their type.
    pub fn integers(&self) -> (IntType, &[i64]) {
        match &self.constant.elements {
            Elements::Int(kind, values) => (*kind, values),
            Elements::Float(_) => (IntType::I64, &[]),
        }
    }

    /// What the integers stand for.
    pub fn real(&self) -> Constant {
        let inner: usize = self.constant.dims.iter().skip(self.axis + 1).product();
        let real = |(at, &q): (usize, &i64)| {
            let channel = at / inner.max(1) % self.scale.len().max(1);
            let steps = q.saturating_sub(self.zero[channel]) as f64;
            (steps * f64::from(self.scale[channel])) as f32
        };
        let elements = Elements::Float(self.integers().1.iter().enumerate().map(real).collect());
        Constant { name: self.constant.name.clone(), dims: self.constant.dims.clone(), elements }
    }
}
