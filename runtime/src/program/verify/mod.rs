//! Accepts a program, or says what is wrong with it: no op of an accepted program can fail,
//! panic, or touch what is not its own.
//!
//! What holds of every op afterwards:
//! * each slot lies in the memory its role asks for, inside it, aligned for its elements (the
//!   memories being aligned to 8 bytes), and has exactly the size that the op's shapes imply
//!   (scratch: at least);
//! * what an op writes shares no byte with anything else it uses;
//! * every window sees at least one pixel, strides are positive, shapes are not empty;
//! * zero points are int8 values, ranges are not empty, multipliers are not negative and their
//!   shifts lie in [-31, 30];
//! * sums of products stay within 32 bits;
//! * selected channels ascend and exist;
//! * labels below the header's class count are classes of the loss.
//!
//! Not checked here: that a tensor was written before it is read. That needs a picture of the
//! whole arena, which the compiler's plan checker has.

mod forward;
mod training;

#[cfg(test)]
mod tests;

use super::{Access, Header, Init, Op, Output, Program, Slot};
use crate::fixed::Multiplier;
use crate::machine::{part, typed};
use crate::program::op::{ChannelScale, Error, Geometry, Precision, Range, Shape, Weights};
use crate::program::Memory;
use crate::Fault;

/// What is wrong with a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Index of the op; none where the header or the first content of state is at fault.
    pub op: Option<usize>,
    /// What is wrong.
    pub fault: Fault,
    /// Where in the op.
    pub what: &'static str,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.op {
            Some(op) => write!(f, "op {op}, {}: {}", self.what, self.fault),
            None => write!(f, "{}: {}", self.what, self.fault),
        }
    }
}

impl core::error::Error for Refusal {}

/// Checks that `program` can run.
///
/// # Errors
/// A [`Refusal`] that names the first thing that is wrong.
pub fn verify(program: &Program<'_>) -> Result<(), Refusal> {
    let refuse = |op| move |Problem(fault, what)| Refusal { op, fault, what };
    let rules = Rules { header: &program.header, constants: program.constants };
    rules.header(program.ops.len()).map_err(refuse(None))?;
    for init in program.init {
        rules.init(init).map_err(refuse(None))?;
    }
    for (index, op) in program.ops.iter().enumerate() {
        rules.op(op).and_then(|()| disjoint(op)).map_err(refuse(Some(index)))?;
    }
    Ok(())
}

/// A fault and where it was found.
#[derive(Clone, Copy, Debug)]
struct Problem(Fault, &'static str);

type Check = Result<(), Problem>;

/// [`Fault::Size`] of `what` unless `holds`.
fn ensure(holds: bool, what: &'static str) -> Check {
    if holds {
        Ok(())
    } else {
        Err(Problem(Fault::Size, what))
    }
}

/// Elements of a shape; cannot overflow.
fn elements(shape: Shape) -> u64 {
    positions(shape) * shape.c as u64
}

fn positions(shape: Shape) -> u64 {
    shape.h as u64 * shape.w as u64
}

/// Refuses an op that writes what it also reads or writes elsewhere.
fn disjoint(op: &Op) -> Check {
    let (mut index, mut clash) = (0, false);
    let mut writer = *op;
    writer.visit(&mut |access, written| {
        let own = index;
        index += 1;
        if !matches!(access, Access::Write | Access::Update) {
            return;
        }
        let (mut index, mut other) = (0, *op);
        other.visit(&mut |access, slot| {
            let same = index == own || access == Access::Scratch;
            clash |= !same && slot.memory == written.memory && slot.overlaps(written);
            index += 1;
        });
    });
    if clash {
        return Err(Problem(Fault::Overlap, "what it writes"));
    }
    Ok(())
}

/// The rules that ops share, over the memories of one program.
#[derive(Clone, Copy)]
struct Rules<'p> {
    header: &'p Header,
    constants: &'p [u8],
}

