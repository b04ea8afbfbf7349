//! What the kernels' tests share: random numbers, memories to lay an op's operands into, and
//! the definition of a convolution.

use crate::arena::Arena;
use crate::fixed::Multiplier;
use crate::program::op::{ChannelScale, Geometry, Precision, Range, Shape, Weights, Window};
use crate::program::{verify, Header, Op, Program};
use crate::{Machine, Memory, Slot, Step};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Linear congruential generator.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) + 1)
    }

    /// Uniform in `low..=high`.
    pub fn within(&mut self, low: i32, high: i32) -> i32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + ((self.0 >> 33) % (high - low + 1) as u64) as i32
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.within(0, end as i32 - 1) as usize
    }

    pub fn int8(&mut self, length: usize) -> Vec<i8> {
        (0..length).map(|_| self.within(-128, 127) as i8).collect()
    }

    /// A multiplier around `factor`.
    pub fn multiplier(&mut self, factor: f64) -> Multiplier {
        Multiplier::from_f64(factor * (0.5 + self.within(0, 1000) as f64 / 1000.0))
    }

    /// An output range that clamps some values.
    pub fn range(&mut self) -> Range {
        let min = self.within(-128, -20) as i8;
        Range { zero: self.within(-30, 30) as i16, min, max: self.within(20, 127) as i8 }
    }

    /// A window over some map, with padding of its own on each side.
    pub fn geometry(&mut self, x_channels: usize, y_channels: usize) -> Geometry {
        let mut axis = || {
            let (size, kernel) = (self.within(1, 11), self.within(1, 4));
            let (stride, pad) = (self.within(1, 3), self.within(0, kernel - 1));
            let outputs = self.within(1, (size - 1 + pad) / stride + 1);
            [size, outputs, kernel, stride, pad].map(|n| n as u16)
        };
        let (v, h) = (axis(), axis());
        Geometry {
            x: Shape { h: v[0], w: h[0], c: x_channels as u16 },
            y: Shape { h: v[1], w: h[1], c: y_channels as u16 },
            window: Window { kernel: [v[2], h[2]], stride: [v[3], h[3]], pad: [v[4], h[4]] },
        }
    }

    /// Some of `0..channels`, ascending, at least one.
    pub fn selection(&mut self, channels: usize) -> Vec<u16> {
        let mut selected: Vec<u16> =
            (0..channels as u16).filter(|_| self.within(0, 2) == 0).collect();
        if selected.is_empty() {
            selected.push(self.below(channels) as u16);
        }
        selected
    }
}

/// The memories of one op.
#[derive(Default)]
pub struct Bench {
    arena: Vec<u8>,
    state: Vec<u8>,
    constants: Vec<u8>,
    scratch: usize,
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

    /// Room in the arena, filled with rubbish.
    pub fn room(&mut self, bytes: usize) -> Slot {
        self.put(Memory::Arena, &vec![0x5Au8; bytes])
    }

    pub fn scratch(&mut self, bytes: usize) -> Slot {
        self.scratch = self.scratch.max(bytes);
        Slot::new(Memory::Scratch, 0, bytes as u32)
    }

    pub fn scales(&mut self, scales: &[Multiplier]) -> ChannelScale {
        let values: Vec<i32> = scales.iter().map(|m| m.value).collect();
        let shifts: Vec<i8> = scales.iter().map(|m| m.shift as i8).collect();
        ChannelScale {
            multiplier: self.put(Memory::Constant, &values),
            shift: self.put(Memory::Constant, &shifts),
        }
    }

