//! Orders the ops of a step so that its tensors need the least memory at once.
//!
//! Results do not change: ops that share a tensor or a part of the state keep their order
//! (`dependencies`), and the forward pass stays before the loss. Among the orders left, the best
//! has the lowest peak of live bytes, then the fewest live bytes over time, which gives
//! [`crate::place`] the most room. The search is seeded and bounded: equal programs get equal orders.

mod dependencies;
pub(crate) mod live;
pub(crate) mod random;
mod search;
#[cfg(test)]
pub(crate) mod testing;

use crate::lower::Lowered;
use dependencies::Dependencies;
use live::{as_given, Uses};
use random::Random;
use search::Search;

/// Seed of the local search.
const SEED: u64 = 0x0ff5_4007;

/// In which order the ops of a step run. Results are the same in all, bit for bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// That of least live bytes that was found.
    #[default]
    Least,
    /// That in which they were lowered.
    Lowered,
    /// One that is drawn by this seed from all that mean the same.
    Drawn(u64),
}

/// `lowered` with its ops in the order of least live bytes that was found.
pub fn schedule(lowered: &Lowered) -> Lowered {
    schedule_in(lowered, Order::Least)
}

/// `lowered` with its ops in the order that is asked for.
pub fn schedule_in(lowered: &Lowered, order: Order) -> Lowered {
    let dependencies = Dependencies::of(lowered);
    match order {
        Order::Least => permuted(lowered, &least(lowered, &dependencies)),
        Order::Lowered => lowered.clone(),
        Order::Drawn(seed) => permuted(lowered, &dependencies.drawn(&mut Random::new(seed))),
    }
}

/// The order of least live bytes that was found.
fn least(lowered: &Lowered, dependencies: &Dependencies) -> Vec<u32> {
    let uses = Uses::of(lowered);
    let search = Search { dependencies, uses: &uses };
    let given = search.rate(as_given(lowered.ops.len()));
    let greedy = search.rate(search.greedy());
    let found = [greedy, given.clone()].map(|start| search.improve(start, SEED));
    // The given order stays where nothing is better.
    let best = found.into_iter().fold(given, |best, o| if o.cost < best.cost { o } else { best });
    best.order
}

