//! What recipes build adapters of: layers of their own beside those of the network.
//!
//! All of it is made of ops that the network itself could have, so that gradients, updates, memory and
//! emitted code of adapters are those of any layer.

use nalgebra::DMatrix;
use offshoot_runtime::program::op::{Path, Precision};

use super::site::Site;
use crate::adapt::own;
use crate::ir::{DType, Data, Graph, Node, Quant, Rule, Tensor, TensorId, Trained};
use crate::ops::{Add, AvgPool, Clamp, Conv2d, Copy, Nest, Window};
use crate::quantize::span;

/// Room beyond what was seen of a tensor whose layer is trained.
const HEADROOM: f64 = 2.0;

/// Part of the int8 range that the largest weight of a trained factor starts with.
const STARTS_AT: f64 = 0.5;

/// Rows of a frozen factor that are smaller than the largest by this are 0 in every step that matters.
const EMPTY: f64 = 1e-6;

/// Steps of what an adapter adds to a layer's result, against those of that: it reaches half of the range, both ways.
const DELTA_STEPS: f64 = 1.0;

/// A tensor, and what it holds where its layer was looked at, a row a pixel.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The tensor, `[1,h,w,C]`.
    pub id: TensorId,
    /// `[n, C]`; of what a window sees, `[n, kh * kw * C]`.
    pub rows: DMatrix<f64>,
}

/// How the weights of a new layer are held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Learn {
    /// As they are, for ever.
    Frozen,
    /// Trained; they can grow to this real number, or twice what they start with.
    Trained(f64),
}

/// Range of a new layer's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// What it holds on the samples.
    Seen,
    /// The same, and negative values become 0.
    Rectified,
    /// That of something which is to be added to the result of the layer beside.
    Delta,
}

/// The adapter of one layer under construction.
#[derive(Debug)]
pub struct Attach<'g> {
    graph: &'g mut Graph,
    /// The layer.
    pub site: &'g Site,
    /// Width between factors.
    pub rank: usize,
    /// Scale of first factors.
    pub gain: f64,
    precision: Precision,
    prefix: String,
    /// What is to be done right after the layer.
    nodes: Vec<Node>,
    result: TensorId,
    carried: Option<Flow>,
    /// Whether no layer after this one gets an adapter.
    pub is_last: bool,
}

/// What was built for one layer.
#[derive(Debug)]
pub(super) struct Built {
    /// Nodes, to be run right after it.
    pub nodes: Vec<Node>,
    /// The tensor that stands for its result.
    pub result: TensorId,
    /// What is left for the next layer's adapter.
    pub carried: Option<Flow>,
}

impl<'g> Attach<'g> {
    pub(super) fn new(
        graph: &'g mut Graph,
        site: &'g Site,
        spec: &super::Adapter,
        carried: Option<Flow>,
    ) -> Self {
        Attach {
            graph,
            site,
            rank: spec.rank,
            gain: spec.gain,
            precision: spec.precision,
            prefix: format!("{}.{}", site.name, spec.recipe),
            nodes: Vec::new(),
            result: site.y,
            carried,
            is_last: false,
        }
    }

    pub(super) fn finish(self) -> Built {
        Built { nodes: self.nodes, result: self.result, carried: self.carried }
    }

    /// What the adapter of the layer before left for this one.
    pub fn carried(&mut self) -> Option<Flow> {
        self.carried.take()
    }

    /// Leaves `flow` for the adapter of the next layer.
    pub fn carry(&mut self, flow: Flow) {
        self.carried = Some(flow);
    }

    /// The layer's input, as its window sees it.
    pub fn x(&self) -> Flow {
        Flow { id: self.site.x, rows: self.site.seen.clone() }
    }

    /// The layer's result.
    pub fn y(&self) -> Flow {
        Flow { id: self.site.y, rows: self.site.given.clone() }
    }

    /// `rank`, or as much of it as a factor of the layer's weights can have.
    pub fn rank_within(&self) -> usize {
        let (rows, columns) = self.site.shape();
        self.rank.min(rows).min(columns)
    }

    /// A layer that reads what the layer beside reads, by the same window: `weights [O, kh * kw * I]`.
    pub fn like(&mut self, name: &str, weights: DMatrix<f64>, learn: Learn, reach: Reach) -> Flow {
        let (x, window) = (self.x(), self.site.window);
        self.layer(name, &x, window, weights, learn, reach)
    }

    /// A 1x1 layer: `weights [O, C]`.
    pub fn dense(
        &mut self,
        name: &str,
        x: &Flow,
        weights: DMatrix<f64>,
        learn: Learn,
        reach: Reach,
    ) -> Flow {
        self.layer(name, x, Window::whole(1, 1), weights, learn, reach)
    }