    /// Weights of `shape` (rows, taps, channels), and what they amount to. `precision`: of the
    /// trained part, if any.
    pub fn weights(
        &mut self,
        random: &mut Random,
        shape: [usize; 3],
        precision: Option<Precision>,
    ) -> (Weights, Vec<i8>) {
        let [rows, taps, channels] = shape;
        let mut values = random.int8(rows * taps * channels);
        let mut weights = Weights {
            frozen: self.put(Memory::Constant, &values),
            rows: rows as u16,
            taps: taps as u16,
            channels: channels as u16,
            ..Weights::default()
        };
        if let Some(precision) = precision {
            let selected = random.selection(channels);
            let mut latent = Vec::new();
            for tap in 0..rows * taps {
                for &c in &selected {
                    let m = random.within(-32640, 32639) as i16;
                    latent.push(m);
                    values[tap * channels + c as usize] = match precision {
                        Precision::Residual => (m as f64 / 256.0 + 0.5).floor() as i8,
                        Precision::Stochastic => m as i8,
                    };
                }
            }
            weights.precision = precision;
            weights.selected = self.put(Memory::Constant, &selected);
            weights.latent = match precision {
                Precision::Residual => self.put(Memory::State, &latent),
                Precision::Stochastic => {
                    let bytes: Vec<i8> = latent.iter().map(|&m| m as i8).collect();
                    self.put(Memory::State, &bytes)
                }
            };
        }
        (weights, values)
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
            scratch: Arena::new(scratch.as_mut_bytes()),
            constants: constants.as_bytes(),
            step: Step::default(),
        };
        let result = f(&mut machine);
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

    /// Runs `op`, which the verifier must accept.
    pub fn run(&mut self, op: impl Into<Op>) {
        let op = op.into();
        let header = self.header();
        self.with(|machine| {
            let program = Program { header, init: &[], ops: &[op], constants: machine.constants };
            verify(&program).unwrap();
            op.run(machine).unwrap();
        });
    }

    /// What lies in `slot`.
    pub fn read<T: FromBytes + IntoBytes + Immutable + Clone + Default>(
        &self,
        slot: Slot,
    ) -> Vec<T> {
        let memory = match slot.memory {
            Memory::State => &self.state,
            _ => &self.arena,
        };
        let mut values = vec![T::default(); slot.len() / size_of::<T>()];
        values.as_mut_bytes().copy_from_slice(&memory[slot.start()..slot.end()]);
        values
    }
}

/// Clamps, and says which elements were in range, as a mask's bytes.
pub fn clamped(values: &[i64], range: Range) -> (Vec<i8>, Vec<u8>) {
    let (min, max) = (range.min as i64, range.max as i64);
    let mut mask = vec![0u8; values.len().div_ceil(8)];
    let shifted = values.iter().map(|v| v + range.zero as i64);
    let y = shifted.enumerate().map(|(i, v)| {
        if (min..=max).contains(&v) {
            mask[i / 8] += 1 << (i % 8);
        }
        v.max(min).min(max) as i8
    });
    (y.collect(), mask)
}

/// `sum w (x - zero)` of every output element by the definition of a grouped convolution, with
/// `w(o, ky, kx, i)`; input channels of group `g` are `g * n..g * n + n`.
pub fn convolution(
    geometry: &Geometry,
    groups: usize,
    x: &[i8],
    zero: i16,
    w: impl Fn(usize, usize, usize, usize) -> i8,
) -> Vec<i64> {
    let Geometry { x: xs, y: ys, window } = *geometry;
    let per_group = xs.c as usize / groups;
    let mut sums = Vec::new();
    for oy in 0..ys.h as i64 {
        for ox in 0..ys.w as i64 {
            for o in 0..ys.c as usize {
                let group = o / (ys.c as usize / groups);
                let mut sum = 0;
                for ky in 0..window.kernel[0] as i64 {
                    for kx in 0..window.kernel[1] as i64 {
                        let iy = oy * window.stride[0] as i64 + ky - window.pad[0] as i64;
                        let ix = ox * window.stride[1] as i64 + kx - window.pad[1] as i64;
                        if iy < 0 || ix < 0 || iy >= xs.h as i64 || ix >= xs.w as i64 {
                            continue;
                        }
                        let pixel = (iy * xs.w as i64 + ix) as usize * xs.c as usize;
                        for i in 0..per_group {
                            let x = x[pixel + group * per_group + i] as i64 - zero as i64;
                            sum += x * w(o, ky as usize, kx as usize, i) as i64;
                        }
                    }
                }
                sums.push(sum);
            }
        }
    }
    sums
}
