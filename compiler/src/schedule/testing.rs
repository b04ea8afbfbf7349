//! Hand-made and random programs for tests, and what a program means whatever its order.

use std::hash::{DefaultHasher, Hash, Hasher};

use offshoot_runtime::program::{op as rt, Header, Op};
use offshoot_runtime::{Access, Memory, Slot};

use super::live::{as_given, Life, Uses};
use super::random::Random;
use crate::lower::{tensor, Buffer, Holds, Lowered, Within};

/// Builds programs whose slots are true and whose shapes are not.
#[derive(Debug)]
pub(crate) struct Builder {
    lowered: Lowered,
    forward: Option<usize>,
    trackers: Vec<Slot>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder { lowered: Lowered::default(), forward: None, trackers: Vec::new() }
    }

    pub(crate) fn buffer(&mut self, bytes: u32) -> u32 {
        let index = self.lowered.buffers.len() as u32;
        self.lowered.buffers.push(Buffer::new(format!("t{index}"), bytes));
        self.trackers.push(Slot::default());
        index
    }

    pub(crate) fn state(&mut self, bytes: u32) -> Slot {
        let slot = Slot::new(Memory::State, self.lowered.header.state, bytes);
        self.lowered.header.state += bytes;
        slot
    }

    pub(crate) fn input(&mut self, bytes: u32) -> u32 {
        let buffer = self.buffer(bytes);
        self.lowered.header.input = self.slot(buffer);
        buffer
    }

    pub(crate) fn output(&mut self, buffer: u32) {
        self.lowered.header.output = self.slot(buffer);
    }

    pub(crate) fn slot(&self, buffer: u32) -> Slot {
        Slot::new(Memory::Arena, buffer, self.lowered.buffers[buffer as usize].bytes)
    }

    fn optional(&self, buffer: Option<u32>) -> Slot {
        buffer.map_or(Slot::default(), |b| self.slot(b))
    }

    fn error(&self, buffer: u32) -> rt::Error {
        rt::Error { data: self.slot(buffer), tracker: self.trackers[buffer as usize] }
    }

    pub(crate) fn push(&mut self, op: impl Into<Op>) {
        let op = op.into();
        let index = self.lowered.ops.len();
        self.lowered.names.push(format!("n{index}"));
        self.lowered.macs.push(index as u64 * 10);
        self.lowered.ops.push(op);
    }

    /// An op that reads one or two tensors and writes another.
    pub(crate) fn op(&mut self, reads: &[u32], write: u32) {
        self.masked(reads, write, None);
    }

    /// As `op`, with a mask.
    pub(crate) fn masked(&mut self, reads: &[u32], write: u32, mask: Option<u32>) {
        let (output, mask) = (self.slot(write), self.optional(mask));
        let input = self.slot(reads[0]);
        match reads.get(1) {
            Some(&b) => {
                self.push(rt::Add {
                    a: input,
                    b: self.slot(b),
                    output,
                    mask,
                    ..rt::Add::default()
                });
            }
            None => self.push(rt::Requantize { input, output, mask, ..rt::Requantize::default() }),
        }
    }

    /// The loss: ends the forward pass.
    pub(crate) fn loss(&mut self, logits: u32, error: u32) {
        self.forward = Some(self.lowered.ops.len());
        let (logits, error) = (self.slot(logits), self.slot(error));
        self.push(rt::SoftmaxCrossEntropy { logits, error, ..rt::SoftmaxCrossEntropy::default() });
    }

    /// An input gradient, through weights in state where `latent` is given.
    pub(crate) fn gradient(
        &mut self,
        error: u32,
        skip: Option<u32>,
        mask: Option<u32>,
        latent: Slot,
        output: u32,
    ) {
        self.trackers[output as usize] = self.state(8);
        let skip = skip.map_or_else(rt::Error::default, |b| self.error(b));
        self.push(rt::ConvInputGrad {
            error: self.error(error),
            output: self.error(output),
            skip,
            mask: self.optional(mask),
            weights: rt::Weights { latent, ..rt::Weights::default() },
            ..rt::ConvInputGrad::default()
        });
    }

    /// A weight update.
    pub(crate) fn update(&mut self, error: u32, saved: u32, latent: Slot) {
        let (error, saved) = (self.error(error), self.slot(saved));
        let weights = rt::Weights { latent, ..rt::Weights::default() };
        self.push(rt::ConvUpdate { error, saved, weights, ..rt::ConvUpdate::default() });
    }

    /// A bias update.
    pub(crate) fn bias(&mut self, error: u32, bias: Slot) {
        let error = self.error(error);
        self.push(rt::BiasUpdate { error, bias, ..rt::BiasUpdate::default() });
    }

    pub(crate) fn finish(mut self) -> Lowered {
        self.lowered.header.forward = self.forward.unwrap_or(self.lowered.ops.len()) as u32;
        self.lowered
    }
}

