//! One recorded case of an ONNX operator, made a network that the importer reads: one input, a
//! sample; everything else constant.

use std::path::{Path, PathBuf};

use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{dimension::Value as Dim, Dimension};

/// A case as it is recorded.
pub struct Case {
    pub name: String,
    pub op: String,
    model: pb::ModelProto,
    inputs: Vec<pb::TensorProto>,
    outputs: Vec<pb::TensorProto>,
}

/// A network made of a case, with a sample and what it gives.
pub struct Network {
    pub bytes: Vec<u8>,
    /// The sample, and its sizes in the file.
    pub sample: Vec<f64>,
    pub dims: Vec<usize>,
    pub expected: Vec<f64>,
    /// Sizes of what is expected, where it does not come as a row.
    pub result: Option<Vec<usize>>,
    /// Type of the sample, and of what is expected.
    pub kinds: [DataType; 2],
}

/// Outputs longer than this are not read through a layer, whose weights would be its square.
const LONGEST_ROW: usize = 1100;

/// The oldest operator set that is read.
const OLDEST_SET: i64 = 7;

/// Graph that a network lies in, whose input is a row.
const ROW: &str = "row_of_the_sample";

/// The folder of cases: `OFFSHOOT_ONNX_CASES`, or where `cargo xtask setup` puts it.
pub fn folder() -> Option<PathBuf> {
    let set_up = "../target/onnx-1.15.0/onnx/backend/test/data/node";
    let set_up = Path::new(env!("CARGO_MANIFEST_DIR")).join(set_up);
    let folder = std::env::var_os("OFFSHOOT_ONNX_CASES").map_or(set_up, PathBuf::from);
    folder.is_dir().then_some(folder)
}

impl Case {
    /// Reads the case in `folder`; one that is written out in other operators counts for the
    /// operator that it stands for.
    pub fn read(folder: &Path) -> Case {
        let mut case = Case::read_one(folder);
        if let Some((base, _)) = folder.to_string_lossy().split_once("_expanded") {
            if Path::new(base).is_dir() {
                case.op = Case::read_one(Path::new(base)).op;
            }
        }
        case
    }

    fn read_one(folder: &Path) -> Case {
        let bytes = std::fs::read(folder.join("model.onnx")).expect("a model");
        let model = pb::ModelProto::decode(bytes.as_slice()).expect("an ONNX model");
        let tensors = |kind: &str| -> Vec<pb::TensorProto> {
            let path = |i: usize| folder.join(format!("test_data_set_0/{kind}_{i}.pb"));
            let all = (0..).map_while(|i| std::fs::read(path(i)).ok());
            all.map(|b| pb::TensorProto::decode(b.as_slice()).expect("a tensor")).collect()
        };
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Case {
            op: operator(&model).unwrap_or_default(),
            inputs: tensors("input"),
            outputs: tensors("output"),
            name,
            model,
        }
    }

    /// Results that are read; what an operator gives for its own training is not.
    fn results(&self) -> usize {
        match self.op.as_str() {
            "LayerNormalization" | "MaxPool" | "BatchNormalization" => 1,
            _ => self.outputs.len(),
        }
    }

    /// Whether it has results that are not read.
    pub fn has_unread(&self) -> bool {
        self.results() < self.outputs.len()
    }

    /// The networks that check this case, or why there is none: one for each output and sample.
    pub fn networks(&self, batch: Batch) -> Result<Vec<Network>, String> {
        let sample = self.inputs.first().ok_or("it has no input")?;
        let dims = sizes(&sample.dims);
        let kind = DataType::try_from(sample.data_type).map_err(|e| e.to_string())?;
        // Moves of elements mean the same in any type.
        let kind = if kind == DataType::Int32 { DataType::Float } else { kind };
        if !matches!(kind, DataType::Float | DataType::Uint8 | DataType::Int8) {
            return Err(format!("its sample is of type {}", kind.as_str_name()));
        }
        let (count, rest) = match batch {
            Batch::Whole => (1, dims.clone()),
            Batch::Parts if dims.len() < 2 || dims[0] < 2 => return Err("it is one sample".into()),
            Batch::Parts => (dims[0], [&[1], &dims[1..]].concat()),
        };
        let values = numbers(sample)?;
        let mut networks = Vec::new();
        for (index, output) in self.outputs.iter().enumerate().take(self.results()) {
            let all = numbers(output)?;
            let part = match (batch, output.dims.first()) {
                (Batch::Parts, Some(&first)) if first as usize != count => {
                    return Err("its results are not one a sample".into())
                }
                (Batch::Parts, None) => return Err("its result is one number".into()),
                _ => all.len() / count,
            };
            let each = values.len() / count;
            for at in 0..count {
                let expected = all[at * part..(at + 1) * part].to_vec();
                let row = self.ends_in_row(output, expected.len());
                let mut result = sizes(&output.dims);
                if let (Batch::Parts, Some(first)) = (batch, result.first_mut()) {
                    *first = 1;
                }
                networks.push(Network {
                    bytes: self.network(index, kind, &rest, row.then_some(expected.len())),
                    result: (!row).then_some(result),
                    sample: values[at * each..(at + 1) * each].to_vec(),
                    dims: rest.clone(),
                    expected,
                    kinds: [kind, DataType::try_from(output.data_type).unwrap_or(kind)],
                });
            }
        }
        Ok(networks)
    }

