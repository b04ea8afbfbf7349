//! What the kernels' tests share: memories to lay an op's operands into, what to test on, and
//! what should come out.

mod cases;
mod expected;

pub use cases::{contractions, shapes, Random};
pub use expected::{assert_near, clamped, convolution, joined, near, products};

use crate::arena::Arena;
use crate::fixed::Multiplier;
use crate::kernels::companded::expand;
use crate::kernels::x86;
use crate::kernels::{shifted, signed};
use crate::program::op::{ChannelScale, Error, InPlace, Precision, Weights};
use crate::program::{verify, Header, Op, Program};
use crate::{Access, Machine, Memory, Slot, Step};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The memories of one op.
#[derive(Clone, Default)]
pub struct Bench {
    arena: Vec<u8>,
    state: Vec<u8>,
    constants: Vec<u8>,
    scratch: usize,
    pub step: Step,
}

impl Bench {
    /// Lays `values` into `memory`, aligned to 8 bytes.
    pub fn put<T: IntoBytes + Immutable>(&mut self, memory: Memory, values: &[T]) -> Slot {
        let place = match memory {
            Memory::Arena => &mut self.arena,
            Memory::State => &mut self.state,
            Memory::Constant => &mut self.constants,
            Memory::Scratch => unreachable!("scratch holds nothing"),
        };
        let offset = place.len();
        place.extend_from_slice(values.as_bytes());
        let slot = Slot::new(memory, offset as u32, (place.len() - offset) as u32);
        place.resize(place.len().next_multiple_of(8), 0xA5);
        slot
    }

    pub fn arena<T: IntoBytes + Immutable>(&mut self, values: &[T]) -> Slot {
        self.put(Memory::Arena, values)
    }

    pub fn state<T: IntoBytes + Immutable>(&mut self, values: &[T]) -> Slot {
        self.put(Memory::State, values)
    }

    pub fn constant<T: IntoBytes + Immutable>(&mut self, values: &[T]) -> Slot {
        self.put(Memory::Constant, values)
    }

    /// Room in the arena, filled with rubbish.
    pub fn room(&mut self, bytes: usize) -> Slot {
        self.arena(&vec![0x5Au8; bytes])
    }

    pub fn scratch(&mut self, bytes: usize) -> Slot {
        self.scratch = self.scratch.max(bytes);
        Slot::new(Memory::Scratch, 0, bytes as u32)
    }

    /// An error tensor of the given exponent.
    pub fn error(&mut self, e: &[i8], exponent: i32) -> Error {
        Error { data: self.arena(e), tracker: self.state(&[1.0f32.to_bits(), exponent as u32]) }
    }

    /// An error tensor to be written, for the first time.
    pub fn error_out(&mut self, elements: usize) -> Error {
        Error { data: self.room(elements), tracker: self.state(&[0u32; 2]) }
    }

    pub fn scales(&mut self, scales: &[Multiplier]) -> ChannelScale {
        let values: Vec<i32> = scales.iter().map(|m| m.value).collect();
        let shifts: Vec<i8> = scales.iter().map(|m| m.shift as i8).collect();
        ChannelScale { multiplier: self.constant(&values), shift: self.constant(&shifts) }
    }

    /// Random weights of which `trained` channels are trained, and the matrix they stand for.
    pub fn weights(
        &mut self,
        random: &mut Random,
        [rows, taps, channels]: [usize; 3],
        trained: usize,
        precision: Precision,
    ) -> (Weights, Vec<i8>) {
        let mut values = random.int8(rows * taps * channels);
        let frozen = self.constant(&values);
        let selected = random.choice(trained, channels);
        let mut latent = Vec::new();
        for tap in values.chunks_exact_mut(channels) {
            for &c in &selected {
                let m = random.within(-32640, 32639) as i16;
                latent.push(m);
                tap[c as usize] = match precision {
                    Precision::Residual | Precision::Picked => {
                        (m as f64 / 256.0 + 0.5).floor() as i8
                    }
                    Precision::Stochastic => shifted(tap[c as usize], m as i8),
                    Precision::Sign => signed(tap[c as usize], m as i8),
                };
            }
        }
        let latent = match precision {
            Precision::Residual | Precision::Picked => self.state(&latent),
            Precision::Stochastic | Precision::Sign => {
                self.state(&latent.iter().map(|&m| m as i8).collect::<Vec<_>>())
            }
        };
        let selected = self.constant(&selected);
        let (rows, taps, channels) = (rows as u16, taps as u16, channels as u16);
        (Weights { frozen, latent, selected, rows, taps, channels, precision }, values)
    }

