//! Tensors as rectangles over the sections of a step: what the search packs.
//!
//! Only the points in time where the set of live tensors is largest by inclusion matter: tensors
//! that share no byte there share none anywhere. Such a point is a *section*; a tensor occupies
//! consecutive sections, and a placing is sound where the tensors of each section are disjoint.

use super::fit::Problem;
use crate::schedule::random::{mix, STEP};

/// The tensors of a problem that have a life and take bytes.
#[derive(Clone, Debug)]
pub(super) struct Sections {
    /// For each tensor its number in the problem.
    pub(super) number: Vec<u32>,
    /// Bytes of each tensor.
    pub(super) bytes: Vec<u32>,
    /// The first section of each tensor.
    pub(super) from: Vec<usize>,
    /// One more than the last section of each tensor.
    pub(super) to: Vec<usize>,
    /// The tensors of each section.
    pub(super) tensors: Vec<Vec<u32>>,
    /// The tensors whose first section each is.
    pub(super) first: Vec<Vec<u32>>,
    /// The tensors whose last section each is.
    pub(super) last: Vec<Vec<u32>>,
    /// Bytes of the tensors of each section.
    pub(super) load: Vec<u32>,
}

impl Sections {
    pub(super) fn of(problem: &Problem) -> Sections {
        let live = problem.live.iter().zip(&problem.bytes).zip(0u32..);
        let live: Vec<_> = live
            .filter_map(|((life, &bytes), number)| life.map(|life| (life, bytes, number)))
            .filter(|&(_, bytes, _)| bytes > 0)
            .collect();
        let points = points(live.iter().map(|(life, ..)| (life.first, life.last)));
        let count = points.len();
        let mut sections = Sections {
            number: live.iter().map(|&(.., number)| number).collect(),
            bytes: live.iter().map(|&(_, bytes, _)| bytes).collect(),
            from: live.iter().map(|(l, ..)| points.partition_point(|&p| p < l.first)).collect(),
            to: live.iter().map(|(l, ..)| points.partition_point(|&p| p <= l.last)).collect(),
            tensors: vec![Vec::new(); count],
            first: vec![Vec::new(); count],
            last: vec![Vec::new(); count],
            load: vec![0; count],
        };
        for tensor in 0..sections.bytes.len() {
            let (from, to) = (sections.from[tensor], sections.to[tensor]);
            sections.first[from].push(tensor as u32);
            sections.last[to - 1].push(tensor as u32);
            for section in from..to {
                sections.tensors[section].push(tensor as u32);
                sections.load[section] += sections.bytes[tensor];
            }
        }
        sections
    }

    /// A number that equal tensors share, and that others do not but by chance.
    pub(super) fn shape(&self, tensor: usize) -> u64 {
        let range = (self.from[tensor] as u64) << 32 | self.to[tensor] as u64;
        mix(mix(range.wrapping_add(STEP)) ^ u64::from(self.bytes[tensor]))
    }

    /// Number of sections.
    pub(super) fn count(&self) -> usize {
        self.load.len()
    }

    /// Bytes of the fullest section.
    pub(super) fn lower_bound(&self) -> u32 {
        self.load.iter().copied().max().unwrap_or(0)
    }

    /// Offsets and peaks of placings that waste nothing are multiples of this.
    pub(super) fn unit(&self) -> u32 {
        let gcd = |mut a: u32, mut b: u32| {
            while b != 0 {
                (a, b) = (b, a % b);
            }
            a
        };
        self.bytes.iter().copied().fold(0, gcd).max(1)
    }
}

/// The first ops of lives that have an end before the next of them: there, everything lives that
/// lives at any op between the end before and the start after.
fn points(lives: impl Iterator<Item = (u32, u32)>) -> Vec<u32> {
    let (mut starts, mut ends): (Vec<u32>, Vec<u32>) = lives.unzip();
    starts.sort_unstable();
    starts.dedup();
    ends.sort_unstable();
    let followed = |at: usize| {
        let end = ends.get(ends.partition_point(|&end| end < starts[at]));
        end.is_some_and(|&end| starts.get(at + 1).is_none_or(|&next| end < next))
    };
    (0..starts.len()).filter(|&at| followed(at)).map(|at| starts[at]).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Life;
    use super::*;

    #[test]
    fn sections_are_where_the_most_tensors_live() {
        let life = |(first, last)| Some(Life { first, last });
        let live = [(0, 4), (1, 2), (2, 6), (6, 6), (6, 9)].map(life);
        let live: Vec<_> = live.into_iter().chain([None, life((2, 2))]).collect();
        let sections = Sections::of(&Problem::new(&[8, 16, 24, 8, 16, 99, 0], &live));
        assert_eq!(sections.number, [0, 1, 2, 3, 4]);
        assert_eq!(sections.tensors, [vec![0, 1, 2], vec![2, 3, 4]]);
        assert_eq!((sections.from[2], sections.to[2], sections.to[1]), (0, 2, 1));
        assert_eq!(sections.load, [48, 48]);
        assert_eq!((sections.lower_bound(), sections.unit()), (48, 8));
    }

    #[test]
    fn a_problem_without_tensors_has_no_section() {
        let sections = Sections::of(&Problem::new(&[8, 0], &[None, None]));
        assert_eq!((sections.count(), sections.lower_bound(), sections.unit()), (0, 0, 1));
    }
}
