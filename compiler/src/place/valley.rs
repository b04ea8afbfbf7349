//! The choices of the search: what is placed at the bottom of a valley, leftmost.
//!
//! A *valley* is a run of sections with one floor between higher ones. Take any placing in which
//! each tensor lies on the ground or on another one. Of the tensors that lie at the bottom of a
//! valley, within it, one is the leftmost. Left of it, nothing lies at the bottom, so that there
//! everything to come is at least as high as the valley's left wall or that tensor's top,
//! whichever is lower: such tensors lie on one of the two, or cross the wall. Where nothing lies
//! at the bottom, all of the valley is lost up to its lower wall. So the choices at one valley are
//! complete, none leads where another does, and where a section has nothing to lose few are left.
//! The same holds from the right.

use std::ops::Range;

use super::skyline::Skyline;

/// One choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// What is placed on the floor; nothing where the valley is lost.
    pub(super) tensor: Option<u32>,
    /// Sections that are lost.
    pub(super) lost: Range<usize>,
    /// The height up to which they are.
    pub(super) level: u32,
}

/// A run of sections with one floor, and the heights beside it.
#[derive(Clone, Debug)]
struct Valley {
    range: Range<usize>,
    floor: u32,
    /// Of the left and of the right wall.
    walls: [u32; 2],
    /// Whether it is all there is.
    whole: bool,
}

/// From which side a valley is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// At which valley a search goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// At the lowest one.
    Lowest,
    /// Where there are the fewest choices, which lets a search that fails fail early.
    Fewest,
    /// Where choices are few against how often a section has been too full.
    Conflicts,
}

/// The choices at one valley of `part`, by `rule`; those that have one alone come first. None where
/// `part` cannot be filled.
pub(super) fn choices(skyline: &Skyline<'_>, part: Range<usize>, rule: Rule) -> Vec<Choice> {
    let (mut best, mut found): (Vec<Choice>, Vec<Choice>) = (Vec::new(), Vec::new());
    let mut least = None;
    let mut start = part.start;
    while start < part.end {
        let valley = Valley::from(skyline, &part, start);
        start = valley.range.end;
        if valley.walls.iter().any(|&wall| wall < valley.floor) {
            continue;
        }
        let conflicts = || skyline.conflicts[valley.range.clone()].iter().copied().max();
        for side in [Side::Left, Side::Right] {
            valley.choices(skyline, side, &mut found);
            let (count, floor) = (found.len() as u64, u64::from(valley.floor));
            let cost = match rule {
                _ if count <= 1 => (count, 0),
                Rule::Lowest => (floor + 2, count),
                Rule::Fewest => (count, floor),
                Rule::Conflicts => (2 + (count << 32) / conflicts().unwrap_or(1).max(1), floor),
            };
            if least.is_none_or(|least| cost < least) {
                std::mem::swap(&mut best, &mut found);
                least = Some(cost);
            }
            if best.is_empty() {
                return best;
            }
        }
    }
    best
}

impl Valley {
    /// The run of equal floors that begins at `start`.
    fn from(skyline: &Skyline<'_>, part: &Range<usize>, start: usize) -> Valley {
        let floor = skyline.floor(start);
        let same = (start..part.end).take_while(|&s| skyline.floor(s) == floor).count();
        let range = start..start + same;
        // Nothing to come crosses the border of a part.
        let left = start.checked_sub(1).filter(|&s| s >= part.start);
        let right = Some(range.end).filter(|&s| s < part.end);
        let wall = |s: Option<usize>| s.map_or(skyline.capacity(), |s| skyline.floor(s));
        let walls = [wall(left), wall(right)];
        Valley { whole: range == *part, range, floor, walls }
    }

    fn choices(&self, skyline: &Skyline<'_>, side: Side, found: &mut Vec<Choice>) {
        found.clear();
        let sections = skyline.sections;
        let wall = self.walls[side as usize];
        let mut slack = u32::MAX;
        for step in 0..self.range.len() {
            let (section, tensors, lost) = match side {
                Side::Left => {
                    let section = self.range.start + step;
                    (section, &sections.first[section], self.range.start..section)
                }
                Side::Right => {
                    let section = self.range.end - 1 - step;
                    (section, &sections.last[section], section + 1..self.range.end)
                }
            };
            for &tensor in tensors.iter().filter(|&&t| !skyline.is_placed(t)) {
                let at = tensor as usize;
                let (from, to) = (sections.from[at], sections.to[at]);
                let level = wall.min(self.floor + sections.bytes[at]);
                let inside = self.range.start <= from && to <= self.range.end;
                if inside && (lost.is_empty() || level - self.floor <= slack) {
                    found.push(Choice { tensor: Some(tensor), lost: lost.clone(), level });
                }
            }
            slack = slack.min(skyline.slack(section));
            if slack == 0 {
                return;
            }
        }
        let level = self.walls[0].min(self.walls[1]);
        if !self.whole && level - self.floor <= slack {
            found.push(Choice { tensor: None, lost: self.range.clone(), level });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fit::Problem;
    use super::super::sections::Sections;
    use super::super::Life;
    use super::*;

    #[test]
    fn a_valley_is_filled_from_the_side_that_leaves_fewer_choices() {
        // The first section is full: what lies at its bottom begins there.
        let live = [(0, 0), (0, 2), (2, 2), (4, 4), (4, 6), (6, 6)];
        let live = live.map(|(first, last)| Some(Life { first, last }));
        let sections = Sections::of(&Problem::new(&[24, 8, 8, 8, 16, 8], &live));
        let mut skyline = Skyline::new(&sections, 32);
        let found = choices(&skyline, 0..2, Rule::Fewest);
        let place = |tensor, lost, level| Choice { tensor: Some(tensor), lost, level };
        assert_eq!(found, [place(0, 0..0, 24), place(1, 0..0, 8)]);
        skyline.place(0);
        assert!(skyline.settle());
        // Beside tensor 0, only tensor 2 lies within the valley.
        assert_eq!(choices(&skyline, 0..2, Rule::Lowest), [place(2, 1..1, 8)]);
        // With 8 bytes more, the valley may as well be lost.
        let mut skyline = Skyline::new(&sections, 40);
        skyline.place(0);
        assert!(skyline.settle());
        let lost = Choice { tensor: None, lost: 1..2, level: 24 };
        assert_eq!(choices(&skyline, 0..2, Rule::Lowest), [place(2, 1..1, 8), lost]);
    }

    #[test]
    fn what_is_lost_is_no_more_than_a_section_can_lose() {
        let live = [(0, 0), (0, 2), (2, 2)].map(|(first, last)| Some(Life { first, last }));
        let sections = Sections::of(&Problem::new(&[24, 8, 8], &live));
        for (capacity, lost) in [(32, 0), (39, 0), (40, 1)] {
            let skyline = Skyline::new(&sections, capacity);
            let found = choices(&skyline, 0..2, Rule::Fewest);
            // From the left, tensor 2 is at the bottom only where 8 bytes of section 0 are lost.
            let losing = found.iter().filter(|choice| !choice.lost.is_empty()).count();
            assert_eq!(losing, lost, "{capacity}: {found:?}");
        }
    }
}