    /// Trained weights in int8 steps, to the last fraction, where all channels are trained.
    pub fn held(&self, weights: &Weights) -> Vec<f64> {
        match weights.precision {
            Precision::Residual | Precision::Picked => {
                let all = self.read::<i16>(weights.latent);
                all.into_iter().map(|m| f64::from(m) / 256.0).collect()
            }
            Precision::Stochastic | Precision::Sign => {
                let codes = self.read::<i8>(weights.latent).into_iter();
                let all = codes.zip(self.read::<i8>(weights.frozen));
                all.map(|(code, w)| f64::from(w) + f64::from(expand(code)) / 4.0).collect()
            }
        }
    }

    /// Lends the memories, with scratch full of rubbish, to `f`.
    pub fn with<R>(&mut self, f: impl FnOnce(&mut Machine<'_>) -> R) -> R {
        let aligned = |bytes: &[u8]| {
            let mut words = vec![0u64; bytes.len().div_ceil(8)];
            words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
            words
        };
        let (mut arena, mut state) = (aligned(&self.arena), aligned(&self.state));
        let constants = aligned(&self.constants);
        let mut scratch = vec![0x5555_5555_5555_5555u64; self.scratch.div_ceil(8)];
        let mut machine = Machine {
            arena: Arena::new(arena.as_mut_bytes()),
            state: Arena::new(state.as_mut_bytes()),
            scratch: Arena::new(&mut scratch.as_mut_bytes()[..self.scratch]),
            constants: constants.as_bytes(),
            step: self.step,
        };
        let result = f(&mut machine);
        self.step = machine.step;
        self.arena.copy_from_slice(machine.arena.bytes());
        self.state.copy_from_slice(machine.state.bytes());
        result
    }

    /// The memories' sizes, and an output of one class.
    pub fn header(&self) -> Header {
        Header {
            arena: self.arena.len() as u32,
            state: self.state.len() as u32,
            scratch: self.scratch as u32,
            output: Slot::new(Memory::Arena, 0, 4),
            classes: 1,
            ..Header::default()
        }
    }

    /// Runs `op`, which the verifier must accept; on the desktop once more in its portable form, and once
    /// more over each input in whose place it may write.
    pub fn run(&mut self, op: impl Into<Op>) {
        let op = op.into();
        let before = self.clone();
        let mut portable = self.clone();
        x86::portably(|| portable.run_once(op));
        self.run_once(op);
        assert_eq!(self.arena, portable.arena, "{op:?}");
        assert_eq!(self.state, portable.state, "{op:?}");
        let Some(InPlace { output, inputs }) = op.in_place() else { return };
        for input in inputs.into_iter().filter(|input| !input.is_empty() && *input != output) {
            let mut over = op;
            let place = |slot: Slot| if slot == output { input } else { slot };
            over.visit(&mut |access, slot| {
                *slot = if access == Access::Write { place(*slot) } else { *slot }
            });
            for portably in [false, true] {
                let mut bench = before.clone();
                match portably {
                    true => x86::portably(|| bench.run_once(over)),
                    false => bench.run_once(over),
                }
                self.visit_written(op, |slot, expected| {
                    assert_eq!(bench.bytes(place(slot)), expected, "{slot:?} of {over:?}");
                });
            }
        }
    }

    /// Shows what lies in each slot that `op` writes.
    fn visit_written(&self, mut op: Op, mut f: impl FnMut(Slot, &[u8])) {
        op.visit(&mut |access, slot| {
            if matches!(access, Access::Write | Access::Update) && !slot.is_empty() {
                f(*slot, self.bytes(*slot));
            }
        });
    }

    fn run_once(&mut self, op: Op) {
        let header = self.header();
        self.with(|machine| {
            let constants = machine.constants;
            let program =
                Program { header, init: &[], ops: &[op], constants, feature_energy: None };
            verify(&program).unwrap();
            op.run(machine).unwrap();
        });
    }

    fn bytes(&self, slot: Slot) -> &[u8] {
        let memory = match slot.memory {
            Memory::Arena => &self.arena,
            Memory::State => &self.state,
            Memory::Constant => &self.constants,
            Memory::Scratch => unreachable!("scratch holds nothing"),
        };
        &memory[slot.start()..slot.end()]
    }

    /// What lies in `slot`.
    pub fn read<T: FromBytes>(&self, slot: Slot) -> Vec<T> {
        let elements = self.bytes(slot).chunks_exact(size_of::<T>());
        elements.map(|bytes| T::read_from_bytes(bytes).unwrap()).collect()
    }
}
