//! What each forward op asks of its operands.

use super::rules::{elements, ensure, positions, Check, Problem, Rules};
use crate::program::op::{
    Add, AvgPool, Contraction, Conv, Copy, Depthwise, Head, MatMul, MaxPool, Mul, Nest, Normalize,
    Path, PoolMean, Receive, Requantize, SaveChannels, Softmax, Steps, Table,
};
use crate::program::{Memory, Slot};

impl Rules<'_> {
    pub(super) fn conv(&self, op: &Conv) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        let taps = op.geometry.window.taps() as u64;
        self.geometry(&op.geometry)?;
        self.tensor("input", op.input, elements(x))?;
        self.tensor("output", op.output, elements(y))?;
        self.mask(op.mask, elements(y))?;
        let channels = self.grouped(x.c, y.c, op.groups)?;
        self.weights(&op.weights, y.c, taps, channels)?;
        self.bias(op.bias, y.c.into())?;
        self.channel_scale(&op.scale, y.c)?;
        self.zero(op.x_zero)?;
        self.range(&op.range)?;
        let row = taps * channels as u64;
        self.sum_fits(row)?;
        self.scratch(op.scratch, self.assembled(&op.weights, row))
    }

    /// Input channels of a group.
    pub(super) fn grouped(&self, x: u16, y: u16, groups: u16) -> Result<u16, Problem> {
        let divides = |n: u16| groups > 0 && n.is_multiple_of(groups);
        ensure(divides(x) && divides(y), "groups")?;
        Ok(x.checked_div(groups).unwrap_or_default())
    }

    pub(super) fn depthwise(&self, op: &Depthwise) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        let taps = op.geometry.window.taps() as u64;
        self.geometry(&op.geometry)?;
        ensure(x.c == y.c && taps <= u16::MAX as u64, "shapes")?;
        self.tensor("input", op.input, elements(x))?;
        self.tensor("output", op.output, elements(y))?;
        self.mask(op.mask, elements(y))?;
        self.weights(&op.weights, taps as u16, 1, x.c)?;
        self.bias(op.bias, y.c.into())?;
        self.channel_scale(&op.scale, y.c)?;
        self.zero(op.x_zero)?;
        self.range(&op.range)?;
        self.sum_fits(taps)?;
        let matrix = self.assembled(&op.weights, taps * x.c as u64);
        self.scratch(op.scratch, matrix)
    }

    pub(super) fn add(&self, op: &Add) -> Check {
        let count = op.output.bytes.into();
        self.tensor("first term", op.a, count)?;
        self.tensor("second term", op.b, count)?;
        self.tensor("sum", op.output, count)?;
        self.mask(op.mask, count)?;
        op.zeros.iter().try_for_each(|&zero| self.zero(zero))?;
        op.scales.iter().try_for_each(|&m| self.multiplier("scale of a term", m))?;
        self.multiplier("scale of the sum", op.y_scale)?;
        self.range(&op.range)
    }

    pub(super) fn avg_pool(&self, op: &AvgPool) -> Check {
        let (x, y, window) = (op.geometry.x, op.geometry.y, op.geometry.window);
        self.sees(&op.geometry)?;
        ensure(x.c == y.c, "shapes")?;
        self.tensor("input", op.input, elements(x))?;
        self.tensor("output", op.output, elements(y))?;
        self.zero(op.x_zero)?;
        self.range(&op.range)?;
        self.multiplier("scale", op.scale)?;
        self.sum_fits(window.taps() as u64)?;
        if op.scale.value == 0 {
            return Ok(());
        }
        // The scale holds the number of taps, so that all windows must be whole.
        let whole = |axis: usize, size: u16, outputs: u16| {
            let last = (outputs as u64 - 1) * window.stride[axis] as u64;
            window.pad[axis] == 0 && last + window.span(axis) <= size as u64
        };
        ensure(whole(0, x.h, y.h) && whole(1, x.w, y.w), "window")
    }

    pub(super) fn max_pool(&self, op: &MaxPool) -> Check {
        let (x, y) = (op.geometry.x, op.geometry.y);
        self.sees(&op.geometry)?;
        ensure(x.c == y.c, "shapes")?;
        self.tensor("input", op.input, elements(x))?;
        self.tensor("output", op.output, elements(y))?;
        let kept = if op.index.is_empty() { 0 } else { elements(y) };
        ensure(kept == 0 || op.geometry.window.taps() <= 256, "window")?;
        self.tensor("index", op.index, kept)
    }

    pub(super) fn lookup(&self, op: &Table) -> Check {
        let count = op.output.bytes.into();
        self.tensor("input", op.input, count)?;
        self.tensor("output", op.output, count)?;
        self.slot("table", op.table, Memory::Constant, 1, 256)
    }

    pub(super) fn nest(&self, op: &Nest) -> Check {
        let count = op.output.bytes;
        self.tensor("input", op.input, count.into())?;
        self.tensor("output", op.output, count.into())?;
        self.zero(op.zero)?;
        self.slot("random state", op.random, Memory::State, 4, 1)?;
        self.ranks(count, [op.channels, op.part], [op.kept, op.drawn])
    }

    /// Whole pixels of so many channels, in parts of so many, and the words that say which pass.
    pub(super) fn ranks(&self, count: u32, [channels, part]: [u16; 2], words: [Slot; 2]) -> Check {
        ensure(channels > 0 && count.is_multiple_of(channels.into()), "channels")?;
        ensure(part <= channels, "channels of a part")?;
        let [kept, drawn] = words;
        self.slot("channels kept", kept, Memory::State, 4, 1)?;
        self.slot("channels drawn", drawn, Memory::State, 4, 1)
    }

    pub(super) fn mul(&self, op: &Mul) -> Check {
        let count = op.output.bytes;
        self.tensor("first factor", op.a, count.into())?;
        self.tensor("product", op.output, count.into())?;
        let other = self.broadcast(op.steps, count, op.channels)?;
        self.tensor("second factor", op.b, other)?;
        op.zeros.iter().try_for_each(|&zero| self.zero(zero))?;
        self.multiplier("scale", op.scale)?;
        self.range(&op.range)
    }

    /// Elements of a tensor laid over `count` elements of so many channels.
    pub(super) fn broadcast(&self, s: Steps, count: u32, channels: u16) -> Result<u64, Problem> {
        ensure(channels > 0 && count > 0 && count.is_multiple_of(channels.into()), "shapes")?;
        let known = [[channels, 1], [0, 1], [1, 0], [0, 0]];
        ensure(known.contains(&[s.pixel, s.channel]), "broadcast")?;
        Ok(s.elements((count / u32::from(channels)) as usize, channels.into()) as u64)
    }

    pub(super) fn matmul(&self, op: &MatMul) -> Check {
        let lengths = [op.a.bytes, op.b.bytes, op.output.bytes];
        self.tensor("first factor", op.a, op.a.bytes.into())?;
        self.tensor("second factor", op.b, op.b.bytes.into())?;
        self.tensor("product", op.output, op.output.bytes.into())?;
        let terms = self.contraction(&op.loops, lengths)?;
        // Distinct places inside y, as many as it has: each is one sum.
        ensure(op.loops.y.elements(op.loops.size) == op.output.bytes.into(), "loops")?;
        ensure(terms <= MatMul::MOST_TERMS, "number of terms of a sum")?;
        op.zeros.iter().try_for_each(|&zero| self.zero(zero))?;
        self.multiplier("scale", op.scale)?;
        self.range(&op.range)
    }

    /// Loops that stay inside tensors of so many elements, and meet each element of the sum once;
    /// how many terms it has.
    pub(super) fn contraction(
        &self,
        loops: &Contraction,
        lengths: [u32; 3],
    ) -> Result<u64, Problem> {
        ensure(loops.size.iter().all(|&n| n > 0), "loops")?;
        for (strides, length) in [&loops.a, &loops.b, &loops.y].into_iter().zip(lengths) {
            ensure(strides.last(loops.size) < length.into(), "loops")?;
        }
        ensure(loops.y.are_distinct(loops.size), "loops")?;
        let turns = loops.size.iter().map(|&n| u64::from(n)).product::<u64>();
        Ok(turns / loops.y.elements(loops.size).max(1))
    }

    pub(super) fn normalize(&self, op: &Normalize) -> Check {
        let count = op.output.bytes;
        self.tensor("input", op.input, count.into())?;
        self.tensor("output", op.output, count.into())?;
        let rows = self.rows(count, op.depth, Normalize::MOST_CHANNELS)?;
        let kept = if op.reciprocal.is_empty() { 0 } else { rows };
        self.slot("reciprocal deviations", op.reciprocal, Memory::Arena, 4, kept)?;
        for (what, value) in [("scale", op.x_scale), ("scale", op.y_scale), ("epsilon", op.epsilon)]
        {
            ensure(value.is_normal() && value > 0.0, what)?;
        }
        self.range(&op.range)
    }

    /// Rows of `depth` elements each, at most `limit`.
    pub(super) fn rows(&self, count: u32, depth: u16, limit: u16) -> Result<u64, Problem> {
        ensure(depth > 0 && depth <= limit && count.is_multiple_of(depth.into()), "depth")?;
        Ok(u64::from(count / u32::from(depth)))
    }

    pub(super) fn copy(&self, op: &Copy) -> Check {
        ensure(op.output.is_empty() != op.part.is_empty(), "output")?;
        let y = if op.part.is_empty() { op.output } else { op.part };
        let from = match op.input.memory {
            Memory::Constant => Memory::Constant,
            _ => Memory::Arena,
        };
        self.slot("input", op.input, from, 1, op.input.bytes.into())?;
        self.tensor("output", op.output, op.output.bytes.into())?;
        self.tensor("part of the output", op.part, op.part.bytes.into())?;
        self.path(&op.path, op.input.bytes, y.bytes)?;
        self.zero(op.x_zero)?;
        self.zero(op.y_zero)?;
        self.multiplier("scale", op.scale)
    }

    /// Whether a path stays inside tensors of so many elements.
    pub(super) fn path(&self, path: &Path, from: u32, to: u32) -> Check {
        ensure(path.size.iter().all(|&n| n > 0), "path")?;
        for (at, steps, count) in [(path.from_at, &path.from, from), (path.to_at, &path.to, to)] {
            let (mut least, mut most) = (i128::from(at), i128::from(at));
            for (&turns, &step) in path.size.iter().zip(steps) {
                let moved = (i128::from(turns) - 1) * i128::from(step);
                least += moved.min(0);
                most += moved.max(0);
            }
            ensure(least >= 0 && most < i128::from(count), "path")?;
        }
        Ok(())
    }

    pub(super) fn pool_mean(&self, op: &PoolMean) -> Check {
        let channels = op.x.c.into();
        ensure(elements(op.x) > 0, "shapes")?;
        self.tensor("input", op.input, elements(op.x))?;
        self.slot("output", op.output, Memory::Arena, 2, channels)?;
        self.zero(op.x_zero)?;
        ensure(positions(op.x) * 255 <= i32::MAX as u64, "number of terms of a sum")?;
        self.scratch(op.scratch, 4)
    }

    pub(super) fn requantize(&self, op: &Requantize) -> Check {
        let count = op.output.bytes.into();
        self.tensor("input", op.input, count)?;
        self.tensor("output", op.output, count)?;
        self.mask(op.mask, count)?;
        self.zero(op.x_zero)?;
        self.multiplier("scale", op.scale)?;
        self.range(&op.range)
    }

    pub(super) fn softmax(&self, op: &Softmax) -> Check {
        let count = op.output.bytes;
        self.tensor("input", op.input, count.into())?;
        self.tensor("output", op.output, count.into())?;
        self.rows(count, op.depth, Softmax::MOST_CHANNELS)?;
        self.multiplier("scale", op.scale)?;
        ensure(op.diff_min <= 0, "least difference")
    }

    pub(super) fn head(&self, op: &Head) -> Check {
        let (features, classes) = (op.input.bytes as u64 / 2, op.output.bytes as u64 / 4);
        ensure(features > 0 && classes > 0, "shapes")?;
        self.slot("features", op.input, Memory::Arena, 2, features)?;
        self.slot("weights", op.latent, Memory::State, 2, features * classes)?;
        self.slot("bias", op.bias, Memory::State, 4, classes)?;
        self.slot("logits", op.output, Memory::Arena, 4, classes)
    }

    pub(super) fn receive(&self, op: &Receive) -> Check {
        ensure(!op.output.is_empty(), "rows of the sample")?;
        self.tensor("rows of the sample", op.output, op.output.bytes.into())
    }

    pub(super) fn save_channels(&self, op: &SaveChannels) -> Check {
        ensure(op.channels > 0, "channels")?;
        let selected = self.selected(op.selected, op.channels)?;
        ensure(selected > 0, "selected channels")?;
        let pixels = op.input.bytes as u64 / op.channels as u64;
        self.tensor("input", op.input, pixels * op.channels as u64)?;
        self.tensor("output", op.output, pixels * selected)
    }
}