    fn layer(
        &mut self,
        name: &str,
        x: &Flow,
        window: Window,
        weights: DMatrix<f64>,
        learn: Learn,
        reach: Reach,
    ) -> Flow {
        let [kh, kw] = window.kernel;
        let shape = vec![weights.nrows(), kh, kw, weights.ncols() / (kh * kw)];
        let mut rows = &x.rows * weights.transpose();
        if reach == Reach::Rectified {
            rows.apply(|v| *v = v.max(0.0));
        }
        let values: Vec<f64> =
            weights.row_iter().flat_map(|r| r.iter().copied().collect::<Vec<_>>()).collect();
        self.convolution(name, x.id, (window, 1), (shape, values), learn, false, (rows, reach))
    }

    /// A scale a channel: `y_c = scale_c x_c + shift_c`, shifts being trained where they are `shifted`.
    pub fn gate(
        &mut self,
        name: &str,
        x: &Flow,
        scale: &[f64],
        learn: Learn,
        reach: Reach,
        shifted: bool,
    ) -> Flow {
        let mut rows = x.rows.clone();
        for (mut column, &scale) in rows.column_iter_mut().zip(scale) {
            column *= scale;
        }
        let shape = vec![scale.len(), 1, 1, 1];
        let of = (shape, scale.to_vec());
        self.convolution(
            name,
            x.id,
            (Window::whole(1, 1), scale.len()),
            of,
            learn,
            shifted,
            (rows, reach),
        )
    }

    /// A depthwise layer of `kernel x kernel` weights a channel that start at 0.
    pub fn depthwise(&mut self, name: &str, x: &Flow, kernel: usize, most: f64) -> Flow {
        let channels = x.rows.ncols();
        let pad = kernel / 2;
        let window = Window {
            kernel: [kernel; 2],
            stride: [1; 2],
            pad: [pad, pad, kernel - 1 - pad, kernel - 1 - pad],
            dilation: [1; 2],
        };
        let rows = DMatrix::zeros(x.rows.nrows(), channels);
        let of = (vec![channels, kernel, kernel, 1], vec![0.0; channels * kernel * kernel]);
        self.convolution(
            name,
            x.id,
            (window, channels),
            of,
            Learn::Trained(most),
            false,
            (rows, Reach::Delta),
        )
    }

    #[allow(clippy::too_many_arguments)]
    fn convolution(
        &mut self,
        name: &str,
        x: TensorId,
        (window, groups): (Window, usize),
        (shape, values): (Vec<usize>, Vec<f64>),
        learn: Learn,
        shifted: bool,
        (rows, reach): (DMatrix<f64>, Reach),
    ) -> Flow {
        let name = format!("{}.{name}", self.prefix);
        let outputs = shape[0];
        let weights = self.weights(&format!("{name}.weights"), shape, &values, learn);
        let x_scale = self.graph.tensor(x).scale_of(0);
        let scales =
            (0..outputs).map(|o| x_scale * self.graph.tensor(weights).scale_of(o)).collect();
        let zeros = Data::I32(vec![0; outputs].into());
        let mut bias = Tensor::constant(
            format!("{name}.bias"),
            vec![outputs],
            zeros,
            Quant::per_axis(scales, 0),
        );
        bias.adapter = true;
        bias.trained = shifted.then(|| trained(self.precision, None));
        let bias = self.graph.add_tensor(bias);
        let quant = self.quant(&rows, learn, reach);
        let clamp = (reach == Reach::Rectified).then_some(Clamp::Steps([quant.zero as i8, 127]));
        let input = &self.graph.tensor(x).shape;
        let [h, w] = window.output(input[1], input[2]).unwrap_or([1, 1]);
        let y = Tensor::computed(&name, DType::I8, vec![1, h, w, outputs]).quantized(quant);
        let op = Conv2d { window, groups, clamp }.into();
        let id = self.node(name, op, vec![x, weights, bias], y);
        Flow { id, rows }
    }

    fn node(
        &mut self,
        name: String,
        op: crate::ops::Op,
        inputs: Vec<TensorId>,
        y: Tensor,
    ) -> TensorId {
        let y = self.graph.add_tensor(y);
        self.nodes.push(Node { name, op, inputs, outputs: vec![y] });
        y
    }

    /// Weights in int8, a scale a row.
    fn weights(&mut self, name: &str, shape: Vec<usize>, values: &[f64], learn: Learn) -> TensorId {
        let row = values.len() / shape[0].max(1);
        let largest = |row: &[f64]| row.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let all = largest(values);
        let most = |row: &[f64]| match learn {
            Learn::Frozen if all > 0.0 => largest(row).max(all * EMPTY),
            Learn::Frozen => 1.0,
            // One reach for all rows: what a row starts with says little of what it will need.
            Learn::Trained(reach) => reach.max(all / STARTS_AT),
        };
        let scales: Vec<f32> =
            values.chunks(row.max(1)).map(|r| (most(r) / 127.0) as f32).collect();
        let step =
            |(at, v): (usize, &f64)| (v / f64::from(scales[at / row])).round_ties_even() as i8;
        let data: Vec<i8> = values.iter().enumerate().map(step).collect();
        let quant = Quant::per_axis(scales, 0);
        let mut tensor = Tensor::constant(name, shape, Data::I8(data.into()), quant);
        tensor.adapter = true;
        if let Learn::Trained(_) = learn {
            tensor.trained = Some(trained(self.precision, None));
        }
        self.graph.add_tensor(tensor)
    }

