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
            let old = self.floor[section];
            if level > old {
                self.raise_one(section, level);
            }
        }
    }

    fn raise_one(&mut self, section: usize, level: u32) {
        let sections = self.sections;
        self.trail.push(Change::Floor { section, old: self.floor[section] });
        self.floor[section] = level;
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
    /// come still fits.
    pub(super) fn settle(&mut self) -> bool {
        let mut fits = true;
        while let Some(section) = self.low.pop() {
            self.is_low[section] = false;
            if !fits {
                continue;
            }
            if self.rest[section] > 0 {
                let tensors = self.sections.tensors[section].iter();
                let next = tensors.map(|&t| self.ready[t as usize]).min().unwrap_or(PLACED);
                if next != PLACED && next > self.floor[section] {
                    self.raise_one(section, next);
                }
            }
            if self.rest[section] > self.capacity - self.floor[section] {
                self.conflicts[section] += 1;
                fits = false;
            }
        }
        fits
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
