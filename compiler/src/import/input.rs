//! Which axis of the sample each dimension of the file's input is.
//!
//! The file says so only where an operator first needs it: the input is followed through
//! reshapes, transposes and activations to there. A reshape may split a dimension on the way (a
//! row of 1960 values that is a map of 49 by 40), which no later tensor allows.

use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use super::constant::IntType;
use super::error::ImportError;
use super::layout::{normal, Axis, Run, View};
use super::nodes::layout::Change;
use super::proto;
use super::value::{Activation, Form, Value};
use super::Importer;
use crate::ir::{DType, Tensor};

/// Operators that leave every element where it is.
const ELEMENTWISE: &str =
    "QuantizeLinear DequantizeLinear Relu Clip Add Mul Sub Div Identity Dropout \
    LeakyRelu Sigmoid HardSigmoid HardSwish Tanh Gelu Elu Erf Neg";

/// Operators that read rows of features, or a row of them a step: their input is laid out as it comes.
const ROWS: &str = "MatMul Gemm LayerNormalization LSTM GRU";

impl<'m> Importer<'m> {
    /// Adds the network's input to the graph.
    ///
    /// # Errors
    /// A shape or type that does not serve.
    pub fn add_input(&mut self, file: &str) -> Result<(), ImportError> {
        let Some(input) = self.model.input() else { return Ok(()) };
        let fail = |problem| ImportError::Input {
            file: file.into(),
            tensor: input.name.clone(),
            problem: Box::new(problem),
        };
        let (kind, shape, batch) = proto::input_type(input).map_err(fail)?;
        self.batch = batch;
        let view = self.input_view(&input.name, &shape);
        let [h, w, c] = view.size;
        let dtype = if self.is_real(kind) { DType::F32 } else { DType::I8 };
        let tensor = Tensor::computed(&input.name, dtype, vec![1, h, w, c]);
        let tensor = self.graph.add_tensor(tensor);
        self.graph.input = Some(tensor);
        let form = match kind {
            DataType::Int8 => Form::Quantized(IntType::I8),
            DataType::Uint8 => Form::Quantized(IntType::U8),
            _ if self.is_real(kind) => Form::Dequantized,
            _ => Form::Float,
        };
        let value = Value::Activation(Activation { tensor, view, form });
        self.values.insert(input.name.clone(), value);
        Ok(())
    }

    fn is_real(&self, kind: DataType) -> bool {
        self.model.real && kind == DataType::Float
    }

    /// The layout of an input of `shape`.
    fn input_view(&mut self, input: &str, shape: &[usize]) -> View {
        let mut pieces = Pieces::new(shape);
        let mut map = is_map(shape.len()).then(|| pieces.dims.clone());
        let mut rows = false;
        let mut name = input;
        let model = self.model;
        // Every step goes to a later node, so this ends. What is wrong with a node is said when it
        // is read.
        while let Some(node) = self.first_reader(name) {
            let from = pieces.shape();
            match self.change(node, &from) {
                // From channels first to channels last: what went before was a map.
                Ok(Some(Change::Transpose(perm))) if perm == [0, 2, 3, 1] || perm == [0, 2, 1] => {
                    break
                }
                Ok(Some(Change::Transpose(perm))) => pieces.transpose(&perm),
                Ok(Some(Change::Shape(target))) if pieces.reshape(&target) => {}
                Ok(None) if among(ELEMENTWISE, &node.op_type) => {}
                Ok(None) if among(ROWS, &node.op_type) => {
                    rows = true;
                    break;
                }
                _ => break,
            }
            if is_map(pieces.dims.len()) {
                map = Some(pieces.dims.clone());
            }
            match node.output.first() {
                Some(output) if output != model.output() => name = output,
                _ => break,
            }
        }
        // Nothing but its sizes tells how a map is laid out that is flattened at once.
        let flat = !is_map(pieces.dims.len()) && map.as_ref() == Some(&pieces.original);
        let view = match &map {
            Some(dims) if !(rows && is_map(pieces.dims.len()) || flat && looks_nhwc(shape)) => {
                pieces.bind(dims)
            }
            _ => pieces.bind_in_order(),
        };
        // Where the way to the first layer makes no sense, the node at fault is found there.
        let plain = Pieces::new(shape);
        let default = || plain.bind(&plain.dims).or_else(|| plain.bind_in_order());
        let in_order = || pieces.bind_in_order();
        view.or_else(in_order)
            .or_else(default)
            .unwrap_or(View { size: [1; 3], dims: vec![Vec::new(); shape.len()] })
    }

    /// The first node in execution order that reads the elements of `tensor`.
    pub fn first_reader(&self, tensor: &str) -> Option<&'m pb::NodeProto> {
        let model = self.model;
        let reads = |node: &&pb::NodeProto| {
            node.op_type != "Shape" && node.input.iter().any(|i| i == tensor)
        };
        model.order.iter().map(|&i| &model.graph.node[i]).find(reads)
    }
}

