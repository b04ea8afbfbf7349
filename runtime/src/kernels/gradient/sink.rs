//! Where an input gradient ends: clamp mask, skip branch, one rounding.

use crate::arena::Arena;
use crate::error_scale::{exponent, Quantizer};
use crate::fixed::{shift_right_rounding, shift_rounding};
use crate::kernels::{ensure, mask, x86};
use crate::machine::{typed, typed_mut};
use crate::program::op::Error;
use crate::{Fault, Slot};

/// Accumulators that are computed before they are written.
const BLOCK: usize = 32;

/// An error tensor under way, with the mask and the skip branch that belong to it.
#[derive(Debug)]
pub struct Sink<'a> {
    pub(in crate::kernels) out: &'a mut [i8],
    pub(in crate::kernels) mask: &'a [u8],
    /// Empty where there is none, or where it is what `out` holds before.
    pub(in crate::kernels) skip: &'a [i8],
    /// Whether `out` holds the skip branch, each element until it is written.
    pub(in crate::kernels) over: bool,
    /// Binary places between an element of `skip` and the accumulators; positive is down.
    pub(in crate::kernels) skip_down: i32,
}

/// The error that a gradient comes from, the bytes of two more slots, and where it goes.
pub type Opened<'a> = (&'a [i8], [&'a [u8]; 2], Sink<'a>);

impl<'a> Sink<'a> {
    /// Resolves the slots of an input gradient whose accumulators count `2^unit`; also gives the
    /// error it comes from.
    ///
    /// # Errors
    /// A [`Fault`] where a slot does not fit its memory, or skip or mask not the output.
    pub fn open(
        arena: &'a mut Arena<'_>,
        state: &Arena<'_>,
        unit: i32,
        [error, skip, output]: [&Error; 3],
        mask: Slot,
    ) -> Result<(&'a [i8], Sink<'a>), Fault> {
        let errors = [error, skip, output];
        let none = [Slot::default(); 2];
        let (e, _, sink) = Sink::open_with(arena, state, unit, errors, mask, none)?;
        Ok((e, sink))
    }

    /// As [`Sink::open`], with the bytes of two more slots of the arena, which may be empty.
    ///
    /// # Errors
    /// As [`Sink::open`].
    pub fn open_with(
        arena: &'a mut Arena<'_>,
        state: &Arena<'_>,
        unit: i32,
        [error, skip, output]: [&Error; 3],
        mask: Slot,
        others: [Slot; 2],
    ) -> Result<Opened<'a>, Fault> {
        let skip_down = unit.saturating_sub(exponent(state, skip)?);
        let [first, second] = others;
        let over = !skip.data.is_empty() && skip.data == output.data;
        let skip = if over { Slot::default() } else { skip.data };
        let ([e, skip, mask, first, second], [out]) =
            arena.split([error.data, skip, mask, first, second], [output.data])?;
        ensure(skip.is_empty() || skip.len() == out.len())?;
        ensure(mask.is_empty() || mask.len() == mask::bytes(out.len()))?;
        let (out, skip) = (typed_mut(out)?, typed(skip)?);
        Ok((typed(e)?, [first, second], Sink { out, mask, skip, over, skip_down }))
    }

    /// Elements of the tensor.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether the mask lets element `index` pass.
    #[inline]
    pub fn passes(&self, index: usize) -> bool {
        mask::get(self.mask, index)
    }

    /// Writes elements from `at` on from their accumulators. Elements that the mask stops get 0 and do
    /// not count in the peak.
    #[inline(never)]
    pub fn put(&mut self, quantizer: &mut Quantizer, at: usize, sums: &[i32]) {
        let done = x86::put(self, quantizer, at, sums);
        let (at, sums) = (at + done, sums.get(done..).unwrap_or_default());
        let Some(out) = self.out.get_mut(at..at + sums.len()) else { return };
        let alone = self.skip.is_empty() && !self.over && !quantizer.measures;
        if let (true, Ok(down @ 0..32)) = (alone, u32::try_from(quantizer.right)) {
            let mut peak = quantizer.peak;
            for (i, (out, &sum)) in out.iter_mut().zip(sums).enumerate() {
                let sum = if mask::get(self.mask, at + i) { sum } else { 0 };
                peak = peak.max(sum.unsigned_abs());
                *out = shift_right_rounding(sum, down).clamp(-127, 127) as i8;
            }
            quantizer.peak = peak;
            return;
        }
        for (i, (out, &sum)) in out.iter_mut().zip(sums).enumerate() {
            let skip = if self.over { Some(*out) } else { self.skip.get(at + i).copied() };
            let error = if mask::get(self.mask, at + i) {
                let branch = skip.map_or(0, |e| shift_rounding(e.into(), self.skip_down));
                quantizer.quantize(sum.saturating_add(branch))
            } else {
                0
            };
            if !quantizer.measures {
                *out = error;
            }
        }
    }

    /// As [`Sink::put`] of `count` accumulators, which `value` computes: not those that the mask stops.
    #[inline]
    pub fn put_each(
        &mut self,
        quantizer: &mut Quantizer,
        at: usize,
        count: usize,
        mut value: impl FnMut(usize) -> i32,
    ) {
        let mut sums = [0; BLOCK];
        for from in (0..count).step_by(BLOCK) {
            let block = BLOCK.min(count - from);
            for (i, sum) in sums.iter_mut().take(block).enumerate() {
                *sum = if self.passes(at + from + i) { value(from + i) } else { 0 };
            }
            self.put(quantizer, at + from, sums.get(..block).unwrap_or_default());
        }
    }
}
