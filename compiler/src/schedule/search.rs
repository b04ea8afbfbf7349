//! Looks for the order of least live bytes: a greedy list schedule, then a seeded local search.

use super::dependencies::Dependencies;
use super::live::{Cost, Uses};
use super::random::Random;

/// Orders that the local search tries from one start, at most.
const TRIES: usize = 40_000;

/// Proposals for each try: most of a chain's ops cannot move at all.
const PROPOSALS: usize = 10;

/// Tries for each op without a better order after which the search leaves where it is.
const PATIENCE: usize = 30;

/// A move is accepted where it is no worse than the order was this many tries ago.
const HISTORY: usize = 120;

/// Longest run of ops that is moved as one.
const RUN: usize = 12;

/// An order and what it costs.
#[derive(Clone, Debug)]
pub(super) struct Ordered {
    pub(super) order: Vec<u32>,
    pub(super) cost: Cost,
}

/// A program to be ordered.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) dependencies: &'a Dependencies,
    pub(super) uses: &'a Uses,
}

impl Search<'_> {
    /// `order` with its cost.
    pub(super) fn rate(&self, order: Vec<u32>) -> Ordered {
        let mut position = vec![0; order.len()];
        place(&mut position, &order, 0..order.len());
        let cost = self.uses.cost(&position, &mut Vec::new());
        Ordered { order, cost }
    }

    /// Runs next, of the ops that may, the one that leaves the fewest live bytes; of equals the
    /// one that needs the fewest new bytes, then the first.
    pub(super) fn greedy(&self) -> Vec<u32> {
        let mut waits_for = self.dependencies.counts();
        let mut left: Vec<usize> = self.uses.ops_of.iter().map(Vec::len).collect();
        let mut live = vec![false; left.len()];
        if let Some(input) = self.uses.input {
            live[input as usize] = true;
        }
        let mut open: Vec<u32> = (0..self.dependencies.ops() as u32).collect();
        let mut order = Vec::with_capacity(open.len());
        loop {
            let change = |op: u32| {
                let (mut grown, mut freed) = (0, 0);
                for &buffer in &self.uses.buffers_of[op as usize] {
                    let (b, bytes) = (buffer as usize, self.uses.bytes[buffer as usize] as i64);
                    grown += if live[b] { 0 } else { bytes };
                    freed +=
                        if left[b] == 1 && self.uses.output != Some(buffer) { bytes } else { 0 };
                }
                (grown - freed, grown, op)
            };
            let ready = open.iter().copied().filter(|&op| waits_for[op as usize] == 0);
            let Some(next) = ready.min_by_key(|&op| change(op)) else { return order };
            for &buffer in &self.uses.buffers_of[next as usize] {
                live[buffer as usize] = true;
                left[buffer as usize] -= 1;
            }
            open.retain(|&op| op != next);
            for &op in open.iter().filter(|&&op| self.dependencies.keeps(next, op)) {
                waits_for[op as usize] -= 1;
            }
            order.push(next);
        }
    }

    /// The best order found from `start` by exchanging neighbouring runs of ops, one op against
    /// another as well as whole branches. Late acceptance leaves small local optima, a few random
    /// exchanges from the best order on leave the others.
    pub(super) fn improve(&self, start: Ordered, seed: u64) -> Ordered {
        let ops = start.order.len();
        let mut best = start.clone();
        let Ordered { mut order, mut cost } = start;
        let mut position = vec![0; ops];
        place(&mut position, &order, 0..ops);
        let (mut profile, mut history) = (Vec::new(), [cost; HISTORY]);
        let (mut random, mut tries) = (Random::new(seed), 0);
        let most = TRIES.min(400 * ops);
        let (mut idle, mut shakes) = (0, 0);
        for _ in 0..most * PROPOSALS {
            let first = 1 + random.below(RUN) * random.below(2);
            let second = 1 + random.below(RUN) * random.below(2);
            let Some(room) = (ops + 1).checked_sub(first + second) else { continue };
            let from = random.below(room);
            let (middle, end) = (from + first, from + first + second);
            if room == 0
                || !self.dependencies.may_exchange(&order[from..middle], &order[middle..end])
            {
                continue;
            }
            order[from..end].rotate_left(first);
            place(&mut position, &order, from..end);
            let new = self.uses.cost(&position, &mut profile);
            idle += 1;
            let past = &mut history[tries % HISTORY];
            if shakes > 0 || new <= cost || new <= *past {
                cost = new;
                if cost < best.cost {
                    (best, idle) = (Ordered { order: order.clone(), cost }, 0);
                }
            } else {
                order[from..end].rotate_right(first);
                place(&mut position, &order, from..end);
            }
            *past = cost.min(*past);
            if shakes > 0 {
                shakes -= 1;
                history = [cost; HISTORY];
            } else if idle > PATIENCE * ops {
                (idle, shakes) = (0, 2 + random.below(ops / 4 + 1));
                (order, cost) = (best.order.clone(), best.cost);
                place(&mut position, &order, 0..ops);
            }
            tries += 1;
            if tries == most {
                break;
            }
        }
        best
    }
}

/// Notes where the ops of a part of `order` stand.
fn place(position: &mut [u32], order: &[u32], part: std::ops::Range<usize>) {
    for at in part {
        position[order[at] as usize] = at as u32;
    }
}