impl Rules<'_> {
    fn header(&self, ops: usize) -> Check {
        let h = self.header;
        ensure(h.forward as usize <= ops, "length of the forward pass")?;
        ensure(h.classes > 0, "classes")?;
        let aligned = self.constants.as_ptr().addr() % 4 == 0;
        if !self.constants.is_empty() && !aligned {
            return Err(Problem(Fault::Misaligned, "constants"));
        }
        self.slot("input", h.input, Memory::Arena, 1, elements(h.input_shape))?;
        let size = match h.output_kind {
            Output::Logits => 4,
            Output::Scores => 1,
        };
        self.slot("output", h.output, Memory::Arena, size, h.classes.into())
    }

    fn init(&self, init: &Init) -> Check {
        match init {
            Init::Copy { from, to } => {
                self.slot("initial bytes", *from, Memory::Constant, 1, to.bytes.into())?;
                self.slot("initial state", *to, Memory::State, 1, from.bytes.into())
            }
            Init::Latent(w) => {
                ensure(!w.latent.is_empty(), "trained weights")?;
                self.weights(w, w.rows, w.taps.into(), w.channels)
            }
        }
    }

    fn op(&self, op: &Op) -> Check {
        match op {
            Op::Conv(op) => self.conv(op),
            Op::Depthwise(op) => self.depthwise(op),
            Op::Add(op) => self.add(op),
            Op::AvgPool(op) => self.avg_pool(op),
            Op::PoolMean(op) => self.pool_mean(op),
            Op::Requantize(op) => self.requantize(op),
            Op::Softmax(op) => self.softmax(op),
            Op::Head(op) => self.head(op),
            Op::SaveChannels(op) => self.save_channels(op),
            Op::SoftmaxCrossEntropy(op) => self.loss(op),
            Op::HeadInputGrad(op) => self.head_input_grad(op),
            Op::HeadUpdate(op) => self.head_update(op),
            Op::ConvInputGrad(op) => self.conv_input_grad(op),
            Op::DepthwiseInputGrad(op) => self.depthwise_input_grad(op),
            Op::PoolInputGrad(op) => self.pool_input_grad(op),
            Op::SumGrad(op) => self.sum_grad(op),
            Op::BiasUpdate(op) => self.bias_update(op),
            Op::ConvUpdate(op) => self.conv_update(op),
            Op::DepthwiseUpdate(op) => self.depthwise_update(op),
        }
    }

    /// Whether `slot` lies inside `memory`, which may be empty; its kind is not looked at.
    fn inside(&self, what: &'static str, slot: Slot, memory: Memory) -> Check {
        let size = match memory {
            Memory::Arena => self.header.arena.into(),
            Memory::State => self.header.state.into(),
            Memory::Scratch => self.header.scratch.into(),
            Memory::Constant => self.constants.len() as u64,
        };
        if slot.offset as u64 + slot.bytes as u64 > size {
            return Err(Problem(Fault::OutOfBounds, what));
        }
        Ok(())
    }

    /// A slot of `count` elements of `size` bytes each.
    fn slot(&self, what: &'static str, slot: Slot, memory: Memory, size: u32, count: u64) -> Check {
        self.inside(what, slot, memory)?;
        ensure(slot.bytes as u64 == count * size as u64, what)?;
        if !slot.is_empty() && slot.memory != memory {
            return Err(Problem(Fault::OutOfBounds, what));
        }
        if slot.offset % size != 0 {
            return Err(Problem(Fault::Misaligned, what));
        }
        Ok(())
    }

    /// An int8 tensor.
    fn tensor(&self, what: &'static str, slot: Slot, count: u64) -> Check {
        self.slot(what, slot, Memory::Arena, 1, count)
    }

    /// A clamp mask of `count` elements, or none.
    fn mask(&self, slot: Slot, count: u64) -> Check {
        let count = if slot.is_empty() { 0 } else { count.div_ceil(8) };
        self.slot("mask", slot, Memory::Arena, 1, count)
    }

    /// Working memory of at least `bytes`.
    fn scratch(&self, slot: Slot, bytes: u64) -> Check {
        self.inside("scratch", slot, Memory::Scratch)?;
        ensure(slot.bytes as u64 >= bytes, "scratch")?;
        if !slot.is_empty() && slot.memory != Memory::Scratch {
            return Err(Problem(Fault::OutOfBounds, "scratch"));
        }
        if slot.offset % 4 != 0 {
            return Err(Problem(Fault::Misaligned, "scratch"));
        }
        Ok(())
    }

    /// i32 `[count]` in constants or in state.
    fn bias(&self, slot: Slot, count: u64) -> Check {
        let memory = match slot.memory {
            Memory::State => Memory::State,
            _ => Memory::Constant,
        };
        self.slot("bias", slot, memory, 4, count)
    }

    fn multiplier(&self, what: &'static str, m: Multiplier) -> Check {
        ensure(m.value >= 0 && (-31..=30).contains(&m.shift), what)
    }

    fn channel_scale(&self, scale: &ChannelScale, channels: u16) -> Check {
        self.slot("multipliers", scale.multiplier, Memory::Constant, 4, channels.into())?;
        self.slot("shifts", scale.shift, Memory::Constant, 1, channels.into())?;
        let values: &[i32] = self.table("multipliers", scale.multiplier)?;
        let shifts: &[i8] = self.table("shifts", scale.shift)?;
        values.iter().zip(shifts).try_for_each(|(&value, &shift)| {
            self.multiplier("multipliers and shifts", Multiplier { value, shift: shift.into() })
        })
    }

    /// A constant table; its slot has been checked.
    fn table<T>(&self, what: &'static str, slot: Slot) -> Result<&[T], Problem>
    where
        T: zerocopy::FromBytes + zerocopy::Immutable,
    {
        part(self.constants, slot).and_then(typed).map_err(|fault| Problem(fault, what))
    }

    fn zero(&self, zero: i16) -> Check {
        ensure(i8::try_from(zero).is_ok(), "zero point")
    }

    fn range(&self, range: &Range) -> Check {
        self.zero(range.zero)?;
        ensure(range.min <= range.max, "output range")
    }

    /// Whether a sum of `terms` products of a weight and an offset int8 stays within 32 bits.
    fn sum_fits(&self, terms: u64) -> Check {
        ensure(terms * 128 * 255 <= i32::MAX as u64, "number of terms of a sum")
    }

    /// Shapes that are not empty, and windows that all see a pixel.
    fn geometry(&self, g: &Geometry) -> Check {
        let Geometry { x, y, window } = g;
        ensure(elements(*x) > 0 && elements(*y) > 0, "shapes")?;
        let axes = [(x.h, y.h), (x.w, y.w)];
        for (axis, (size, outputs)) in axes.into_iter().enumerate() {
            let (kernel, stride) = (window.kernel[axis], window.stride[axis]);
            let pad = window.pad[axis];
            ensure(kernel > 0 && stride > 0 && pad < kernel, "window")?;
            // Windows move one way: where first and last see a pixel, all do.
            let last = (outputs as u64 - 1) * stride as u64;
            ensure(last < size as u64 + pad as u64, "window")?;
        }
        Ok(())
    }

    /// u16 indices below `channels`, ascending; how many.
    fn selected(&self, slot: Slot, channels: u16) -> Result<u64, Problem> {
        let count = slot.bytes as u64 / 2;
        self.slot("selected channels", slot, Memory::Constant, 2, count)?;
        let indices: &[u16] = self.table("selected channels", slot)?;
        let ascending = indices.windows(2).all(|pair| pair[0] < pair[1]);
        let exist = indices.last().is_none_or(|&last| last < channels);
        ensure(ascending && exist, "selected channels")?;
        Ok(count)
    }

    /// A weight matrix of the given shape, as a forward op or an input gradient reads it.
    fn weights(&self, w: &Weights, rows: u16, taps: u64, channels: u16) -> Check {
        let count = rows as u64 * taps * channels as u64;
        self.slot("frozen weights", w.frozen, Memory::Constant, 1, count)?;
        if w.latent.is_empty() {
            self.inside("trained weights", w.latent, Memory::State)?;
            self.slot("selected channels", w.selected, Memory::Constant, 2, 0)?;
        }
        self.trained(w, rows, taps, channels).map(|_| ())
    }

    /// The shape and the trained part of a weight matrix; how many channels are trained.
    fn trained(&self, w: &Weights, rows: u16, taps: u64, channels: u16) -> Result<u64, Problem> {
        let shape = w.rows == rows && w.taps as u64 == taps && w.channels == channels;
        ensure(shape && rows > 0 && taps > 0 && channels > 0, "shape of the weights")?;
        let selected = self.selected(w.selected, channels)?;
        let count = rows as u64 * taps * selected;
        let size = w.precision.bytes() as u32;
        self.slot("trained weights", w.latent, Memory::State, size, count)?;
        Ok(selected)
    }

    /// Bytes in which a kernel assembles `bytes` of weights, where some are trained.
    fn assembled(&self, w: &Weights, bytes: u64) -> u64 {
        if w.latent.is_empty() {
            0
        } else {
            bytes
        }
    }

    /// Random state, where the precision asks for it.
    fn random(&self, slot: Slot, precision: Precision) -> Check {
        let count = u64::from(precision == Precision::Stochastic);
        self.slot("random state", slot, Memory::State, 4, count)
    }

    /// An error tensor that is read.
    fn error(&self, what: &'static str, error: &Error, count: u64) -> Check {
        self.tensor(what, error.data, count)?;
        let words = if error.tracker.is_empty() { 0 } else { 2 };
        self.slot("exponent tracker", error.tracker, Memory::State, 4, words)
    }

    /// An error tensor that may be absent.
    fn skip(&self, error: &Error, count: u64) -> Check {
        let count = if error.data.is_empty() { 0 } else { count };
        self.error("error by another path", error, count)
    }

    /// An error tensor that is written: its exponent must have a place.
    fn error_out(&self, error: &Error, count: u64) -> Check {
        self.tensor("error of the input", error.data, count)?;
        self.slot("exponent tracker", error.tracker, Memory::State, 4, 2)
    }
}
