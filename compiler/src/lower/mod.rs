//! Turns the IR's real arithmetic into integer runtime ops over buffers that have no place yet.
//!
//! General over graphs: which runtime op carries out an IR op, and with which constants, is each
//! op's own affair ([`crate::ops::Operator::lower`]); here are the memories they draw from.
//!
//! Gradient sums and clamp masks are absorbed by the op that computes their last term: it adds
//! the other term and applies the mask before its one rounding (`fuse.rs`).

mod banded;
mod buffer;
mod fuse;
mod learnt;
mod memory;
mod optimizer;
mod print;
mod receive;
mod recomputed;

use std::collections::BTreeMap;

use offshoot_runtime::program::op::{self as rt, Precision, Range, Weights};
use offshoot_runtime::program::{Header, Init, Output};
use offshoot_runtime::{Memory, Slot};

use crate::ir::{Graph, NodeId, TensorId};
use crate::ops::{Clamp, Op};
use fuse::Fusion;
use memory::{ConstantPool, StatePool};

pub use banded::Banded;
pub use buffer::{root, tensor, Buffer, Holds, Within};
pub use learnt::{learnt, LearntError, Parameter};
pub use print::print;
pub use recomputed::Recomputed;

/// Channels whose scale is below this hold no information: their weights are never updated.
/// A weight's update is divided by its scale, so that it would explode there.
pub const DEGENERATE_SCALE: f64 = 1e-6;

/// Channels that a mean over pixels adds up at once: more would save little time for their bytes.
const MEAN_BLOCK: usize = 256;

/// A graph that has no integer form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node {node:?} ({op}) cannot be lowered: {reason}")]
pub struct LowerError {
    /// Name of the node.
    pub node: String,
    /// Its op.
    pub op: &'static str,
    /// Why.
    pub reason: String,
}

impl LowerError {
    /// An error at node `id`.
    pub fn new(graph: &Graph, id: NodeId, reason: &str) -> LowerError {
        let node = graph.node(id);
        LowerError { node: node.name.clone(), op: node.op.name(), reason: reason.into() }
    }
}

/// A program whose arena slots hold the index of a buffer in place of an offset.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lowered {
    /// Tensors of the arena.
    pub buffers: Vec<Buffer>,
    /// Ops in the graph's order.
    pub ops: Vec<rt::Op>,
    /// Name of the node that each op comes from.
    pub names: Vec<String>,
    /// Multiply-accumulates of each op.
    pub macs: Vec<u64>,
    /// First content of state memory.
    pub init: Vec<Init>,
    /// Constant memory.
    pub constants: Vec<u8>,
    /// Header, but for the arena's size; its arena slots hold buffers too.
    pub header: Header,
    /// Where in state each trained constant lies.
    pub parameters: Vec<Parameter>,
    /// Where in state it says how many channels of a tensor are kept.
    pub ranks: Vec<(TensorId, Slot)>,
    /// Bytes of state that hold trained weights and biases.
    pub trainable: u32,
    /// Bytes of state that hold velocities.
    pub momentum: u32,
    /// Bytes of state that hold sums over a batch and count its samples.
    pub accumulation: u32,
    /// Which parts of the forward pass run in bands.
    pub bands: Vec<Banded>,
    /// Ops of the forward pass that run again in the backward pass.
    pub again: Vec<Recomputed>,
}

impl Lowered {
    /// What its live bytes depend on, without what a search need not copy about: constants, first
    /// contents, and names.
    pub(crate) fn bare(&self) -> Lowered {
        let nameless = |buffer: &Buffer| Buffer { name: String::new(), ..*buffer };
        Lowered {
            buffers: self.buffers.iter().map(nameless).collect(),
            ops: self.ops.clone(),
            names: vec![String::new(); self.ops.len()],
            macs: self.macs.clone(),
            header: self.header,
            ..Lowered::default()
        }
    }
}

/// Lowers a verified graph.
///
/// # Errors
/// The first node that has no integer form.
pub fn lower(graph: &Graph) -> Result<Lowered, LowerError> {
    let mut cx = Lowering::new(graph);
    for (id, node) in graph.nodes() {
        let is_loss = node.op.is_loss();
        if is_loss {
            cx.forward = Some(cx.ops.len());
        }
        node.op.lower(&mut cx, id)?;
        // A loss that needs no label is what inference gives.
        if is_loss && !graph.has_logits() {
            cx.forward = Some(cx.ops.len());
        }
    }
    Ok(cx.finish())
}

/// How an op finishes the error tensor that it computes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Epilogue {
    /// Where the finished tensor goes.
    pub output: rt::Error,
    /// A term to add; empty: none.
    pub skip: rt::Error,
    /// A mask to apply; empty: none.
    pub mask: Slot,
}

