//! Readers of the file's messages: attributes of nodes, elements of constants, shapes of tensors.
//!
//! Nothing is taken on trust: lengths are checked against what is there before anything is
//! allocated, and an element is where its type says, or the constant is refused.

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

use super::constant::{Constant, Elements, IntType};
use super::error::Problem;

/// Largest dimension of a tensor.
pub const MAX_DIMENSION: usize = 65535;

/// Attribute `name` of `node`.
pub fn attribute<'a>(node: &'a pb::NodeProto, name: &str) -> Option<&'a pb::AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

/// Integer attribute `name`, or its default.
pub fn int(node: &pb::NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |a| a.i)
}

/// Float attribute `name`, where it is there.
pub fn float(node: &pb::NodeProto, name: &str) -> Option<f32> {
    attribute(node, name).map(|a| a.f)
}

/// Integers of attribute `name`, where it is there and not empty.
pub fn ints<'a>(node: &'a pb::NodeProto, name: &str) -> Option<&'a [i64]> {
    attribute(node, name).map(|a| a.ints.as_slice()).filter(|v| !v.is_empty())
}

/// Exactly `N` integers of attribute `name`, each in `0..=65535`, where it is there.
///
/// # Errors
/// Another count, or a value out of range.
pub fn sizes<const N: usize>(
    node: &pb::NodeProto,
    name: &'static str,
) -> Result<Option<[usize; N]>, Problem> {
    let Some(values) = ints(node, name) else { return Ok(None) };
    let converted: Option<Vec<usize>> =
        values.iter().map(|&v| usize::try_from(v).ok().filter(|&v| v <= MAX_DIMENSION)).collect();
    match converted.and_then(|v| <[usize; N]>::try_from(v).ok()) {
        Some(sizes) => Ok(Some(sizes)),
        None => Err(Problem::Attribute {
            name,
            value: format!("{values:?}"),
            supported: "two spatial dimensions are supported, with values from 0 to 65535",
        }),
    }
}

/// The constant that `tensor` describes, called `name`.
///
/// # Errors
/// A type, size or place of the data that is not read.
pub fn constant(tensor: &pb::TensorProto, name: &str) -> Result<Constant, Problem> {
    let external = tensor.data_location == Some(DataLocation::External as i32);
    if external || !tensor.external_data.is_empty() {
        return Err(Problem::External(name.into()));
    }
    let mut dims = Vec::with_capacity(tensor.dims.len());
    let mut count: usize = 1;
    for &dim in &tensor.dims {
        let size = usize::try_from(dim).ok();
        let product = size.and_then(|s| count.checked_mul(s));
        let (Some(size), Some(product)) = (size, product) else {
            return Err(Problem::Dimension { tensor: name.into(), dimension: dim.to_string() });
        };
        dims.push(size);
        count = product;
    }
    let reader = Reader { tensor, name, count };
    let elements = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => Elements::Float(reader.floats()?),
        Ok(DataType::Int8) => {
            reader.narrow(IntType::I8, |b: [u8; 1]| i8::from_le_bytes(b).into())?
        }
        Ok(DataType::Uint8) => reader.narrow(IntType::U8, |b: [u8; 1]| b[0].into())?,
        Ok(DataType::Int32) => {
            reader.narrow(IntType::I32, |b: [u8; 4]| i32::from_le_bytes(b).into())?
        }
        Ok(DataType::Int64) => reader.wide()?,
        other => {
            let found = other.map_or_else(
                |_| format!("number {}", tensor.data_type),
                |t| t.as_str_name().to_lowercase(),
            );
            let expected = "float, int8, uint8, int32 or int64";
            return Err(Problem::Type { tensor: name.into(), found, expected });
        }
    };
    Ok(Constant { name: name.into(), dims, elements })
}

struct Reader<'a> {
    tensor: &'a pb::TensorProto,
    name: &'a str,
    count: usize,
}

