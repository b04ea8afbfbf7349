//! Input gradient of a convolution, gathered: each input pixel sums over the outputs that saw it.
//!
//! Frozen rows are read where they lie. Trained rows are assembled [`ROWS`] at a time and used for
//! a block of pixels, as many as scratch holds sums for; sums of integers do not depend on it.

use super::sink::Sink;
use crate::error_scale::{exponent, write};
use crate::kernels::ensure;
use crate::kernels::scales::Scales;
use crate::kernels::weights::Rows;
use crate::kernels::x86::{self, Pending};
use crate::machine::typed_mut;
use crate::program::op::{ConvInputGrad, Geometry};
use crate::{Fault, Machine};
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
        let (width, depth) = match groups {
            0 => return Err(Fault::Size),
            _ => (inputs / groups, outputs / groups),
        };
        ensure(width > 0 && width * groups == inputs && depth * groups == outputs)?;
        ensure(sink.len() == geometry.x.elements() && sink.len() > 0)?;
        ensure(error.len() == geometry.y.elements())?;
        ensure(self.weights.rows as usize == outputs && self.weights.channels as usize == width)?;
        ensure(self.weights.taps as usize == geometry.window.taps())?;
        let scales = Scales::new(&self.scale, m.constants, outputs)?;
        let trained = !self.weights.latent.is_empty();
        let (_, [scratch]) = m.scratch.split([], [self.scratch])?;
        let mut plan = Plan::new(scratch.len(), width, trained)?;
        plan.pixels = plan.pixels.min(geometry.x.positions());
        let (sums, buffer) = scratch.split_at_mut(plan.pixels * width * 4);
        let (sums, buffer): (&mut [i32], &mut [i8]) = (typed_mut(sums)?, typed_mut(buffer)?);
        let gather = Gather { geometry, error, scales, width };
        write(&mut m.state, &self.output, unit, |quantizer, state| {
            let rows = Rows::new(&self.weights, m.constants, state)?;
            let to = (&mut sink, &mut *quantizer);
            if x86::conv_input(&geometry, groups, error, &rows, &scales, to)? {
                return Ok(());
            }
            for group in 0..groups {
                let channels = group * depth..(group + 1) * depth;
                for first in (0..geometry.x.positions()).step_by(plan.pixels) {
                    let block = first..geometry.x.positions().min(first + plan.pixels);
                    sums.fill(0);
                    match rows.frozen() {
                        Some(frozen) => gather.frozen(frozen, channels.clone(), first, sums),
                        None => {
                            for from in channels.clone().step_by(plan.rows) {
                                let part = from..channels.end.min(from + plan.rows);
                                gather.trained(&rows, part, block.clone(), sums, buffer);
                            }
                        }
                    }
                    for (pixel, sums) in block.zip(sums.chunks_exact(width)) {
                        let at = (pixel * groups + group) * width;
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
    pixels: usize,
    rows: usize,
}

impl Plan {
    fn new(bytes: usize, width: usize, trained: bool) -> Result<Plan, Fault> {
        if !trained {
            // Rows cost nothing to revisit, so nothing is gained by a block.
            ensure(bytes >= 4 * width)?;
            return Ok(Plan { pixels: 1, rows: 0 });
        }
        ensure(bytes >= 5 * width)?;
        let rows = (bytes / width - 4).min(ROWS);
        Ok(Plan { pixels: (bytes / width - rows) / 4, rows })
    }
}

/// What every block of pixels has in common. `width`: input channels of a group.
#[derive(Clone, Copy, Debug)]
struct Gather<'a> {
    geometry: Geometry,
    error: &'a [i8],
    scales: Scales<'a>,
    width: usize,
}

impl Gather<'_> {
    /// Adds to one pixel's sums what it gets from `channels`.
    fn frozen(&self, frozen: &[i8], channels: Range<usize>, pixel: usize, sums: &mut [i32]) {
        let taps = self.geometry.window.taps();
        for tap in 0..taps {
            let rows = &frozen[(channels.start * taps + tap) * self.width..];
            self.pixel(tap, pixel, channels.clone(), rows.chunks(taps * self.width), sums);
        }
    }

    /// Adds to the sums of a block what it gets from `channels`, as many as `buffer` has rows.
    fn trained(
        &self,
        rows: &Rows<'_>,
        channels: Range<usize>,
        block: Range<usize>,
        sums: &mut [i32],
        buffer: &mut [i8],
    ) {
        for tap in 0..self.geometry.window.taps() {
            for (channel, row) in channels.clone().zip(buffer.chunks_exact_mut(self.width)) {
                rows.assemble(channel, tap, row);
            }
            for (pixel, sums) in block.clone().zip(sums.chunks_exact_mut(self.width)) {
                let rows = buffer.chunks_exact(self.width);
                self.pixel(tap, pixel, channels.clone(), rows, sums);
            }
        }
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
    ) {
        let Geometry { x, y, window } = self.geometry;
        let (columns, across) = (x.w as usize, window.kernel[1] as usize);
        let seen = |at: usize, tap: usize, axis: usize, outputs: u16| {
            let tap = tap * window.dilation[axis] as usize;
            let ahead = (at + window.pad[axis] as usize).checked_sub(tap)?;
            let stride = window.stride[axis].max(1) as usize;
            let output = ahead / stride;
            (output * stride == ahead && output < outputs as usize).then_some(output)
        };
        let Some(row) = seen(pixel / columns, tap / across, 0, y.h) else { return };
        let Some(column) = seen(pixel % columns, tap % across, 1, y.w) else { return };
        let at = (row * y.w as usize + column) * y.c as usize;
        let error = &self.error[at + channels.start..at + channels.end];
        let mut pending = Pending::new();
        for ((&e, scale), row) in error.iter().zip(self.scales.from(channels.start)).zip(rows) {
            if e != 0 {
                let q = scale.scale_wide(e as i32, 0).clamp(-32767, 32767) as i16;
                pending.push(sums, q, &row[..self.width]);
            }
        }
        pending.flush(sums);
    }
}

#[cfg(test)]
#[path = "conv_tests.rs"]
mod tests;