/// What ops lower into.
#[derive(Debug)]
pub struct Lowering<'g> {
    /// The graph that is lowered.
    pub graph: &'g Graph,
    fusion: Fusion,
    producers: Vec<Option<NodeId>>,
    buffers: Vec<Buffer>,
    slots: Vec<Option<Slot>>,
    trackers: Vec<Option<Slot>>,
    parameters: Vec<Option<Slot>>,
    trained: Vec<Parameter>,
    random: Option<Slot>,
    ranks: BTreeMap<TensorId, [Slot; 2]>,
    constants: ConstantPool,
    state: StatePool,
    trainable: u32,
    momentum: u32,
    accumulation: u32,
    scratch: u32,
    ops: Vec<rt::Op>,
    names: Vec<String>,
    macs: Vec<u64>,
    forward: Option<usize>,
}

impl<'g> Lowering<'g> {
    fn new(graph: &'g Graph) -> Self {
        let tensors = graph.tensors().count();
        Lowering {
            graph,
            fusion: Fusion::of(graph),
            producers: graph.producers(),
            buffers: Vec::new(),
            slots: vec![None; tensors],
            trackers: vec![None; tensors],
            parameters: vec![None; tensors],
            trained: Vec::new(),
            random: None,
            ranks: BTreeMap::new(),
            constants: ConstantPool::default(),
            state: StatePool::default(),
            trainable: 0,
            momentum: 0,
            accumulation: 0,
            scratch: 0,
            ops: Vec::new(),
            names: Vec::new(),
            macs: Vec::new(),
            forward: None,
        }
    }

    /// Adds a runtime op for node `id`.
    pub fn push(&mut self, id: NodeId, op: impl Into<rt::Op>) {
        let op = op.into();
        self.macs.push(macs(&op));
        self.ops.push(op);
        self.names.push(self.graph.node(id).name.clone());
    }

    /// Node that computes `tensor`.
    pub fn producer(&self, tensor: TensorId) -> Option<NodeId> {
        self.producers[tensor.index()]
    }

    /// Height, width and channels of an activation.
    pub fn hwc(&self, tensor: TensorId) -> [usize; 3] {
        match self.graph.tensor(tensor).shape.as_slice() {
            &[_, h, w, c] => [h, w, c],
            shape => [1, 1, shape.iter().product()],
        }
    }

    /// Zero point and clamp of an int8 output.
    pub fn range(&self, y: TensorId, clamp: Option<Clamp>) -> Range {
        let [min, max] = match clamp {
            Some(Clamp::Steps(range)) => range,
            _ => [i8::MIN, i8::MAX],
        };
        Range { zero: self.graph.tensor(y).zero() as i16, min, max }
    }

    /// The buffer of a computed tensor, or of a constant that is read as one, which is moved there
    /// first.
    pub fn slot(&mut self, tensor: TensorId) -> Slot {
        if let Some(slot) = self.slots[tensor.index()] {
            return slot;
        }
        let source = self.graph.tensor(tensor);
        let bytes = source.bytes() as u32;
        self.buffers.push(Buffer::new(&source.name, bytes));
        let slot = Slot::new(Memory::Arena, self.buffers.len() as u32 - 1, bytes);
        self.slots[tensor.index()] = Some(slot);
        if let Some(data) = &source.data {
            let input = self.constants.add(&data.to_bytes());
            let [h, w, c] = self.hwc(tensor);
            let steps = [0, 0, (w * c) as i32, c as i32, 1];
            let size = [1, 1, h as u16, w as u16, c as u16];
            let path = rt::Path { size, from: steps, to: steps, ..rt::Path::default() };
            self.macs.push(0);
            self.ops.push(rt::Copy { input, output: slot, path, ..rt::Copy::default() }.into());
            self.names.push(source.name.clone());
        }
        slot
    }

    /// An error tensor: its buffer and its tracker. The loss gradient has no tracker.
    pub fn error(&mut self, tensor: TensorId) -> rt::Error {
        let data = self.slot(tensor);
        let producer = self.producer(tensor).map(|p| &self.graph.node(p).op);
        if producer.is_some_and(Op::is_loss) {
            return rt::Error { data, tracker: Slot::default() };
        }
        let tracker = match self.trackers[tensor.index()] {
            Some(slot) => slot,
            None => self.state.reserve(8),
        };
        self.trackers[tensor.index()] = Some(tracker);
        rt::Error { data, tracker }
    }

