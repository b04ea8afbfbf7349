use offshoot_runtime::program::{op as rt, Op};
use offshoot_runtime::Slot;

use super::*;
use crate::lower::{Holds, Recomputed};
use crate::place::{apply, check, place};
use crate::schedule::random::Random;
use crate::schedule::testing::{in_parts, meaning, random_program, Builder};

const ALL: Trim = Trim { in_place: true, recompute: 100 };

fn placed(lowered: &Lowered) {
    let plan = place(lowered).unwrap();
    check(&apply(lowered, &plan)).unwrap();
}

/// Outputs that lie over an input of their op.
fn over(lowered: &Lowered) -> Vec<u32> {
    let own = |b: &&Buffer| b.within.is_some_and(|within| within.holds == Holds::Own);
    let place = |b: &Buffer| b.within.map_or(u32::MAX, |within| within.buffer);
    lowered.buffers.iter().filter(own).map(place).collect()
}

#[test]
fn a_sum_takes_the_place_of_the_term_that_dies() {
    let mut b = Builder::new();
    let x = b.input(64);
    let [a, c, sum, y] = [64, 64, 64, 8].map(|bytes| b.buffer(bytes));
    b.op(&[x], a);
    b.op(&[a], c);
    b.op(&[a, c], sum);
    b.op(&[sum], y);
    b.output(y);
    let lowered = b.finish();
    assert_eq!(peak(&lowered), 3 * 64);
    let trimmed = schedule_trimmed(&lowered, Order::Least, ALL);
    assert_eq!(peak(&trimmed), 2 * 64);
    assert!(over(&trimmed).contains(&a), "{:?}", over(&trimmed));
    assert_eq!(meaning(&trimmed), meaning(&lowered));
    placed(&trimmed);
    let apart = Trim { in_place: false, ..ALL };
    assert_eq!(peak(&schedule_trimmed(&lowered, Order::Least, apart)), 3 * 64);
}

/// Neither what is read later, nor the prediction, nor one that is read twice, nor what has another
/// size, nor what is within another buffer.
#[test]
fn nothing_that_is_needed_is_written_over() {
    let mut b = Builder::new();
    let x = b.input(64);
    let [a, twice, sum, small, y] = [64, 64, 64, 32, 64].map(|bytes| b.buffer(bytes));
    b.op(&[x], a);
    b.op(&[a, a], twice);
    b.op(&[twice, a], sum);
    b.op(&[sum], small);
    b.op(&[sum, twice], y);
    b.output(sum);
    let lowered = b.finish();
    let all = in_place::in_place(&lowered);
    // `a` dies with the op that gives `sum`, `twice` with the last.
    let pairs: Vec<_> = all.buffers.iter().map(|b| b.within.map(|w| w.buffer)).collect();
    assert_eq!(pairs[sum as usize], Some(a));
    for apart in [a, twice, small] {
        assert_eq!(pairs[apart as usize].filter(|&place| place != x), None);
    }
    assert_ne!(pairs[y as usize], Some(sum));
    placed(&all);
}

/// A forward op through weights in state: `y` of `x`, with a mask.
fn layer(b: &mut Builder, x: u32, y: u32, mask: Option<u32>, latent: Slot) {
    let [input, output] = [x, y].map(|buffer| b.slot(buffer));
    let mask = mask.map_or(Slot::default(), |mask| b.slot(mask));
    let weights = rt::Weights { latent, ..rt::Weights::default() };
    b.push(rt::Conv { input, output, mask, weights, ..rt::Conv::default() });
}

/// An activation of 400 bytes, computed from one of 40 that is kept, is saved for an update at the end
/// of the backward pass; the weights that gave it are updated before that or after.
fn saved(early: bool) -> Lowered {
    let mut b = Builder::new();
    let x = b.input(40);
    let [wide, mask, narrow] = [400, 56, 40].map(|bytes| b.buffer(bytes));
    let [e, first, second] = [40, 200, 40].map(|bytes| b.buffer(bytes));
    let [own, other] = [b.state(16), b.state(16)];
    layer(&mut b, x, wide, Some(mask), own);
    b.op(&[wide], narrow);
    b.output(narrow);
    b.loss(narrow, e);
    b.gradient(e, None, None, Slot::default(), first);
    if early {
        b.update(e, x, own);
    }
    b.gradient(first, None, Some(mask), Slot::default(), second);
    b.update(second, wide, other);
    b.update(second, x, own);
    b.finish()
}

