//! How high each section is filled, while tensors are placed from the bottom up.
//!
//! A section has a *floor*: below it, nothing is placed any more. A tensor that is not placed yet
//! is *ready* at the highest floor of its sections. Bytes below a floor that no tensor takes are
//! lost, and a section has no more to lose than the capacity leaves beside what is still to be
//! placed in it. Floors are kept as high as the tensors to come allow: each is where the first of
//! its section's tensors is ready.

use super::sections::Sections;
use crate::schedule::random::{mix, STEP};

/// Where a tensor is ready that is placed.
const PLACED: u32 = u32::MAX;

/// A state of the search.
#[derive(Clone, Debug)]
pub(super) struct Skyline<'s> {
    pub(super) sections: &'s Sections,
    capacity: u32,
    floor: Vec<u32>,
    /// Bytes of each section's tensors that are not placed.
    rest: Vec<u32>,
    ready: Vec<u32>,
    shapes: Vec<u64>,
    /// The first byte of each tensor that is placed.
    pub(super) offsets: Vec<u32>,
    trail: Vec<Change>,
    /// Sections whose floor may lie below the tensors that are to come, each once.
    low: Vec<usize>,
    is_low: Vec<bool>,
    /// Whether some section is filled beyond the capacity: nothing more needs to be found out.
    is_overfull: bool,
    /// How often each section was filled beyond the capacity.
    pub(super) conflicts: Vec<u64>,
}

/// What is undone when the search turns back.
#[derive(Clone, Copy, Debug)]
enum Change {
    Floor { section: usize, old: u32 },
    Ready { tensor: u32, old: u32 },
    Placed { tensor: u32, old: u32 },
}

