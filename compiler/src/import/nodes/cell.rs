//! One step of an `LSTM` or a `GRU`.

use crate::import::arrange::{path, Stride};
use crate::import::error::Problem;
use crate::import::layout::View;
use crate::import::Importer;
use crate::ir::{DType, Data, Tensor, TensorId};
use crate::ops::window::Window;
use crate::ops::{Add, Conv2d, Copy, Function, Mul, Op, Unary};

/// What the rows of the weights are for: what goes through a sigmoid, and what goes through a
/// hyperbolic tangent. Each has a scale of its own once it is quantised.
pub const PARTS: [&str; 2] = ["gates", "candidate"];

/// `1 - x` for what a sigmoid gives.
const COMPLEMENT: Function = Function::HardSigmoid([-1.0, 1.0]);

/// Weights that every step reads.
pub struct Shared {
    /// The weights as a tensor.
    pub weights: TensorId,
    /// As numbers, a row for each bias.
    pub values: Vec<f32>,
    /// The biases.
    pub bias: Vec<f32>,
    /// Length of a row.
    pub columns: usize,
}

/// One direction of a layer.
pub struct Direction {
    /// What its nodes are called.
    pub label: String,
    /// For each of [`PARTS`], what the inputs of all steps add.
    pub input: [TensorId; 2],
    /// For each of [`PARTS`], the weights of what the last result adds.
    pub recurrent: [Shared; 2],
    /// Result and state to begin with, for each of the batch, where they are not 0.
    pub start: [Option<Vec<f32>>; 2],
}

/// What all steps have in common.
pub struct Layer {
    /// Whether it is an `LSTM`.
    pub lstm: bool,
    /// Of a `GRU`: whether the reset gate comes behind the recurrent weights.
    pub reset_behind: bool,
    /// Sequences.
    pub batch: usize,
    /// Channels of a result.
    pub hidden: usize,
    /// How the input is seen, and all that it adds but for the channels: steps, batch, channels.
    pub view: View,
}

/// A step in the making. Its tensors are `[1, 1, batch, channels]`.
pub struct Cell<'c, 'm> {
    cx: &'c mut Importer<'m>,
    layer: &'c Layer,
    direction: &'c Direction,
    at: usize,
}

impl<'c, 'm> Cell<'c, 'm> {
    /// The step that reads input `at`.
    pub fn new(
        cx: &'c mut Importer<'m>,
        layer: &'c Layer,
        direction: &'c Direction,
        at: usize,
    ) -> Cell<'c, 'm> {
        Cell { cx, layer, direction, at }
    }

    /// Result and state behind this step; a `GRU` has no state besides its result. There are none
    /// before the first.
    pub fn step(
        &mut self,
        before: [Option<TensorId>; 2],
    ) -> Result<[Option<TensorId>; 2], Problem> {
        match self.layer.lstm {
            true => self.lstm(before).map(|after| after.map(Some)),
            false => Ok([Some(self.gru(before[0])?), None]),
        }
    }

    /// `c = f c + i g`, `h = o tanh(c)`.
    fn lstm(&mut self, [h, c]: [Option<TensorId>; 2]) -> Result<[TensorId; 2], Problem> {
        let hidden = self.layer.hidden;
        let c = c.or_else(|| self.start(1));
        let sums = [self.sums(0, h)?, self.sums(1, h)?];
        let open = self.unary("open", Function::Sigmoid, sums[0], 3 * hidden);
        let [i, o] =
            [self.cut("i", open, 3 * hidden, 0)?, self.cut("o", open, 3 * hidden, hidden)?];
        let g = self.unary("g", Function::Tanh, sums[1], hidden);
        let mut next = self.emit("written", Mul, vec![i, g], hidden);
        if let Some(c) = c {
            let f = self.cut("f", open, 3 * hidden, 2 * hidden)?;
            let kept = self.emit("kept", Mul, vec![f, c], hidden);
            next = self.emit("c", Add { clamp: None }, vec![kept, next], hidden);
        }
        let seen = self.unary("seen", Function::Tanh, next, hidden);
        Ok([self.emit("h", Mul, vec![o, seen], hidden), next])
    }

    /// `h = (1 - z) n + z h`, the reset gate before the recurrent weights of n, or behind them.
    fn gru(&mut self, h: Option<TensorId>) -> Result<TensorId, Problem> {
        let hidden = self.layer.hidden;
        let sums = self.sums(0, h)?;
        let open = self.unary("open", Function::Sigmoid, sums, 2 * hidden);
        let z = self.cut("z", open, 2 * hidden, 0)?;
        let r = self.cut("r", open, 2 * hidden, hidden)?;
        let last = h.or_else(|| self.start(0));
        let added = if self.layer.reset_behind {
            let added = self.added(1, h);
            added.map(|added| self.emit("reset", Mul, vec![r, added], hidden))
        } else if let Some(last) = last {
            let reset = self.emit("reset", Mul, vec![r, last], hidden);
            Some(self.recurrent(1, reset))
        } else {
            None
        };
        let n = self.input(1)?;
        let n = self.sum("sum", n, added, hidden);
        let n = self.unary("n", Function::Tanh, n, hidden);
        let new = self.unary("new", COMPLEMENT, z, hidden);
        let written = self.emit("written", Mul, vec![new, n], hidden);
        let Some(last) = last else { return Ok(written) };
        let kept = self.emit("kept", Mul, vec![z, last], hidden);
        Ok(self.emit("h", Add { clamp: None }, vec![kept, written], hidden))
    }

