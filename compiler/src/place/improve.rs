//! Searches for offsets that need the least arena.
//!
//! Greedy insertion reaches the lower bound of most networks. Where it does not, the search of
//! [`pack`] is asked for a placing in as many bytes, then in more, by bisection up to what is
//! known to do. What it may take is counted in nodes, never in time: equal programs get equal
//! plans.

use std::cmp::Reverse;

use super::fit::{Fitted, Gap, Problem};
use super::pack::{pack, Packing};
use super::sections::Sections;

/// What a search for a placing may take, and when it may stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Nodes of the search at the most; a node takes some microseconds. Half of them are for the
    /// first question, whether the lower bound can be had.
    pub nodes: u64,
    /// A peak in bytes that is low enough: nothing below it is searched for.
    pub enough: u32,
}

impl Default for Effort {
    /// What a program is placed with: the least arena, in a second or two at the worst.
    fn default() -> Effort {
        Effort { nodes: 150_000, enough: 0 }
    }
}

/// Parts of the nodes that remain which every question after the first may take: one of so many.
const SHARE: u64 = 6;

/// Offsets that reach `lower_bound`, or the best that were found.
pub(super) fn best_fit(problem: &Problem, lower_bound: u32) -> Fitted {
    best_fit_with(problem, lower_bound, Effort::default())
}

/// [`best_fit`] with an effort of choice.
pub(super) fn best_fit_with(problem: &Problem, lower_bound: u32, effort: Effort) -> Fitted {
    let target = lower_bound.max(effort.enough);
    let mut best = insert_greedily(problem, target);
    if best.peak <= target {
        return best;
    }
    let sections = Sections::of(problem);
    let unit = sections.unit();
    // No placing is known to need less than `low`, or none was found; `best` needs more.
    let mut low = target - target % unit;
    let (mut capacity, mut share) = (low, effort.nodes / 2);
    let mut left = effort.nodes;
    while left > 0 {
        let mut nodes = share.clamp(1, left);
        left -= nodes;
        let packing = pack(&sections, capacity, &mut nodes);
        left += nodes;
        match packing {
            Packing::Found(offsets) => best = fitted(problem, &sections, &offsets),
            Packing::Impossible | Packing::Unknown => low = low.max(capacity),
        }
        if best.peak <= target || best.peak - low <= unit {
            break;
        }
        let middle = low + (best.peak - low) / 2;
        capacity = (middle - middle % unit).max(low + unit);
        share = left / SHARE;
    }
    best.nodes = effort.nodes - left;
    best
}

/// What a packing of the sections is in the problem.
fn fitted(problem: &Problem, sections: &Sections, packed: &[u32]) -> Fitted {
    let mut offsets = vec![0; problem.bytes.len()];
    let mut peak = 0;
    for ((&number, &offset), &bytes) in sections.number.iter().zip(packed).zip(&sections.bytes) {
        offsets[number as usize] = offset;
        peak = peak.max(offset + bytes);
    }
    Fitted { offsets, peak, nodes: 0 }
}

/// The best of what inserting in several orders gives; the first that needs no more than `target`.
fn insert_greedily(problem: &Problem, target: u32) -> Fitted {
    let mut room = Vec::new();
    let mut best: Option<Fitted> = None;
    for order in orders(problem) {
        for gap in [Gap::First, Gap::Best] {
            let fitted = problem.insert(&order, gap, &mut room);
            if best.as_ref().is_none_or(|best| fitted.peak < best.peak) {
                best = Some(fitted);
            }
        }
        if best.as_ref().is_some_and(|best| best.peak <= target) {
            break;
        }
    }
    best.unwrap_or_default()
}

/// Orders that are good as a rule: big, or long-lived, or both, or early tensors first.
fn orders(problem: &Problem) -> Vec<Vec<u32>> {
    let tensors = problem.tensors();
    let bytes = |t: u32| u64::from(problem.bytes[t as usize]);
    let life = |t: u32| problem.live[t as usize];
    let ops = |t: u32| life(t).map_or(0, |l| u64::from(l.last - l.first) + 1);
    let first = |t: u32| life(t).map_or(0, |l| u64::from(l.first));
    let last = |t: u32| life(t).map_or(0, |l| u64::from(l.last));
    let by = |key: &dyn Fn(u32) -> (Reverse<u64>, Reverse<u64>)| {
        let mut order = tensors.clone();
        order.sort_by_key(|&t| (key(t), t));
        order
    };
    vec![
        by(&|t| (Reverse(bytes(t)), Reverse(ops(t)))),
        by(&|t| (Reverse(bytes(t) * ops(t)), Reverse(bytes(t)))),
        by(&|t| (Reverse(ops(t)), Reverse(bytes(t)))),
        by(&|t| (Reverse(u64::MAX - first(t)), Reverse(bytes(t)))),
        by(&|t| (Reverse(last(t)), Reverse(bytes(t)))),
    ]
}