impl<'s> Skyline<'s> {
    /// Nothing placed yet, in `capacity` bytes.
    pub(super) fn new(sections: &'s Sections, capacity: u32) -> Skyline<'s> {
        let (tensors, count) = (sections.bytes.len(), sections.count());
        Skyline {
            sections,
            capacity,
            floor: vec![0; count],
            rest: sections.load.clone(),
            ready: vec![0; tensors],
            shapes: (0..tensors).map(|tensor| sections.shape(tensor)).collect(),
            offsets: vec![0; tensors],
            trail: Vec::new(),
            low: Vec::new(),
            is_low: vec![false; count],
            is_overfull: false,
            conflicts: vec![1; count],
        }
    }

    /// The floor of a section.
    pub(super) fn floor(&self, section: usize) -> u32 {
        self.floor[section]
    }

    /// Bytes that a section may still lose; meaningful after [`Skyline::settle`] has held.
    pub(super) fn slack(&self, section: usize) -> u32 {
        self.capacity - self.floor[section] - self.rest[section]
    }

    /// The end of the arena, which closes what has no neighbour.
    pub(super) fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Whether a tensor is placed.
    pub(super) fn is_placed(&self, tensor: u32) -> bool {
        self.ready[tensor as usize] == PLACED
    }

    /// A mark to go back to.
    pub(super) fn mark(&self) -> usize {
        self.trail.len()
    }

    /// Undoes all that was done since `mark`.
    pub(super) fn undo(&mut self, mark: usize) {
        for change in self.trail.drain(mark..).rev() {
            match change {
                Change::Floor { section, old } => self.floor[section] = old,
                Change::Ready { tensor, old } => self.ready[tensor as usize] = old,
                Change::Placed { tensor, old } => {
                    let tensor = tensor as usize;
                    self.ready[tensor] = old;
                    let bytes = self.sections.bytes[tensor];
                    for section in self.sections.from[tensor]..self.sections.to[tensor] {
                        self.rest[section] += bytes;
                    }
                }
            }
        }
    }

    /// Places a tensor whose sections all have the same floor on it.
    pub(super) fn place(&mut self, tensor: u32) {
        let at = tensor as usize;
        let (from, to) = (self.sections.from[at], self.sections.to[at]);
        let (offset, bytes) = (self.floor[from], self.sections.bytes[at]);
        self.trail.push(Change::Placed { tensor, old: self.ready[at] });
        self.ready[at] = PLACED;
        self.offsets[at] = offset;
        for section in from..to {
            self.rest[section] -= bytes;
        }
        self.raise(from..to, offset + bytes);
    }

    /// Raises floors to `level`, within the capacity.
    pub(super) fn raise(&mut self, range: std::ops::Range<usize>, level: u32) {
        for section in range {
            if level > self.floor[section] && !self.is_overfull {
                self.raise_one(section, level);
            }
        }
    }

    fn raise_one(&mut self, section: usize, level: u32) {
        let sections = self.sections;
        self.trail.push(Change::Floor { section, old: self.floor[section] });
        self.floor[section] = level;
        if self.rest[section] > self.capacity - level {
            self.conflicts[section] += 1;
            self.is_overfull = true;
            return;
        }
        self.look_at(section);
        for &tensor in &sections.tensors[section] {
            let at = tensor as usize;
            let old = self.ready[at];
            if old >= level {
                continue;
            }
            self.trail.push(Change::Ready { tensor, old });
            self.ready[at] = level;
            // Only where it was among the first to come may the floor rise now.
            for other in sections.from[at]..sections.to[at] {
                if self.floor[other] == old {
                    self.look_at(other);
                }
            }
        }
    }

    fn look_at(&mut self, section: usize) {
        if !self.is_low[section] {
            self.is_low[section] = true;
            self.low.push(section);
        }
    }

    /// Raises floors to where the next tensor is ready, until none rises. Whether all that is to
    /// come still fits; if not, undo.
    pub(super) fn settle(&mut self) -> bool {
        while let Some(section) = self.low.pop() {
            self.is_low[section] = false;
            if self.rest[section] > 0 && !self.is_overfull {
                let tensors = self.sections.tensors[section].iter();
                let next = tensors.map(|&t| self.ready[t as usize]).min().unwrap_or(PLACED);
                if next != PLACED && next > self.floor[section] {
                    self.raise_one(section, next);
                }
            }
        }
        !std::mem::take(&mut self.is_overfull)
    }

    /// The parts of a range of sections that no tensor to come connects.
    pub(super) fn parts(&self, range: std::ops::Range<usize>) -> Vec<std::ops::Range<usize>> {
        let mut parts: Vec<std::ops::Range<usize>> = Vec::new();
        let mut reach = 0;
        for section in range {
            if self.rest[section] == 0 {
                continue;
            }
            match parts.last_mut() {
                Some(part) if section < reach => part.end = section + 1,
                _ => parts.push(section..section + 1),
            }
            let to_come = self.sections.first[section].iter().filter(|&&t| !self.is_placed(t));
            reach = to_come.map(|&t| self.sections.to[t as usize]).fold(reach, usize::max);
        }
        parts
    }

    /// A number for what is left to do in `range`: floors, and tensors to come.
    pub(super) fn key(&self, range: std::ops::Range<usize>) -> u64 {
        let mut key = 0u64;
        for section in range {
            let floor = (section as u64) << 32 | u64::from(self.floor[section]);
            key = key.wrapping_add(mix(floor.wrapping_add(STEP)));
            for &tensor in self.sections.first[section].iter().filter(|&&t| !self.is_placed(t)) {
                key = key.wrapping_add(self.shapes[tensor as usize]);
            }
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit::Problem;
    use super::super::Life;
    use super::*;

    /// Tensor 2 meets tensors 0, 1 and 3; tensor 4 meets 3.
    fn sections() -> Sections {
        let live = [(0, 0), (2, 2), (0, 4), (4, 6), (6, 6)];
        let live = live.map(|(first, last)| Some(Life { first, last }));
        Sections::of(&Problem::new(&[8, 24, 16, 32, 8], &live))
    }

    #[test]
    fn floors_rise_to_where_the_next_tensor_is_ready() {
        let sections = sections();
        let mut skyline = Skyline::new(&sections, 48);
        let floors = |skyline: &Skyline<'_>| [0, 1, 2, 3].map(|section| skyline.floor(section));
        assert_eq!([0, 1, 2, 3].map(|section| skyline.slack(section)), [24, 8, 0, 8]);
        skyline.place(0);
        assert!(skyline.settle());
        assert_eq!(floors(&skyline), [8, 0, 0, 0]);
        let mark = skyline.mark();
        skyline.place(1);
        assert!(skyline.settle());
        // Tensor 2 is next on both of its first sections, and is ready above tensor 1.
        assert_eq!(floors(&skyline), [24, 24, 0, 0]);
        skyline.undo(mark);
        skyline.raise(2..3, 8);
        assert!(!skyline.settle(), "the third section has nothing to lose");
        skyline.undo(mark);
        assert_eq!((floors(&skyline), skyline.conflicts[2]), ([8, 0, 0, 0], 2));
        assert!(!skyline.is_placed(1) && skyline.is_placed(0));
        skyline.place(3);
        assert!(skyline.settle());
        assert_eq!(floors(&skyline), [32, 0, 32, 32]);
    }

    #[test]
    fn parts_end_where_no_tensor_to_come_goes_on() {
        let sections = sections();
        let mut skyline = Skyline::new(&sections, 64);
        let whole = skyline.parts(0..4);
        assert_eq!((whole.len(), whole.first()), (1, Some(&(0..4))));
        let (mark, key) = (skyline.mark(), skyline.key(0..4));
        skyline.place(2);
        assert!(skyline.settle());
        assert_eq!(skyline.parts(0..4), [0..1, 1..2, 2..4]);
        assert_ne!(skyline.key(0..4), key);
        skyline.undo(mark);
        assert_eq!((skyline.parts(0..4), skyline.key(0..4)), (whole, key));
    }
}