    /// Whether a network can end in a layer that gives its result as a row.
    fn ends_in_row(&self, output: &pb::TensorProto, results: usize) -> bool {
        let float = DataType::Float as i32;
        let [sample, result] = [self.inputs[0].data_type, output.data_type];
        [sample, result] == [float; 2] && self.op != "DequantizeLinear" && results <= LONGEST_ROW
    }

    /// The model with output `index` alone, a row in and, where `row` says its length, a row out, so
    /// that the order of elements is the file's.
    fn network(&self, index: usize, kind: DataType, dims: &[usize], row: Option<usize>) -> Vec<u8> {
        let mut model = self.model.clone();
        // A case names the operator set in which its operator last changed.
        for set in &mut model.opset_import {
            set.version = set.version.max(OLDEST_SET);
        }
        let Some(graph) = &mut model.graph else { return Vec::new() };
        let names: Vec<String> = graph.input.iter().map(|i| i.name.clone()).collect();
        for (name, tensor) in names.iter().zip(&self.inputs).skip(1) {
            graph.initializer.push(pb::TensorProto { name: name.clone(), ..tensor.clone() });
        }
        let count: usize = dims.iter().product();
        let shape = |name: &str, dims: &[usize]| pb::TensorProto {
            name: name.into(),
            dims: vec![dims.len() as i64],
            data_type: DataType::Int64 as i32,
            int64_data: dims.iter().map(|&d| d as i64).collect(),
            ..Default::default()
        };
        let node = |op: &str, inputs: &[&str], output: &str| pb::NodeProto {
            name: format!("{output}_node"),
            op_type: op.into(),
            input: inputs.iter().map(|i| i.to_string()).collect(),
            output: vec![output.into()],
            ..Default::default()
        };
        graph.initializer.push(shape("dims_of_the_sample", dims));
        graph.node.insert(0, node("Reshape", &[ROW, "dims_of_the_sample"], &names[0]));
        graph.input = vec![input(ROW, kind, &[1, count])];
        let mut output = graph.output[index].clone();
        if let Some(results) = row {
            let mut identity = vec![0.0; results * results];
            (0..results).for_each(|i| identity[i * results + i] = 1.0);
            graph.initializer.push(pb::TensorProto {
                name: "identity".into(),
                dims: vec![results as i64; 2],
                data_type: DataType::Float as i32,
                float_data: identity,
                ..Default::default()
            });
            graph.initializer.push(shape("dims_of_the_result", &[1, results]));
            let row = ["row_of_the_result", "the_result"];
            graph.node.push(node("Reshape", &[&output.name, "dims_of_the_result"], row[0]));
            graph.node.push(node("MatMul", &[row[0], "identity"], row[1]));
            output.name = row[1].into();
        }
        graph.output = vec![output];
        model.encode_to_vec()
    }
}

/// The operator of a model's one node.
fn operator(model: &pb::ModelProto) -> Option<String> {
    match model.graph.as_ref()?.node.as_slice() {
        [node] => Some(node.op_type.clone()),
        _ => None,
    }
}

/// How a case's sample is cut.
#[derive(Clone, Copy)]
pub enum Batch {
    /// It is one sample.
    Whole,
    /// Its first axis counts samples.
    Parts,
}

fn input(name: &str, kind: DataType, dims: &[usize]) -> pb::ValueInfoProto {
    let dim = |&d: &usize| Dimension { value: Some(Dim::DimValue(d as i64)), ..Default::default() };
    let tensor = pb::type_proto::Tensor {
        elem_type: kind as i32,
        shape: Some(pb::TensorShapeProto { dim: dims.iter().map(dim).collect() }),
    };
    let value = Some(pb::type_proto::Value::TensorType(tensor));
    let r#type = Some(pb::TypeProto { value, ..Default::default() });
    pb::ValueInfoProto { name: name.into(), r#type, ..Default::default() }
}

fn sizes(dims: &[i64]) -> Vec<usize> {
    dims.iter().map(|&d| d as usize).collect()
}

/// Elements of a tensor of numbers.
fn numbers(tensor: &pb::TensorProto) -> Result<Vec<f64>, String> {
    let raw = tensor.raw_data.as_slice();
    let kind = DataType::try_from(tensor.data_type).map_err(|e| e.to_string())?;
    Ok(match kind {
        DataType::Float if raw.is_empty() => {
            tensor.float_data.iter().map(|&v| f64::from(v)).collect()
        }
        DataType::Float => raw
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            .collect(),
        DataType::Uint8 if !raw.is_empty() => raw.iter().map(|&v| f64::from(v)).collect(),
        DataType::Int8 if !raw.is_empty() => raw.iter().map(|&v| f64::from(v as i8)).collect(),
        DataType::Uint8 | DataType::Int8 => {
            tensor.int32_data.iter().map(|&v| f64::from(v)).collect()
        }
        DataType::Int32 if raw.is_empty() => {
            tensor.int32_data.iter().map(|&v| f64::from(v)).collect()
        }
        DataType::Int32 => raw
            .chunks_exact(4)
            .map(|b| f64::from(i32::from_le_bytes([b[0], b[1], b[2], b[3]])))
            .collect(),
        other => return Err(format!("a tensor of it is of type {}", other.as_str_name())),
    })
}