#[test]
fn what_is_large_and_read_late_is_computed_again() {
    let lowered = saved(false);
    let trimmed = schedule_trimmed(&lowered, Order::Lowered, ALL);
    assert!(peak(&trimmed) < peak(&lowered), "{} of {}", peak(&trimmed), peak(&lowered));
    assert_eq!(trimmed.again, [Recomputed { layer: "n0".into(), macs: 0 }]);
    assert_eq!(trimmed.ops.len(), lowered.ops.len() + 1);
    assert_eq!(meaning(&trimmed), meaning(&lowered));
    // Its mask, which is read early, is kept.
    let masks = |op: &Op| matches!(op, Op::Conv(op) if !op.mask.is_empty());
    assert_eq!(trimmed.ops.iter().map(masks).collect::<Vec<_>>()[..2], [true, false]);
    assert_eq!(trimmed.ops.iter().filter(|op| masks(op)).count(), 1);
    placed(&trimmed);
}

#[test]
fn a_mask_that_is_read_late_is_forgotten_too() {
    let mut b = Builder::new();
    let x = b.input(40);
    let [wide, mask, narrow] = [400, 160, 40].map(|bytes| b.buffer(bytes));
    let [e, first, second, third] = [40, 400, 40, 40].map(|bytes| b.buffer(bytes));
    layer(&mut b, x, wide, Some(mask), Slot::default());
    b.op(&[wide], narrow);
    b.output(narrow);
    b.loss(narrow, e);
    b.gradient(e, None, None, Slot::default(), first);
    b.gradient(first, None, None, Slot::default(), second);
    b.gradient(second, None, Some(mask), Slot::default(), third);
    let latent = b.state(16);
    b.update(third, wide, latent);
    let lowered = b.finish();
    let trimmed = schedule_trimmed(&lowered, Order::Lowered, ALL);
    assert_eq!(trimmed.again.len(), 1);
    let Op::Conv(before) = &trimmed.ops[0] else { panic!("{:?}", trimmed.ops[0]) };
    assert!(before.mask.is_empty());
    // What is left is that of the second run: output and mask, with the input and an error, then two.
    assert_eq!(peak(&trimmed), 400 + 160 + 40 + 40);
    assert_eq!(meaning(&trimmed), meaning(&lowered));
    placed(&trimmed);
}

#[test]
fn nothing_is_computed_again_with_other_weights() {
    let lowered = saved(true);
    let trimmed = schedule_trimmed(&lowered, Order::Lowered, ALL);
    assert_eq!(trimmed.again, []);
    assert_eq!(meaning(&trimmed), meaning(&lowered));
}

#[test]
fn no_more_is_computed_again_than_is_allowed() {
    let mut lowered = saved(false);
    lowered.macs[..2].copy_from_slice(&[10, 90]);
    for (recompute, again) in [(9, 0), (10, 1), (100, 1)] {
        let trim = Trim { recompute, ..ALL };
        let trimmed = schedule_trimmed(&lowered, Order::Lowered, trim);
        assert_eq!(trimmed.again.len(), again, "{recompute} %");
        assert_eq!(
            trimmed.macs.iter().sum::<u64>(),
            lowered.macs.iter().sum::<u64>() + 10 * again as u64
        );
    }
}

#[test]
fn random_programs_mean_the_same_in_fewer_bytes() {
    let (mut lower, mut shared, mut again) = (0, 0, 0);
    for seed in 0..300 {
        let random = &mut Random::new(seed);
        let backward = [0, 12][random.below(2)];
        let lowered = random_program(random, 10, backward);
        let lowered = if seed % 2 == 0 { lowered } else { in_parts(&lowered, random) };
        for order in [Order::Least, Order::Lowered, Order::Drawn(seed)] {
            let apart = schedule_in(&lowered, order);
            let trimmed = schedule_trimmed(&lowered, order, ALL);
            assert_eq!(meaning(&trimmed), meaning(&lowered), "seed {seed}, {order:?}");
            assert!(peak(&trimmed) <= peak(&apart), "seed {seed}, {order:?}");
            lower += u32::from(peak(&trimmed) < peak(&apart));
            shared += u32::from(!over(&trimmed).is_empty());
            again += u32::from(!trimmed.again.is_empty());
            placed(&trimmed);
            // In any order of its own.
            let drawn = schedule_in(&trimmed, Order::Drawn(seed + 1));
            assert_eq!(meaning(&drawn), meaning(&lowered), "seed {seed}, {order:?}");
            placed(&drawn);
        }
    }
    println!(
        "of 900: {lower} with fewer live bytes, {shared} in place, {again} with ops run again"
    );
    assert!(lower > 200 && shared > 5 && again > 200, "{lower}, {shared}, {again}");
}
