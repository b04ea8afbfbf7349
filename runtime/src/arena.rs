//! Disjoint typed views into one block of memory: the only place that needs `unsafe`.
//!
//! Every tensor of a training step lives at a fixed offset of one arena. A kernel reads some
//! tensors and writes others at the same time; [`Arena::split`] hands out those views after it
//! has checked that they lie inside the arena and that nothing written overlaps anything else.
#![allow(unsafe_code)]

use crate::{Fault, Slot};
use core::marker::PhantomData;

/// Views that are read and views that are written.
pub type Views<'v, const R: usize, const W: usize> = ([&'v [u8]; R], [&'v mut [u8]; W]);

/// A block of memory whose parts are borrowed by offset.
///
/// Invariant: `base` is valid for reads and writes of `len` bytes for `'a`, and nobody else
/// holds a reference into it (it was made from a `&'a mut [u8]`).
#[derive(Debug)]
pub struct Arena<'a> {
    base: *mut u8,
    len: usize,
    owner: PhantomData<&'a mut [u8]>,
}

// SAFETY: an Arena is an exclusive borrow of plain bytes, which may move between threads.
unsafe impl Send for Arena<'_> {}

impl<'a> Arena<'a> {
    /// Takes the memory for its own. Align it to 8 bytes: typed views need their element's
    /// alignment and are refused with [`Fault::Misaligned`] otherwise.
    pub fn new(memory: &'a mut [u8]) -> Self {
        Arena { base: memory.as_mut_ptr(), len: memory.len(), owner: PhantomData }
    }

    /// Size in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the arena has no bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The whole memory.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `base` is valid for `len` bytes (type invariant) and `&self` keeps writers out.
        unsafe { core::slice::from_raw_parts(self.base, self.len) }
    }

    /// The whole memory, to be written.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; `&mut self` keeps every other view out.
        unsafe { core::slice::from_raw_parts_mut(self.base, self.len) }
    }

    /// Views of `reads` and `writes` at once.
    ///
    /// # Errors
    /// [`Fault::OutOfBounds`] where a slot leaves the arena, [`Fault::Overlap`] where a written
    /// slot shares a byte with another slot. Reads may overlap reads.
    pub fn split<const R: usize, const W: usize>(
        &mut self,
        reads: [Slot; R],
        writes: [Slot; W],
    ) -> Result<Views<'_, R, W>, Fault> {
        for slot in reads.iter().chain(writes.iter()) {
            if slot.end() > self.len {
                return Err(Fault::OutOfBounds);
            }
        }
        for (i, a) in writes.iter().enumerate() {
            let others = writes.get(i + 1..).unwrap_or(&[]);
            if reads.iter().chain(others).any(|b| a.overlaps(b)) {
                return Err(Fault::Overlap);
            }
        }
        let base = self.base;
        let reads = reads.map(|s| {
            // SAFETY: in bounds (checked above) and disjoint from every written slot.
            unsafe { core::slice::from_raw_parts(base.add(s.start()), s.len()) }
        });
        let writes = writes.map(|s| {
            // SAFETY: in bounds and disjoint from every other slot; `&mut self` is held.
            unsafe { core::slice::from_raw_parts_mut(base.add(s.start()), s.len()) }
        });
        Ok((reads, writes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;

    fn slot(offset: u32, bytes: u32) -> Slot {
        Slot { memory: Memory::Arena, offset, bytes }
    }

    #[test]
    fn disjoint_views_are_given_and_overlaps_refused() {
        let mut memory = [0u8; 16];
        let mut arena = Arena::new(&mut memory);
        {
            let ([r], [w]) = arena.split([slot(0, 8)], [slot(8, 8)]).unwrap();
            w.copy_from_slice(r);
        }
        assert_eq!(arena.split([slot(0, 8)], [slot(7, 4)]).unwrap_err(), Fault::Overlap);
        assert_eq!(arena.split([], [slot(0, 4), slot(3, 4)]).unwrap_err(), Fault::Overlap);
        assert_eq!(arena.split([slot(12, 8)], []).unwrap_err(), Fault::OutOfBounds);
        assert!(arena.split([slot(0, 8), slot(4, 8)], [slot(12, 0)]).is_ok());
    }
}
