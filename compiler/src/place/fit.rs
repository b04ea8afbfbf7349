//! Inserts tensors one after another, each into a gap that the ones before it leave.
//!
//! Any placing can be had by inserting first-fit in some order: take its tensors by rising offset,
//! and none ends up higher than it was. Orders that are good as a rule reach the lower bound of most
//! networks.

use super::Life;

/// Tensors to be placed, and which of them must not share a byte.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Bytes of each tensor.
    pub(super) bytes: Vec<u32>,
    pub(super) live: Vec<Option<Life>>,
    /// Tensors that live at the same time as each.
    rivals: Vec<Vec<u32>>,
}

/// Offsets and the arena that they need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fitted {
    pub(super) offsets: Vec<u32>,
    pub(super) peak: u32,
    /// Nodes of the search that found them; 0 where none was needed.
    pub(super) nodes: u64,
}

/// Which gap a tensor takes, where several are wide enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gap {
    /// The lowest.
    First,
    /// The narrowest; the open end only where nothing else will do.
    Best,
}

impl Problem {
    pub(super) fn new(bytes: &[u32], live: &[Option<Life>]) -> Problem {
        let meet =
            |a: &Option<Life>, b: &Option<Life>| matches!((a, b), (Some(a), Some(b)) if a.meets(b));
        let rivals_of = |a: usize| {
            let others = (0..live.len()).filter(|&b| b != a && meet(&live[a], &live[b]));
            others.map(|b| b as u32).collect()
        };
        let rivals = (0..live.len()).map(rivals_of).collect();
        Problem { bytes: bytes.to_vec(), live: live.to_vec(), rivals }
    }

    /// The tensors that have a life.
    pub(super) fn tensors(&self) -> Vec<u32> {
        (0..).zip(&self.live).filter(|(_, life)| life.is_some()).map(|(tensor, _)| tensor).collect()
    }

    /// Inserts the tensors of `order`; `room` is reused from one call to the next. Tensors that are
    /// not in `order` get offset 0.
    pub(super) fn insert(&self, order: &[u32], gap: Gap, room: &mut Vec<(u32, u32)>) -> Fitted {
        const ABSENT: u32 = u32::MAX;
        let mut offsets = vec![ABSENT; self.bytes.len()];
        let mut peak = 0;
        for &tensor in order {
            let tensor = tensor as usize;
            room.clear();
            room.extend(self.rivals[tensor].iter().filter_map(|&r| {
                let (at, bytes) = (offsets[r as usize], self.bytes[r as usize]);
                (at != ABSENT).then(|| (at, at + bytes))
            }));
            room.sort_unstable();
            let offset = find_gap(room, self.bytes[tensor], gap);
            offsets[tensor] = offset;
            peak = peak.max(offset + self.bytes[tensor]);
        }
        offsets.iter_mut().filter(|at| **at == ABSENT).for_each(|at| *at = 0);
        Fitted { offsets, peak, nodes: 0 }
    }
}

/// Where `bytes` fit between the `taken` ranges, which are sorted by their start.
fn find_gap(taken: &[(u32, u32)], bytes: u32, gap: Gap) -> u32 {
    let (mut end, mut best) = (0, None);
    for &(from, to) in taken {
        if from >= end && from - end >= bytes {
            if gap == Gap::First {
                return end;
            }
            if best.is_none_or(|(width, _)| from - end < width) {
                best = Some((from - end, end));
            }
        }
        end = end.max(to);
    }
    best.map_or(end, |(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_found_low_or_narrow() {
        let taken = [(0, 8), (32, 40), (36, 48), (56, 64)];
        assert_eq!(find_gap(&taken, 8, Gap::First), 8);
        assert_eq!(find_gap(&taken, 8, Gap::Best), 48);
        assert_eq!(find_gap(&taken, 24, Gap::Best), 8);
        assert_eq!(find_gap(&taken, 32, Gap::First), 64);
        assert_eq!(find_gap(&[], 32, Gap::Best), 0);
        assert_eq!(find_gap(&[(16, 24)], 16, Gap::First), 0);
    }

    #[test]
    fn tensors_share_bytes_only_where_their_lives_do_not_meet() {
        let live = [(0, 1), (1, 2), (2, 3)].map(|(first, last)| Some(Life { first, last }));
        let problem = Problem::new(&[16, 8, 24], &live);
        let fitted = problem.insert(&[0, 1, 2], Gap::First, &mut Vec::new());
        assert_eq!(fitted, Fitted { offsets: vec![0, 16, 24], peak: 48, nodes: 0 });
        let fitted = problem.insert(&[2, 0, 1], Gap::First, &mut Vec::new());
        assert_eq!(fitted, Fitted { offsets: vec![0, 24, 0], peak: 32, nodes: 0 });
    }
}
