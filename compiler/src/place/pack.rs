//! Asks whether all tensors fit a given number of bytes, by a search that misses no placing.
//!
//! Depth first over the [`choices`] at valleys of the skyline. Parts of the step that no tensor to
//! come connects are packed one by one: where one of them cannot be, neither can the whole. What
//! has been found not to fit is remembered, also beyond a restart. A search that began badly takes
//! long to turn back to its beginning, so that it is cut off after some nodes and begun anew, by
//! other rules of what to try first, with more nodes each time.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use super::sections::Sections;
use super::skyline::Skyline;
use super::valley::{choices, Choice, Rule};
use crate::schedule::random::mix;

/// Nodes of the first round; every round has a tenth more than the one before.
const ROUND: u64 = 500;

/// What a search found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    /// The offset of each tensor of the sections.
    Found(Vec<u32>),
    /// There is no placing.
    Impossible,
    /// The nodes were used up.
    Unknown,
}

/// Packs tensors into `capacity` bytes. Takes what it uses from `nodes`.
pub(super) fn pack(sections: &Sections, capacity: u32, nodes: &mut u64) -> Packing {
    if sections.lower_bound() > capacity {
        return Packing::Impossible;
    }
    let mut search = Search {
        skyline: Skyline::new(sections, capacity),
        rule: Rule::Lowest,
        urgency: Vec::new(),
        impossible: HashSet::default(),
        open: Vec::new(),
    };
    let (mut round, mut length) = (0, ROUND);
    while *nodes > 0 {
        let most = length.min(*nodes);
        (search.rule, search.urgency) = (rule(round), urgency(sections, round));
        let mut left = most;
        let fits = search.run(&mut left);
        *nodes -= most - left;
        match fits {
            Some(true) => return Packing::Found(search.skyline.offsets),
            Some(false) => return Packing::Impossible,
            None => (round, length) = (round + 1, length + length / 10),
        }
    }
    Packing::Unknown
}

/// Where a round goes on; every four rounds another.
fn rule(round: u64) -> Rule {
    match round / 4 % 3 {
        0 => Rule::Lowest,
        1 => Rule::Fewest,
        _ => Rule::Conflicts,
    }
}

/// How early each tensor is tried: wide, or large, or high ones, or such as live where much does,
/// in four rounds in turn; from then on with some noise.
fn urgency(sections: &Sections, round: u64) -> Vec<u64> {
    let of = |tensor: usize| {
        let range = sections.from[tensor]..sections.to[tensor];
        let (width, bytes) = (range.len() as u64, u64::from(sections.bytes[tensor]));
        let load = sections.load[range].iter().copied().max().unwrap_or(0);
        let first = match round % 4 {
            0 => width << 16,
            1 => width * bytes,
            2 => bytes << 16,
            _ => u64::from(load) << 16,
        };
        // Equal tensors stay together.
        let noise = if round < 4 { 0 } else { mix(sections.shape(tensor) ^ mix(round)) % 320 };
        u128::from(first) * u128::from(1024 + noise)
    };
    (0..sections.bytes.len()).map(|t| u64::try_from(of(t)).unwrap_or(u64::MAX)).collect()
}

/// A part that is being packed.
#[derive(Debug)]
struct Open {
    part: Range<usize>,
    key: u64,
    mark: usize,
    choices: std::vec::IntoIter<Choice>,
    /// What the current choice has left to be packed.
    parts: Vec<Range<usize>>,
}

#[derive(Debug)]
struct Search<'s> {
    skyline: Skyline<'s>,
    rule: Rule,
    urgency: Vec<u64>,
    /// Keys of what cannot be packed. Two that differ may have one key, once in 2^64: then a
    /// placing is missed, never a wrong one taken.
    impossible: HashSet<u64, BuildHasherDefault<AsIs>>,
    open: Vec<Open>,
}