    /// How node `id` finishes the error tensor it computes.
    pub fn epilogue(&mut self, id: NodeId) -> Epilogue {
        let finish = self.fusion.finish(self.graph, id);
        Epilogue {
            output: self.error(finish.output),
            skip: finish.skip.map_or_else(rt::Error::default, |t| self.error(t)),
            mask: finish.mask.map_or_else(Slot::default, |t| self.slot(t)),
        }
    }

    /// Whether another op does the work of node `id`.
    pub fn is_absorbed(&self, id: NodeId) -> bool {
        self.fusion.is_absorbed(id)
    }

    /// A bias or a head's weights: constant memory, or state where they are trained.
    pub fn fixed(&mut self, tensor: TensorId) -> Slot {
        if let Some(slot) = self.parameters[tensor.index()] {
            return slot;
        }
        let source = self.graph.tensor(tensor);
        let bytes = source.data.as_ref().map(|d| d.to_bytes()).unwrap_or_default();
        let constant = self.constants.add(&bytes);
        let slot = if source.trained.is_some() {
            let to = self.state.reserve(bytes.len());
            self.trainable += to.bytes;
            self.state.init(Init::Copy { from: constant, to });
            self.trained.push(Parameter { tensor, slot: to, depthwise: false });
            to
        } else {
            constant
        };
        self.parameters[tensor.index()] = Some(slot);
        slot
    }

    /// The weights of a convolution; those of a depthwise one are rearranged to `[kh][kw][C]`.
    pub fn weights(&mut self, tensor: TensorId, depthwise: bool) -> Weights {
        let source = self.graph.tensor(tensor);
        let (rows, taps, channels) = match source.shape.as_slice() {
            &[c, kh, kw, _] if depthwise => (kh * kw, 1, c),
            &[o, kh, kw, i] => (o, kh * kw, i),
            shape => (1, 1, shape.iter().product()),
        };
        let mut bytes = source.data.as_ref().map(|d| d.to_bytes()).unwrap_or_default();
        if depthwise {
            let by_channel = bytes.clone();
            for (at, byte) in bytes.iter_mut().enumerate() {
                *byte = by_channel[at % channels * rows + at / channels];
            }
        }
        let mut weights = Weights {
            frozen: self.constants.add(&bytes),
            rows: rows as u16,
            taps: taps as u16,
            channels: channels as u16,
            ..Weights::default()
        };
        let Some(trained) = source.trained.clone() else { return weights };
        let selected = trained.channels.unwrap_or_else(|| (0..channels as u16).collect());
        weights.selected = match trained.picks.as_slice() {
            [] => self.indices(&selected),
            picks => {
                let bytes: Vec<u8> = picks.iter().flat_map(|at| at.to_le_bytes()).collect();
                self.constants.add(&bytes)
            }
        };
        weights.precision = trained.precision;
        weights.latent = match self.parameters[tensor.index()] {
            Some(slot) => slot,
            None => {
                let elements = source.trained_elements();
                let slot = self.state.reserve(elements * weights.precision.bytes());
                self.trainable += slot.bytes;
                self.state.init(Init::Latent(Weights { latent: slot, ..weights }));
                self.trained.push(Parameter { tensor, slot, depthwise });
                self.parameters[tensor.index()] = Some(slot);
                slot
            }
        };
        weights
    }

    /// Per-channel multipliers and shifts.
    pub fn channel_scale(&mut self, scales: &[f64]) -> rt::ChannelScale {
        use offshoot_runtime::fixed::Multiplier;
        let multipliers: Vec<Multiplier> =
            scales.iter().map(|&s| Multiplier::from_f64(s)).collect();
        let values: Vec<u8> = multipliers.iter().flat_map(|m| m.value.to_le_bytes()).collect();
        let shifts: Vec<u8> = multipliers.iter().map(|m| m.shift as i8 as u8).collect();
        rt::ChannelScale {
            multiplier: self.constants.add(&values),
            shift: self.constants.add(&shifts),
        }
    }

    /// What turns a weight's gradient into steps of the weight: `s_x / s_w`, or 0 for a
    /// degenerate channel.
    pub fn gradient_factor(&self, s_x: f32, s_w: f32) -> f32 {
        if f64::from(s_w) < DEGENERATE_SCALE {
            0.0
        } else {
            s_x / s_w
        }
    }

    /// A table of bytes.
    pub fn table(&mut self, bytes: &[u8]) -> Slot {
        self.constants.add(bytes)
    }

    /// A table of f32.
    pub fn factors(&mut self, factors: &[f32]) -> Slot {
        let bytes: Vec<u8> = factors.iter().flat_map(|f| f.to_le_bytes()).collect();
        self.constants.add(&bytes)
    }