    /// What inputs and the last result add to a part.
    fn sums(&mut self, part: usize, h: Option<TensorId>) -> Result<TensorId, Problem> {
        let (input, added) = (self.input(part)?, self.added(part, h));
        let rows = self.direction.recurrent[part].bias.len();
        Ok(self.sum(&format!("{}.sum", PARTS[part]), input, added, rows))
    }

    /// What the last result adds to a part: before the first step a constant, if anything.
    fn added(&mut self, part: usize, h: Option<TensorId>) -> Option<TensorId> {
        if let Some(h) = h {
            return Some(self.recurrent(part, h));
        }
        let Shared { values, bias, columns, .. } = &self.direction.recurrent[part];
        let zeros = vec![0.0; self.layer.batch * columns];
        let start = self.direction.start[0].as_ref().unwrap_or(&zeros);
        let mut added = Vec::with_capacity(self.layer.batch * bias.len());
        for h in start.chunks_exact((*columns).max(1)) {
            for (row, &bias) in values.chunks_exact((*columns).max(1)).zip(bias) {
                let products = row.iter().zip(h).map(|(&w, &h)| f64::from(w) * f64::from(h));
                added.push((f64::from(bias) + products.sum::<f64>()) as f32);
            }
        }
        added.iter().any(|&v| v != 0.0).then(|| self.constant(PARTS[part], added))
    }

    /// State `which` to begin with, where it is not 0.
    fn start(&mut self, which: usize) -> Option<TensorId> {
        let values = self.direction.start[which].clone()?;
        Some(self.constant(["h", "c"][which], values))
    }

    fn constant(&mut self, what: &str, values: Vec<f32>) -> TensorId {
        let name = format!("{}.{what}.start", self.direction.label);
        let shape = vec![1, 1, self.layer.batch, values.len() / self.layer.batch.max(1)];
        self.cx.graph.add_tensor(Tensor::real(name, shape, Data::F32(values.into())))
    }

    /// The part of what the inputs of all steps add that is this step's.
    fn input(&mut self, part: usize) -> Result<TensorId, Problem> {
        let rows = self.direction.recurrent[part].bias.len();
        let view = self.layer.view.with_last(rows);
        let step = |dim: usize| view.dims[dim].first().map_or(0, |axis| axis.step);
        let strides = [
            Stride { size: self.layer.batch, from: step(1) as i64, to: rows as i64 },
            Stride { size: rows, from: 1, to: 1 },
        ];
        let path = path(self.at * step(0), 0, &strides)?;
        let copy = Copy { shape: [1, self.layer.batch, rows], path, fill: 0.0 };
        Ok(self.emit(PARTS[part], copy, vec![self.direction.input[part]], rows))
    }

    /// The recurrent weights of a part on `h`.
    fn recurrent(&mut self, part: usize, h: TensorId) -> TensorId {
        let label = self.label(&format!("recurrent.{}", PARTS[part]));
        self.cx.shared_layer(&label, h, &self.direction.recurrent[part], [1, self.layer.batch])
    }

    /// Channels from `first` on, as many as a result has.
    fn cut(
        &mut self,
        what: &str,
        x: TensorId,
        channels: usize,
        first: usize,
    ) -> Result<TensorId, Problem> {
        let (batch, hidden) = (self.layer.batch, self.layer.hidden);
        let strides = [
            Stride { size: batch, from: channels as i64, to: hidden as i64 },
            Stride { size: hidden, from: 1, to: 1 },
        ];
        let copy = Copy { shape: [1, batch, hidden], path: path(first, 0, &strides)?, fill: 0.0 };
        Ok(self.emit(what, copy, vec![x], hidden))
    }

    fn sum(&mut self, what: &str, x: TensorId, added: Option<TensorId>, rows: usize) -> TensorId {
        match added {
            Some(added) => self.emit(what, Add { clamp: None }, vec![x, added], rows),
            None => x,
        }
    }

    fn unary(&mut self, what: &str, function: Function, x: TensorId, channels: usize) -> TensorId {
        self.emit(what, Unary { function }, vec![x], channels)
    }

    fn label(&self, what: &str) -> String {
        format!("{}.{}.{what}", self.direction.label, self.at)
    }

    fn emit(
        &mut self,
        what: &str,
        op: impl Into<Op>,
        inputs: Vec<TensorId>,
        channels: usize,
    ) -> TensorId {
        let label = self.label(what);
        let shape = vec![1, 1, self.layer.batch, channels];
        let output = Tensor::computed(&label, DType::F32, shape);
        self.cx.graph.add_op(label, op.into(), inputs, output)
    }
}

impl Importer<'_> {
    /// A layer over `size` pixels, by weights that others may read too.
    pub fn shared_layer(
        &mut self,
        label: &str,
        x: TensorId,
        shared: &Shared,
        [h, w]: [usize; 2],
    ) -> TensorId {
        let rows = shared.bias.len();
        let bias = Data::F32(shared.bias.clone().into());
        let bias = Tensor::real(format!("{label}.bias"), vec![rows], bias);
        let inputs = vec![x, shared.weights, self.graph.add_tensor(bias)];
        let op = Conv2d { window: Window::whole(1, 1), groups: 1, clamp: None };
        let output = Tensor::computed(label, DType::F32, vec![1, h, w, rows]);
        self.graph.add_op(label, op.into(), inputs, output)
    }
}
