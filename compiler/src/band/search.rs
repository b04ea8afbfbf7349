//! Which segments are banded, and how: those that lower the most live bytes, in as few ops as do.
//!
//! One segment after another, each around the op with the most live bytes of what there is so far. Of
//! all runs of ops around it and all heights of a band, that is taken which costs the least: its live
//! bytes, but not below what the rest of the program needs anyway, and the flash of its ops.

use std::ops::Range;

use super::rows::Network;
use super::{apply, Applied, Segment};
use crate::lower::Lowered;
use crate::schedule::live::{as_given, Uses};

/// Ops that a segment may have on either side of the fullest op.
const REACH: usize = 16;

/// Bytes of flash that an op takes, roughly: its descriptor and the call.
const OP_FLASH: u64 = 160;

/// Bytes of flash that are worth a byte of SRAM: microcontrollers have about as many times more.
const FLASH_FOR_SRAM: u64 = 8;

/// Segments that lower the most live bytes of `lowered`; none where none do.
pub(super) fn segments(lowered: &Lowered, network: &Network) -> Vec<Segment> {
    let Some(start) = Rated::of(lowered, network, Vec::new()) else { return Vec::new() };
    let (mut current, ops) = (start, 0..lowered.ops.len());
    // Each turn lowers the fullest op or is the last.
    for _ in ops.clone() {
        let (peak, op) = current.fullest(&ops);
        let better = candidates(network, op).filter_map(|candidate| {
            // What was banded by a segment that this one replaces is fuller again.
            let replaced = || current.segments.iter().filter(|s| meets(&s.ops, &candidate.ops));
            let from = replaced().map(|s| s.ops.start).fold(candidate.ops.start, usize::min);
            let to = replaced().map(|s| s.ops.end).fold(candidate.ops.end, usize::max);
            let with = Rated::of(lowered, network, current.with(&candidate))?;
            let (live, _) = with.fullest(&(from..to));
            (live < peak).then(|| (cost(live.max(with.floor(network, &(from..to))), &with), with))
        });
        let Some((_, with)) = better.min_by_key(|(cost, _)| *cost) else { break };
        current = with;
    }
    // What was chosen first did not know how much the others would leave.
    for segment in current.segments.clone() {
        let others = candidates(network, segment.ops.start).filter(|c| c.ops == segment.ops);
        let with = |candidate| Rated::of(lowered, network, current.with(&candidate));
        let without = current.segments.iter().filter(|s| **s != segment).cloned().collect();
        let without = Rated::of(lowered, network, without);
        let all = others.filter_map(with).chain(without);
        let total = |rated: &Rated| cost(rated.fullest(&ops).0, rated);
        let best = all.min_by_key(total).filter(|best| total(best) < total(&current));
        current = best.unwrap_or(current);
    }
    current.segments
}

/// Bytes of flash that `live` bytes of SRAM and the ops of a program are worth.
fn cost(live: u64, rated: &Rated) -> u64 {
    live * FLASH_FOR_SRAM + rated.profile.len() as u64 * OP_FLASH
}

fn meets(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

/// All segments around op `op`.
fn candidates(network: &Network, op: usize) -> impl Iterator<Item = Segment> + '_ {
    let bandable = |at: &usize| network.ops.get(*at).is_some_and(Option::is_some);
    let starts = (op.saturating_sub(REACH)..=op).rev().take_while(bandable);
    let ends = move || (op..op + REACH).take_while(bandable);
    let runs = starts.flat_map(move |start| ends().map(move |last| start..last + 1));
    runs.filter(|ops| ops.len() > 1).flat_map(|ops| {
        let last = network.ops[ops.end - 1].as_ref();
        let height = last.map_or(0, |op| network.heights[op.writes[0] as usize]);
        // Halves, thirds, quarters and so on: bands as equal as can be.
        let mut rows: Vec<u32> = (2..=height).map(|bands| height.div_ceil(bands)).collect();
        rows.dedup();
        let ways = [(false, false), (false, true), (true, false), (true, true)];
        rows.into_iter().flat_map(move |rows| {
            let ops = ops.clone();
            ways.map(move |(park, in_place)| Segment { ops: ops.clone(), rows, park, in_place })
        })
    })
}

/// A program in bands with its live bytes.
struct Rated {
    segments: Vec<Segment>,
    applied: Applied,
    profile: Vec<u64>,
}

impl Rated {
    fn of(lowered: &Lowered, network: &Network, segments: Vec<Segment>) -> Option<Rated> {
        let applied = apply(lowered, network, &segments)?;
        let mut profile = Vec::new();
        let order = as_given(applied.lowered.ops.len());
        Uses::of(&applied.lowered).cost(&order, &mut profile);
        Some(Rated { segments, applied, profile })
    }

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