/// `lowered` with its ops in another order.
fn permuted(lowered: &Lowered, order: &[u32]) -> Lowered {
    fn pick<T: Clone>(all: &[T], order: &[u32]) -> Vec<T> {
        order.iter().filter_map(|&op| all.get(op as usize)).cloned().collect()
    }
    Lowered {
        ops: pick(&lowered.ops, order),
        names: pick(&lowered.names, order),
        macs: pick(&lowered.macs, order),
        ..lowered.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::live::peak;
    use super::testing::{in_parts, in_place, meaning, network, random_program, Builder};
    use super::*;

    /// `lowered` in parts, some of which take the place of others.
    fn in_pieces(lowered: &Lowered, random: &mut Random) -> Lowered {
        in_place(&in_parts(lowered, random), random)
    }

    /// The least peak of all orders that mean the same, found by trying them all.
    fn least_peak(lowered: &Lowered) -> u64 {
        fn extend(d: &Dependencies, uses: &Uses, order: &mut Vec<u32>, least: &mut u64) {
            let ops = d.ops() as u32;
            if order.len() == d.ops() {
                let mut position = vec![0; order.len()];
                order.iter().enumerate().for_each(|(at, &op)| position[op as usize] = at as u32);
                *least = (*least).min(uses.cost(&position, &mut Vec::new()).0);
            }
            for op in (0..ops).filter(|op| !order.contains(op)).collect::<Vec<_>>() {
                if (0..ops).all(|p| !d.keeps(p, op) || order.contains(&p)) {
                    order.push(op);
                    extend(d, uses, order, least);
                    order.pop();
                }
            }
        }
        let (mut order, mut least) = (Vec::new(), u64::MAX);
        extend(&Dependencies::of(lowered), &Uses::of(lowered), &mut order, &mut least);
        least
    }

    #[test]
    fn a_wide_branch_is_finished_before_the_next_is_opened() {
        let mut b = Builder::new();
        let x = b.input(8);
        let wide: Vec<u32> = (0..3).map(|_| b.buffer(1000)).collect();
        let narrow: Vec<u32> = (0..3).map(|_| b.buffer(8)).collect();
        let (pair, sum) = (b.buffer(8), b.buffer(8));
        wide.iter().for_each(|&w| b.op(&[x], w));
        wide.iter().zip(&narrow).for_each(|(&w, &n)| b.op(&[w], n));
        b.op(&narrow[..2], pair);
        b.op(&[pair, narrow[2]], sum);
        b.output(sum);
        let lowered = b.finish();
        let scheduled = schedule(&lowered);
        assert_eq!(peak(&lowered), 3008);
        assert!(peak(&scheduled) < 1100, "{}", peak(&scheduled));
        assert_eq!(meaning(&lowered), meaning(&scheduled));
    }

    #[test]
    fn small_programs_get_the_least_peak_there_is() {
        let mut improved = 0;
        for seed in 0..400 {
            let lowered = random_program(&mut Random::new(seed), 6, 3);
            let scheduled = schedule(&lowered);
            assert_eq!(peak(&scheduled), least_peak(&lowered), "seed {seed}");
            improved += usize::from(peak(&scheduled) < peak(&lowered));
        }
        assert!(improved > 80, "{improved} of 400 improved");
    }

    #[test]
    fn every_order_found_means_the_same_as_the_one_given() {
        for seed in 0..60 {
            let random = &mut Random::new(seed);
            let lowered = random_program(random, 25, 25);
            let lowered = if seed % 2 == 0 { lowered } else { in_pieces(&lowered, random) };
            let scheduled = schedule(&lowered);
            assert_eq!(meaning(&lowered), meaning(&scheduled), "seed {seed}");
            assert!(peak(&scheduled) <= peak(&lowered));
            for drawn in 0..3 {
                let drawn = schedule_in(&lowered, Order::Drawn(drawn));
                assert_eq!(meaning(&lowered), meaning(&drawn), "seed {seed}");
            }
            let mut names = (lowered.names.clone(), scheduled.names.clone());
            names.0.sort();
            names.1.sort();
            assert_eq!(names.0, names.1);
        }
    }

    #[test]
    fn meaning_tells_orders_apart() {
        for seed in 0..60 {
            let random = &mut Random::new(seed);
            let lowered = random_program(random, 12, 12);
            let lowered = if seed % 2 == 0 { lowered } else { in_pieces(&lowered, random) };
            let d = Dependencies::of(&lowered);
            for at in 0..lowered.ops.len() as u32 - 1 {
                let mut order = as_given(lowered.ops.len());
                order.swap(at as usize, at as usize + 1);
                let same = meaning(&permuted(&lowered, &order)) == meaning(&lowered);
                assert!(same || d.keeps(at, at + 1), "seed {seed}: {at} may change places");
            }
        }
    }

    #[test]
    fn names_and_macs_move_with_their_ops() {
        let lowered = network(6, 1);
        let scheduled = schedule(&lowered);
        assert_ne!(lowered.ops, scheduled.ops);
        for (at, name) in scheduled.names.iter().enumerate() {
            let was = lowered.names.iter().position(|n| n == name).unwrap();
            assert_eq!(lowered.ops[was], scheduled.ops[at]);
            assert_eq!(lowered.macs[was], scheduled.macs[at]);
        }
        assert_eq!(schedule(&lowered), scheduled);
    }

    #[test]
    fn programs_of_no_and_one_op_stay() {
        let empty = Builder::new().finish();
        assert_eq!(schedule(&empty), empty);
        let mut b = Builder::new();
        let (x, y) = (b.input(8), b.buffer(8));
        b.op(&[x], y);
        b.output(y);
        let one = b.finish();
        assert_eq!(schedule(&one), one);
    }
}
