//! `LSTM` and `GRU`, unrolled: what each step adds to its input is a layer over all steps at once, the
//! rest of a step is layers, tables, products and sums of its own.
//!
//! The steps share their recurrent weights, which are therefore frozen: no update scheme names them.
//! Gradients pass through them to what comes before, and the layers over
//! all steps can be trained.

use tract_onnx::pb;

use super::cell::{Cell, Direction, Layer, Shared, PARTS};
use crate::import::constant::Constant;
use crate::import::error::Problem;
use crate::import::layout::{in_order, View};
use crate::import::pending::Pending;
use crate::import::proto::{self, MAX_DIMENSION};
use crate::import::value::{Activation, Form, Value};
use crate::import::Importer;
use crate::ir::{Data, Tensor, TensorId};
use crate::ops::Concat;

/// Steps, of all directions together; each is a dozen nodes.
const MOST_STEPS: usize = 256;

impl Importer<'_> {
    /// `LSTM` or `GRU`: all results, the last one, and of an LSTM the last state.
    pub fn recurrent(&mut self, node: &pb::NodeProto, name: &str) -> Result<Vec<Value>, Problem> {
        if !self.model.real {
            return Err(Problem::Other("is part of a quantised network; only in networks of real numbers can it be read, so export the network before it is quantised, and quantise it by samples here".into()));
        }
        let lstm = node.op_type == "LSTM";
        let reset_behind = proto::int(node, "linear_before_reset", 0) != 0;
        let backwards = directions(node)?;
        let count = backwards.len();
        expect_plain(node, lstm, count)?;
        let mut x = self.activation(node, 0)?;
        if x.view.dims.len() != 3 {
            let tensor = Self::input_name(node, 0).unwrap_or_default().into();
            let expected = "3 dimensions: steps, batch, features".into();
            return Err(Problem::Shape { tensor, shape: x.view.shape(), expected });
        }
        let batch_first = proto::int(node, "layout", 0) != 0;
        if batch_first {
            x.view = x.view.transpose(&[1, 0, 2]);
        }
        let x = self.last_as_channels(x, name)?;
        let regular = x.view.dims[..2].iter().all(|run| run.len() <= 1);
        let x = if regular { x } else { self.arrange(x, &in_order(3), name)? };
        let shape = x.view.shape();
        let (steps, batch) = (shape[0], shape[1]);
        if steps.saturating_mul(count) > MOST_STEPS {
            return Err(Problem::Other(format!(
                "takes {steps} steps in {count} direction(s); at most {MOST_STEPS} in all are supported, so shorten the sequence, as by a convolution with a stride before it"
            )));
        }
        self.expect_whole(node, steps)?;
        let hidden = self.reals(node, 2)?.dims.last().copied().unwrap_or(0);
        let layer = Layer { lstm, reset_behind, batch, hidden, view: x.view.clone() };
        let mut results: Vec<Vec<TensorId>> = Vec::with_capacity(count);
        let mut last: [Vec<TensorId>; 2] = Default::default();
        for (index, &backwards) in backwards.iter().enumerate() {
            let label = if count > 1 { format!("{name}.{index}") } else { name.into() };
            let direction = self.direction(node, &x, &layer, [index, count], label)?;
            let mut state = [None; 2];
            let mut all = Vec::with_capacity(steps);
            for n in 0..steps {
                let at = if backwards { steps - 1 - n } else { n };
                let mut cell = Cell::new(self, &layer, &direction, at);
                state = cell.step(state)?;
                all.extend(state[0]);
            }
            if backwards {
                all.reverse();
            }
            results.push(all);
            last.iter_mut().zip(state).for_each(|(last, state)| last.extend(state));
        }
        let sizes = [steps, count, batch, hidden];
        let in_turn = (0..steps).flat_map(|t| results.iter().map(move |all| all[t])).collect();
        let op = if lstm { "LSTM" } else { "GRU" };
        let mut values = vec![joined(name, op, in_turn, &sizes)];
        for (what, last) in ["last", "state"].into_iter().zip(last) {
            values.push(joined(&format!("{name}.{what}"), op, last, &sizes[1..]));
        }
        values.truncate(if lstm { 3 } else { 2 });
        if batch_first {
            let perms: [&[usize]; 3] = [&[2, 0, 1, 3], &[1, 0, 2], &[1, 0, 2]];
            for (value, perm) in values.iter_mut().zip(perms) {
                match value {
                    Value::Pending(pending) => pending.view = pending.view.transpose(perm),
                    Value::Activation(a) => a.view = a.view.transpose(perm),
                    _ => {}
                }
            }
        }
        Ok(values)
    }

    /// Refuses sequences that end before the last step.
    fn expect_whole(&mut self, node: &pb::NodeProto, steps: usize) -> Result<(), Problem> {
        let Some(lengths) = self.constant(node, 4)? else { return Ok(()) };
        if lengths.integers()?.iter().all(|&n| usize::try_from(n) == Ok(steps)) {
            return Ok(());
        }
        let supported = "sequences of all steps are supported; leave it out";
        let value = format!("{:?} of {steps} steps", lengths.integers()?);
        Err(Problem::Attribute { name: "sequence_lens", value, supported })
    }

    /// The weights of one direction, and the layers over the inputs of all steps.
    fn direction(
        &mut self,
        node: &pb::NodeProto,
        x: &Activation,
        layer: &Layer,
        [index, count]: [usize; 2],
        label: String,
    ) -> Result<Direction, Problem> {
        let (hidden, features) = (layer.hidden, x.view.size[2]);
        let gates: usize = if layer.lstm { 4 } else { 3 };
        let rows = gates.checked_mul(hidden).filter(|rows| (1..=MAX_DIMENSION).contains(rows));
        let rows = rows.ok_or_else(|| Problem::Dimension {
            tensor: Self::input_name(node, 2).unwrap_or_default().into(),
            dimension: hidden.to_string(),
        })?;
        let mut part = |at: usize, dims: &[usize]| -> Result<Option<Vec<f32>>, Problem> {
            match Self::input_name(node, at) {
                None => Ok(None),
                Some(_) => values(&*self.reals(node, at)?, dims, index).map(Some),
            }
        };
        let missing = |what: &str| Problem::Missing(what.into());
        let w = part(1, &[count, rows, features])?.ok_or_else(|| missing("`W`"))?;
        let r = part(2, &[count, rows, hidden])?.ok_or_else(|| missing("`R`"))?;
        let bias = part(3, &[count, 2 * rows])?.unwrap_or_else(|| vec![0.0; 2 * rows]);
        let mut start = [None, None];
        for (state, start) in start.iter_mut().enumerate().take(if layer.lstm { 2 } else { 1 }) {
            if let Some(constant) = self.constant(node, 5 + state)? {
                let own = [count, layer.batch, hidden];
                let given = match proto::int(node, "layout", 0) != 0 && constant.dims.len() == 3 {
                    true => values(&constant.transposed(&[1, 0, 2]), &own, index)?,
                    false => values(&constant, &own, index)?,
                };
                *start = given.iter().any(|&v| v != 0.0).then_some(given);
            }
        }
        let split = (gates - 1) * hidden;
        let parts = [0..split, split..rows];
        let [h, wide, _] = x.view.size;
        // A bias that a reset gate multiplies stays behind it.
        let behind = |part: usize| !layer.lstm && layer.reset_behind && part == 1;
        let input = std::array::from_fn(|at| {
            let range = parts[at].clone();
            let own = |n: usize| bias[n] + if behind(at) { 0.0 } else { bias[rows + n] };
            let label = format!("{label}.{}", PARTS[at]);
            let weights = w[range.start * features..range.end * features].to_vec();
            let shared = self.shared(&label, weights, range.map(own).collect());
            self.shared_layer(&label, x.tensor, &shared, [h, wide])
        });
        let recurrent = std::array::from_fn(|at| {
            let range = parts[at].clone();
            let own = |n: usize| if behind(at) { bias[rows + n] } else { 0.0 };
            let label = format!("{label}.recurrent.{}", PARTS[at]);
            let weights = r[range.start * hidden..range.end * hidden].to_vec();
            let shared = self.shared(&label, weights, range.map(own).collect());
            self.graph.tensor_mut(shared.weights).frozen = true;
            shared
        });
        Ok(Direction { label, input, recurrent, start })
    }

    /// A matrix of a row for each bias, as the weights of a layer over pixels.
    fn shared(&mut self, label: &str, values: Vec<f32>, bias: Vec<f32>) -> Shared {
        let (rows, columns) = (bias.len(), values.len() / bias.len().max(1));
        let data = Data::F32(values.clone().into());
        let tensor = Tensor::real(format!("{label}.weights"), vec![rows, 1, 1, columns], data);
        Shared { weights: self.graph.add_tensor(tensor), values, bias, columns }
    }
}

