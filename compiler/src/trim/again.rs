//! Activations that are forgotten and computed again.
//!
//! A candidate is an op of the forward pass whose output a gradient reads, together with those before
//! it whose outputs are gone by then: a copy of each runs right before the first op that needs it.
//! Weights must not have been updated in between, and what the copies read is kept until then.
//!
//! Which are taken is found for several goals of live bytes: as long as more are live at some op, the
//! candidate is taken that takes the most off what exceeds the goal, for its multiply-accumulates.
//! The goal is then kept whose peak is worth the most flash for what the copies take of it.

use std::collections::HashMap;
use std::ops::Range;

use offshoot_runtime::program::Op;
use offshoot_runtime::{Access, Memory, Slot};

use super::{is_buffer, touches, Touch};
use crate::band::{FLASH_FOR_SRAM, OP_FLASH};
use crate::lower::{Buffer, Lowered, Recomputed};
use crate::schedule::live::profile;

/// Ops before the one whose output is needed that may be computed again with it.
const DEPTH: usize = 3;

/// Goals that are tried, as sixteenths of the peak.
const GOALS: [u64; 8] = [8, 9, 10, 11, 12, 13, 14, 15];

/// Outputs that are looked at for each step towards a goal: the largest.
const TARGETS: usize = 32;

/// Ops of tried programs, at the most: a program of many ops gets fewer tries.
const EFFORT: usize = 400_000;

/// `lowered` with activations computed again, for at most `macs` multiply-accumulates, where that lowers
/// the most live bytes.
pub(super) fn again(lowered: &Lowered, macs: u64) -> Lowered {
    if macs == 0 || lowered.header.forward as usize >= lowered.ops.len() {
        return lowered.clone();
    }
    let start = Trial::of(lowered.bare());
    let mut best = (start.cost(), Vec::new());
    let tries = EFFORT / start.lowered.ops.len() / GOALS.len();
    for sixteenths in GOALS {
        let goal = start.peak() * sixteenths / 16;
        let (trial, taken) = reach(&start, goal, macs, tries);
        if trial.cost() < best.0 {
            best = (trial.cost(), taken);
        }
    }
    best.1.iter().fold(lowered.clone(), |lowered, candidate| candidate.applied(&lowered))
}

/// A program and its live bytes.
#[derive(Clone, Debug)]
struct Trial {
    lowered: Lowered,
    profile: Vec<u64>,
}

impl Trial {
    fn of(lowered: Lowered) -> Trial {
        let profile = profile(&lowered);
        Trial { lowered, profile }
    }

    fn peak(&self) -> u64 {
        self.profile.iter().copied().max().unwrap_or(0)
    }

    /// Bytes of flash that its SRAM and its ops are worth.
    fn cost(&self) -> u64 {
        self.peak() * FLASH_FOR_SRAM + self.lowered.ops.len() as u64 * OP_FLASH
    }

    /// Live bytes above `goal`, summed over the ops.
    fn excess(&self, goal: u64) -> u64 {
        self.profile.iter().map(|live| live.saturating_sub(goal)).sum()
    }
}

/// Takes candidates until no more than `goal` bytes are live, or none is left; at most so many
/// multiply-accumulates, by so many tries.
fn reach(start: &Trial, goal: u64, mut macs: u64, mut tries: usize) -> (Trial, Vec<Candidate>) {
    let (mut trial, mut taken) = (start.clone(), Vec::new());
    loop {
        let excess = trial.excess(goal);
        if excess == 0 || tries == 0 {
            return (trial, taken);
        }
        let mut candidates = Facts::of(&trial).candidates(goal);
        candidates.retain(|candidate| candidate.macs <= macs);
        candidates.truncate(tries);
        tries -= candidates.len();
        let affordable = candidates.into_iter();
        let tried = affordable.map(|c| (Trial::of(c.applied(&trial.lowered)), c));
        let gain = |tried: &Trial| excess.saturating_sub(tried.excess(goal));
        let best = tried.filter(|(tried, _)| gain(tried) > 0).max_by(|(a, x), (b, y)| {
            let per_mac = |gain: u64, macs: u64| u128::from(gain) * (u128::from(macs) + 1);
            per_mac(gain(a), y.macs).cmp(&per_mac(gain(b), x.macs))
        });
        let Some((better, candidate)) = best else { return (trial, taken) };
        macs -= candidate.macs;
        trial = better;
        taken.push(candidate);
    }
}

/// Ops that run again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    /// Which, in their order; what the last one writes is forgotten in between.
    ops: Vec<usize>,
    /// The op before which they run.
    before: usize,
    /// Whether what the last one writes beside its output is forgotten too.
    beside: bool,
    macs: u64,
}

