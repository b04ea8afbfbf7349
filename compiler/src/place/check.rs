//! Checks a placed program by walking it over the arena's bytes.
//!
//! Shares nothing with the planner: it knows ops, slots and which tensor, or which bytes of which
//! tensor, each slot is meant to hold, and keeps for every byte which write it comes from. It holds
//! that
//!
//! * every slot lies inside the arena, and the tensor that it holds or belongs to starts at a multiple
//!   of 8;
//! * what an op writes shares no byte with anything else that it touches, unless it takes the place of an
//!   input of an op that allows that;
//! * every byte that an op reads was written, as that very byte of that very tensor, and nothing has
//!   been written over it since;
//! * the output is whole after the last forward op, so that inference alone is sound too;
//! * peak, live bytes at each op and lower bound are what the plan says.

use std::collections::BTreeMap;

use offshoot_runtime::{Access, Memory, Slot};

use super::Placed;
use crate::lower::Holds;

/// A placed program that would go wrong. It must not be run: placing the program again, from what
/// was lowered, gives a sound one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The list of tensors does not match the ops' slots.
    #[error("op {index} ({op:?}) has other arena slots than tensors are named for; apply the plan to the program again")]
    Tensors {
        /// Position of the op.
        index: usize,
        /// Name of the op.
        op: String,
    },
    /// A slot lies outside the arena, or its tensor starts at no multiple of 8.
    #[error("{user} has {tensor:?} at {offset}, {bytes} bytes, but tensors must start at a multiple of 8 and end within {arena}; place the program again")]
    Outside {
        /// Who uses the slot.
        user: String,
        /// Name of the tensor.
        tensor: String,
        /// First byte.
        offset: u32,
        /// Size of the slot.
        bytes: u32,
        /// Size of the arena.
        arena: u32,
    },
    /// An op writes where it reads or writes something else.
    #[error("{user} writes {written:?} over its own {other:?}; place the program again")]
    Overlap {
        /// Who does.
        user: String,
        /// Name of the tensor that is written.
        written: String,
        /// Name of the tensor that shares a byte with it.
        other: String,
    },
    /// Something is read that is not there: not written yet, or partly overwritten.
    #[error("{user} reads {tensor:?}, but byte {byte} of the arena holds {found}; place the program again")]
    Lost {
        /// Who reads.
        user: String,
        /// Name of the tensor.
        tensor: String,
        /// The first byte that is wrong.
        byte: usize,
        /// What is there.
        found: String,
    },
    /// The plan's figures are not those of the program.
    #[error("the plan says {planned} for the {figure}, but it is {found}; make the plan anew for this order of ops")]
    Figure {
        /// Which figure.
        figure: String,
        /// What the plan says.
        planned: u32,
        /// What it is.
        found: u32,
    },
}

/// One write: the content of a tensor, or of a part of it, from then on.
#[derive(Debug)]
struct Content {
    buffer: u32,
    /// The tensor, and the byte of it that the slot begins with.
    tensor: (u32, usize),
    slot: Slot,
    written_at: usize,
    used_at: usize,
}

/// The arena while the program is walked.
#[derive(Debug)]
struct Walk<'p> {
    placed: &'p Placed,
    /// For each byte: one more than the index of its content; 0 where nothing was written.
    owner: Vec<u32>,
    contents: Vec<Content>,
    top: usize,
}

/// Checks a placed program.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(placed: &Placed) -> Result<(), PlanError> {
    let owner = vec![0; placed.header.arena as usize];
    let mut walk = Walk { placed, owner, contents: Vec::new(), top: 0 };
    if let Some(input) = placed.tensors.input {
        walk.stays_inside("the input", &placed.header.input, input)?;
        walk.write(0, &placed.header.input, input);
    }
    let last_forward = (placed.header.forward as usize).min(placed.ops.len()).checked_sub(1);
    if last_forward.is_none() {
        walk.output_is_there(0)?;
    }
    for index in 0..placed.ops.len() {
        walk.step(index)?;
        if Some(index) == last_forward {
            walk.output_is_there(index)?;
        }
    }
    walk.figures()
}

