//! What of trainable state was learnt, and how it is taken out, put in place and blended.
//!
//! State also holds what belongs to the course of training: amplitudes and exponents of error tensors
//! and random state, which other numbers in place of those learnt do not make wrong, and what an
//! optimizer has in mind for the numbers that it was gathered for, which they do: velocities, sums and
//! counters of a batch. Those are zeroed wherever other numbers are put in place.
//!
//! What was learnt as bytes, its *image*: all parts in the order in which they lie in state, each
//! filled up with zeros to a multiple of 4 bytes; little-endian. Of weights of one bit it has one bit each, lowest
//! first: what else training had gathered of them begins anew.

use crate::kernels::companded::{compress, expand, PHASE_BITS};
use crate::kernels::signs::start;
use crate::program::op::{
    BiasUpdate, ConvUpdate, DepthwiseUpdate, HeadUpdate, Optimizer, Precision, Weights,
};
use crate::program::{Op, Program, Slot};
use crate::{Fault, Memory, Trainer};

/// What a part of state holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// int32 biases.
    Bias,
    /// int16 weights in 8.8 fixed point, or those of a head.
    Latent,
    /// int8 codes of differences from frozen weights.
    Weight,
    /// int8 codes of numbers whose signs count: a bit each in the image, set where it is negative.
    Sign,
    /// A word: how many channels an adapter keeps whose first can do without the rest.
    Rank,
    /// What an optimizer keeps: not learnt, and wrong beside other numbers.
    Course,
}

impl Kind {
    /// Bytes of an element.
    const fn bytes(self) -> usize {
        match self {
            Kind::Bias | Kind::Rank => 4,
            Kind::Latent => 2,
            Kind::Weight | Kind::Sign | Kind::Course => 1,
        }
    }

    /// Bytes of the image of so many bytes of state.
    const fn image(self, bytes: usize) -> usize {
        match self {
            Kind::Sign => bytes.div_ceil(8),
            _ => bytes,
        }
        .next_multiple_of(4)
    }

    /// Bytes of state of which the image takes no more than `most`, a multiple of 4.
    const fn within(self, most: usize) -> usize {
        match self {
            Kind::Sign => most.saturating_mul(8),
            _ => most,
        }
    }

    /// Writes the image of `state` to `image`, which holds zeros.
    fn take(self, state: &[u8], image: &mut [u8]) {
        match self {
            Kind::Sign => {
                for (eight, byte) in state.chunks(8).zip(image) {
                    let bit = |(n, &code): (usize, &u8)| (code >> 7) << n;
                    *byte = eight.iter().enumerate().map(bit).fold(0, |all, bit| all | bit);
                }
            }
            _ => image.iter_mut().zip(state).for_each(|(to, &from)| *to = from),
        }
    }

    /// Writes the state that `image` is of.
    fn give(self, image: &[u8], state: &mut [u8]) {
        match self {
            Kind::Sign => state.iter_mut().enumerate().for_each(|(n, to)| *to = sign(image, n)),
            _ => state.iter_mut().zip(image).for_each(|(to, &from)| *to = from),
        }
    }

    /// Element `n` of an image as a number.
    fn stored(self, image: &[u8], n: usize) -> i64 {
        match self {
            Kind::Sign => self.value(&[sign(image, n)]),
            _ => {
                let (at, size) = (n * self.bytes(), self.bytes());
                self.value(image.get(at..at + size).unwrap_or_default())
            }
        }
    }

    /// The first element, and those after it. (What divides a slice evenly has a panic for elements of no
    /// bytes.)
    fn first(self, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
        bytes.split_at_checked(self.bytes()).filter(|_| !bytes.is_empty())
    }

    /// An element as a number: what a code stands for.
    fn value(self, bytes: &[u8]) -> i64 {
        match *bytes {
            [a, b, c, d] => i32::from_le_bytes([a, b, c, d]).into(),
            [a, b] => i16::from_le_bytes([a, b]).into(),
            [a] => expand(a as i8).into(),
            _ => 0,
        }
    }

    /// Writes the nearest value that fits.
    fn put(self, to: &mut [u8], value: i64) {
        let (least, most) = match self {
            Kind::Bias => (i32::MIN as i64, i32::MAX as i64),
            Kind::Rank => (0, u16::MAX.into()),
            Kind::Latent => (i16::MIN as i64, i16::MAX as i64),
            Kind::Weight | Kind::Sign | Kind::Course => (expand(-127).into(), expand(127).into()),
        };
        let value = value.clamp(least, most);
        let held = match self {
            Kind::Bias | Kind::Rank | Kind::Latent => value,
            // Half a step is the phase that rounds to the nearest code.
            Kind::Weight | Kind::Sign | Kind::Course => {
                compress((value as i32) << PHASE_BITS, &mut 0x8000).into()
            }
        };
        to.iter_mut().zip(held.to_le_bytes()).for_each(|(to, byte)| *to = byte);
    }
}

/// The code of weight `n` of one bit of an image.
fn sign(image: &[u8], n: usize) -> u8 {
    let byte = image.get(n / 8).copied().unwrap_or_default();
    start(if byte >> (n % 8) & 1 == 1 { -1 } else { 1 }) as u8
}

