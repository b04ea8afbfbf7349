//! What lies in the arena, where and from when to when: the data of the memory picture.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::ir::TensorId;
use crate::lower::{root, Holds};
use crate::ops::Op;
use crate::pipeline::Compiled;

/// What a tensor is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The sample.
    Input,
    /// A result of the forward pass that only the forward pass and the loss read.
    Activation,
    /// Some rows of an activation, of a part of the network that runs in bands.
    Band,
    /// A result of the forward pass that gradients or updates read.
    Saved,
    /// A result of the forward pass that is computed once more when gradients or updates read it.
    Again,
    /// What a gradient needs of an op beside its values: which elements were clamped, one bit each,
    /// which of a window was the greatest, or by what a row was divided.
    Mask,
    /// The gradient of the loss by an activation.
    Error,
}

impl Kind {
    /// All of them, in the order of a step.
    pub const ALL: [Kind; 7] = [
        Kind::Input,
        Kind::Activation,
        Kind::Band,
        Kind::Saved,
        Kind::Again,
        Kind::Mask,
        Kind::Error,
    ];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Input => "input",
            Kind::Activation => "activation",
            Kind::Band => "rows of a band",
            Kind::Saved => "saved activation",
            Kind::Again => "computed again",
            Kind::Mask => "mask",
            Kind::Error => "error",
        }
    }
}

/// A tensor that has a place of its own in the arena.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Name of the model's node that it belongs to: the one that computes it, or by whose input an error
    /// is the gradient; empty for the input.
    pub layer: String,
    /// What it is there for.
    pub kind: Kind,
    /// First byte of the arena.
    pub offset: u32,
    /// Bytes.
    pub bytes: u32,
    /// Position of the op that writes it; 0 for the input.
    pub first: u32,
    /// Position of the op that touches its place last.
    pub last: u32,
    /// Tensors that are written over it, where nobody reads it any more.
    pub reused_by: Vec<String>,
}

impl Tensor {
    /// Whether it lives at op `index`.
    pub fn lives_at(&self, index: usize) -> bool {
        (self.first as usize..=self.last as usize).contains(&index)
    }
}

/// The tensors of `compiled` in the order of their lives; those that no op touches are left out.
pub(super) fn of(compiled: &Compiled) -> Vec<Tensor> {
    let placed = &compiled.placed;
    let forward = placed.header.forward;
    let name = |id: TensorId| compiled.graph.tensor(id).name.as_str();
    let whole: HashSet<&str> = compiled.graph.tensors().map(|(id, _)| name(id)).collect();
    let nodes = compiled.graph.nodes();
    let beside: HashSet<&str> =
        nodes.flat_map(|(_, n)| n.outputs.iter().skip(1)).map(|&id| name(id)).collect();
    let layers = Layers::of(compiled);
    let mut reused: HashMap<usize, Vec<String>> = HashMap::new();
    for (index, buffer) in placed.buffers.iter().enumerate() {
        if buffer.within.is_some_and(|within| within.holds == Holds::Own) {
            let (place, _) = root(&placed.buffers, index);
            reused.entry(place).or_default().push(buffer.name.clone());
        }
    }
    let input = placed.tensors.input.map(|input| root(&placed.buffers, input as usize).0);
    let mut tensors: Vec<Tensor> = Vec::new();
    for (index, buffer) in placed.buffers.iter().enumerate() {
        let Some(life) = placed.plan.live.get(index).copied().flatten() else { continue };
        let kind = if input == Some(index) {
            Kind::Input
        } else if life.first >= forward && layers.is_forward(life.first as usize) {
            Kind::Again
        } else if life.first >= forward {
            Kind::Error
        } else if beside.contains(buffer.name.as_str()) {
            Kind::Mask
        } else if life.last > forward {
            Kind::Saved
        } else if !whole.contains(buffer.name.as_str()) {
            Kind::Band
        } else {
            Kind::Activation
        };
        let layer = match kind {
            Kind::Input => String::new(),
            _ => layers.of_op(life.first as usize),
        };
        tensors.push(Tensor {
            name: buffer.name.clone(),
            layer,
            kind,
            offset: placed.plan.offsets.get(index).copied().unwrap_or_default(),
            bytes: buffer.bytes,
            first: life.first,
            last: life.last,
            reused_by: reused.remove(&index).unwrap_or_default(),
        });
    }
    tensors.sort_by_key(|t| (t.first, t.offset));
    tensors
}

/// Which node of the model each op belongs to.
struct Layers<'c> {
    names: &'c [String],
    /// Names of the ops of the forward pass.
    run: HashSet<&'c str>,
    forward: Vec<&'c str>,
}

impl<'c> Layers<'c> {
    fn of(compiled: &'c Compiled) -> Layers<'c> {
        let names = compiled.placed.names.as_slice();
        let count = (compiled.placed.header.forward as usize).min(names.len());
        let run: HashSet<&str> = names[..count].iter().map(String::as_str).collect();
        // What is saved for a layer is that layer's.
        let nodes = compiled.graph.nodes().map(|(_, n)| n);
        let own = nodes.filter(|n| !matches!(n.op, Op::SaveChannels(_))).map(|n| n.name.as_str());
        let forward = own.filter(|name| run.contains(name)).collect();
        Layers { names, run, forward }
    }

    /// Whether op `index` is one of a node of the forward pass.
    fn is_forward(&self, index: usize) -> bool {
        self.names.get(index).is_some_and(|name| self.run.contains(name.as_str()))
    }

    /// The node of the forward pass whose gradient, mask or copy op `index` computes: the one with
    /// the longest name that its own begins with.
    fn of_op(&self, index: usize) -> String {
        let name = self.names.get(index).map_or("", String::as_str);
        let owns = |node: &&&str| {
            name.strip_prefix(**node).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let node = self.forward.iter().filter(owns).max_by_key(|node| node.len());
        node.map_or(name, |node| node).to_string()
    }
}
