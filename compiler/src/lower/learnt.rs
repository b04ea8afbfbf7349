//! What a state says of trained constants.
//!
//! Where in state they lie is settled when a graph is lowered: neither bands nor the order of ops nor
//! the places of tensors move them.

use offshoot_runtime::kernels::{effective, shifted, signed};
use offshoot_runtime::program::op::Precision;
use offshoot_runtime::Slot;

use super::{lower, LowerError};
use crate::ir::{Data, Graph, Tensor, TensorId};
use crate::ops::Op;

/// Where in state a trained constant lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The constant.
    pub tensor: TensorId,
    /// Its trained elements.
    pub slot: Slot,
    /// Whether it is the weights of a depthwise convolution, which lie there as `[kh][kw][C]`.
    pub depthwise: bool,
}

/// State cannot be read as that of a graph.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LearntError {
    /// The graph has no integer form.
    #[error(transparent)]
    Lower(#[from] LowerError),
    /// Another size.
    #[error("the state has {found} bytes, that of the training graph {wanted}; both must come from one version")]
    Size {
        /// Its bytes.
        found: usize,
        /// What the graph's takes.
        wanted: usize,
    },
}

/// `graph`, a training graph, with the values that its trained constants have in `state`: weights in the
/// int8 steps that layers compute with (what a residual weight holds below a step is left behind),
/// biases and a head's weights as they are.
///
/// # Errors
/// Where `state` is not that of the program of `graph`.
pub fn learnt(graph: &Graph, state: &[u8]) -> Result<Graph, LearntError> {
    let lowered = lower(graph)?;
    let wanted = lowered.header.state as usize;
    if state.len() != wanted {
        return Err(LearntError::Size { found: state.len(), wanted });
    }
    let mut learnt = graph.clone();
    for parameter in &lowered.parameters {
        let held = &state[parameter.slot.start()..parameter.slot.end()];
        let tensor = learnt.tensor_mut(parameter.tensor);
        tensor.data = tensor.data.take().map(|data| match data {
            Data::I32(_) => Data::I32(words(held, i32::from_le_bytes).into()),
            Data::I16(_) => Data::I16(words(held, i16::from_le_bytes).into()),
            Data::I8(old) => {
                let mut new = old.to_vec();
                let places = places(tensor, parameter.depthwise).into_iter();
                let codes = places.clone().zip(held.iter().map(|&code| code as i8));
                match tensor.trained.as_ref().map_or(Precision::Residual, |t| t.precision) {
                    Precision::Stochastic => {
                        codes.for_each(|(at, code)| new[at] = shifted(old[at], code));
                    }
                    Precision::Sign => codes.for_each(|(at, code)| new[at] = signed(old[at], code)),
                    Precision::Residual | Precision::Picked => {
                        let latent = words(held, i16::from_le_bytes);
                        places.zip(latent).for_each(|(at, m)| new[at] = effective(m));
                    }
                }
                Data::I8(new.into())
            }
            data @ Data::F32(_) => data,
        });
    }
    for (y, slot) in lowered.ranks {
        let word = words(&state[slot.start()..slot.end()], u32::from_le_bytes);
        let kept = word.first().map_or(1, |&kept| kept.max(1) as usize);
        let nest = graph.producers()[y.index()];
        if let Some(Op::Nest(nest)) = nest.map(|id| &mut learnt.node_mut(id).op) {
            nest.kept = nest.kept.min(kept);
        }
    }
    Ok(learnt)
}

/// Little-endian words.
fn words<const N: usize, T>(bytes: &[u8], word: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&bytes| word(bytes)).collect()
}

/// Where in weights `[O,kh,kw,I]`, or depthwise ones `[C,kh,kw,1]`, the elements lie that state holds, in
/// its order.
fn places(tensor: &Tensor, depthwise: bool) -> Vec<usize> {
    let (first, last) = (tensor.shape[0], *tensor.shape.last().unwrap_or(&1));
    let channels = if depthwise { first } else { last };
    let rows = tensor.elements() / channels.max(1);
    if !tensor.picks().is_empty() {
        return tensor.picks().iter().map(|&at| at as usize).collect();
    }
    let trained = tensor.trained.as_ref().and_then(|t| t.channels.as_deref());
    let selected: Vec<usize> = match trained {
        Some(channels) => channels.iter().map(|&c| usize::from(c)).collect(),
        None => (0..channels).collect(),
    };
    let place = |row: usize, c: usize| if depthwise { c * rows + row } else { row * channels + c };
    (0..rows).flat_map(|row| selected.iter().map(move |&c| place(row, c))).collect()
}