/// A part of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it holds.
    pub kind: Kind,
    /// Where.
    pub slot: Slot,
}

impl Op {
    /// Shows the parts of state that the op updates and that are learnt or an optimizer's.
    fn parts(&self, f: &mut dyn FnMut(Kind, Slot)) {
        let mut bias = |update: &BiasUpdate| f(Kind::Bias, update.bias);
        match self {
            Op::BiasUpdate(update) => bias(update),
            Op::BiasOptimize(op) => {
                bias(&op.update);
                optimizer(&op.optimizer, f);
            }
            Op::Nest(op) => f(Kind::Rank, op.kept),
            Op::HeadUpdate(HeadUpdate { latent, .. }) => f(Kind::Latent, *latent),
            Op::HeadOptimize(op) => {
                f(Kind::Latent, op.update.latent);
                optimizer(&op.optimizer, f);
            }
            Op::ConvUpdate(ConvUpdate { weights: w, .. })
            | Op::DepthwiseUpdate(DepthwiseUpdate { weights: w, .. }) => weights(w, f),
            Op::ConvNormed(op) => weights(&op.update.weights, f),
            Op::PickUpdate(op) => weights(&op.weights, f),
            Op::ConvOptimize(op) => {
                weights(&op.update.weights, f);
                optimizer(&op.optimizer, f);
            }
            Op::DepthwiseOptimize(op) => {
                weights(&op.update.weights, f);
                optimizer(&op.optimizer, f);
            }
            _ => {}
        }
    }
}

fn weights(weights: &Weights, f: &mut dyn FnMut(Kind, Slot)) {
    let kind = match weights.precision {
        Precision::Residual | Precision::Picked => Kind::Latent,
        Precision::Stochastic => Kind::Weight,
        Precision::Sign => Kind::Sign,
    };
    f(kind, weights.latent);
}

fn optimizer(optimizer: &Optimizer, f: &mut dyn FnMut(Kind, Slot)) {
    for slot in [optimizer.velocity, optimizer.sum, optimizer.counter] {
        f(Kind::Course, slot);
    }
}

impl Program<'_> {
    /// As [`Trainer::part`].
    pub fn part(&self, from: u32) -> Option<Part> {
        let mut best: Option<Part> = None;
        for op in self.ops {
            op.parts(&mut |kind, slot| {
                let counts = slot.memory == Memory::State && !slot.is_empty();
                let nearer = best.is_none_or(|best| slot.offset < best.slot.offset);
                if counts && nearer && slot.offset >= from {
                    best = Some(Part { kind, slot });
                }
            });
        }
        best
    }
}

impl Program<'_> {
    /// Bytes of the image of what it learns.
    pub fn learnt_bytes(&self) -> u32 {
        let (mut from, mut bytes) = (0, 0u32);
        while let Some(Part { kind, slot }) = self.part(from) {
            if kind != Kind::Course {
                bytes = bytes.saturating_add(kind.image(slot.len()) as u32);
            }
            from = slot.offset.saturating_add(slot.bytes);
        }
        bytes
    }
}

/// A run of a part's bytes, within one part.
#[derive(Clone, Copy, Debug)]
struct Piece {
    kind: Kind,
    at: usize,
    bytes: usize,
    /// Bytes of the image: those, filled up.
    image: usize,
}

/// A place in an image, from which it goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Where the next part is looked for.
    from: u32,
    /// What is left of the last.
    at: u32,
    left: u32,
    kind: Option<Kind>,
}

impl Walk {
    /// Kind of what comes next.
    fn kind<T: Trainer + ?Sized>(&mut self, trainer: &T) -> Option<Kind> {
        while self.left == 0 || matches!(self.kind, None | Some(Kind::Course)) {
            let Part { kind, slot } = trainer.part(self.from)?;
            self.from = slot.offset.saturating_add(slot.bytes);
            (self.at, self.left, self.kind) = (slot.offset, slot.bytes, Some(kind));
        }
        self.kind
    }

    /// The next bytes, at most `most` of the image, a multiple of 4.
    fn next<T: Trainer + ?Sized>(&mut self, trainer: &T, most: usize) -> Option<Piece> {
        let kind = self.kind(trainer)?;
        let (at, bytes) = (self.at as usize, (self.left as usize).min(kind.within(most)));
        self.at = self.at.saturating_add(bytes as u32);
        self.left -= bytes as u32;
        (bytes > 0).then_some(Piece { kind, at, bytes, image: kind.image(bytes) })
    }

    /// Takes the next bytes of the image out, a multiple of 4; how many there were.
    pub fn take<T: Trainer + ?Sized>(&mut self, trainer: &T, image: &mut [u8]) -> usize {
        let (mut rest, mut taken) = (image, 0);
        while let Some(piece) = self.next(trainer, rest.len()) {
            let state = trainer.state().get(piece.at..piece.at + piece.bytes).unwrap_or_default();
            let Some((now, later)) = core::mem::take(&mut rest).split_at_mut_checked(piece.image)
            else {
                break;
            };
            now.fill(0);
            piece.kind.take(state, now);
            (rest, taken) = (later, taken + piece.image);
        }
        taken
    }

