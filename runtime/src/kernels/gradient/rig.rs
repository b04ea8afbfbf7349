//! Memories for kernel tests, filled piece by piece, and comparison with real arithmetic.

use crate::arena::Arena;
use crate::error_scale::power_of_two;
use crate::kernels::weights::effective;
use crate::program::op::{ChannelScale, Error, Geometry, Precision, Shape, Weights, Window};
use crate::{fixed::Multiplier, Fault, Machine, Memory, Slot, Step};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Linear congruential numbers: the same on every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % end
    }

    /// From `least` to `most`, both possible.
    pub fn between(&mut self, least: i32, most: i32) -> i32 {
        (least as i64 + self.below((most as i64 - least as i64) as usize + 1) as i64) as i32
    }

    /// Values of +-127, one in `sparsity` of them 0.
    pub fn int8s(&mut self, count: usize, sparsity: usize) -> Vec<i8> {
        let value = |r: &mut Self| r.between(-127, 127) as i8;
        (0..count).map(|_| if self.below(sparsity) == 0 { 0 } else { value(self) }).collect()
    }

    pub fn mask(&mut self, elements: usize) -> Vec<u8> {
        (0..elements.div_ceil(8)).map(|_| self.below(256) as u8).collect()
    }

    /// An ascending choice of `count` of `channels`.
    pub fn choice(&mut self, count: usize, channels: usize) -> Vec<u16> {
        let mut all: Vec<u16> = (0..channels as u16).collect();
        while all.len() > count {
            all.remove(self.below(all.len()));
        }
        all
    }
}

/// The memories of one op under test.
#[derive(Default)]
pub struct Rig {
    arena: Vec<u8>,
    state: Vec<u8>,
    constants: Vec<u8>,
    scratch: u32,
    pub step: Step,
}

fn append<T: IntoBytes + Immutable>(memory: Memory, to: &mut Vec<u8>, values: &[T]) -> Slot {
    to.resize(to.len().next_multiple_of(8), 0);
    let slot = Slot::new(memory, to.len() as u32, values.as_bytes().len() as u32);
    to.extend_from_slice(values.as_bytes());
    slot
}

fn aligned(bytes: &[u8]) -> Vec<u64> {
    let mut words = vec![0u64; bytes.len().div_ceil(8)];
    words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
    words
}

impl Rig {
    pub fn arena<T: IntoBytes + Immutable>(&mut self, values: &[T]) -> Slot {
        append(Memory::Arena, &mut self.arena, values)
    }

    pub fn state<T: IntoBytes + Immutable>(&mut self, values: &[T]) -> Slot {
        append(Memory::State, &mut self.state, values)
    }

    pub fn constant<T: IntoBytes + Immutable>(&mut self, values: &[T]) -> Slot {
        append(Memory::Constant, &mut self.constants, values)
    }

    pub fn scratch(&mut self, bytes: usize) -> Slot {
        self.scratch = bytes as u32;
        Slot::new(Memory::Scratch, 0, bytes as u32)
    }

    /// An error tensor of the given exponent.
    pub fn error(&mut self, e: &[i8], exponent: i32) -> Error {
        Error { data: self.arena(e), tracker: self.state(&[1.0f32.to_bits(), exponent as u32]) }
    }

    /// An error tensor to be written, for the first time.
    pub fn output(&mut self, elements: usize) -> Error {
        Error { data: self.arena(&vec![99i8; elements]), tracker: self.state(&[0u32; 2]) }
    }

    pub fn scales(&mut self, factors: &[f64]) -> ChannelScale {
        let all: Vec<Multiplier> = factors.iter().map(|&f| Multiplier::from_f64(f)).collect();
        ChannelScale {
            multiplier: self.constant(&all.iter().map(|m| m.value).collect::<Vec<_>>()),
            shift: self.constant(&all.iter().map(|m| m.shift as i8).collect::<Vec<_>>()),
        }
    }

    /// Random weights of which `trained` channels are trained, and the matrix they stand for.
    pub fn weights(
        &mut self,
        random: &mut Random,
        [rows, taps, channels]: [usize; 3],
        trained: usize,
        precision: Precision,
    ) -> (Weights, Vec<i8>) {
        let mut dense = random.int8s(rows * taps * channels, 9);
        let selected = random.choice(trained, channels);
        let frozen = self.constant(&dense);
        let latent: Vec<i16> =
            (0..rows * taps * trained).map(|_| random.between(-32640, 32639) as i16).collect();
        for (n, &m) in latent.iter().enumerate() {
            dense[n / trained * channels + selected[n % trained] as usize] = effective(m);
        }
        let latent = match precision {
            Precision::Residual => self.state(&latent),
            Precision::Stochastic => {
                self.state(&latent.iter().map(|&m| effective(m)).collect::<Vec<_>>())
            }
        };
        let selected = self.constant(&selected);
        let (rows, taps, channels) = (rows as u16, taps as u16, channels as u16);
        (Weights { frozen, latent, selected, rows, taps, channels, precision }, dense)
    }

