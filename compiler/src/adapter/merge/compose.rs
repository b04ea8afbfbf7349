//! Tensors of a layer's adapter as affine maps of what the layer's window sees.
//!
//! The layer itself gives (W, b), and so does a layer that reads the same by the same window. A 1x1 layer of what is
//! such a map gives combinations of its rows, a sum sums of two, and a move of elements rows in another order. Which
//! row an element has, and of which pixel, is kept element by element: what moves channels into pixels and
//! back is no case of its own.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::Reason;
use crate::ir::{Graph, Node, NodeId, TensorId};
use crate::ops::{copy, Conv2d, Copy, Nest, Op, Window};

/// An affine map of what a window sees of one group of channels.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    group: usize,
    weights: Vec<f64>,
    bias: f64,
}

/// Where an element comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    /// Pixel of the layer's result.
    pixel: usize,
    /// Number of its row.
    row: usize,
}

/// A tensor as affine maps.
#[derive(Debug)]
struct Flow {
    rows: Vec<Row>,
    /// Of each element.
    from: Vec<Origin>,
}

/// Weights and bias in real numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    /// `[O, kh * kw * I/groups]`, row by row.
    pub weights: Vec<f64>,
    /// `[O]`.
    pub bias: Vec<f64>,
}

/// Why a tensor is no such map, and the node that it is about.
pub(super) type Refusal = (NodeId, Reason);

/// The tensors of one layer's adapter.
#[derive(Debug)]
pub(super) struct Composer<'g> {
    graph: &'g Graph,
    producers: &'g [Option<NodeId>],
    layer: NodeId,
    conv: &'g Conv2d,
    known: HashMap<TensorId, Rc<Flow>>,
    /// The nodes whose results were composed, the layer among them.
    pub visited: HashSet<NodeId>,
}

/// Whether a layer cuts off what it computes: by a range, or because its result has steps of one sign only,
/// as a quantised network may say that it rectifies.
fn activates(graph: &Graph, node: &Node) -> bool {
    let zero = graph.tensor(node.outputs[0]).zero();
    node.op.clamp().is_some() || [i8::MIN, i8::MAX].map(i32::from).contains(&zero)
}

impl<'g> Composer<'g> {
    /// For the layer at node `layer`, which is `conv`.
    pub fn new(
        graph: &'g Graph,
        producers: &'g [Option<NodeId>],
        layer: NodeId,
        conv: &'g Conv2d,
    ) -> Self {
        let (known, visited) = Default::default();
        Composer { graph, producers, layer, conv, known, visited }
    }

    /// The layer that gives what the sum at node `id` gives.
    pub fn sum(&mut self, id: NodeId) -> Result<Layer, Refusal> {
        let node = self.graph.node(id);
        let flow = Rc::new(self.add(id, node)?);
        if node.op.clamp().is_none() {
            self.known.insert(node.outputs[0], flow.clone());
        }
        let y = self.graph.tensor(node.outputs[0]);
        let outputs = y.shape.last().copied().unwrap_or(1).max(1);
        let of = |channel: usize| flow.from[channel].row;
        let in_place = |(at, from): (usize, &Origin)| {
            *from == Origin { pixel: at / outputs, row: of(at % outputs) }
        };
        if !flow.from.iter().enumerate().all(in_place) {
            return Err((id, Reason::Moves));
        }
        let rows: Vec<&Row> = (0..outputs).map(|channel| &flow.rows[of(channel)]).collect();
        let group = |channel: usize| channel / (outputs / self.conv.groups).max(1);
        if !rows.iter().enumerate().all(|(channel, row)| row.group == group(channel)) {
            return Err((id, Reason::Groups));
        }
        Ok(Layer {
            weights: rows.iter().flat_map(|row| row.weights.iter().copied()).collect(),
            bias: rows.iter().map(|row| row.bias).collect(),
        })
    }

