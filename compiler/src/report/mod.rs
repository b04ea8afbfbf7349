//! What a compiled program needs, as data: `report.json` and what `--json` prints. The arena is also
//! drawn, as SVG and as text ([`picture`]).

pub mod picture;
mod tensors;

use std::ops::Range;

use offshoot_runtime::program::Op;
use serde::{Deserialize, Serialize};

use crate::bank::Banked;
use crate::emit;
use crate::fit::{Limits, Sizes};
use crate::guard::Guarded;
use crate::ir::Fold;
use crate::lower::{Banded, Recomputed};
use crate::pipeline::Compiled;
use crate::place::Placed;

pub use tensors::{Kind, Tensor};

/// Bytes of SRAM by use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sram {
    /// Tensors of one step.
    pub arena: u32,
    /// Trained weights and biases, what their optimizer keeps, and the scales of error tensors.
    pub trainable: u32,
    /// Working memory of one op.
    pub scratch: u32,
    /// What the device watches its learning with.
    pub guards: u32,
    /// The memory of its bank of adapters.
    pub bank: u32,
    /// Sum of the above; stack and the application's own buffers come on top.
    pub total: u32,
}

/// Bytes of flash by use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flash {
    /// Weights and tables.
    pub constants: usize,
    /// Constants and the list of ops; code comes on top, and is known once an image is linked.
    pub total: usize,
    /// What is allowed for code until then.
    pub code: u64,
}

/// The memory plan of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Bytes that the plan needs.
    pub peak: u32,
    /// Bytes that are live at once at some op: no plan of this order needs fewer.
    pub lower_bound: u32,
}

/// How a sample comes to the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Bytes of a sample.
    pub bytes: u32,
    /// Parts that it comes in: 1 where it comes as a whole.
    pub parts: usize,
    /// Bytes of the largest part.
    pub largest_part: u32,
}

impl Sample {
    fn of(placed: &Placed) -> Sample {
        let rows = placed.ops.iter().filter_map(|op| match op {
            Op::Receive(rows) => Some(rows.output.bytes),
            _ => None,
        });
        let mut parts: Vec<u32> = rows.collect();
        if parts.is_empty() {
            parts.push(placed.header.input.bytes);
        }
        let (bytes, largest_part) =
            parts.iter().fold((0, 0), |(sum, most), &b| (sum + b, b.max(most)));
        Sample { bytes, parts: parts.len(), largest_part }
    }
}

/// Multiply-accumulates of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Macs {
    /// Forward pass.
    pub forward: u64,
    /// Input gradients and updates.
    pub backward: u64,
}

/// Slices of a training step, each of which runs without a pause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slices {
    /// How many there are.
    pub count: usize,
    /// Multiply-accumulates of the one that has most.
    pub longest_macs: u64,
}

impl Slices {
    fn of(placed: &Placed) -> Slices {
        let slices = emit::slices(&placed.ops, placed.header.forward as usize);
        let macs = |ops: &Range<usize>| placed.macs.get(ops.clone()).map_or(0, |m| m.iter().sum());
        Slices { count: slices.len(), longest_macs: slices.iter().map(macs).max().unwrap_or(0) }
    }
}

/// What `offshoot compile` reports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the model.
    pub model: String,
    /// Name of the board it was compiled for.
    pub board: String,
    /// Bytes of SRAM that the program may use: what the board's stack leaves.
    pub budget: u64,
    /// Bytes of flash that an image may use.
    pub flash_budget: u64,
    /// Number of classes; 0 of a network that reproduces its input.
    pub classes: u16,
    /// Bytes of SRAM.
    pub sram: Sram,
    /// Bytes of flash.
    pub flash: Flash,
    /// Plan of the arena.
    pub plan: Plan,
    /// How a sample comes.
    pub sample: Sample,
    /// Parts of the forward pass that run in bands, so that the arena need not hold them whole.
    pub bands: Vec<Banded>,
    /// Multiply-accumulates.
    pub macs: Macs,
    /// Slices of a step.
    pub slices: Slices,
    /// Percent of the forward pass's multiply-accumulates that could be computed again in the backward pass.
    pub recompute: u8,
    /// Layers of the forward pass that are computed again in the backward pass, part of whose
    /// multiply-accumulates they are, so that the arena need not keep what they compute.
    pub again: Vec<Recomputed>,
    /// Bytes of trained weights and biases.
    pub trainable_bytes: u32,
    /// Bytes of velocities; 0 without momentum.
    pub momentum_bytes: u32,
    /// Bytes of sums over a batch; 0 where every sample is an update.
    pub accumulation_bytes: u32,
    /// What the device watches its learning with.
    pub guarded: Guarded,
    /// Its bank of adapters.
    pub banked: Banked,
    /// What is trained: name and number of elements.
    pub trained: Vec<Trained>,
    /// Names of the ops, in order.
    pub ops: Vec<String>,
    /// How many of them make a prediction; the others are the backward pass.
    pub forward_ops: u32,
    /// Tensors of the arena, in the order of their lives.
    pub tensors: Vec<Tensor>,
    /// Nodes of the model that became part of others.
    pub folded: Vec<Fold>,
}

