//! Input gradient of a convolution, gathered: each input pixel sums over the outputs that saw it.
//!
//! Frozen rows are read where they lie. Trained rows are assembled [`ROWS`] at a time and used for
//! a block of pixels, as many as scratch holds sums for; sums of integers do not depend on it.

use super::sink::Sink;
use crate::error_scale::{exponent, write};
use crate::kernels::scales::Scales;
use crate::kernels::weights::Rows;
use crate::kernels::x86::{self, Pending};
use crate::kernels::{ensure, positive};
use crate::machine::typed_mut;
use crate::program::op::{ConvInputGrad, Geometry};
use crate::{Fault, Machine};
use core::num::NonZero;
use core::ops::Range;

/// Trained rows that are assembled together, where scratch has room.
const ROWS: usize = 8;

impl ConvInputGrad {
    /// Sums `w q` over outputs, adds the skip branch and rounds once.
    ///
    /// # Errors
    /// A [`Fault`] only if the program was not verified.
    pub fn run(&self, m: &mut Machine<'_>) -> Result<(), Fault> {
        let geometry = self.geometry;
        let unit = exponent(&m.state, &self.error)?.saturating_sub(self.fraction as i32);
        let errors = [&self.error, &self.skip, &self.output];
        let (error, mut sink) = Sink::open(&mut m.arena, &m.state, unit, errors, self.mask)?;
        let groups = self.groups as usize;
        let (inputs, outputs) = (geometry.x.c as usize, geometry.y.c as usize);
        let (each, depth) = (positive(groups)?, outputs / positive(groups)?);
        let width = positive(inputs / each)?;
        ensure(width.get() * groups == inputs && depth * groups == outputs)?;
        ensure(sink.len() == geometry.x.elements() && sink.len() > 0)?;
        ensure(error.len() == geometry.y.elements())?;
        ensure(self.weights.rows as usize == outputs)?;
        ensure(self.weights.channels as usize == width.get())?;
        ensure(self.weights.taps as usize == geometry.window.taps())?;
        let scales = Scales::new(&self.scale, m.constants, outputs)?;
        let trained = !self.weights.latent.is_empty();
        let (_, [scratch]) = m.scratch.split([], [self.scratch])?;
        let mut plan = Plan::new(scratch.len(), width, trained)?;
        plan.pixels = plan.pixels.min(positive(geometry.x.positions())?);
        let sums = plan.pixels.get() * width.get() * 4;
        let (sums, buffer) = scratch.split_at_mut_checked(sums).ok_or(Fault::Size)?;
        let (sums, buffer): (&mut [i32], &mut [i8]) = (typed_mut(sums)?, typed_mut(buffer)?);
        let gather = Gather {
            geometry,
            error,
            scales,
            width,
            row: positive(geometry.window.taps() * width.get())?,
            columns: positive(geometry.x.w as usize)?,
            across: positive(geometry.window.kernel[1] as usize)?,
        };
        write(&mut m.state, &self.output, unit, |quantizer, state| {
            let rows = Rows::new(&self.weights, m.constants, state)?;
            let to = (&mut sink, &mut *quantizer);
            if x86::conv_input(&geometry, groups, error, &rows, &scales, to)? {
                return Ok(());
            }
            for group in 0..groups {
                let channels = group * depth..(group + 1) * depth;
                for first in (0..geometry.x.positions()).step_by(plan.pixels.get()) {
                    let end = geometry.x.positions().min(first + plan.pixels.get());
                    let block = first..end;
                    sums.fill(0);
                    match rows.frozen() {
                        Some(frozen) => gather.frozen(frozen, channels.clone(), first, sums)?,
                        None => {
                            for from in channels.clone().step_by(plan.rows.get()) {
                                let part = from..channels.end.min(from + plan.rows.get());
                                gather.trained(&rows, part, block.clone(), sums, buffer)?;
                            }
                        }
                    }
                    for (pixel, sums) in block.zip(sums.chunks_exact(width.get())) {
                        let at = (pixel * groups + group) * width.get();
                        sink.put(quantizer, at, sums);
                    }
                }
            }
            Ok(())
        })
    }
}

/// How scratch is shared out: sums of `pixels` pixels, then `rows` assembled rows.
#[derive(Clone, Copy, Debug)]
struct Plan {
    pixels: NonZero<usize>,
    rows: NonZero<usize>,
}

