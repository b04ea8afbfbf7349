//! Random networks in random bands give the bytes that they give as a whole.

use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op::{self as rt, Geometry, Range, Shape, Window};
use offshoot_runtime::program::{Header, Op, Output};
use offshoot_runtime::{Interpreter, Memory, Slot, Trainer};
use offshoot_simulator::{AlignedBytes, ProgramFile};

use super::rows::Network;
use super::{apply, band, search, without_unused, Segment};
use crate::lower::{Buffer, Holds, Lowered};
use crate::place;
use crate::schedule::live::peak;
use crate::schedule::random::Random;
use crate::schedule::schedule;

/// A network while it is built: its tensors, with their shapes.
struct Net {
    random: Random,
    lowered: Lowered,
    tensors: Vec<(Slot, Shape)>,
}

impl Net {
    fn below(&mut self, end: u16) -> u16 {
        self.random.below(end.into()) as u16
    }

    fn tensor(&mut self, shape: Shape) -> Slot {
        let (index, bytes) = (self.lowered.buffers.len(), shape.elements() as u32);
        self.lowered.buffers.push(Buffer::new(format!("t{index}"), bytes));
        let slot = Slot::new(Memory::Arena, index as u32, bytes);
        self.tensors.push((slot, shape));
        slot
    }

    fn mask(&mut self, shape: Shape) -> Slot {
        let bytes = shape.elements().div_ceil(8) as u32;
        if self.below(4) > 0 {
            return Slot::default();
        }
        self.lowered.buffers.push(Buffer::new("mask", bytes));
        Slot::new(Memory::Arena, self.lowered.buffers.len() as u32 - 1, bytes)
    }