/// A random program of `forward` ops, the loss, and `backward` ops (none: no loss either).
pub(crate) fn random_program(random: &mut Random, forward: usize, backward: usize) -> Lowered {
    let mut b = Builder::new();
    let size = |random: &mut Random| 4 * (1 + random.below(60)) as u32;
    let (bytes, mut masks) = (size(random), Vec::new());
    let mut values = vec![b.input(bytes)];
    for _ in 0..forward {
        let recent =
            |random: &mut Random| values[values.len() - 1 - random.below(values.len().min(5))];
        let reads = [recent(random), recent(random)];
        let y = b.buffer(size(random));
        let mask = (random.below(3) == 0).then(|| b.buffer(size(random)));
        b.masked(&reads[..1 + random.below(2)], y, mask);
        values.push(y);
        masks.extend(mask);
    }
    // Not always the last value: what comes after it must spare it.
    let y = values[values.len() - 1 - random.below(forward.min(3))];
    b.output(y);
    if backward == 0 {
        return b.finish();
    }
    let mut errors = vec![b.buffer(size(random))];
    b.loss(y, errors[0]);
    let states = [b.state(16), b.state(16)];
    for _ in 0..backward {
        let error =
            |random: &mut Random| errors[errors.len() - 1 - random.below(errors.len().min(3))];
        let (e, skip) = (error(random), error(random));
        let state = states[random.below(2)];
        match random.below(3) {
            0 => b.update(e, values[random.below(values.len())], state),
            1 => b.bias(e, state),
            _ => {
                let output = b.buffer(size(random));
                let mask = masks.get(random.below(2 * masks.len())).copied();
                let skip = (random.below(3) == 0).then_some(skip);
                let latent = if random.below(2) == 0 { state } else { Slot::default() };
                b.gradient(e, skip, mask, latent, output);
                errors.push(output);
            }
        }
    }
    b.finish()
}

/// `lowered` with some of its tensors written, and some read, in two parts.
pub(crate) fn in_parts(lowered: &Lowered, random: &mut Random) -> Lowered {
    let mut parts = Lowered { ops: Vec::new(), names: Vec::new(), ..lowered.clone() };
    parts.macs.clear();
    parts.header.forward = 0;
    for (index, op) in lowered.ops.iter().enumerate() {
        let halves = match op {
            Op::Requantize(whole) if random.below(2) == 0 && whole.output.bytes >= 8 => {
                let mut half = |slot: Slot, from: u32, to: u32| {
                    let holds = Holds::Part;
                    let within = Some(Within { buffer: slot.offset, at: from, holds });
                    let (name, bytes) = (format!("t{} {from}..{to}", slot.offset), to - from);
                    parts.buffers.push(Buffer { name, bytes, within });
                    Slot::new(Memory::Arena, parts.buffers.len() as u32 - 1, bytes)
                };
                let (x, y) = (whole.input, whole.output);
                let [middle, at] = [x, y].map(|slot| slot.bytes / 2 / 4 * 4);
                let input = if middle > 0 { half(x, 0, middle) } else { x };
                let first = rt::Requantize { input, output: half(y, 0, at), ..*whole };
                let rest = half(y, at, y.bytes);
                vec![first, rt::Requantize { output: rest, mask: Slot::default(), ..*whole }]
            }
            _ => Vec::new(),
        };
        let ops = if halves.is_empty() {
            vec![*op]
        } else {
            halves.into_iter().map(Op::Requantize).collect()
        };
        for op in ops {
            parts.header.forward += u32::from(index < lowered.header.forward as usize);
            parts.names.push(format!("n{}", parts.ops.len()));
            parts.macs.push(parts.ops.len() as u64 * 10);
            parts.ops.push(op);
        }
    }
    parts
}

