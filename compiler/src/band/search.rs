//! Which segments are banded, and how: those that lower the most live bytes, in as few ops as do.
//!
//! One segment after another, each around the op with the most live bytes of what there is so far. Of
//! all runs of ops around it and all heights of a band, that is taken which costs the least: its live
//! bytes, but not below what the rest of the program needs anyway, and the flash of its ops.

use std::ops::Range;

use super::rows::Network;
use super::{apply, Applied, Segment};
use crate::lower::Lowered;
use crate::schedule::live::{as_given, profile, Life, Uses};

/// Ops that a segment may have on either side of the fullest op.
const REACH: usize = 16;

/// Bands that a segment may have: more would save few rows for many ops.
const MOST_BANDS: u32 = 64;

/// Bytes of flash that another op of a layer takes, roughly: they share a function, so that it is a call
/// and the numbers in which it differs.
pub(crate) const OP_FLASH: u64 = 40;

/// Bytes of flash that are worth a byte of SRAM. Microcontrollers have more times as much, but ops cost
/// time too.
pub(crate) const FLASH_FOR_SRAM: u64 = 2;

/// Segments that lower the most live bytes of `lowered`; none where none do.
pub(super) fn segments(lowered: &Lowered, network: &Network) -> Vec<Segment> {
    let search = Search { lowered, network, lives: Lives::of(lowered) };
    let Some(mut current) = search.rate(Vec::new()) else { return Vec::new() };
    // Each turn lowers the fullest op or is the last.
    for _ in 0..lowered.ops.len() {
        let Some(better) = search.with_another(&current) else { break };
        current = better;
    }
    // What was chosen first did not know how much the others would leave.
    for segment in current.segments.clone() {
        current = search.reconsidered(current, &segment);
    }
    current.segments
}

/// A program to be banded.
struct Search<'a> {
    lowered: &'a Lowered,
    network: &'a Network,
    lives: Lives,
}

impl Search<'_> {
    fn rate(&self, segments: Vec<Segment>) -> Option<Rated> {
        let applied = apply(self.lowered, self.network, &segments)?;
        let profile = profile(&applied.lowered);
        Some(Rated { segments, applied, profile })
    }

    /// `current` with the best segment around its fullest op; none where none lowers that.
    fn with_another(&self, current: &Rated) -> Option<Rated> {
        let (peak, op) = current.fullest(&(0..self.lowered.ops.len()));
        let mut best: Option<(u64, Rated)> = None;
        // The most promising first, so that most of the others need not be tried.
        let rated = ranges(self.network, op).map(|range| (self.lives.least(&range), range));
        let mut ranges: Vec<(u64, Range<usize>)> = rated.collect();
        ranges.sort_by_key(|(least, range)| (*least, range.len()));
        for (least, range) in ranges {
            // What was banded by a segment that this one replaces is fuller again.
            let replaced = || current.segments.iter().filter(|s| meets(&s.ops, &range));
            let from = replaced().map(|s| s.ops.start).fold(range.start, usize::min);
            let to = replaced().map(|s| s.ops.end).fold(range.end, usize::max);
            for way in WAYS {
                // Taller bands have more live bytes and fewer ops.
                for rows in heights(self.network, &range) {
                    // With as many live bytes, even the fewest ops would not help.
                    let flash = best.as_ref().map_or(u64::MAX, |(cost, _)| *cost);
                    let flash = flash.saturating_sub(self.lowered.ops.len() as u64 * OP_FLASH);
                    let most = peak.min(flash / FLASH_FOR_SRAM);
                    let segment = way.segment(range.clone(), rows);
                    let rated = || self.rate(current.with(&segment));
                    let Some(rated) = (least < most).then(rated).flatten() else { break };
                    let live = rated.fullest(&(from..to)).0;
                    if live >= most {
                        break;
                    }
                    let cost = cost(live.max(rated.floor(self.network, &(from..to))), &rated);
                    if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                        best = Some((cost, rated));
                    }
                }
            }
        }
        best.map(|(_, rated)| rated)
    }

    /// `current` with `segment`, one of its own, left out or in bands of other heights, where that
    /// costs less.
    fn reconsidered(&self, current: Rated, segment: &Segment) -> Rated {
        let total = |rated: &Rated| cost(rated.fullest(&(0..self.lowered.ops.len())).0, rated);
        let ways = WAYS
            .into_iter()
            .flat_map(|way| heights(self.network, &segment.ops).map(move |rows| (way, rows)));
        let others = ways.filter_map(|(way, rows)| {
            self.rate(current.with(&way.segment(segment.ops.clone(), rows)))
        });
        let left = current.segments.iter().filter(|s| *s != segment).cloned().collect();
        let best = others.chain(self.rate(left)).min_by_key(total);
        best.filter(|best| total(best) < total(&current)).unwrap_or(current)
    }
}