/// For each direction, whether it goes backwards.
fn directions(node: &pb::NodeProto) -> Result<Vec<bool>, Problem> {
    match proto::attribute(node, "direction").map_or(&b"forward"[..], |a| &a.s) {
        b"forward" => Ok(vec![false]),
        b"reverse" => Ok(vec![true]),
        b"bidirectional" => Ok(vec![false, true]),
        other => Err(Problem::Attribute {
            name: "direction",
            value: String::from_utf8_lossy(other).into_owned(),
            supported: "forward, reverse and bidirectional are supported",
        }),
    }
}

/// Refuses cells that are not the usual ones.
fn expect_plain(node: &pb::NodeProto, lstm: bool, directions: usize) -> Result<(), Problem> {
    let refuse = |name, value, supported| Err(Problem::Attribute { name, value, supported });
    if node.input.get(7).is_some_and(|p| !p.is_empty()) {
        let supported = "gates that see the state are not supported; train the network without";
        return refuse("P", "there".into(), supported);
    }
    if let Some(clip) = proto::float(node, "clip").filter(|&c| c != 0.0) {
        return refuse("clip", clip.to_string(), "no bound of the gates is supported");
    }
    if proto::int(node, "input_forget", 0) != 0 {
        return refuse("input_forget", "1".into(), "only 0 is supported: a forget gate of its own");
    }
    let usual: &[&str] = if lstm { &["Sigmoid", "Tanh", "Tanh"] } else { &["Sigmoid", "Tanh"] };
    let given = proto::attribute(node, "activations").map_or(&[][..], |a| &a.strings);
    let expected: Vec<&&str> = usual.iter().cycle().take(usual.len() * directions).collect();
    let same = |(given, usual): (&Vec<u8>, &&str)| given.eq_ignore_ascii_case(usual.as_bytes());
    if given.is_empty() || given.len() == expected.len() && given.iter().zip(expected).all(same) {
        return Ok(());
    }
    let value = given.iter().map(|name| String::from_utf8_lossy(name)).collect::<Vec<_>>();
    refuse("activations", value.join(", "), "Sigmoid for gates, else Tanh, are supported")
}

/// Part `index` of a constant along its first dimension.
fn values(constant: &Constant, dims: &[usize], index: usize) -> Result<Vec<f32>, Problem> {
    let all = constant.finite()?;
    if constant.dims != dims || all.is_empty() {
        return Err(Problem::Shape {
            tensor: constant.name.clone(),
            shape: constant.dims.clone(),
            expected: format!("{dims:?}"),
        });
    }
    let part = all.len() / dims[0];
    Ok(all[index * part..(index + 1) * part].to_vec())
}

/// Results of one size, one after the other, as `sizes`.
fn joined(name: &str, op: &'static str, tensors: Vec<TensorId>, sizes: &[usize]) -> Value {
    let view = View::arranged(sizes, &in_order(sizes.len()));
    match *tensors.as_slice() {
        [tensor] => Value::Activation(Activation { tensor, view, form: Form::Dequantized }),
        _ => Value::Pending(Pending::op(name, op, Concat { axis: 1 }.into(), tensors, view)),
    }
}