    pub fn run(
        &mut self,
        op: impl FnOnce(&mut Machine<'_>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let (mut arena, mut state) = (aligned(&self.arena), aligned(&self.state));
        let constants = aligned(&self.constants);
        let mut scratch = vec![0x5555_5555_5555_5555u64; (self.scratch as usize).div_ceil(8)];
        let mut machine = Machine {
            arena: Arena::new(&mut arena.as_mut_bytes()[..self.arena.len()]),
            state: Arena::new(&mut state.as_mut_bytes()[..self.state.len()]),
            scratch: Arena::new(&mut scratch.as_mut_bytes()[..self.scratch as usize]),
            constants: &constants.as_bytes()[..self.constants.len()],
            step: self.step,
        };
        let result = op(&mut machine);
        self.step = machine.step;
        self.arena.copy_from_slice(machine.arena.bytes());
        self.state.copy_from_slice(machine.state.bytes());
        result
    }

    pub fn read<T: FromBytes>(&self, slot: Slot) -> Vec<T> {
        let memory = match slot.memory {
            Memory::State => &self.state,
            Memory::Constant => &self.constants,
            Memory::Arena | Memory::Scratch => &self.arena,
        };
        let size = core::mem::size_of::<T>();
        memory[slot.start()..slot.end()]
            .chunks_exact(size)
            .map(|bytes| T::read_from_bytes(bytes).unwrap())
            .collect()
    }
}

/// Largest disagreement of an error tensor with exact gradients, beyond half a step and `slack`
/// (real units).
fn excess(rig: &Rig, output: &Error, exact: &[f64], slack: impl Fn(usize) -> f64) -> f64 {
    let step = power_of_two(rig.read::<i32>(output.tracker)[1]) as f64;
    let e = rig.read::<i8>(output.data);
    assert_eq!(e.len(), exact.len());
    let off = e.iter().zip(exact).enumerate().map(|(i, (&e, &g))| {
        let wanted = (g / step).clamp(-127.0, 127.0);
        (e as f64 - wanted).abs() - 0.5 - slack(i) / step
    });
    off.fold(f64::MIN, f64::max)
}

/// Whether an error tensor is what exact gradients round to.
pub fn near(rig: &Rig, output: &Error, exact: &[f64], slack: impl Fn(usize) -> f64) -> bool {
    excess(rig, output, exact, slack) < 1e-6
}

/// As [`near`]; also that the tensor uses its range and that the peak is that of `exact`.
pub fn assert_near(rig: &Rig, output: &Error, exact: &[f64], slack: impl Fn(usize) -> f64) {
    let off = excess(rig, output, exact, slack);
    assert!(off < 1e-6, "off by {off} steps more than rounding explains");
    let peak = exact.iter().fold(0.0, |a: f64, g| a.max(g.abs()));
    let seen = f32::from_bits(rig.read::<u32>(output.tracker)[0]) as f64;
    assert!((seen - peak).abs() <= 0.01 * peak, "peak {peak}, noted {seen}");
}

/// Windowed shapes: strides, padding more on one side, kernels that leave pixels unseen.
pub fn shapes() -> Vec<Geometry> {
    let shape = |[h, w, c]: [u16; 3]| Shape { h, w, c };
    let geometry = |x, y, kernel, stride, pad| Geometry {
        x: shape(x),
        y: shape(y),
        window: Window { kernel, stride, pad },
    };
    vec![
        geometry([4, 5, 12], [4, 5, 8], [1, 1], [1, 1], [0, 0]),
        geometry([6, 5, 4], [6, 5, 8], [3, 3], [1, 1], [1, 1]),
        geometry([7, 8, 8], [4, 4, 4], [3, 3], [2, 2], [1, 0]),
        geometry([9, 4, 8], [4, 2, 12], [5, 3], [2, 2], [1, 1]),
        geometry([5, 7, 4], [2, 3, 4], [1, 1], [3, 3], [0, 0]),
        geometry([1, 1, 20], [1, 1, 12], [1, 1], [1, 1], [0, 0]),
        geometry([6, 3, 4], [3, 3, 4], [4, 2], [2, 1], [1, 1]),
    ]
}
