//! A few ops with their operands: laid into memories, verified as a program, run.

use offshoot_runtime::program::op::{Copy, Path};
use offshoot_runtime::program::{verify, Header, Op, Output, Program, Refusal};
use offshoot_runtime::{Memory, Slot};
use offshoot_simulator::{AlignedBytes, Memories, Simulation};

/// What an output holds, or why the verifier refuses an op.
pub type Replayed = Result<Vec<i8>, Refusal>;

/// Ops under construction.
#[derive(Default)]
pub struct Bench {
    arena: Vec<u8>,
    constants: Vec<u8>,
    ops: Vec<Op>,
}

impl Bench {
    pub fn tensor(&mut self, values: &[i8]) -> Slot {
        put(&mut self.arena, Memory::Arena, values.iter().map(|&v| v as u8))
    }

    /// A tensor that an op writes, full of rubbish.
    pub fn room(&mut self, elements: usize) -> Slot {
        self.tensor(&vec![0x5A; elements])
    }

    pub fn constant(&mut self, values: impl IntoIterator<Item = i8>) -> Slot {
        put(&mut self.constants, Memory::Constant, values.into_iter().map(|v| v as u8))
    }

    pub fn words(&mut self, values: impl IntoIterator<Item = i32>) -> Slot {
        let bytes = values.into_iter().flat_map(i32::to_le_bytes);
        put(&mut self.constants, Memory::Constant, bytes)
    }

    /// Adds an op to those that will run.
    pub fn then(&mut self, op: impl Into<Op>) {
        self.ops.push(op.into());
    }

    /// Adds a move into a new tensor, which holds `fill` elsewhere.
    pub fn moved(&mut self, input: Slot, path: Path, elements: usize, fill: i8) -> Slot {
        let output = self.room(elements);
        self.then(Copy { input, output, path, fill, ..Copy::default() });
        output
    }

    /// Runs the ops and reads `output`.
    pub fn run(self, output: Slot) -> Replayed {
        let header = Header {
            arena: self.arena.len() as u32,
            forward: self.ops.len() as u32,
            output: Slot { bytes: 1, ..output },
            output_kind: Output::Scores,
            classes: 1,
            ..Header::default()
        };
        let constants = AlignedBytes::copy_of(&self.constants);
        let (ops, constants) = (self.ops.as_slice(), constants.as_ref());
        let program = Program { header, init: &[], ops, constants, feature_energy: None };
        verify(&program)?;
        let mut memories = Memories::of(&program);
        let mut simulation = Simulation::new(program, &mut memories).unwrap();
        let interpreter = simulation.interpreter();
        interpreter.machine().arena.bytes_mut().copy_from_slice(&self.arena);
        interpreter.run(0, self.ops.len()).unwrap();
        let ([found], []) = interpreter.machine().arena.split([output], []).unwrap();
        Ok(found.iter().map(|&v| v as i8).collect())
    }
}

/// Lays `bytes` at the end of `memory`, aligned to 8.
fn put(place: &mut Vec<u8>, memory: Memory, bytes: impl Iterator<Item = u8>) -> Slot {
    let offset = place.len();
    place.extend(bytes);
    let slot = Slot::new(memory, offset as u32, (place.len() - offset) as u32);
    place.resize(place.len().next_multiple_of(8), 0xA5);
    slot
}

/// Runs what `ops` adds on each sample of `elements` elements by itself: our ops know no batches.
pub fn each_sample(
    samples: &[i8],
    elements: usize,
    ops: impl Fn(&mut Bench, Slot) -> Slot,
) -> Replayed {
    assert!(samples.len().is_multiple_of(elements), "samples are whole");
    let mut all = Vec::new();
    for sample in samples.chunks_exact(elements) {
        let mut bench = Bench::default();
        let input = bench.tensor(sample);
        let output = ops(&mut bench, input);
        all.extend(bench.run(output)?);
    }
    Ok(all)
}
