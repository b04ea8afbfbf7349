//! Values of a graph's tensors in real numbers.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use num_traits::Float;
use offshoot_runtime::random::Xorshift;

use crate::ir::{Graph, Node, TensorId};
use crate::ops::Clamp;

use super::math;

/// Scalars of one training step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step<T> {
    /// Class of the sample.
    pub label: usize,
    /// Learning rate.
    pub rate: T,
    /// Loss of the sample.
    pub loss: T,
}

/// What an optimizer keeps of one parameter between steps, an element a trained value.
#[derive(Clone, Debug)]
pub struct Kept<T> {
    /// Sum of the steps of the batch so far.
    pub sum: Vec<T>,
    /// Velocity.
    pub velocity: Vec<T>,
    /// Samples of the batch so far.
    samples: u16,
}

impl<T> Kept<T> {
    /// Counts a sample; whether it is the last of its `batch`.
    pub fn count(&mut self, batch: u16) -> bool {
        self.samples += 1;
        let due = self.samples >= batch;
        if due {
            self.samples = 0;
        }
        due
    }
}

/// A value for every tensor of a graph; constants start at what their elements stand for.
#[derive(Clone, Debug)]
pub struct Values<'g, T> {
    graph: &'g Graph,
    values: Vec<Vec<T>>,
    /// Constants that do not train, transposed when first asked for.
    transposed: Vec<Option<Arc<[T]>>>,
    /// Of each tensor that is trained.
    kept: HashMap<TensorId, Kept<T>>,
    /// Which channels passed where some are drawn, and what the next draw goes by.
    passed: HashMap<TensorId, Range<usize>>,
    draws: u32,
    /// Scalars of the step.
    pub step: Step<T>,
}

impl<'g, T: Float> Values<'g, T> {
    /// Values of `graph`, which must be verified: constants dequantised, the rest empty.
    pub fn new(graph: &'g Graph) -> Self {
        let real = |v: f64| T::from(v).unwrap_or_else(T::nan);
        let values = graph
            .tensors()
            .map(|(_, tensor)| {
                let Some(data) = &tensor.data else { return Vec::new() };
                let axis = tensor.quant.as_ref().map_or(0, |q| q.axis);
                let inner: usize = tensor.shape.iter().skip(axis + 1).product();
                let axis_len = tensor.shape.get(axis).copied().unwrap_or(1).max(1);
                // A trained head keeps 8 more bits than its scale counts.
                let unit = if tensor.dtype == crate::ir::DType::I16 { 1.0 / 256.0 } else { 1.0 };
                let zero = tensor.zero();
                data.iter()
                    .enumerate()
                    .map(|(at, q)| {
                        let scale = tensor.scale_of(at / inner.max(1) % axis_len);
                        real(f64::from(scale) * unit * (q - f64::from(zero)))
                    })
                    .collect()
            })
            .collect();
        let step = Step { label: 0, rate: T::zero(), loss: T::zero() };
        let transposed = graph.tensors().map(|_| None).collect();
        let (kept, passed) = (HashMap::new(), HashMap::new());
        Values { graph, values, transposed, kept, passed, draws: 0, step }
    }

    /// The graph.
    pub fn graph(&self) -> &'g Graph {
        self.graph
    }

    /// Value of a tensor.
    pub fn get(&self, id: TensorId) -> &[T] {
        &self.values[id.index()]
    }

    /// Takes the value of a tensor that is about to be computed anew: its memory, to be used again.
    pub fn take(&mut self, id: TensorId) -> Vec<T> {
        std::mem::take(&mut self.values[id.index()])
    }

    /// Takes what an optimizer keeps of a parameter, to be changed.
    pub fn take_kept(&mut self, parameter: TensorId) -> Kept<T> {
        self.kept.remove(&parameter).unwrap_or(Kept {
            sum: Vec::new(),
            velocity: Vec::new(),
            samples: 0,
        })
    }

    /// Keeps it for the next step.
    pub fn keep(&mut self, parameter: TensorId, kept: Kept<T>) {
        self.kept.insert(parameter, kept);
    }

    /// Forgets what optimizers keep of all parameters, and what was drawn.
    pub fn forget(&mut self) {
        self.kept.clear();
        self.passed.clear();
        self.draws = 0;
    }

    /// A number from 1 to `choices`, in a step at a rate above 0.
    pub fn draw(&mut self, choices: usize) -> Option<usize> {
        (self.step.rate > T::zero()).then(|| {
            let mut random = Xorshift::new(self.draws);
            let number = 1 + ((usize::from(random.bits16()) * choices) >> 16);
            self.draws = random.state();
            number
        })
    }

    /// Says which channels of `y` pass in this step.
    pub fn pass(&mut self, y: TensorId, channels: Range<usize>) {
        self.passed.insert(y, channels);
    }

    /// Which passed.
    pub fn passed(&self, y: TensorId) -> Option<Range<usize>> {
        self.passed.get(&y).cloned()
    }

    /// Value of a tensor as `rows` by `columns`, transposed.
    pub fn transposed(&mut self, id: TensorId, rows: usize, columns: usize) -> Arc<[T]> {
        if let Some(kept) = &self.transposed[id.index()] {
            return kept.clone();
        }
        let transposed: Arc<[T]> = math::transpose(self.get(id), rows, columns).into();
        let tensor = self.graph.tensor(id);
        if tensor.data.is_some() && tensor.trained.is_none() {
            self.transposed[id.index()] = Some(transposed.clone());
        }
        transposed
    }

    /// Sets the value of a tensor.
    pub fn set(&mut self, id: TensorId, value: Vec<T>) {
        self.transposed[id.index()] = None;
        self.values[id.index()] = value;
    }

    /// Changes the value of a tensor in place.
    pub fn change(&mut self, id: TensorId, f: impl FnOnce(&mut [T])) {
        self.transposed[id.index()] = None;
        f(&mut self.values[id.index()]);
    }

    /// Sets a node's output after clamping it to the range `clamp`, and its mask, where it has one.
    pub fn set_clamped(&mut self, node: &Node, mut y: Vec<T>, clamp: Option<Clamp>) {
        let output = self.graph.tensor(node.outputs[0]);
        if let Some(range) = clamp {
            let scale = f64::from(output.scale_of(0));
            let bounds = match range {
                Clamp::Steps(range) => {
                    range.map(|q| scale * f64::from(i32::from(q) - output.zero()))
                }
                Clamp::Real(range) => range.map(f64::from),
            };
            let [low, high] = bounds.map(|bound| T::from(bound).unwrap_or_else(T::nan));
            if let Some(&mask) = node.outputs.get(1) {
                let passes = |v: &T| if *v >= low && *v <= high { T::one() } else { T::zero() };
                let mut bits = self.take(mask);
                bits.clear();
                bits.extend(y.iter().map(passes));
                self.set(mask, bits);
            }
            for v in &mut y {
                // Comparisons, unlike `max` and `min`, vectorise; what is no number stays below.
                *v = if *v > low { *v } else { low };
                *v = if *v < high { *v } else { high };
            }
        }
        self.set(node.outputs[0], y);
    }

    /// Height, width and channels of an NHWC tensor; of a scalar row, `[1, 1, n]`.
    pub fn hwc(&self, id: TensorId) -> [usize; 3] {
        match self.graph.tensor(id).shape.as_slice() {
            &[_, h, w, c] => [h, w, c],
            shape => [1, 1, shape.iter().product()],
        }
    }
}