    /// Tensor `t`, which node `reader` reads.
    fn flow(&mut self, t: TensorId, reader: NodeId) -> Result<Rc<Flow>, Refusal> {
        if let Some(flow) = self.known.get(&t) {
            return Ok(flow.clone());
        }
        let site = self.graph.node(self.layer);
        let elsewhere = || (reader, Reason::Elsewhere(self.graph.tensor(t).name.clone()));
        if t == site.inputs[0] {
            let flow = self.identity(t).ok_or((reader, Reason::Window))?;
            return Ok(self.keep(t, flow));
        }
        let id = self.producers[t.index()].ok_or_else(elsewhere)?;
        let node = self.graph.node(id);
        let flow = match &node.op {
            Op::Conv2d(_) if id == self.layer && activates(self.graph, node) => {
                return Err((id, Reason::Activation));
            }
            Op::Conv2d(conv) if id == self.layer => {
                self.visited.insert(id);
                self.like(node, conv)
            }
            Op::Conv2d(conv) if self.graph.tensor(node.inputs[1]).adapter => {
                self.convolution(id, node, conv)?
            }
            Op::Add(add) if add.clamp.is_some() => return Err((id, Reason::Rectifier)),
            Op::Add(_) => self.add(id, node)?,
            Op::Copy(copy) => self.copy(id, node, copy)?,
            Op::Nest(nest) => self.nest(id, node, nest)?,
            Op::AvgPool(_) => return Err((id, Reason::Mean)),
            _ => return Err(elsewhere()),
        };
        Ok(self.keep(t, flow))
    }

    fn keep(&mut self, t: TensorId, flow: Flow) -> Rc<Flow> {
        let flow = Rc::new(flow);
        self.known.insert(t, flow.clone());
        flow
    }

    /// The layer's input, where it is what the window sees.
    fn identity(&self, x: TensorId) -> Option<Flow> {
        let channels = *self.graph.tensor(x).shape.last()?;
        let pointwise = self.conv.window == Window::whole(1, 1) && self.conv.groups == 1;
        let unit = |row: usize| {
            let weights = (0..channels).map(|c| f64::from(u8::from(c == row))).collect();
            Row { group: 0, weights, bias: 0.0 }
        };
        pointwise.then(|| self.in_place(x, (0..channels).map(unit).collect()))
    }

    /// Rows for the channels of `t`, the same at each of its pixels.
    fn in_place(&self, t: TensorId, rows: Vec<Row>) -> Flow {
        let (elements, channels) = (self.graph.tensor(t).elements(), rows.len().max(1));
        let from = |at: usize| Origin { pixel: at / channels, row: at % channels };
        Flow { rows, from: (0..elements).map(from).collect() }
    }

    /// A layer that reads the layer's input by its window, or the layer itself.
    fn like(&self, node: &Node, conv: &Conv2d) -> Flow {
        let [weights, bias] =
            [1, 2].map(|i| self.graph.tensor(node.inputs[i]).reals().collect::<Vec<_>>());
        let outputs = bias.len().max(1);
        let columns = (weights.len() / outputs).max(1);
        let rows = weights.chunks(columns).zip(bias).enumerate().map(|(o, (weights, bias))| Row {
            group: o / (outputs / conv.groups).max(1),
            weights: weights.to_vec(),
            bias,
        });
        self.in_place(node.outputs[0], rows.collect())
    }

    /// A layer of the adapter.
    fn convolution(&mut self, id: NodeId, node: &Node, conv: &Conv2d) -> Result<Flow, Refusal> {
        if conv.clamp.is_some() {
            return Err((id, Reason::Rectifier));
        }
        let reads_x = node.inputs[0] == self.graph.node(self.layer).inputs[0];
        if reads_x && conv.window == self.conv.window && conv.groups == self.conv.groups {
            self.visited.insert(id);
            return Ok(self.like(node, conv));
        }
        if reads_x && conv.groups == self.conv.groups {
            return Err((id, Reason::Window));
        }
        if conv.window != Window::whole(1, 1) {
            return Err((id, Reason::Kernel(conv.window.kernel)));
        }
        let x = self.flow(node.inputs[0], id)?;
        self.visited.insert(id);
        let [weights, bias] =
            [1, 2].map(|i| self.graph.tensor(node.inputs[i]).reals().collect::<Vec<_>>());
        let columns = (weights.len() / bias.len().max(1)).max(1);
        let per_group = bias.len() / conv.groups.max(1);
        let mut flow = Flow { rows: Vec::new(), from: Vec::new() };
        let mut combined: HashMap<(usize, Vec<usize>), usize> = HashMap::new();
        for (at, read) in x.from.chunks(columns).enumerate() {
            let (group, pixel) = (at % conv.groups, read[0].pixel);
            if read.iter().any(|from| from.pixel != pixel) {
                return Err((id, Reason::Moves));
            }
            let read: Vec<usize> = read.iter().map(|from| from.row).collect();
            let first = match combined.get(&(group, read.clone())) {
                Some(&first) => first,
                None => {
                    let first = flow.rows.len();
                    for o in group * per_group..(group + 1) * per_group {
                        let factors = &weights[o * columns..][..columns];
                        let terms = factors.iter().zip(&read).map(|(&f, &row)| (f, &x.rows[row]));
                        let sum = combination(terms, bias[o]).ok_or((id, Reason::Groups))?;
                        flow.rows.push(sum);
                    }
                    combined.insert((group, read), first);
                    first
                }
            };
            flow.from.extend((0..per_group).map(|o| Origin { pixel, row: first + o }));
        }
        Ok(flow)
    }