    fn quant(&self, rows: &DMatrix<f64>, learn: Learn, reach: Reach) -> Quant {
        let steps = f64::from(self.graph.tensor(self.site.y).scale_of(0));
        let room = if learn == Learn::Frozen { 1.0 } else { HEADROOM };
        let (least, most) = rows.iter().fold((0.0f64, 0.0f64), |(l, m), &v| (l.min(v), m.max(v)));
        if reach == Reach::Delta || (least, most) == (0.0, 0.0) {
            return Quant::per_tensor((steps * DELTA_STEPS) as f32, 0);
        }
        span([least * room, most * room])
    }

    /// Adds `delta` to the layer's result, within the range of its activation.
    pub fn add(&mut self, delta: &Flow) {
        let y = self.graph.tensor(self.result).clone();
        let name = format!("{}.sum", self.prefix);
        let sum = Tensor::computed(&name, DType::I8, y.shape.clone());
        let sum = Tensor { quant: y.quant, ..sum };
        let op = Add { clamp: self.site.clamp }.into();
        self.result = self.node(name, op, vec![self.result, delta.id], sum);
    }

    /// Sum of two results.
    pub fn sum(&mut self, a: &Flow, b: &Flow) -> Flow {
        let rows = &a.rows + &b.rows;
        let quant = self.quant(&rows, Learn::Trained(0.0), Reach::Seen);
        let name = format!("{}.side", self.prefix);
        let shape = self.graph.tensor(a.id).shape.clone();
        let y = Tensor::computed(&name, DType::I8, shape).quantized(quant);
        let id = self.node(name, Add { clamp: None }.into(), vec![a.id, b.id], y);
        Flow { id, rows }
    }

    /// x, of which a training step passes some channels: the first so many, or where `part` is not 0 one part of `part`
    /// channels.
    pub fn nest(&mut self, x: &Flow, part: usize) -> Flow {
        let tensor = self.graph.tensor(x.id);
        let (shape, quant) = (tensor.shape.clone(), tensor.quant.clone());
        let name = format!("{}.nest", self.prefix);
        let y = Tensor { quant, ..Tensor::computed(&name, DType::I8, shape.clone()) };
        Flow {
            id: self.node(name, Nest { kept: shape[3], part }.into(), vec![x.id], y),
            rows: x.rows.clone(),
        }
    }

    /// Mean of the layer's result over its map, `[1,1,1,O]`.
    pub fn mean(&mut self) -> Flow {
        let rows = self.site.means.clone();
        let [h, w] = self.site.map;
        let name = format!("{}.mean", self.prefix);
        let quant = self.quant(&rows, Learn::Frozen, Reach::Seen);
        let y = Tensor::computed(&name, DType::I8, vec![1, 1, 1, rows.ncols()]).quantized(quant);
        let op = AvgPool { window: Window::whole(h, w) }.into();
        Flow { id: self.node(name, op, vec![self.site.y], y), rows }
    }

    /// `x [1,1,1,C]` for every pixel of the layer's result.
    pub fn spread(&mut self, x: &Flow) -> Flow {
        let ([h, w], c) = (self.site.map, x.rows.ncols());
        let path = Path {
            size: [1, 1, 1, (h * w) as u16, c as u16],
            from: [0, 0, 0, 0, 1],
            to: [0, 0, 0, c as i32, 1],
            ..Path::default()
        };
        self.copy("spread", x, [h, w, c], path, x.rows.clone())
    }