    /// A table of u16.
    pub fn indices(&mut self, indices: &[u16]) -> Slot {
        let bytes: Vec<u8> = indices.iter().flat_map(|i| i.to_le_bytes()).collect();
        self.constants.add(&bytes)
    }

    /// Working memory of one op.
    pub fn scratch(&mut self, bytes: usize) -> Slot {
        self.scratch = self.scratch.max(bytes as u32);
        Slot::new(Memory::Scratch, 0, bytes as u32)
    }

    /// Working memory of a mean over pixels: sums of as many channels as are added up at once.
    pub fn mean_scratch(&mut self, channels: usize) -> Slot {
        self.scratch(channels.min(MEAN_BLOCK) * 4)
    }

    fn finish(mut self) -> Lowered {
        let graph = self.graph;
        let input = graph.input.map(|t| self.slot(t)).unwrap_or_default();
        let output = graph.output.map(|t| self.slot(t)).unwrap_or_default();
        let shape = graph.input.map(|t| self.hwc(t)).unwrap_or_default();
        let output_kind = match (graph.has_logits(), self.forward) {
            (true, _) => Output::Logits,
            (false, Some(_)) => Output::Reconstruction,
            (false, None) => Output::Scores,
        };
        let classes = match output_kind {
            Output::Reconstruction => 0,
            _ => graph.output.map_or(0, |t| graph.tensor(t).elements()) as u16,
        };
        let header = Header {
            model_hash: graph.source_hash,
            arena: 0,
            state: self.state.bytes(),
            scratch: self.scratch.next_multiple_of(8),
            forward: self.forward.unwrap_or(self.ops.len()) as u32,
            input,
            input_shape: crate::ops::window::shape(shape),
            input_scale: graph.input.map_or(0.0, |t| graph.tensor(t).scale_of(0)),
            input_zero: graph.input.map_or(0, |t| graph.tensor(t).zero()) as i16,
            output,
            output_kind,
            classes,
        };
        Lowered {
            buffers: self.buffers,
            ops: self.ops,
            names: self.names,
            macs: self.macs,
            init: self.state.into_init(),
            constants: self.constants.into_bytes(),
            header,
            parameters: self.trained,
            ranks: self.ranks.into_iter().map(|(y, [kept, _])| (y, kept)).collect(),
            trainable: self.trainable,
            momentum: self.momentum,
            accumulation: self.accumulation,
            bands: Vec::new(),
            again: Vec::new(),
        }
    }
}

/// Multiply-accumulates of one op, padding counted as if it were computed.
pub(crate) fn macs(op: &rt::Op) -> u64 {
    let map = |g: &rt::Geometry, row: usize| g.y.positions() as u64 * row as u64;
    let turns = |loops: &rt::Contraction| loops.size.iter().map(|&n| u64::from(n)).product();
    match op {
        rt::Op::Conv(c) => map(&c.geometry, c.weights.frozen.len()),
        rt::Op::ConvInputGrad(c) => map(&c.geometry, c.weights.frozen.len()),
        rt::Op::Depthwise(d) => map(&d.geometry, d.weights.frozen.len()),
        rt::Op::DepthwiseInputGrad(d) => map(&d.geometry, d.weights.frozen.len()),
        rt::Op::MatMul(m) => turns(&m.loops),
        rt::Op::MatMulInputGrad(m) => turns(&m.loops),
        rt::Op::ConvUpdate(update)
        | rt::Op::ConvOptimize(rt::ConvOptimize { update, .. })
        | rt::Op::ConvNormed(rt::ConvNormed { update, .. }) => {
            map(&update.geometry, update.weights.latent.len() / update.weights.precision.bytes())
        }
        rt::Op::DepthwiseUpdate(update)
        | rt::Op::DepthwiseOptimize(rt::DepthwiseOptimize { update, .. }) => {
            map(&update.geometry, update.weights.latent.len() / update.weights.precision.bytes())
        }
        rt::Op::PickUpdate(update) => {
            map(&update.geometry, update.weights.latent.len() / update.weights.precision.bytes())
        }
        // Half of the products, and as many in the steps.
        rt::Op::Orthonormalize(o) => {
            let (vectors, weights) = (o.vectors() as u64, o.start.len() as u64);
            weights * (vectors + 1) / 2 + weights * vectors
        }
        rt::Op::Head(h) => h.latent.len() as u64 / Precision::Residual.bytes() as u64,
        rt::Op::HeadInputGrad(h) => h.latent.len() as u64 / Precision::Residual.bytes() as u64,
        rt::Op::HeadUpdate(h) | rt::Op::HeadOptimize(rt::HeadOptimize { update: h, .. }) => {
            h.latent.len() as u64 / Precision::Residual.bytes() as u64
        }
        _ => 0,
    }
}