/// Whether a list has a word.
fn among(words: &str, word: &str) -> bool {
    words.split_ascii_whitespace().any(|w| w == word)
}

/// Whether a tensor of this rank may be a map: batch, channels, height and width, or one length.
fn is_map(rank: usize) -> bool {
    rank == 3 || rank == 4
}

/// Whether `[1, a, b, c]` is more likely a map with channels last than first.
fn looks_nhwc(shape: &[usize]) -> bool {
    let few = |size: usize| size == 1 || size == 3;
    shape.len() == 3 || shape.len() == 4 && few(shape[3]) && !few(shape[1])
}

/// The input's dimensions in pieces that no operator on the way to the first layer splits.
struct Pieces {
    /// Sizes of the pieces.
    sizes: Vec<usize>,
    /// The pieces of each of the input's own dimensions.
    original: Vec<Vec<usize>>,
    /// The pieces of each dimension where the walk is now.
    dims: Vec<Vec<usize>>,
}

impl Pieces {
    fn new(shape: &[usize]) -> Pieces {
        let mut pieces = Pieces { sizes: vec![], original: vec![], dims: vec![] };
        for &size in shape {
            let run = if size == 1 { vec![] } else { vec![pieces.sizes.len()] };
            pieces.sizes.extend((size != 1).then_some(size));
            pieces.original.push(run);
        }
        pieces.dims = pieces.original.clone();
        pieces
    }

    fn shape(&self) -> Vec<usize> {
        self.dims.iter().map(|d| d.iter().map(|&p| self.sizes[p]).product()).collect()
    }

    fn transpose(&mut self, perm: &[usize]) {
        self.dims = perm.iter().map(|&p| self.dims[p].clone()).collect();
    }

    /// Regroups the pieces, and splits those that have to be; says whether it can be done.
    fn reshape(&mut self, shape: &[usize]) -> bool {
        let mut rest: Vec<usize> = self.dims.iter().flatten().copied().rev().collect();
        let mut dims = Vec::new();
        for &size in shape {
            let (mut run, mut product) = (Vec::new(), 1usize);
            while product < size {
                let Some(piece) = rest.pop() else { return false };
                let whole = self.sizes[piece];
                if product.saturating_mul(whole) > size {
                    let part = size / product;
                    if size % product != 0 || !whole.is_multiple_of(part) {
                        return false;
                    }
                    rest.push(self.split(piece, part));
                }
                product *= self.sizes[piece];
                run.push(piece);
            }
            dims.push(run);
        }
        self.dims = dims;
        rest.is_empty()
    }

    /// Splits a piece into one of `part`, which keeps its number, and the rest.
    fn split(&mut self, piece: usize, part: usize) -> usize {
        let rest = self.sizes.len();
        self.sizes.push(self.sizes[piece] / part);
        self.sizes[piece] = part;
        for run in self.original.iter_mut().chain(&mut self.dims) {
            if let Some(at) = run.iter().position(|&p| p == piece) {
                run.insert(at + 1, rest);
            }
        }
        rest
    }

    /// The layout in which `dims` are batch, channels, height and width.
    fn bind(&self, dims: &[Vec<usize>]) -> Option<View> {
        let order: &[usize] = match dims.len() {
            4 => &[CHANNELS, HEIGHT, WIDTH],
            3 => &[CHANNELS, WIDTH],
            _ => return None,
        };
        let mut places = vec![None; self.sizes.len()];
        for (run, &place) in dims.iter().skip(1).zip(order) {
            match run.as_slice() {
                [] => {}
                &[piece] => places[piece] = Some(place),
                _ => return None,
            }
        }
        self.view(&places)
    }

    /// The layout in which the input's own order is that of memory.
    fn bind_in_order(&self) -> Option<View> {
        let order: Vec<usize> = self.original.iter().flatten().copied().collect();
        let mut places = vec![None; self.sizes.len()];
        for (&piece, place) in order.iter().rev().zip([CHANNELS, WIDTH, HEIGHT]) {
            places[piece] = Some(place);
        }
        self.view(&places)
    }

    /// The layout in which each piece is height, width or channels.
    fn view(&self, places: &[Option<usize>]) -> Option<View> {
        let mut size = [1; 3];
        for (&place, &piece) in places.iter().zip(&self.sizes) {
            size[place?] = piece;
        }
        let steps = [size[1].checked_mul(size[2])?, size[2], 1];
        let axis = |p: usize| places[p].map(|at| Axis { size: size[at], step: steps[at] });
        let named =
            |run: &Vec<usize>| normal(&run.iter().filter_map(|&p| axis(p)).collect::<Run>());
        let dims = self.original.iter().map(named).collect();
        Some(View { size, dims })
    }
}

/// Places of the axes in memory.
const HEIGHT: usize = 0;
const WIDTH: usize = 1;
const CHANNELS: usize = 2;
