//! Searches for the order of insertion that needs the least arena.

use std::cmp::Reverse;

use super::fit::{Fitted, Gap, Problem};
use crate::schedule::random::Random;

/// Steps that the search may take, as [`Problem::work`] counts them.
const WORK: usize = 60_000_000;

/// Insertions that are tried, at most.
const TRIES: usize = 60_000;

/// A move is accepted where it is no worse than the placing was this many tries ago.
const HISTORY: usize = 80;

/// Tries without a better placing after which the search goes back to the best one.
const PATIENCE: usize = 4_000;

const SEED: u64 = 0x0ff5_4007;

/// Offsets that reach `lower_bound`, or the best that were found.
pub(super) fn best_fit(problem: &Problem, lower_bound: u32) -> Fitted {
    let tensors = problem.tensors();
    let mut room = Vec::new();
    let mut best: Option<Fitted> = None;
    for order in orders(problem, &tensors) {
        for gap in [Gap::First, Gap::Best] {
            let fitted = problem.insert(&order, gap, lower_bound, u32::MAX, &mut room);
            best = better(best, fitted);
        }
        if best.as_ref().is_some_and(|b| b.peak <= lower_bound) {
            break;
        }
    }
    let start = best.unwrap_or_default();
    if start.peak <= lower_bound {
        return start;
    }
    search(problem, lower_bound, tensors, start)
}

fn better(old: Option<Fitted>, new: Option<Fitted>) -> Option<Fitted> {
    match (&old, &new) {
        (Some(o), Some(n)) if (o.peak, o.excess) <= (n.peak, n.excess) => old,
        (_, None) => old,
        _ => new,
    }
}

/// Orders that are good as a rule: big, or long-lived, or both, or early tensors first.
fn orders(problem: &Problem, tensors: &[u32]) -> Vec<Vec<u32>> {
    let bytes = |t: u32| u64::from(problem.bytes[t as usize]);
    let life = |t: u32| problem.live[t as usize];
    let ops = |t: u32| life(t).map_or(0, |l| u64::from(l.ops()));
    let first = |t: u32| life(t).map_or(0, |l| u64::from(l.first));
    let last = |t: u32| life(t).map_or(0, |l| u64::from(l.last));
    let by = |key: &dyn Fn(u32) -> (Reverse<u64>, Reverse<u64>)| {
        let mut order = tensors.to_vec();
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

/// Moves tensors within the order of insertion, mostly such as reach too high to an earlier turn,
/// with late acceptance, until the lower bound is reached or the work is done.
fn search(problem: &Problem, lower_bound: u32, tensors: Vec<u32>, start: Fitted) -> Fitted {
    let rising = |fitted: &Fitted| {
        let mut order = tensors.clone();
        order.sort_by_key(|&t| (fitted.offsets[t as usize], t));
        order
    };
    let (mut order, mut best) = (rising(&start), start.clone());
    let (mut current, mut history) = (start.clone(), [(start.peak, start.excess); HISTORY]);
    let (mut random, mut room, mut idle) = (Random::new(SEED), Vec::new(), 0);
    for turn in 0..TRIES.min(WORK / problem.work().max(1)) {
        if best.peak <= lower_bound {
            break;
        }
        if idle > PATIENCE {
            (order, current, idle) = (rising(&best), best.clone(), 0);
            history = [(best.peak, best.excess); HISTORY];
        }
        idle += 1;
        let changed = perturbed(problem, &order, &current, lower_bound, &mut random);
        let past = &mut history[turn % HISTORY];
        let most = past.0.max(current.peak);
        let fitted = problem.insert(&changed, Gap::First, lower_bound, most, &mut room);
        if let Some(fitted) = fitted {
            let cost = (fitted.peak, fitted.excess);
            if cost <= (current.peak, current.excess) || cost <= *past {
                (order, current) = (changed, fitted);
            }
            if (current.peak, current.excess) < (best.peak, best.excess) {
                (best, idle) = (current.clone(), 0);
            }
        }
        *past = (*past).min((current.peak, current.excess));
    }
    best
}

/// `order` with one tensor moved or two exchanged.
fn perturbed(
    problem: &Problem,
    order: &[u32],
    fitted: &Fitted,
    lower_bound: u32,
    random: &mut Random,
) -> Vec<u32> {
    let mut changed = order.to_vec();
    let ends = |t: u32| fitted.offsets[t as usize] + problem.bytes[t as usize];
    let high: Vec<usize> = (0..order.len()).filter(|&at| ends(order[at]) > lower_bound).collect();
    let any = random.below(order.len());
    match random.below(4) {
        0 => changed.swap(any, random.below(order.len())),
        1 => {
            let tensor = changed.remove(any);
            changed.insert(random.below(order.len()), tensor);
        }
        _ => {
            let at = high.get(random.below(high.len())).copied().unwrap_or(any);
            let tensor = changed.remove(at);
            changed.insert(random.below(at + 1), tensor);
        }
    }
    changed
}