    /// Channels of which the first pass.
    fn nest(&mut self, id: NodeId, node: &Node, nest: &Nest) -> Result<Flow, Refusal> {
        let x = self.flow(node.inputs[0], id)?;
        self.visited.insert(id);
        let channels = self.graph.tensor(node.outputs[0]).shape.last().copied().unwrap_or(1).max(1);
        let times = |row: &Row, share: f64| Row {
            weights: row.weights.iter().map(|w| w * share).collect(),
            bias: row.bias * share,
            ..*row
        };
        let rows = [nest.share(), 0.0].into_iter();
        let rows = rows.flat_map(|share| x.rows.iter().map(move |row| times(row, share))).collect();
        let passes = |(at, from): (usize, &Origin)| match at % channels < nest.kept {
            true => *from,
            false => Origin { row: x.rows.len() + from.row, ..*from },
        };
        Ok(Flow { rows, from: x.from.iter().enumerate().map(passes).collect() })
    }

    /// A sum, but for what it clamps to.
    fn add(&mut self, id: NodeId, node: &Node) -> Result<Flow, Refusal> {
        let a = self.flow(node.inputs[0], id)?;
        let b = self.flow(node.inputs[1], id)?;
        self.visited.insert(id);
        let mut flow = Flow { rows: Vec::new(), from: Vec::with_capacity(a.from.len()) };
        let mut sums: HashMap<[usize; 2], usize> = HashMap::new();
        for (a_from, b_from) in a.from.iter().zip(&b.from) {
            if a_from.pixel != b_from.pixel {
                return Err((id, Reason::Moves));
            }
            let row = match sums.get(&[a_from.row, b_from.row]) {
                Some(&row) => row,
                None => {
                    let terms = [(1.0, &a.rows[a_from.row]), (1.0, &b.rows[b_from.row])];
                    let sum = combination(terms.into_iter(), 0.0).ok_or((id, Reason::Groups))?;
                    flow.rows.push(sum);
                    sums.insert([a_from.row, b_from.row], flow.rows.len() - 1);
                    flow.rows.len() - 1
                }
            };
            flow.from.push(Origin { pixel: a_from.pixel, row });
        }
        Ok(flow)
    }

    /// A move of elements.
    fn copy(&mut self, id: NodeId, node: &Node, copy: &Copy) -> Result<Flow, Refusal> {
        let x = self.flow(node.inputs[0], id)?;
        self.visited.insert(id);
        let mut from = vec![None; copy.shape.iter().product()];
        copy::places(&copy.path).for_each(|(source, to)| from[to] = Some(x.from[source]));
        let from: Option<Vec<Origin>> = from.into_iter().collect();
        Ok(Flow { rows: x.rows.clone(), from: from.ok_or((id, Reason::Moves))? })
    }
}

/// `bias` and a sum of rows times factors, which must be of one group; there is at least one.
fn combination<'r>(terms: impl Iterator<Item = (f64, &'r Row)>, bias: f64) -> Option<Row> {
    let mut sum: Option<Row> = None;
    for (factor, row) in terms {
        let sum = sum.get_or_insert_with(|| Row {
            group: row.group,
            weights: vec![0.0; row.weights.len()],
            bias,
        });
        if sum.group != row.group {
            return None;
        }
        sum.bias += factor * row.bias;
        sum.weights.iter_mut().zip(&row.weights).for_each(|(to, w)| *to += factor * w);
    }
    sum
}