impl Walk<'_> {
    /// The buffer that has a place of its own for `buffer`, and the byte of it that `buffer` begins
    /// with; `content`: not further than to the tensor whose content it is.
    fn outer(&self, buffer: u32, content: bool) -> (u32, usize) {
        let within = self.placed.buffers.get(buffer as usize).and_then(|b| b.within);
        match within.filter(|w| w.buffer < buffer && (!content || w.holds == Holds::Part)) {
            Some(within) => {
                let (outer, at) = self.outer(within.buffer, content);
                (outer, at + within.at as usize)
            }
            None => (buffer, 0),
        }
    }

    fn name(&self, buffer: u32) -> String {
        let known = self.placed.buffers.get(buffer as usize);
        known.map_or_else(|| format!("buffer {buffer}"), |b| b.name.clone())
    }

    fn step(&mut self, index: usize) -> Result<(), PlanError> {
        let op = self.placed.names.get(index).cloned().unwrap_or_default();
        let user = format!("op {index} ({op:?})");
        let mut slots: Vec<(Access, Slot)> = Vec::new();
        let mut descriptor = self.placed.ops[index];
        descriptor.visit(&mut |access, slot| slots.push((access, *slot)));
        slots.retain(|(_, slot)| slot.memory == Memory::Arena && !slot.is_empty());
        let buffers = self.placed.tensors.of_op.get(index).map_or(&[][..], Vec::as_slice);
        let size = |b: &u32| self.placed.buffers.get(*b as usize).map(|b| b.bytes);
        let sizes = slots.iter().map(|(_, slot)| Some(slot.bytes));
        if !sizes.eq(buffers.iter().map(size)) {
            return Err(PlanError::Tensors { index, op });
        }
        for (i, (access, slot)) in slots.iter().enumerate() {
            self.stays_inside(&user, slot, buffers[i])?;
            let shares = |&j: &usize| j != i && slots[j].1.overlaps(slot);
            let mut shared = (0..slots.len()).filter(shares);
            let over = self.placed.ops[index].in_place().filter(|over| over.output == *slot);
            let (first, more) = (shared.next(), shared.next());
            // An op that may write over an input may do so over one of them, and over all of it.
            let replaced = |j: &usize| {
                let (other, slot) = (slots[*j].1, *slot);
                over.is_some_and(|over| other == slot && over.inputs.contains(&other))
            };
            let wrong = if more.is_some() { more } else { first.filter(|j| !replaced(j)) };
            if let (true, Some(other)) = (*access != Access::Read, wrong) {
                let (written, other) = (self.name(buffers[i]), self.name(buffers[other]));
                return Err(PlanError::Overlap { user, written, other });
            }
        }
        for ((access, slot), &buffer) in slots.iter().zip(buffers) {
            if matches!(access, Access::Read | Access::Update) {
                self.read(&user, index, slot, buffer)?;
            }
        }
        for ((access, slot), &buffer) in slots.iter().zip(buffers) {
            if *access == Access::Write {
                self.write(index, slot, buffer);
            }
        }
        Ok(())
    }

    fn stays_inside(&mut self, user: &str, slot: &Slot, buffer: u32) -> Result<(), PlanError> {
        self.top = self.top.max(slot.end());
        let (_, at) = self.outer(buffer, false);
        let aligned = slot.start() >= at && (slot.start() - at).is_multiple_of(8);
        if slot.end() <= self.owner.len() && aligned {
            return Ok(());
        }
        Err(PlanError::Outside {
            user: user.into(),
            tensor: self.name(buffer),
            offset: slot.offset,
            bytes: slot.bytes,
            arena: self.placed.header.arena,
        })
    }

    fn write(&mut self, index: usize, slot: &Slot, buffer: u32) {
        let tensor = self.outer(buffer, true);
        let slot = *slot;
        self.contents.push(Content { buffer, tensor, slot, written_at: index, used_at: index });
        self.owner[slot.start()..slot.end()].fill(self.contents.len() as u32);
    }

    fn read(
        &mut self,
        user: &str,
        index: usize,
        slot: &Slot,
        buffer: u32,
    ) -> Result<(), PlanError> {
        let (tensor, first) = self.outer(buffer, true);
        let mut byte = slot.start();
        while byte < slot.end() {
            let owner = (self.owner[byte] as usize).checked_sub(1);
            let content = owner.and_then(|at| self.contents.get_mut(at));
            // Where the tensor would begin by what was written here, and by what is read.
            let is_meant = |c: &&mut Content| {
                c.tensor.0 == tensor && c.slot.start() + first == slot.start() + c.tensor.1
            };
            let Some(content) = content.filter(is_meant) else {
                let found = match owner {
                    Some(at) => format!("{:?}", self.name(self.contents[at].buffer)),
                    None => "nothing yet".into(),
                };
                let tensor = self.name(buffer);
                return Err(PlanError::Lost { user: user.into(), tensor, byte, found });
            };
            content.used_at = content.used_at.max(index);
            let run = self.owner[byte..slot.end()].iter();
            byte += run.take_while(|&&o| Some(o as usize) == owner.map(|at| at + 1)).count();
        }
        Ok(())
    }

    fn output_is_there(&mut self, index: usize) -> Result<(), PlanError> {
        let output = self.placed.header.output;
        let Some(buffer) = self.placed.tensors.output else { return Ok(()) };
        self.stays_inside("the prediction", &output, buffer)?;
        self.read("the prediction", index, &output, buffer)
    }

    /// Compares the plan's figures with those of the walk.
    fn figures(&self) -> Result<(), PlanError> {
        let (plan, header) = (&self.placed.plan, &self.placed.header);
        let round = |bytes: usize| bytes.next_multiple_of(8);
        let mut profile = vec![0usize; self.placed.ops.len()];
        // What has a place of its own keeps it from the first write to the last use of any part.
        let mut lives: BTreeMap<u32, (usize, usize)> = BTreeMap::new();
        for content in &self.contents {
            let (from, to) = (content.written_at, content.used_at);
            let life = lives.entry(self.outer(content.buffer, false).0).or_insert((from, to));
            *life = (life.0.min(from), life.1.max(to));
        }
        for (buffer, (from, to)) in lives {
            let bytes = self.placed.buffers.get(buffer as usize).map_or(0, |b| b.bytes as usize);
            let life = profile.iter_mut().take(to + 1).skip(from);
            life.for_each(|live| *live += round(bytes));
        }
        let most = profile.iter().copied().max().unwrap_or(0);
        let equal = |figure: &str, planned: u32, found: usize| {
            if planned as usize == found {
                return Ok(());
            }
            Err(PlanError::Figure { figure: figure.into(), planned, found: found as u32 })
        };
        equal("peak", plan.peak, round(self.top))?;
        equal("arena", header.arena, round(self.top))?;
        equal("lower bound", plan.lower_bound, most)?;
        equal("number of ops", plan.profile.len() as u32, profile.len())?;
        for (index, (&planned, found)) in plan.profile.iter().zip(profile).enumerate() {
            equal(&format!("live bytes at op {index}"), planned, found)?;
        }
        Ok(())
    }
}