impl Candidate {
    /// `lowered` with it.
    fn applied(&self, lowered: &Lowered) -> Lowered {
        let mut out = lowered.clone();
        let mut renamed: HashMap<usize, Slot> = HashMap::new();
        let mut copies = Vec::new();
        let target = self.ops.last().copied();
        for &index in &self.ops {
            let (mut copy, mut outputs) = (lowered.ops[index], 0);
            copy.visit(&mut |access, slot| {
                if !is_buffer(slot) {
                    return;
                }
                if access == Access::Read {
                    *slot = renamed.get(&slot.start()).copied().unwrap_or(*slot);
                    return;
                }
                outputs += 1;
                // What an op writes beside its output is for gradients, which keep what they have.
                *slot = match outputs == 1 || (Some(index) == target && self.beside) {
                    true => renewed(&mut out.buffers, *slot, &mut renamed),
                    false => Slot::default(),
                };
            });
            copies.push(copy);
        }
        for op in &mut out.ops[self.before..] {
            op.visit(&mut |access, slot| {
                if access == Access::Read && is_buffer(slot) {
                    *slot = renamed.get(&slot.start()).copied().unwrap_or(*slot);
                }
            });
        }
        if let Some(op) = target.filter(|_| self.beside).and_then(|op| out.ops.get_mut(op)) {
            forget_what_is_beside(op);
        }
        let names = self.ops.iter().map(|&op| lowered.names[op].clone());
        let macs = self.ops.iter().map(|&op| lowered.macs[op]);
        out.again.extend(
            names.clone().zip(macs.clone()).map(|(layer, macs)| Recomputed { layer, macs }),
        );
        let at = self.before..self.before;
        out.ops.splice(at.clone(), copies);
        out.names.splice(at.clone(), names);
        out.macs.splice(at, macs);
        out
    }
}

/// A buffer for what is in `slot`, computed again.
fn renewed(buffers: &mut Vec<Buffer>, slot: Slot, renamed: &mut HashMap<usize, Slot>) -> Slot {
    let name = format!("{} again", buffers[slot.start()].name);
    buffers.push(Buffer::new(name, slot.bytes));
    let new = Slot::new(Memory::Arena, buffers.len() as u32 - 1, slot.bytes);
    renamed.insert(slot.start(), new);
    new
}

/// Leaves out what `op` writes beside its output.
fn forget_what_is_beside(op: &mut Op) {
    let mut outputs = 0;
    op.visit(&mut |access, slot| {
        if access == Access::Write && is_buffer(slot) {
            outputs += 1;
            if outputs > 1 {
                *slot = Slot::default();
            }
        }
    });
}

/// What candidates follow from.
struct Facts<'a> {
    trial: &'a Trial,
    forward: usize,
    touched: Vec<Vec<Touch>>,
    /// Op that touches each place last.
    last: Vec<usize>,
    /// Op that writes each buffer as a whole; none where several write there.
    producer: Vec<Option<usize>>,
    /// First op of the backward pass that touches each place, and whether all that do read the whole.
    backward: Vec<Option<(usize, bool)>>,
}