    /// The elements of x, which lie in memory as `dims` say, with axes in another order: as the result of shape
    /// `[1,h,w,C]`.
    pub fn rearrange<const N: usize>(
        &mut self,
        name: &str,
        x: &Flow,
        dims: [usize; N],
        order: [usize; N],
        shape: [usize; 3],
    ) -> Flow {
        let strides = |dims: [usize; N]| {
            let mut strides = [1; N];
            for axis in (1..N).rev() {
                strides[axis - 1] = strides[axis] * dims[axis];
            }
            strides
        };
        let (from, to) = (strides(dims), strides(order.map(|axis| dims[axis])));
        let mut path = Path { size: [1; 5], ..Path::default() };
        for (at, axis) in order.into_iter().enumerate() {
            let place = 5 - N + at;
            path.size[place] = dims[axis] as u16;
            path.from[place] = from[axis] as i32;
            path.to[place] = to[at] as i32;
        }
        // The same over the pixels that were looked at: there are more or fewer, along the first axis.
        let flat: Vec<f64> = x.rows.transpose().iter().copied().collect();
        let pixel: usize = dims[1..].iter().product();
        let seen = order.map(|axis| (dims[axis], from[axis], axis));
        let place = |mut at: usize| {
            let mut from = 0;
            for (size, stride, axis) in seen.into_iter().rev() {
                let size = if axis == 0 { flat.len() / pixel } else { size };
                from += at % size * stride;
                at /= size;
            }
            flat[from]
        };
        let channels = shape[2];
        let rows =
            DMatrix::from_row_iterator(flat.len() / channels, channels, (0..flat.len()).map(place));
        self.copy(name, x, shape, path, rows)
    }

    fn copy(
        &mut self,
        name: &str,
        x: &Flow,
        shape: [usize; 3],
        path: Path,
        rows: DMatrix<f64>,
    ) -> Flow {
        let name = format!("{}.{name}", self.prefix);
        let [h, w, c] = shape;
        let y = Tensor::computed(&name, DType::I8, vec![1, h, w, c]);
        let y = Tensor { quant: self.graph.tensor(x.id).quant.clone(), ..y };
        let op = Copy { shape, path, fill: 0.0 }.into();
        Flow { id: self.node(name, op, vec![x.id], y), rows }
    }

    /// Trains the layer's own bias.
    pub fn train_bias(&mut self) {
        self.train(2, trained(self.precision, None));
    }

    /// Trains the layer's own weights of some input channels.
    pub fn train_channels(&mut self, channels: &[usize]) {
        let all = channels.len() == self.site.taps_and_channels()[1];
        self.train(1, trained(self.precision, (!all).then_some(channels)));
    }

    /// Trains single weights of the layer's own, at `places` of its matrix, which ascend, at a pace of their own.
    pub fn train_picked(&mut self, places: Vec<u32>, pace: f64) {
        let pace = pace as f32;
        let channels = self.site.taps_and_channels()[1];
        self.train(1, Trained { pace, ..Trained::picked(places, channels) });
    }

    fn train(&mut self, operand: usize, trained: Trained) {
        let node = self.graph.node(self.site.node).clone();
        if let Some(constant) = own(self.graph, &node, operand) {
            let pace = trained.pace * self.own_pace();
            self.graph.tensor_mut(constant).trained = Some(Trained { pace, ..trained });
        }
    }

    /// Pace of what has no factor before it: that of a second factor after one with the gain.
    fn own_pace(&self) -> f32 {
        (self.gain * self.gain) as f32
    }

    /// Lets weights and biases of the layer that gave `flow`, one that was built here and has no factor before it, step
    /// by the gain.
    pub fn pace(&mut self, flow: &Flow) {
        let pace = self.own_pace();
        let node = self.nodes.iter().find(|n| n.outputs.contains(&flow.id));
        for &constant in node.iter().flat_map(|n| &n.inputs[1..]) {
            if let Some(trained) = &mut self.graph.tensor_mut(constant).trained {
                trained.pace = pace;
            }
        }
    }

    /// Lets the updates of the weights of the layer that gave `flow`, one that was built here and is trained, heed
    /// a rule.
    pub fn heed(&mut self, flow: &Flow, rule: Rule) {
        if let Some(Some(trained)) = self.trained_of(flow) {
            trained.rule = rule;
        }
    }

    /// Leaves of the weights of the layer that gave `flow`, one that was built here and is trained, their signs: all
    /// have one magnitude.
    pub fn signs(&mut self, flow: &Flow) {
        if let Some(Some(trained)) = self.trained_of(flow) {
            trained.precision = Precision::Sign;
        }
    }

    /// Trains of the weights of the layer that gave `flow`, one that was built here, only some channels.
    pub fn train_only(&mut self, flow: &Flow, channels: &[usize]) {
        let only = trained(self.precision, Some(channels));
        if let Some(trained) = self.trained_of(flow) {
            *trained = Some(only);
        }
    }

    /// What is trained of the weights of the layer that gave `flow`; none where it was not built here.
    fn trained_of(&mut self, flow: &Flow) -> Option<&mut Option<Trained>> {
        let node = self.nodes.iter().find(|n| n.outputs.contains(&flow.id))?;
        Some(&mut self.graph.tensor_mut(node.inputs[1]).trained)
    }
}

fn trained(precision: Precision, channels: Option<&[usize]>) -> Trained {
    let mut channels: Option<Vec<u16>> =
        channels.map(|all| all.iter().map(|&c| c as u16).collect());
    channels.iter_mut().for_each(|all| all.sort_unstable());
    Trained::plain(precision, channels)
}