    /// Puts the next bytes of the image in place.
    pub fn put<T: Trainer + ?Sized>(&mut self, trainer: &mut T, image: &[u8]) {
        let mut rest = image;
        while let Some(piece) = self.next(trainer, rest.len()) {
            let Some((now, later)) = rest.split_at_checked(piece.image) else { break };
            let state = trainer.state_mut().get_mut(piece.at..piece.at + piece.bytes);
            piece.kind.give(now, state.unwrap_or_default());
            rest = later;
        }
    }

    /// How many of the next bytes of the image, a multiple of 4, hold no more than `most` elements, of which
    /// there must be 32.
    pub fn span<T: Trainer + ?Sized>(mut self, trainer: &T, most: usize) -> usize {
        let (mut room, mut image) = (most, 0usize);
        while let Some(kind) = self.kind(trainer) {
            // No element takes less than a byte of state.
            let bytes = room / kind.within(1) / 4 * 4;
            let Some(piece) = self.next(trainer, bytes) else { break };
            room = room.saturating_sub(piece.bytes);
            image = image.saturating_add(piece.image);
        }
        image
    }

    /// Adds `weight` times what the next bytes of an image differ from state by, an element each.
    pub fn add<T: Trainer + ?Sized>(
        mut self,
        trainer: &T,
        image: &[u8],
        weight: i32,
        sums: &mut [i64],
    ) {
        let (mut rest, mut sums) = (image, sums.iter_mut());
        while let Some(piece) = self.next(trainer, rest.len()) {
            let Some((now, later)) = rest.split_at_checked(piece.image) else { break };
            let state = trainer.state().get(piece.at..piece.at + piece.bytes).unwrap_or_default();
            let (mut elements, mut n) = (state, 0);
            while let Some((first, later)) = piece.kind.first(elements) {
                let Some(sum) = sums.next() else { break };
                let off = piece.kind.stored(now, n) - piece.kind.value(first);
                *sum = sum.saturating_add(off.saturating_mul(weight.into()));
                (elements, n) = (later, n + 1);
            }
            rest = later;
        }
    }

    /// Adds the sums of [`Walk::add`] to the next `image` bytes: rounded once, up where it is between,
    /// and saturated.
    pub fn settle<T: Trainer + ?Sized>(&mut self, trainer: &mut T, image: usize, sums: &[i64]) {
        let (mut rest, mut sums) = (image, sums.iter());
        while let Some(piece) = self.next(trainer, rest) {
            let state = trainer.state_mut().get_mut(piece.at..piece.at + piece.bytes);
            let mut elements = state.unwrap_or_default();
            while !elements.is_empty() {
                let size = piece.kind.bytes();
                let split = core::mem::take(&mut elements).split_at_mut_checked(size);
                let (Some((element, later)), Some(&sum)) = (split, sums.next()) else { break };
                elements = later;
                let off = sum.saturating_add(1 << (WEIGHT_BITS - 1)) >> WEIGHT_BITS;
                piece.kind.put(element, piece.kind.value(element).saturating_add(off));
            }
            rest = rest.saturating_sub(piece.image);
        }
    }
}

/// Fraction bits of a weight in a blend: 1 is `1 << WEIGHT_BITS`.
pub const WEIGHT_BITS: u32 = 15;

/// Bytes of the image of what was learnt.
pub fn length<T: Trainer + ?Sized>(trainer: &T) -> u32 {
    let (mut walk, mut length) = (Walk::default(), 0usize);
    while let Some(piece) = walk.next(trainer, u32::MAX as usize) {
        length = length.saturating_add(piece.image);
    }
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// Lets the first `rank` channels count, or all where there are fewer, of every adapter whose first can do without
/// the rest; whether there is one.
pub fn cut<T: Trainer + ?Sized>(trainer: &mut T, rank: u16) -> bool {
    let (mut from, mut any) = (0, false);
    while let Some(Part { kind, slot }) = trainer.part(from) {
        if kind == Kind::Rank {
            let word = trainer.state_mut().get_mut(slot.start()..slot.end());
            kind.put(word.unwrap_or_default(), rank.into());
            any = true;
        }
        from = slot.offset.saturating_add(slot.bytes);
    }
    any
}

/// Forgets what an optimizer had in mind.
pub fn clear_course<T: Trainer + ?Sized>(trainer: &mut T) {
    let mut from = 0;
    while let Some(Part { kind, slot }) = trainer.part(from) {
        if kind == Kind::Course {
            let state = trainer.state_mut().get_mut(slot.start()..slot.end());
            state.unwrap_or_default().fill(0);
        }
        from = slot.offset.saturating_add(slot.bytes);
    }
}

/// Puts what is learnt back to its first content, and forgets what an optimizer had in mind.
///
/// # Errors
/// A [`Fault`] only if the program was not verified.
pub fn forget<T: Trainer + ?Sized>(trainer: &mut T) -> Result<(), Fault> {
    trainer.first()?;
    clear_course(trainer);
    Ok(())
}

#[cfg(test)]
mod tests;