/// A trained parameter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trained {
    /// Name of the constant.
    pub name: String,
    /// Elements that are trained.
    pub elements: usize,
    /// Elements that it has.
    pub of: usize,
}

impl Report {
    /// The report of `compiled`, watched with `guarded` and with the bank `banked`, for a board that has
    /// `limits`.
    ///
    /// # Errors
    /// Where the program does not encode.
    pub fn new(
        compiled: &Compiled,
        board: &str,
        limits: Limits,
        guarded: Guarded,
        banked: Banked,
    ) -> Result<Report, crate::pipeline::CompileError> {
        let (placed, sizes) = (&compiled.placed, Sizes::of(compiled)?);
        let h = &placed.header;
        let macs: Vec<u64> = placed.macs.clone();
        let (forward, backward) = macs.split_at(h.forward as usize);
        let trained = compiled.graph.tensors().filter(|(_, t)| t.trained.is_some());
        Ok(Report {
            model: compiled.graph.name.clone(),
            board: board.to_string(),
            budget: limits.sram,
            flash_budget: limits.flash,
            classes: h.classes,
            sram: Sram {
                arena: h.arena,
                trainable: h.state,
                scratch: h.scratch,
                guards: guarded.bytes.total() as u32,
                bank: banked.sram,
                total: h.arena + h.state + h.scratch + guarded.bytes.total() as u32 + banked.sram,
            },
            flash: Flash {
                constants: placed.constants.len(),
                total: sizes.flash as usize,
                code: sizes.code,
            },
            plan: Plan { peak: placed.plan.peak, lower_bound: placed.plan.lower_bound },
            sample: Sample::of(placed),
            bands: placed.bands.clone(),
            macs: Macs { forward: forward.iter().sum(), backward: backward.iter().sum() },
            slices: Slices::of(placed),
            recompute: compiled.layout.trim.recompute,
            again: placed.again.clone(),
            trainable_bytes: placed.trainable,
            momentum_bytes: placed.momentum,
            accumulation_bytes: placed.accumulation,
            guarded,
            banked,
            trained: trained
                .map(|(_, t)| Trained {
                    name: t.name.clone(),
                    elements: t.trained_elements(),
                    of: t.elements(),
                })
                .collect(),
            ops: placed.names.clone(),
            forward_ops: h.forward,
            tensors: tensors::of(compiled),
            folded: compiled.graph.folded.clone(),
        })
    }
}

/// A report that no compiler wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// A tensor lies outside the arena.
    #[error("tensor {0:?} lies outside the arena")]
    Outside(String),
    /// A tensor lives at ops that there are not.
    #[error("tensor {0:?} lives at ops that the program does not have")]
    NoSuchOp(String),
}

impl Report {
    /// Whether its tensors are within the arena and the program, as those of [`Report::new`] are.
    ///
    /// # Errors
    /// The first tensor that is not.
    pub fn check(&self) -> Result<(), ReportError> {
        for tensor in &self.tensors {
            let end = u64::from(tensor.offset) + u64::from(tensor.bytes);
            if end > self.plan.peak.into() {
                return Err(ReportError::Outside(tensor.name.clone()));
            }
            if tensor.first > tensor.last || tensor.last as usize >= self.ops.len() {
                return Err(ReportError::NoSuchOp(tensor.name.clone()));
            }
        }
        Ok(())
    }
}

/// A number with its thousands set apart.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `name` in at most `most` characters: the middle is what is left out.
pub fn shortened(name: &str, most: usize) -> String {
    let count = name.chars().count();
    if count <= most {
        return name.to_string();
    }
    let kept = most.saturating_sub(1);
    let (head, tail) = (kept.div_ceil(2), kept / 2);
    let start: String = name.chars().take(head).collect();
    let end: String = name.chars().skip(count - tail).collect();
    format!("{start}…{end}")
}