impl Plan {
    fn new(bytes: usize, width: NonZero<usize>, trained: bool) -> Result<Plan, Fault> {
        if !trained {
            // Rows cost nothing to revisit, so nothing is gained by a block.
            ensure(bytes >= 4 * width.get())?;
            return Ok(Plan { pixels: NonZero::<usize>::MIN, rows: NonZero::<usize>::MIN });
        }
        ensure(bytes >= 5 * width.get())?;
        let rows = (bytes / width - 4).min(ROWS);
        Ok(Plan { pixels: positive((bytes / width - rows) / 4)?, rows: positive(rows)? })
    }
}

/// What every block of pixels has in common.
#[derive(Clone, Copy, Debug)]
struct Gather<'a> {
    geometry: Geometry,
    error: &'a [i8],
    scales: Scales<'a>,
    /// Input channels of a group, weights of an output channel, columns of the input and of a kernel.
    width: NonZero<usize>,
    row: NonZero<usize>,
    columns: NonZero<usize>,
    across: NonZero<usize>,
}

impl Gather<'_> {
    /// Adds to one pixel's sums what it gets from `channels`.
    fn frozen(
        &self,
        frozen: &[i8],
        channels: Range<usize>,
        pixel: usize,
        sums: &mut [i32],
    ) -> Result<(), Fault> {
        let first = channels.start * self.row.get();
        for tap in 0..self.geometry.window.taps() {
            let rows = frozen.get(first + tap * self.width.get()..).ok_or(Fault::OutOfBounds)?;
            self.pixel(tap, pixel, channels.clone(), rows.chunks(self.row.get()), sums)?;
        }
        Ok(())
    }

    /// Adds to the sums of a block what it gets from `channels`, as many as `buffer` has rows.
    fn trained(
        &self,
        rows: &Rows<'_>,
        channels: Range<usize>,
        block: Range<usize>,
        sums: &mut [i32],
        buffer: &mut [i8],
    ) -> Result<(), Fault> {
        for tap in 0..self.geometry.window.taps() {
            for (channel, row) in channels.clone().zip(buffer.chunks_exact_mut(self.width.get())) {
                rows.assemble(channel, tap, row)?;
            }
            for (pixel, sums) in block.clone().zip(sums.chunks_exact_mut(self.width.get())) {
                let rows = buffer.chunks_exact(self.width.get());
                self.pixel(tap, pixel, channels.clone(), rows, sums)?;
            }
        }
        Ok(())
    }

    /// Adds to a pixel's sums what `channels` of the one output pixel contribute that saw it
    /// through kernel position `tap`, if any did. Rows may be longer than `width`.
    #[inline]
    fn pixel<'r>(
        &self,
        tap: usize,
        pixel: usize,
        channels: Range<usize>,
        rows: impl Iterator<Item = &'r [i8]>,
        sums: &mut [i32],
    ) -> Result<(), Fault> {
        let Geometry { y, window, .. } = self.geometry;
        let seen = |at: usize, tap: usize, axis: usize, outputs: u16| {
            let tap = tap * window.dilation[axis] as usize;
            let ahead = (at + window.pad[axis] as usize).checked_sub(tap)?;
            let stride = window.stride[axis].max(1) as usize;
            let output = ahead / stride;
            (output * stride == ahead && output < outputs as usize).then_some(output)
        };
        let Some(row) = seen(pixel / self.columns, tap / self.across, 0, y.h) else {
            return Ok(());
        };
        let column = seen(pixel % self.columns, tap % self.across, 1, y.w);
        let Some(column) = column else { return Ok(()) };
        let at = (row * y.w as usize + column) * y.c as usize;
        let error =
            self.error.get(at + channels.start..at + channels.end).ok_or(Fault::OutOfBounds)?;
        let mut pending = Pending::new();
        for ((&e, scale), row) in error.iter().zip(self.scales.from(channels.start)).zip(rows) {
            if e != 0 {
                let q = scale.scale_wide(e as i32, 0).clamp(-32767, 32767) as i16;
                pending.push(sums, q, row.get(..self.width.get()).ok_or(Fault::OutOfBounds)?);
            }
        }
        pending.flush(sums);
        Ok(())
    }
}

#[cfg(test)]
#[path = "conv_tests.rs"]
mod tests;