impl Search<'_> {
    /// Whether all fits; none where `nodes` were not enough.
    fn run(&mut self, nodes: &mut u64) -> Option<bool> {
        self.open.clear();
        self.skyline.undo(0);
        let mut parts = self.skyline.parts(0..self.skyline.sections.count());
        // Last first.
        parts.reverse();
        let all = 0..self.skyline.sections.count();
        self.open.push(Open { part: all, key: 0, mark: 0, choices: Vec::new().into_iter(), parts });
        loop {
            let Some(open) = self.open.last_mut() else { return Some(true) };
            let Some(part) = open.parts.pop() else {
                self.open.pop();
                continue;
            };
            if *nodes == 0 {
                return None;
            }
            *nodes -= 1;
            let key = self.skyline.key(part.clone());
            if !self.impossible.contains(&key) {
                let choices = self.sorted(choices(&self.skyline, part.clone(), self.rule));
                let mark = self.skyline.mark();
                self.open.push(Open { part, key, mark, choices, parts: Vec::new() });
            }
            if !self.next_choice() {
                return Some(false);
            }
        }
    }

    /// Takes the next choice of the innermost part that has one; false where none has.
    fn next_choice(&mut self) -> bool {
        while let Some(open) = self.open.last_mut() {
            self.skyline.undo(open.mark);
            let Some(choice) = open.choices.next() else {
                self.impossible.insert(open.key);
                self.open.pop();
                continue;
            };
            if let Some(tensor) = choice.tensor {
                self.skyline.place(tensor);
            }
            self.skyline.raise(choice.lost, choice.level);
            if self.skyline.settle() {
                open.parts = self.skyline.parts(open.part.clone());
                open.parts.sort_by_key(|part| Reverse(part.len()));
                return true;
            }
        }
        false
    }

    /// The choices in the order in which they are tried, of equal tensors only the first.
    fn sorted(&self, mut choices: Vec<Choice>) -> std::vec::IntoIter<Choice> {
        let shape = |tensor: u32| self.skyline.sections.shape(tensor as usize);
        let urgency = |tensor: u32| Reverse(self.urgency[tensor as usize]);
        choices.sort_by_key(|choice| {
            let tensor = choice.tensor.map(|t| (urgency(t), shape(t), t));
            (tensor.is_none(), !choice.lost.is_empty(), tensor)
        });
        choices.dedup_by_key(|choice| choice.tensor.map(shape));
        choices.into_iter()
    }
}

/// Takes a key as its hash.
#[derive(Clone, Copy, Debug, Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.0 = mix(self.0 ^ u64::from(byte)));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = key;
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit::Problem;
    use super::super::tests::{fits, full_ops};
    use super::super::Life;
    use super::*;
    use crate::schedule::random::Random;

    #[test]
    fn answers_are_those_of_trying_everything() {
        let (mut found, mut impossible) = (0, 0);
        for seed in 0..5000 {
            let (bytes, live) = full_ops(&mut Random::new(seed));
            let sections = Sections::of(&Problem::new(&bytes, &live));
            for capacity in (sections.lower_bound()..).step_by(8) {
                let mut nodes = 10_000;
                let packing = pack(&sections, capacity, &mut nodes);
                if !fits(&bytes, &live, &mut Vec::new(), capacity) {
                    assert_eq!(packing, Packing::Impossible, "seed {seed}, {capacity} bytes");
                    impossible += 1;
                    continue;
                }
                let Packing::Found(offsets) = packing else {
                    panic!("seed {seed}, {capacity} bytes: {packing:?}")
                };
                found += 1;
                assert!(offsets
                    .iter()
                    .zip(&bytes)
                    .all(|(offset, bytes)| offset + bytes <= capacity));
                break;
            }
        }
        assert_eq!(found, 5000);
        assert!(impossible > 10, "{impossible}");
    }

    #[test]
    fn nodes_are_counted_and_bound_the_search() {
        let live = [Some(Life { first: 0, last: 0 }); 12];
        let sections = Sections::of(&Problem::new(&[8; 12], &live));
        let mut nodes = 5;
        assert_eq!((pack(&sections, 96, &mut nodes), nodes), (Packing::Unknown, 0));
        nodes = 100;
        assert!(matches!(pack(&sections, 96, &mut nodes), Packing::Found(_)));
        assert_eq!(nodes, 88);
        assert_eq!((pack(&sections, 95, &mut nodes), nodes), (Packing::Impossible, 88));
    }
}