impl Reader<'_> {
    /// The raw bytes in pieces of one element, where the data are there.
    fn raw<const N: usize>(&self) -> Result<Option<impl Iterator<Item = [u8; N]> + '_>, Problem> {
        let raw = &self.tensor.raw_data;
        if raw.is_empty() {
            return Ok(None);
        }
        if self.count.checked_mul(N) != Some(raw.len()) {
            return Err(self.size(format!("{} bytes", raw.len()), format!("{} of {N}", self.count)));
        }
        let element = |piece: &[u8]| {
            let mut bytes = [0; N];
            bytes.copy_from_slice(piece);
            bytes
        };
        Ok(Some(raw.chunks_exact(N).map(element)))
    }

    fn floats(&self) -> Result<Vec<f32>, Problem> {
        match self.raw()? {
            Some(raw) => Ok(raw.map(f32::from_le_bytes).collect()),
            None => self.typed(&self.tensor.float_data).map(<[f32]>::to_vec),
        }
    }

    fn narrow<const N: usize>(
        &self,
        kind: IntType,
        read: impl Fn([u8; N]) -> i64,
    ) -> Result<Elements, Problem> {
        let values: Vec<i64> = match self.raw::<N>()? {
            Some(raw) => raw.map(read).collect(),
            None => self.typed(&self.tensor.int32_data)?.iter().map(|&v| v.into()).collect(),
        };
        if let Some(value) = values.iter().find(|v| !kind.range().contains(v)) {
            return Err(Problem::Other(format!(
                "{:?} holds {value}, which its type cannot hold; export the network again",
                self.name
            )));
        }
        Ok(Elements::Int(kind, values))
    }

    fn wide(&self) -> Result<Elements, Problem> {
        let values = match self.raw()? {
            Some(raw) => raw.map(i64::from_le_bytes).collect(),
            None => self.typed(&self.tensor.int64_data)?.to_vec(),
        };
        Ok(Elements::Int(IntType::I64, values))
    }

    fn typed<'d, T>(&self, data: &'d [T]) -> Result<&'d [T], Problem> {
        if data.len() == self.count {
            Ok(data)
        } else {
            let found = format!("{} elements", data.len());
            Err(self.size(found, format!("{} elements", self.count)))
        }
    }

    fn size(&self, found: String, needed: String) -> Problem {
        Problem::Size { tensor: self.name.into(), found, needed }
    }
}

/// Element type and dimensions of a graph's input; the batch counts as 1. Also gives the batch
/// that the file has.
///
/// # Errors
/// A shape that is missing or not fixed, or a type that is not read.
pub fn input_type(value: &pb::ValueInfoProto) -> Result<(DataType, Vec<usize>, i64), Problem> {
    use pb::tensor_shape_proto::dimension::Value as Dim;
    let missing = || Problem::Missing("its shape".into());
    let value_type = value.r#type.as_ref().and_then(|t| t.value.as_ref()).ok_or_else(missing)?;
    let pb::type_proto::Value::TensorType(tensor) = value_type;
    let shape = tensor.shape.as_ref().ok_or_else(missing)?;
    let kind = DataType::try_from(tensor.elem_type).unwrap_or(DataType::Undefined);
    if !matches!(kind, DataType::Float | DataType::Int8 | DataType::Uint8) {
        return Err(Problem::Type {
            tensor: value.name.clone(),
            found: kind.as_str_name().to_lowercase(),
            expected: "float, int8 or uint8",
        });
    }
    let mut dims = Vec::new();
    let mut batch = 1;
    for (axis, dim) in shape.dim.iter().enumerate() {
        let size = match &dim.value {
            Some(Dim::DimValue(v)) if axis == 0 => {
                batch = *v;
                Some(1)
            }
            _ if axis == 0 => Some(1),
            Some(Dim::DimValue(v)) => usize::try_from(*v).ok(),
            _ => None,
        };
        match size.filter(|s| (1..=MAX_DIMENSION).contains(s)) {
            Some(size) => dims.push(size),
            None => {
                let dimension = match &dim.value {
                    Some(Dim::DimValue(v)) => v.to_string(),
                    Some(Dim::DimParam(name)) => format!("`{name}`"),
                    None => "unknown".into(),
                };
                return Err(Problem::Dimension { tensor: value.name.clone(), dimension });
            }
        }
    }
    if !(2..=4).contains(&dims.len()) {
        let expected = "a batch of maps (rank 4) or of rows (rank 2 or 3)".into();
        return Err(Problem::Shape { tensor: value.name.clone(), shape: dims, expected });
    }
    Ok((kind, dims, batch))
}