/// Bytes of flash that `live` bytes of SRAM and the ops of a program are worth.
fn cost(live: u64, rated: &Rated) -> u64 {
    live * FLASH_FOR_SRAM + rated.profile.len() as u64 * OP_FLASH
}

fn meets(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// All runs of ops around op `op` that may be segments.
fn ranges(network: &Network, op: usize) -> impl Iterator<Item = Range<usize>> + '_ {
    let bandable = |at: &usize| network.ops.get(*at).is_some_and(Option::is_some);
    let starts = (op.saturating_sub(REACH)..=op).rev().take_while(bandable);
    let ends = move || (op..op + REACH).take_while(bandable);
    let ranges = starts.flat_map(move |start| ends().map(move |last| start..last + 1));
    ranges.filter(|ops| ops.len() > 1)
}

/// Rows that a band of a segment may have, ascending: those of its last op cut in halves, thirds and
/// so on, so that bands are as equal as can be.
fn heights(network: &Network, ops: &Range<usize>) -> impl Iterator<Item = u32> {
    let last = network.ops[ops.end - 1].as_ref();
    let height = last.map_or(0, |op| network.heights[op.writes[0] as usize]);
    let mut rows: Vec<u32> =
        (2..=height.min(MOST_BANDS)).rev().map(|bands| height.div_ceil(bands)).collect();
    rows.dedup();
    rows.into_iter()
}

/// How a segment is banded, but for the rows.
#[derive(Clone, Copy, Debug)]
struct Way {
    park: bool,
    in_place: bool,
}

const WAYS: [Way; 4] = [
    Way { park: false, in_place: false },
    Way { park: true, in_place: false },
    Way { park: false, in_place: true },
    Way { park: true, in_place: true },
];

impl Way {
    fn segment(self, ops: Range<usize>, rows: u32) -> Segment {
        Segment { ops, rows, park: self.park, in_place: self.in_place }
    }
}

/// Where the program's buffers live as a whole.
struct Lives {
    lives: Vec<(Life, u64)>,
    /// The input, which is there before the first op.
    input: Option<(Life, u64)>,
}

impl Lives {
    fn of(lowered: &Lowered) -> Lives {
        let uses = Uses::of(lowered);
        let order = as_given(lowered.ops.len());
        let lives: Vec<_> = uses.lives(&order).zip(uses.bytes.iter().copied()).collect();
        let known = |(life, bytes): (Option<Life>, u64)| Some((life?, bytes));
        let input = uses.input.and_then(|input| known(lives[input as usize]));
        Lives { lives: lives.into_iter().filter_map(known).collect(), input }
    }

    /// Bytes that live before the first op or after the last op of a segment, however it is banded.
    fn least(&self, ops: &Range<usize>) -> u64 {
        let at = |op: usize| {
            let op = op as u32;
            let lives = self.lives.iter().filter(|(life, _)| life.first < op && life.last >= op);
            lives.map(|(_, bytes)| bytes).sum::<u64>()
        };
        let input = self.input.filter(|_| ops.start == 0).map_or(0, |(_, bytes)| bytes);
        at(ops.start).max(at(ops.end)).max(input)
    }
}

/// A program in bands with its live bytes.
struct Rated {
    segments: Vec<Segment>,
    applied: Applied,
    profile: Vec<u64>,
}

impl Rated {
    /// Its segments with another one, in place of those that it meets.
    fn with(&self, segment: &Segment) -> Vec<Segment> {
        let mut segments = self.segments.clone();
        segments.retain(|s| !meets(&s.ops, &segment.ops));
        segments.push(segment.clone());
        segments.sort_by_key(|s| s.ops.start);
        segments
    }

    /// Most live bytes at what became of `ops`, and the op that it became of.
    fn fullest(&self, ops: &Range<usize>) -> (u64, usize) {
        let all = self.profile.iter().zip(&self.applied.origin);
        let within = all.filter(|(_, origin)| ops.contains(origin));
        within.fold(
            (0, ops.start),
            |most, (&live, &op)| if live > most.0 { (live, op) } else { most },
        )
    }

    /// Most live bytes at ops other than `ops` that cannot be banded or already are.
    fn floor(&self, network: &Network, ops: &Range<usize>) -> u64 {
        let all = self.profile.iter().zip(&self.applied.origin);
        let is_fixed = |at: &usize| {
            let banded = self.segments.iter().any(|s| s.ops.contains(at));
            !ops.contains(at) && (banded || network.ops.get(*at).is_none_or(Option::is_none))
        };
        all.filter(|(_, at)| is_fixed(at)).map(|(&live, _)| live).max().unwrap_or(0)
    }
}