/// `lowered` with some of its tensors in the place of others that nobody reads any more.
pub(crate) fn in_place(lowered: &Lowered, random: &mut Random) -> Lowered {
    let mut shared = lowered.clone();
    let uses = Uses::of(&shared);
    let order = as_given(shared.ops.len());
    let lives: Vec<Option<Life>> = uses.lives(&order).collect();
    let kept = [lowered.header.input, lowered.header.output].map(|slot| slot.offset as usize);
    let mut given = vec![false; lowered.buffers.len()];
    for (x, y) in (0..lowered.buffers.len()).flat_map(|y| (0..y).map(move |x| (x, y))) {
        let [before, after] = [lives[x], lives[y]];
        let free = matches!((before, after), (Some(a), Some(b)) if a.last < b.first);
        let fits = lowered.buffers[x].bytes >= lowered.buffers[y].bytes;
        if free
            && fits
            && x != kept[1]
            && y != kept[0]
            && !given[x]
            && !given[y]
            && random.below(8) == 0
        {
            shared.buffers[y].within = Some(Within { buffer: x as u32, at: 0, holds: Holds::Own });
            (given[x], given[y]) = (true, true);
        }
    }
    shared
}

/// A program like that of a mobile network of inverted residual blocks: the first is a 1x1
/// convolution 64x64x8 to 32, and all but the first third of the blocks are trained.
pub(crate) fn network(blocks: usize, seed: u64) -> Lowered {
    let mut random = Random::new(seed);
    let mut b = Builder::new();
    let mut x = b.input(64 * 64 * 8);
    let mut trace = Vec::new();
    let frozen = blocks / 3;
    for block in 0..blocks {
        let side: u32 = 64 >> (block * 4 / blocks.max(1)) as u32;
        let channels = [8, 16, 24, 40][block * 4 / blocks.max(1)];
        let narrow = b_size(&b, x);
        let trained = block >= frozen;
        let mask_of = |b: &mut Builder, y: u32| trained.then(|| b.buffer(b_size(b, y).div_ceil(8)));
        let expanded = b.buffer(narrow * 4);
        let expanded_mask = mask_of(&mut b, expanded);
        b.masked(&[x], expanded, expanded_mask);
        let deep = b.buffer((side / 2).max(2).pow(2) * channels * 4);
        let deep_mask = mask_of(&mut b, deep);
        b.masked(&[expanded], deep, deep_mask);
        let saved = trained.then(|| b.buffer(b_size(&b, deep) / 4));
        let y = b.buffer(b_size(&b, deep) / 4);
        b.op(&[deep], y);
        if let Some(saved) = saved {
            b.op(&[deep], saved);
        }
        let sum =
            (b_size(&b, y) == narrow || random.below(4) == 0).then(|| b.buffer(b_size(&b, y)));
        if let Some(sum) = sum {
            b.op(&[y, x], sum);
        }
        if let (Some(saved), Some(m), Some(d)) = (saved, expanded_mask, deep_mask) {
            trace.push((
                saved,
                [m, d],
                sum.is_some(),
                narrow,
                b_size(&b, expanded),
                b_size(&b, deep),
            ));
        }
        x = sum.unwrap_or(y);
    }
    let (features, logits, mut e) = (b.buffer(320), b.buffer(40), b.buffer(10));
    b.op(&[x], features);
    b.op(&[features], logits);
    b.output(logits);
    b.loss(logits, e);
    let head = b.state(1600);
    let first = b.buffer(b_size(&b, x));
    b.gradient(e, None, None, head, first);
    b.update(e, features, head);
    let bias = b.state(40);
    b.bias(e, bias);
    e = first;
    for &(saved, [expanded_mask, deep_mask], has_skip, narrow, wide, deep) in trace.iter().rev() {
        let states = [b.state(400), b.state(40), b.state(40), b.state(40)];
        let (d, x, n) = (b.buffer(deep), b.buffer(wide), b.buffer(narrow));
        b.gradient(e, None, Some(deep_mask), states[0], d);
        b.update(e, saved, states[0]);
        b.bias(e, states[1]);
        b.gradient(d, None, Some(expanded_mask), Slot::default(), x);
        b.bias(d, states[2]);
        b.gradient(x, has_skip.then_some(e), None, Slot::default(), n);
        b.bias(x, states[3]);
        e = n;
    }
    b.finish()
}