impl<'a> Facts<'a> {
    fn of(trial: &'a Trial) -> Facts<'a> {
        let Lowered { ops, buffers, header, .. } = &trial.lowered;
        let touched: Vec<Vec<Touch>> = ops.iter().map(|op| touches(op, buffers)).collect();
        let mut writers = vec![Vec::new(); buffers.len()];
        let (mut last, mut backward) = (vec![0; buffers.len()], vec![None; buffers.len()]);
        let forward = header.forward as usize;
        for (index, touches) in touched.iter().enumerate() {
            for touch in touches {
                last[touch.root] = index;
                if index >= forward {
                    let whole = touch.buffer == touch.root && !touch.writes();
                    let (first, all) = backward[touch.root].unwrap_or((index, true));
                    backward[touch.root] = Some((first, all && whole));
                }
                if touch.writes() {
                    writers[touch.root].push((index, touch.buffer));
                }
            }
        }
        let producer = writers.iter().enumerate().map(|(buffer, writers)| match writers[..] {
            [(index, written)] if written == buffer => Some(index),
            _ => None,
        });
        let producer = producer.collect();
        Facts { trial, forward, touched, last, producer, backward }
    }

    /// All candidates whose outputs are live where more than `goal` bytes are.
    fn candidates(&self, goal: u64) -> Vec<Candidate> {
        let full = |idle: Range<usize>| self.trial.profile[idle].iter().any(|&live| live > goal);
        let reader = |index: usize, beside: bool| {
            let before = self.first_backward_reader(index, beside)?;
            full(index + 1..before).then_some((index, beside, before))
        };
        let ops = (0..self.forward).flat_map(|op| [(op, false), (op, true)]);
        let mut targets: Vec<_> = ops.filter_map(|(op, beside)| reader(op, beside)).collect();
        let bytes = |op: usize, beside: bool| -> u32 {
            let buffers = &self.trial.lowered.buffers;
            self.outputs(op, beside).map(|out| buffers[out.buffer].bytes).sum()
        };
        targets.sort_by_key(|&(op, beside, _)| std::cmp::Reverse(bytes(op, beside)));
        targets.truncate(TARGETS);
        let mut all: Vec<Candidate> = Vec::new();
        for (index, beside, before) in targets {
            for depth in 0..=DEPTH {
                let mut ops = Vec::new();
                if self.collect(index, before, depth, &mut ops) {
                    ops.sort_unstable();
                    ops.dedup();
                    let macs = ops.iter().map(|&op| self.trial.lowered.macs[op]).sum();
                    let candidate = Candidate { ops, before, beside, macs };
                    if !all.contains(&candidate) {
                        all.push(candidate);
                    }
                }
            }
        }
        all
    }

    /// The output of op `index`, and what it writes `beside` that.
    fn outputs(&self, index: usize, beside: bool) -> impl Iterator<Item = &Touch> + Clone {
        let written = self.touched[index].iter().filter(|touch| touch.writes());
        written.take(if beside { usize::MAX } else { 1 })
    }

    /// The first op of the backward pass that reads the output of op `index`, or what it writes
    /// `beside` that; none where others write there or read a part of it.
    fn first_backward_reader(&self, index: usize, beside: bool) -> Option<usize> {
        let outputs = self.outputs(index, beside);
        let alone = outputs.clone().all(|out| self.producer[out.buffer] == Some(index));
        if !alone || outputs.clone().count() < 1 + usize::from(beside) {
            return None;
        }
        let readers = outputs.filter_map(|out| self.backward[out.root]);
        let (before, whole) = readers.reduce(|a, b| (a.0.min(b.0), a.1 && b.1))?;
        // The loss keeps its place.
        (whole && before > self.forward).then_some(before)
    }

    /// Adds op `index` and, down to `depth`, those whose outputs it needs that are gone at op `before`;
    /// whether they can run there.
    fn collect(&self, index: usize, before: usize, depth: usize, ops: &mut Vec<usize>) -> bool {
        if ops.contains(&index) {
            return true;
        }
        ops.push(index);
        if !is_repeatable(&self.trial.lowered.ops[index]) || self.state_changes(index, before) {
            return false;
        }
        let inputs = self.touched[index].iter().filter(|touch| !touch.writes());
        inputs.into_iter().all(|input| {
            let gone = self.last[input.root] < before;
            let producer = self.producer[input.root];
            match producer.filter(|&p| gone && depth > 0 && p < self.forward) {
                Some(producer) if input.buffer == input.root => {
                    self.collect(producer, before, depth - 1, ops)
                }
                // It is kept for longer, which nothing that takes its place may prevent.
                _ => {
                    let between = &self.touched[index + 1..before];
                    !between.iter().flatten().any(|t| t.root == input.root && t.writes())
                }
            }
        })
    }

    /// Whether state that op `index` reads is written before op `before`.
    fn state_changes(&self, index: usize, before: usize) -> bool {
        let mut read = Vec::new();
        let state = |slot: &Slot| slot.memory == Memory::State && !slot.is_empty();
        let mut op = self.trial.lowered.ops[index];
        op.visit(&mut |_, slot| read.extend(state(slot).then_some(*slot)));
        let mut changes = false;
        for op in &self.trial.lowered.ops[index + 1..before] {
            let mut op = *op;
            op.visit(&mut |access, slot| {
                let writes = access != Access::Read && state(slot);
                changes |= writes && read.iter().any(|read| read.overlaps(slot));
            });
        }
        changes
    }
}

/// Whether an op does nothing but compute its outputs.
fn is_repeatable(op: &Op) -> bool {
    let mut op = *op;
    let mut updates = false;
    op.visit(&mut |access, slot| updates |= access == Access::Update && !slot.is_empty());
    let computes = matches!(
        op,
        Op::Conv(_)
            | Op::Depthwise(_)
            | Op::Add(_)
            | Op::AvgPool(_)
            | Op::MaxPool(_)
            | Op::Table(_)
            | Op::Mul(_)
            | Op::MatMul(_)
            | Op::Normalize(_)
            | Op::Copy(_)
            | Op::PoolMean(_)
            | Op::Requantize(_)
            | Op::Softmax(_)
            | Op::SaveChannels(_)
    );
    computes && !updates
}
