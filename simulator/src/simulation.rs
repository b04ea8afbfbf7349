//! A program at work on the desktop.

use std::collections::HashMap;

use offshoot_runtime::program::Program;
use offshoot_runtime::{
    hash, Access, Fault, Interpreter, Memory, Prediction, Slot, StepReport, Trainer,
};

use crate::AlignedBytes;

/// The memories that a program runs in.
#[derive(Clone, Debug)]
pub struct Memories {
    arena: AlignedBytes,
    state: AlignedBytes,
    scratch: AlignedBytes,
}

impl Memories {
    /// Memories of the sizes that `program` asks for.
    pub fn of(program: &Program<'_>) -> Memories {
        let zeroed = |bytes: u32| AlignedBytes::zeroed(bytes as usize);
        let h = &program.header;
        Memories { arena: zeroed(h.arena), state: zeroed(h.state), scratch: zeroed(h.scratch) }
    }
}

/// A program with its memories, and what its frozen front computed for samples seen before.
///
/// Ops before the first that touches trainable state give the same for a sample for ever: their
/// results that later ops read are kept by the sample's number. It costs memory and changes
/// nothing else.
#[derive(Debug)]
pub struct Simulation<'a> {
    interpreter: Interpreter<'a>,
    prefix: usize,
    carried: Vec<Slot>,
    cache: HashMap<usize, Box<[u8]>>,
}

impl<'a> Simulation<'a> {
    /// `program` must be verified.
    ///
    /// # Errors
    /// A [`Fault`] where it was not.
    pub fn new(program: Program<'a>, memories: &'a mut Memories) -> Result<Self, Fault> {
        let forward = program.header.forward as usize;
        let first = program.ops.iter().position(|op| op.touches_state());
        let prefix = first.unwrap_or(forward).min(forward);
        let carried = carried(&program, prefix);
        let Memories { arena, state, scratch } = memories;
        let interpreter =
            Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut())?;
        Ok(Simulation { interpreter, prefix, carried, cache: HashMap::new() })
    }

    /// The interpreter itself.
    pub fn interpreter(&mut self) -> &mut Interpreter<'a> {
        &mut self.interpreter
    }

    /// Puts trainable state back to what the compiler gave it. What the frozen front gave for samples
    /// stays known.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn reset(&mut self) -> Result<(), Fault> {
        self.interpreter.reset()
    }

    /// Brings the arena to where the frozen front leaves it for sample number `key`, and gives the
    /// op to go on from. It runs once for a sample; from then on its results are recalled.
    ///
    /// # Errors
    /// [`Fault::Size`] for a sample of another size.
    pub fn front(&mut self, key: usize, sample: &[i8]) -> Result<usize, Fault> {
        if let Some(kept) = self.cache.get(&key) {
            let mut rest: &[u8] = kept;
            for &slot in &self.carried {
                let (now, later) = rest.split_at(slot.len());
                let (_, [view]) = self.interpreter.machine().arena.split([], [slot])?;
                view.copy_from_slice(now);
                rest = later;
            }
            return Ok(self.prefix);
        }
        self.interpreter.present(sample)?;
        let from = self.interpreter.presented()?;
        if from >= self.prefix {
            return Ok(from);
        }
        self.interpreter.run(from, self.prefix)?;
        let mut kept = Vec::new();
        for &slot in &self.carried {
            let ([view], []) = self.interpreter.machine().arena.split([slot], [])?;
            kept.extend_from_slice(view);
        }
        self.cache.insert(key, kept.into());
        Ok(self.prefix)
    }

    /// One training step on sample number `key`.
    ///
    /// # Errors
    /// [`Fault::Label`] for a label that is no class, [`Fault::Size`] for a sample of another
    /// size.
    pub fn train(
        &mut self,
        key: usize,
        sample: &[i8],
        label: u16,
        rate: f32,
    ) -> Result<StepReport, Fault> {
        let from = self.front(key, sample)?;
        self.interpreter.skip(from);
        self.interpreter.train(label, rate)
    }

    /// What the network makes of sample number `key`.
    ///
    /// # Errors
    /// [`Fault::Size`] for a sample of another size.
    pub fn infer(&mut self, key: usize, sample: &[i8]) -> Result<Prediction, Fault> {
        let from = self.front(key, sample)?;
        self.interpreter.skip(from);
        self.interpreter.infer()
    }

    /// FNV-1a hash of all trainable state.
    pub fn state_hash(&self) -> u64 {
        hash::fnv1a(hash::EMPTY, self.interpreter.state())
    }
}

/// Arena slots that ops from `prefix` on read before any of them writes there.
fn carried(program: &Program<'_>, prefix: usize) -> Vec<Slot> {
    let mut carried: Vec<Slot> = Vec::new();
    let mut written: Vec<Slot> = Vec::new();
    for op in &program.ops[prefix..] {
        let mut writes = Vec::new();
        let mut op = *op;
        op.visit(&mut |access, slot| {
            if slot.memory != Memory::Arena || slot.is_empty() {
                return;
            }
            match access {
                Access::Write => writes.push(*slot),
                _ if written.contains(slot) || carried.contains(slot) => {}
                _ => carried.push(*slot),
            }
        });
        written.append(&mut writes);
    }
    if prefix == program.header.forward as usize && !carried.contains(&program.header.output) {
        carried.push(program.header.output);
    }
    carried
}