fn b_size(b: &Builder, buffer: u32) -> u32 {
    b.slot(buffer).bytes
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What a prediction and the state after a step are computed from, as hashes, one a byte: equal
/// for programs that give equal results whatever their inputs. Arena slots hold offsets.
pub(crate) fn meaning_of(header: &Header, ops: &[Op]) -> (Vec<u64>, Vec<u64>) {
    let parts = |slot: &Slot| slot.start()..slot.end();
    let end = |op: &Op| {
        let (mut op, mut end) = (*op, 0);
        op.visit(&mut |_, s| end = end.max(if s.memory == Memory::Arena { s.end() } else { 0 }));
        end
    };
    let end = ops.iter().map(end).max().unwrap_or(0);
    let mut arena = vec![0; end.max(header.input.end()).max(header.output.end())];
    let mut state: Vec<u64> = (0..header.state).map(|at| hash(("state", at))).collect();
    for at in parts(&header.input) {
        arena[at] = hash(("input", at - header.input.start()));
    }
    let (mut loss, mut prediction) = (0, Vec::new());
    for (index, op) in ops.iter().enumerate() {
        if index == header.forward as usize {
            prediction = arena[parts(&header.output)].to_vec();
        }
        let (mut reads, mut writes, mut bare) = (Vec::new(), Vec::<Slot>::new(), *op);
        if !matches!(op, Op::Add(_) | Op::Requantize(_) | Op::Conv(_)) {
            reads.push(loss);
        }
        bare.visit(&mut |access, slot| {
            let memory = match slot.memory {
                Memory::Arena => &arena,
                Memory::State => &state,
                Memory::Constant | Memory::Scratch => return,
            };
            if matches!(access, Access::Read | Access::Update) {
                reads.extend(&memory[parts(slot)]);
            }
            if matches!(access, Access::Write | Access::Update) {
                writes.push(*slot);
            }
            if slot.memory == Memory::Arena {
                slot.offset = 0;
            }
            // Whether a mask is kept beside an output changes neither.
            if access == Access::Write && writes.len() > 1 {
                *slot = Slot::default();
            }
        });
        let result = hash((format!("{bare:?}"), reads));
        if op.name() == "SoftmaxCrossEntropy" {
            loss = result;
        }
        for (which, slot) in writes.iter().enumerate() {
            let memory = if slot.memory == Memory::State { &mut state } else { &mut arena };
            for at in parts(slot) {
                memory[at] = hash((result, which, at - slot.start()));
            }
        }
    }
    if ops.len() == header.forward as usize {
        prediction = arena[parts(&header.output)].to_vec();
    }
    (prediction, state)
}

/// As `meaning_of`, of a program whose arena slots hold buffers: each tensor gets bytes of its own.
pub(crate) fn meaning(lowered: &Lowered) -> (Vec<u64>, Vec<u64>) {
    let mut offsets = vec![0];
    for buffer in &lowered.buffers {
        offsets.push(offsets[offsets.len() - 1] + buffer.bytes);
    }
    let mut apart = lowered.clone();
    let own_bytes = |slot: &mut Slot| {
        if slot.memory == Memory::Arena && !slot.is_empty() {
            let (tensor, at) = tensor(&lowered.buffers, slot.start());
            slot.offset = offsets[tensor] + at;
        }
    };
    apart.ops.iter_mut().for_each(|op| op.visit(&mut |_, slot| own_bytes(slot)));
    own_bytes(&mut apart.header.input);
    own_bytes(&mut apart.header.output);
    meaning_of(&apart.header, &apart.ops)
}