    fn constant(&mut self, bytes: Vec<u8>) -> Slot {
        let constants = &mut self.lowered.constants;
        constants.resize(constants.len().next_multiple_of(4), 0);
        let slot = Slot::new(Memory::Constant, constants.len() as u32, bytes.len() as u32);
        constants.extend(bytes);
        slot
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.random.next() as u8).collect()
    }

    fn push(&mut self, op: impl Into<Op>) {
        self.lowered.names.push(format!("n{}", self.lowered.ops.len()));
        self.lowered.macs.push(0);
        self.lowered.ops.push(op.into());
    }

    /// A window over `x` with as many rows below the map as above, or fewer or more.
    fn geometry(&mut self, x: Shape, channels: u16) -> Geometry {
        let mut window = Window { dilation: [1; 2], ..Window::default() };
        let mut sizes = [0; 2];
        for (axis, size) in [x.h, x.w].into_iter().enumerate() {
            let kernel = [1, 1, 2, 3, 3, 5, 7][usize::from(self.below(7))];
            let stride = 1 + self.below(if size > 6 { 3 } else { 1 });
            let pad = self.below(kernel);
            let below = self.below(kernel);
            (window.kernel[axis], window.stride[axis], window.pad[axis]) = (kernel, stride, pad);
            let room = (size + pad + below).saturating_sub(kernel);
            sizes[axis] = (room / stride + 1).min((size + pad - 1) / stride + 1);
        }
        Geometry { x, y: Shape { h: sizes[0], w: sizes[1], c: channels }, window }
    }

    fn range(&mut self) -> Range {
        let zero = self.below(20) as i16 - 10;
        Range { zero, min: [-128, zero as i8][usize::from(self.below(2))], max: 127 }
    }

    fn weights(&mut self, rows: u16, taps: u16, channels: u16) -> rt::Weights {
        let bytes = self.bytes(usize::from(rows) * usize::from(taps) * usize::from(channels));
        let frozen = self.constant(bytes);
        rt::Weights { frozen, rows, taps, channels, ..rt::Weights::default() }
    }

    fn scales(&mut self, channels: u16, scale: f64) -> rt::ChannelScale {
        let multiplier = Multiplier::from_f64(scale);
        let values: Vec<u8> = (0..channels).flat_map(|_| multiplier.value.to_le_bytes()).collect();
        let shifts = vec![multiplier.shift as u8; channels.into()];
        rt::ChannelScale { multiplier: self.constant(values), shift: self.constant(shifts) }
    }

    fn bias(&mut self, channels: u16) -> Slot {
        let values: Vec<u8> =
            (0..channels).flat_map(|_| (self.random.below(2000) as i32).to_le_bytes()).collect();
        self.constant(values)
    }

    /// A random op on a recent tensor.
    fn any(&mut self) {
        let recent = self.tensors.len() - 1 - self.random.below(self.tensors.len().min(2));
        let (input, x) = self.tensors[recent];
        let (x_zero, range) = (self.below(9) as i16, self.range());
        match self.below(9) {
            0..=2 => {
                let channels = [3, 8, 8, 16][usize::from(self.below(4))];
                let geometry = self.geometry(x, channels);
                let taps = geometry.window.taps() as u16;
                let weights = self.weights(channels, taps, x.c);
                let scale = self.scales(channels, 0.02 / f64::from(taps * x.c).sqrt());
                let (bias, mask) = (self.bias(channels), self.mask(geometry.y));
                let output = self.tensor(geometry.y);
                let groups = 1;
                #[rustfmt::skip]
                self.push(rt::Conv { input, output, mask, geometry, groups, weights, bias, scale, x_zero, range, ..rt::Conv::default() });
            }
            3..=4 => {
                let geometry = self.geometry(x, x.c);
                let taps = geometry.window.taps() as u16;
                let weights = self.weights(taps, 1, x.c);
                let scale = self.scales(x.c, 0.02 / f64::from(taps).sqrt());
                let (bias, mask) = (self.bias(x.c), self.mask(geometry.y));
                let output = self.tensor(geometry.y);
                #[rustfmt::skip]
                self.push(rt::Depthwise { input, output, mask, geometry, weights, bias, scale, x_zero, range, ..rt::Depthwise::default() });
            }
            5 => {
                let like: Vec<Slot> =
                    self.tensors.iter().filter(|(_, s)| *s == x).map(|(slot, _)| *slot).collect();
                let b = like[self.random.below(like.len())];
                let half = Multiplier::from_f64(0.5);
                let y_scale = Multiplier::from_f64(1.0 / f64::from(1 << 20));
                let (mask, output, zeros) = (self.mask(x), self.tensor(x), [x_zero, 3]);
                let scales = [half; 2];
                self.push(rt::Add { a: input, b, output, mask, zeros, scales, y_scale, range });
            }
            6 => {
                let geometry = self.geometry(x, x.c);
                let output = self.tensor(geometry.y);
                let scale = Multiplier { value: 0, shift: 0 };
                self.push(rt::AvgPool { input, output, geometry, x_zero, scale, range });
            }
            7 => {
                let geometry = self.geometry(x, x.c);
                let output = self.tensor(geometry.y);
                self.push(rt::MaxPool { input, output, index: Slot::default(), geometry });
            }
            _ => {
                let (mask, output) = (self.mask(x), self.tensor(x));
                let scale = Multiplier::from_f64(0.7);
                self.push(rt::Requantize { input, output, mask, x_zero, scale, range });
            }
        }
    }
}

/// A random network, of which some tensor is the output.
fn network(seed: u64) -> Lowered {
    let mut random = Random::new(seed);
    let input_shape = Shape {
        h: 5 + random.below(20) as u16,
        w: 1 + random.below(9) as u16,
        c: 1 + random.below(5) as u16,
    };
    let lowered = Lowered::default();
    let mut net = Net { random, lowered, tensors: Vec::new() };
    let input = net.tensor(input_shape);
    for _ in 0..4 + net.below(6) {
        net.any();
    }
    // Mostly the last tensor, else one that a segment must leave whole.
    let count = net.tensors.len();
    let back = if net.below(3) == 0 { net.random.below(count) } else { 0 };
    let (output, _) = net.tensors[count - 1 - back];
    let mut lowered = net.lowered;
    lowered.header = Header {
        forward: lowered.ops.len() as u32,
        input,
        input_shape,
        input_scale: 1.0,
        output,
        output_kind: Output::Scores,
        classes: output.bytes as u16,
        ..Header::default()
    };
    lowered
}

/// Segments of any ops that can be banded, one after another.
fn any_segments(lowered: &Lowered, rows: &Network, random: &mut Random) -> Vec<Segment> {
    let (mut segments, mut at, count) = (Vec::new(), 0, lowered.ops.len());
    while at < count {
        let start = at + random.below(3);
        let end = start + 1 + random.below(count);
        if end <= count {
            let rows = 1 + random.below(5) as u32;
            let [park, in_place] = [2, 3].map(|of| random.below(of) == 0);
            segments.push(Segment { ops: start..end, rows, park, in_place });
        }
        at = end.max(at + 1);
    }
    segments.retain(|s| apply(lowered, rows, std::slice::from_ref(s)).is_some());
    segments
}

