//! Rules that ops share: about slots, tables, shapes and numbers.

use crate::fixed::Multiplier;
use crate::machine::{part, typed};
use crate::program::op::{ChannelScale, Error, Geometry, Precision, Range, Shape, Weights};
use crate::program::{Header, Memory, Slot};
use crate::Fault;

/// A fault and where it was found.
#[derive(Clone, Copy, Debug)]
pub struct Problem(pub Fault, pub &'static str);

/// What a rule finds.
pub type Check = Result<(), Problem>;

/// [`Fault::Size`] of `what` unless `holds`.
pub fn ensure(holds: bool, what: &'static str) -> Check {
    if holds {
        Ok(())
    } else {
        Err(Problem(Fault::Size, what))
    }
}

/// Elements of a shape; cannot overflow.
pub fn elements(shape: Shape) -> u64 {
    positions(shape) * shape.c as u64
}

/// Pixels of a shape.
pub fn positions(shape: Shape) -> u64 {
    shape.h as u64 * shape.w as u64
}

/// The rules that ops share, over the memories of one program.
#[derive(Clone, Copy)]
pub struct Rules<'p> {
    /// Sizes and classes.
    pub header: &'p Header,
    /// Weights and tables.
    pub constants: &'p [u8],
}

impl Rules<'_> {
    /// Whether `slot` lies inside `memory`, which may be empty; its kind is not looked at.
    pub fn inside(&self, what: &'static str, slot: Slot, memory: Memory) -> Check {
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
    pub fn slot(
        &self,
        what: &'static str,
        slot: Slot,
        memory: Memory,
        size: u32,
        count: u64,
    ) -> Check {
        self.inside(what, slot, memory)?;
        ensure(slot.bytes as u64 == count * size as u64, what)?;
        if !slot.is_empty() && slot.memory != memory {
            return Err(Problem(Fault::OutOfBounds, what));
        }
        if !slot.offset.is_multiple_of(size) {
            return Err(Problem(Fault::Misaligned, what));
        }
        Ok(())
    }

    /// An int8 tensor.
    pub fn tensor(&self, what: &'static str, slot: Slot, count: u64) -> Check {
        self.slot(what, slot, Memory::Arena, 1, count)
    }

    /// A clamp mask of `count` elements, or none.
    pub fn mask(&self, slot: Slot, count: u64) -> Check {
        let count = if slot.is_empty() { 0 } else { count.div_ceil(8) };
        self.slot("mask", slot, Memory::Arena, 1, count)
    }

    /// Working memory of at least `bytes`.
    pub fn scratch(&self, slot: Slot, bytes: u64) -> Check {
        self.inside("scratch", slot, Memory::Scratch)?;
        ensure(slot.bytes as u64 >= bytes, "scratch")?;
        if !slot.is_empty() && slot.memory != Memory::Scratch {
            return Err(Problem(Fault::OutOfBounds, "scratch"));
        }
        if !slot.offset.is_multiple_of(4) {
            return Err(Problem(Fault::Misaligned, "scratch"));
        }
        Ok(())
    }

    /// Working memory of at least `count` i32, and whole ones.
    pub fn sums(&self, slot: Slot, count: u64) -> Check {
        self.scratch(slot, 4 * count)?;
        ensure(slot.bytes.is_multiple_of(4), "scratch")
    }

    /// i32 `[count]` in constants or in state.
    pub fn bias(&self, slot: Slot, count: u64) -> Check {
        let memory = match slot.memory {
            Memory::State => Memory::State,
            _ => Memory::Constant,
        };
        self.slot("bias", slot, memory, 4, count)
    }

    pub fn multiplier(&self, what: &'static str, m: Multiplier) -> Check {
        ensure(m.value >= 0 && (-31..=30).contains(&m.shift), what)
    }

    pub fn channel_scale(&self, scale: &ChannelScale, channels: u16) -> Check {
        self.slot("multipliers", scale.multiplier, Memory::Constant, 4, channels.into())?;
        self.slot("shifts", scale.shift, Memory::Constant, 1, channels.into())?;
        let values: &[i32] = self.table("multipliers", scale.multiplier)?;
        let shifts: &[i8] = self.table("shifts", scale.shift)?;
        values.iter().zip(shifts).try_for_each(|(&value, &shift)| {
            self.multiplier("multipliers and shifts", Multiplier { value, shift: shift.into() })
        })
    }

    /// A constant table; its slot has been checked.
    pub fn table<T>(&self, what: &'static str, slot: Slot) -> Result<&[T], Problem>
    where
        T: zerocopy::FromBytes + zerocopy::Immutable,
    {
        part(self.constants, slot).and_then(typed).map_err(|fault| Problem(fault, what))
    }

    pub fn zero(&self, zero: i16) -> Check {
        ensure(i8::try_from(zero).is_ok(), "zero point")
    }

    pub fn range(&self, range: &Range) -> Check {
        self.zero(range.zero)?;
        ensure(range.min <= range.max, "output range")
    }

    /// Whether a sum of `terms` products of a weight and an offset int8 stays within 32 bits.
    pub fn sum_fits(&self, terms: u64) -> Check {
        ensure(terms * 128 * 255 <= i32::MAX as u64, "number of terms of a sum")
    }

    /// Shapes that are not empty, and windows that all overlap the map.
    pub fn geometry(&self, g: &Geometry) -> Check {
        let Geometry { x, y, window } = g;
        ensure(elements(*x) > 0 && elements(*y) > 0, "shapes")?;
        let axes = [(x.h, y.h), (x.w, y.w)];
        for (axis, (size, outputs)) in axes.into_iter().enumerate() {
            let (kernel, stride) = (window.kernel[axis], window.stride[axis]);
            let pad = window.pad[axis];
            let (dilation, span) = (window.dilation[axis], window.span(axis));
            ensure(kernel > 0 && stride > 0 && dilation > 0 && (pad as u64) < span, "window")?;
            // Windows move one way: where first and last overlap the map, all do.
            let last = (outputs as u64 - 1) * stride as u64;
            ensure(last < size as u64 + pad as u64, "window")?;
        }
        Ok(())
    }

    /// Windows that all see a pixel: none is so far dilated that it steps over the map.
    pub fn sees(&self, g: &Geometry) -> Check {
        self.geometry(g)?;
        let [down, right] = g.window.dilation;
        ensure(down <= g.x.h.max(1) && right <= g.x.w.max(1), "dilation")
    }

    /// u16 indices below `channels`, ascending; how many.
    pub fn selected(&self, slot: Slot, channels: u16) -> Result<u64, Problem> {
        let count = slot.bytes as u64 / 2;
        self.slot("selected channels", slot, Memory::Constant, 2, count)?;
        let indices: &[u16] = self.table("selected channels", slot)?;
        let ascending = indices.windows(2).all(|pair| pair[0] < pair[1]);
        let exist = indices.last().is_none_or(|&last| last < channels);
        ensure(ascending && exist, "selected channels")?;
        Ok(count)
    }

    /// u32 places below `elements`, ascending; how many.
    fn places(&self, slot: Slot, elements: u64) -> Result<u64, Problem> {
        let count = slot.bytes as u64 / 4;
        self.slot("picked weights", slot, Memory::Constant, 4, count)?;
        let places: &[u32] = self.table("picked weights", slot)?;
        let ascending = places.windows(2).all(|pair| pair[0] < pair[1]);
        let exist = places.last().is_none_or(|&last| u64::from(last) < elements);
        ensure(ascending && exist && count > 0, "picked weights")?;
        Ok(count)
    }

    /// A weight matrix of the given shape, as a forward op or an input gradient reads it.
    pub fn weights(&self, w: &Weights, rows: u16, taps: u64, channels: u16) -> Check {
        let count = rows as u64 * taps * channels as u64;
        self.slot("frozen weights", w.frozen, Memory::Constant, 1, count)?;
        if w.latent.is_empty() {
            self.inside("trained weights", w.latent, Memory::State)?;
            self.slot("selected channels", w.selected, Memory::Constant, 2, 0)?;
        }
        self.trained(w, rows, taps, channels).map(|_| ())
    }

    /// The shape and the trained part of a weight matrix; how many channels are trained, none where single weights are.
    pub fn trained(
        &self,
        w: &Weights,
        rows: u16,
        taps: u64,
        channels: u16,
    ) -> Result<u64, Problem> {
        let shape = w.rows == rows && w.taps as u64 == taps && w.channels == channels;
        ensure(shape && rows > 0 && taps > 0 && channels > 0, "shape of the weights")?;
        if w.precision == Precision::Picked && !w.latent.is_empty() {
            let elements = u64::from(rows) * taps * u64::from(channels);
            let places = self.places(w.selected, elements)?;
            return self.slot("trained weights", w.latent, Memory::State, 2, places).map(|()| 0);
        }
        let selected = self.selected(w.selected, channels)?;
        let count = rows as u64 * taps * selected;
        let size = w.precision.bytes() as u32;
        self.slot("trained weights", w.latent, Memory::State, size, count)?;
        Ok(selected)
    }

    /// Bytes in which a kernel assembles `bytes` of weights, where some are trained.
    pub fn assembled(&self, w: &Weights, bytes: u64) -> u64 {
        if w.latent.is_empty() {
            0
        } else {
            bytes
        }
    }

    /// Random state, where the precision asks for it.
    pub fn random(&self, slot: Slot, precision: Precision) -> Check {
        let count = u64::from(precision.draws());
        self.slot("random state", slot, Memory::State, 4, count)
    }

    /// An error tensor that is read.
    pub fn error(&self, what: &'static str, error: &Error, count: u64) -> Check {
        self.tensor(what, error.data, count)?;
        let words = if error.tracker.is_empty() { 0 } else { 2 };
        self.slot("exponent tracker", error.tracker, Memory::State, 4, words)
    }

    /// An error tensor that may be absent.
    pub fn skip(&self, error: &Error, count: u64) -> Check {
        let count = if error.data.is_empty() { 0 } else { count };
        self.error("error by another path", error, count)
    }

    /// An error tensor that is written: its exponent must have a place.
    pub fn error_out(&self, error: &Error, count: u64) -> Check {
        self.tensor("error of the input", error.data, count)?;
        self.slot("exponent tracker", error.tracker, Memory::State, 4, 2)
    }
}