/// What a program makes of a random sample; its plan is checked and its ops are verified.
fn output(lowered: &Lowered) -> Vec<u8> {
    let plan = place::place(lowered).expect("sound buffers");
    let placed = place::apply(lowered, &plan);
    place::check(&placed).expect("a sound plan");
    let file = ProgramFile {
        header: placed.header,
        init: Vec::new(),
        ops: placed.ops,
        constants: AlignedBytes::copy_of(&placed.constants),
        feature_energy: None,
    };
    let file = ProgramFile::decode(&file.encode().expect("bytes")).expect("a verified program");
    let header = file.header;
    let [mut arena, mut state, mut scratch] = [header.arena, header.state, header.scratch]
        .map(|bytes| AlignedBytes::zeroed(bytes as usize));
    let (arena, state) = (arena.as_mut(), state.as_mut());
    let mut interpreter =
        Interpreter::new(file.program(), arena, state, scratch.as_mut()).expect("memories");
    let mut random = Random::new(7);
    let size = header.input_shape.elements();
    let sample: Vec<i8> = (0..size).map(|_| random.next() as i8).collect();
    interpreter.present(&sample).expect("a sample");
    interpreter.infer().expect("a run");
    interpreter.machine().arena.bytes()[header.output.start()..header.output.end()].to_vec()
}

#[test]
fn bands_give_the_bytes_of_the_whole() {
    let (mut banded, mut moved, mut grown, mut received) = (0, 0, 0, 0);
    for seed in 0..1500 {
        let whole = network(seed);
        let expected = output(&whole);
        let lowered = if seed % 2 == 0 { whole } else { whole.receiving() };
        let (rows, random) = (Network::of(&lowered), &mut Random::new(seed));
        for _ in 0..4 {
            let segments = any_segments(&lowered, &rows, random);
            let Some(applied) = apply(&lowered, &rows, &segments) else { continue };
            let program = without_unused(applied.lowered);
            assert_eq!(output(&program), expected, "seed {seed}: {segments:?}");
            banded += program.bands.iter().filter(|b| b.bands > 1).count();
            moved += program.ops.iter().filter(|op| op.name() == "Copy").count();
            let receives = program.ops.iter().filter(|op| op.name() == "Receive").count();
            received += usize::from(receives > 1);
            let own = |b: &Buffer| b.within.is_some_and(|within| within.holds == Holds::Own);
            grown += program.buffers.iter().filter(|b| own(b)).count();
            if seed % 10 == 0 {
                assert_eq!(output(&schedule(&program)), expected, "seed {seed}: {segments:?}");
            }
        }
    }
    assert!(banded > 1000 && moved > 500 && grown > 50, "{banded}, {moved}, {grown}");
    assert!(received > 100, "{received}");
}

#[test]
fn what_is_chosen_lowers_the_peak_and_gives_the_bytes_of_the_whole() {
    let (mut lowered_peaks, mut by_rows) = (0, 0);
    for seed in 0..300 {
        let lowered = network(seed);
        let received = band(&lowered.clone().receiving());
        assert_eq!(output(&received), output(&lowered), "seed {seed}");
        by_rows += usize::from(peak(&received) < peak(&band(&lowered)));
        let program = band(&lowered);
        assert_eq!(output(&program), output(&lowered), "seed {seed}");
        assert_eq!(program.bands.is_empty(), program == lowered);
        if program.bands.is_empty() {
            continue;
        }
        assert!(peak(&program) < peak(&lowered), "seed {seed}");
        assert_eq!(band(&lowered), program);
        lowered_peaks += 1;
    }
    assert!(lowered_peaks > 10, "{lowered_peaks} of 300");
    assert!(by_rows > 20, "{by_rows} of 300");
}

#[test]
fn programs_without_rows_stay() {
    let lowered = Lowered::default();
    assert_eq!(band(&lowered), lowered);
    assert!(search::segments(&lowered, &Network::of(&lowered)).is_empty());
}
