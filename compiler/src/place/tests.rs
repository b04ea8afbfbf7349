//! Plans of hand-made and random programs, and the checker against plans that are spoilt.

use offshoot_runtime::{Memory, Slot};

use super::fit::Problem;
use super::*;
use crate::lower::{Buffer, Holds, Within};
use crate::schedule::random::Random;
use crate::schedule::schedule;
use crate::schedule::testing::{
    in_parts, in_place, meaning, meaning_of, network, random_program, Builder,
};

fn placed(lowered: &Lowered) -> Placed {
    apply(lowered, &place(lowered).unwrap())
}

/// Programs to spoil, and some that only predict.
fn programs() -> Vec<Lowered> {
    let random = |seed| {
        let backward = if seed % 4 == 0 { 0 } else { 8 };
        random_program(&mut Random::new(seed), 8, backward)
    };
    (0..40).map(random).chain([schedule(&network(4, 1))]).collect()
}

/// The same with tensors that are written in parts, some in the place of others.
fn in_pieces() -> impl Iterator<Item = Lowered> {
    (0..).zip(programs()).map(|(seed, lowered)| {
        let random = &mut Random::new(seed);
        in_place(&in_parts(&lowered, random), random)
    })
}

fn small() -> Lowered {
    let mut b = Builder::new();
    let x = b.input(64);
    let [y, z, error] = [100, 10, 12].map(|bytes| b.buffer(bytes));
    b.op(&[x], y);
    b.op(&[y], z);
    b.output(z);
    b.loss(z, error);
    let latent = b.state(24);
    b.update(error, z, latent);
    b.finish()
}

/// Whether two tensors that live together share a byte in `offsets`.
fn clash(lowered: &Lowered, plan: &MemoryPlan) -> bool {
    let range = |t: usize| (plan.offsets[t], plan.offsets[t] + lowered.buffers[t].bytes);
    let together = |a: usize, b: usize| match (plan.live[a], plan.live[b]) {
        (Some(a), Some(b)) => a.meets(&b),
        _ => false,
    };
    let share = |a: usize, b: usize| range(a).0 < range(b).1 && range(b).0 < range(a).1;
    let count = plan.offsets.len();
    (0..count).any(|a| (0..a).any(|b| together(a, b) && share(a, b)))
}

fn top(lowered: &Lowered, plan: &MemoryPlan) -> u32 {
    let ends = (0..plan.offsets.len()).filter(|&t| plan.live[t].is_some());
    ends.map(|t| plan.offsets[t] + lowered.buffers[t].bytes).max().unwrap_or(0).next_multiple_of(8)
}

#[test]
fn plans_keep_what_programs_mean_and_pass_the_check() {
    for lowered in programs().into_iter().chain(in_pieces()) {
        let placed = placed(&lowered);
        assert_eq!(check(&placed), Ok(()));
        assert_eq!(meaning_of(&placed.header, &placed.ops), meaning(&lowered));
        assert!(placed.plan.lower_bound <= placed.plan.peak);
        assert_eq!(Some(&placed.plan.lower_bound), placed.plan.profile.iter().max());
    }
}

#[test]
fn every_tensor_moved_by_a_little_is_found_where_it_does_harm() {
    let (mut harmful, mut harmless) = (0, 0);
    for lowered in programs() {
        let plan = place(&lowered).unwrap();
        for tensor in 0..plan.offsets.len() {
            for by in [-8, -4, 4, 8] {
                let Some(offset) = plan.offsets[tensor].checked_add_signed(by) else { continue };
                let mut moved = plan.clone();
                moved.offsets[tensor] = offset;
                let spoilt = apply(&lowered, &moved);
                let misaligned = by % 8 != 0 && plan.live[tensor].is_some();
                let wrong =
                    misaligned || clash(&lowered, &moved) || top(&lowered, &moved) != plan.peak;
                assert_eq!(check(&spoilt).is_err(), wrong, "tensor {tensor} moved by {by}");
                let same = meaning_of(&spoilt.header, &spoilt.ops) == meaning(&lowered);
                assert!(same || wrong);
                harmful += usize::from(!same);
                harmless += usize::from(!wrong);
            }
        }
    }
    assert!(harmful > 500 && harmless > 100, "{harmful} did harm, {harmless} did none");
}

#[test]
fn any_two_live_tensors_laid_over_each_other_are_found() {
    let (mut found, mut harmless) = (0, 0);
    for lowered in programs() {
        let plan = place(&lowered).unwrap();
        let count = plan.offsets.len();
        for (a, b) in (0..count).flat_map(|a| (0..count).map(move |b| (a, b))) {
            let together =
                matches!((plan.live[a], plan.live[b]), (Some(x), Some(y)) if x.meets(&y));
            if a != b && together {
                let mut over = plan.clone();
                over.offsets[a] = plan.offsets[b];
                let over = apply(&lowered, &over);
                match check(&over) {
                    Err(_) => found += 1,
                    // An output over an input that it may take the place of.
                    Ok(()) => {
                        let means = meaning_of(&over.header, &over.ops);
                        assert_eq!(means, meaning(&lowered), "{a} over {b}");
                        assert!(over.ops.iter().any(|op| {
                            op.in_place().is_some_and(|p| p.inputs.contains(&p.output))
                        }));
                        harmless += 1;
                    }
                }
            }
        }
    }
    assert!(harmless * 50 < found, "{harmless} did no harm, {found} found");
}

#[test]
fn two_exchanged_ops_are_found_where_tensors_are_lost() {
    let (mut lost, mut found) = (0, 0);
    for lowered in programs().into_iter().take(16).chain(in_pieces().take(16)) {
        let good = placed(&lowered);
        for (i, j) in (0..good.ops.len()).flat_map(|j| (0..j).map(move |i| (i, j))) {
            let (mut spoilt, mut meant) = (good.clone(), lowered.clone());
            spoilt.ops.swap(i, j);
            spoilt.tensors.of_op.swap(i, j);
            meant.ops.swap(i, j);
            // Data are lost where the order is wrong whatever the places, and where it is right
            // but the places do not fit it.
            let displaced = meaning_of(&spoilt.header, &spoilt.ops) != meaning(&meant);
            let harmful = displaced || lives::of(&meant).is_err();
            found += usize::from(check(&spoilt).is_err());
            lost += usize::from(harmful);
            assert!(!harmful || check(&spoilt).is_err(), "{i} and {j}");
        }
    }
    assert!(lost > 400 && found >= lost, "{lost} did harm, {found} found");
}

#[test]
fn a_smaller_arena_and_wrong_figures_are_found() {
    for lowered in programs() {
        let good = placed(&lowered);
        let spoil = |change: &dyn Fn(&mut Placed)| {
            let mut spoilt = good.clone();
            change(&mut spoilt);
            check(&spoilt)
        };
        assert!(spoil(&|p| p.header.arena -= 8).is_err());
        assert!(spoil(&|p| p.header.arena += 8).is_err());
        assert!(spoil(&|p| p.plan.peak -= 8).is_err());
        assert!(spoil(&|p| p.plan.lower_bound -= 8).is_err());
        assert!(spoil(&|p| p.plan.profile[2] += 8).is_err());
        assert!(spoil(&|p| p.header.output.offset += 8).is_err());
        assert!(spoil(&|p| p.header.input.offset += 8).is_err());
        assert!(spoil(&|p| p.tensors.of_op[1][0] += 1).is_err());
        assert!(spoil(&|p| p.tensors.of_op[1].clear()).is_err());
    }
}

/// Tensors of 8 to 32 bytes that fill every one of some ops alike, so that a few sets of them cannot
/// reach the lower bound.
pub(super) fn full_ops(random: &mut Random) -> (Vec<u32>, Vec<Option<Life>>) {
    let (load, ops) = (5 + random.below(4) as u32, 6 + random.below(7) as u32);
    let mut tensors: Vec<(u32, Life)> = Vec::new();
    for op in 0..ops {
        let mut free = load;
        for (bytes, life) in tensors.iter_mut().filter(|(_, life)| life.last + 1 == op) {
            if random.below(3) > 0 {
                life.last = op;
                free -= *bytes / 8;
            }
        }
        while free > 0 {
            let size = (1 + random.below(4) as u32).min(free);
            free -= size;
            tensors.push((8 * size, Life { first: op, last: op }));
        }
    }
    tensors.into_iter().map(|(bytes, life)| (bytes, Some(life))).unzip()
}

/// Whether tensors from `next` on fit below `peak`, by trying every multiple of 8.
pub(super) fn fits(
    bytes: &[u32],
    live: &[Option<Life>],
    offsets: &mut Vec<u32>,
    peak: u32,
) -> bool {
    let next = offsets.len();
    if next == bytes.len() {
        return true;
    }
    for offset in (0..(peak + 8).saturating_sub(bytes[next])).step_by(8) {
        let free = (0..next).all(|t| {
            let together = matches!((live[t], live[next]), (Some(a), Some(b)) if a.meets(&b));
            !together || offset >= offsets[t] + bytes[t] || offsets[t] >= offset + bytes[next]
        });
        offsets.push(offset);
        if free && fits(bytes, live, offsets, peak) {
            return true;
        }
        offsets.pop();
    }
    false
}

#[test]
fn small_programs_get_the_least_arena_there_is() {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let count = 5 + random.below(4);
        let bytes: Vec<u32> = (0..count).map(|_| 8 * (1 + random.below(6) as u32)).collect();
        let life = |random: &mut Random| {
            let first = random.below(8) as u32;
            Some(Life { first, last: first + random.below(5) as u32 })
        };
        let live: Vec<Option<Life>> = (0..count).map(|_| life(&mut random)).collect();
        let alive = |at: u32| {
            let at = Some(Life { first: at, last: at });
            let meets = |l: &Option<Life>| matches!((l, at), (Some(l), Some(at)) if l.meets(&at));
            live.iter().zip(&bytes).filter(|(l, _)| meets(l)).map(|(_, b)| b).sum::<u32>()
        };
        let bound = (0..12).map(alive).max().unwrap();
        let found = improve::best_fit(&Problem::new(&bytes, &live), bound).peak;
        let least = (bound..).step_by(8).find(|&p| fits(&bytes, &live, &mut Vec::new(), p));
        assert_eq!(Some(found), least, "seed {seed}, bound {bound}");
    }
}

#[test]
fn a_network_reaches_the_lower_bound() {
    for seed in 0..3 {
        let lowered = network(20, seed);
        assert!(lowered.ops.len() >= 170 && lowered.buffers.len() >= 150);
        let placed = placed(&schedule(&lowered));
        assert_eq!(check(&placed), Ok(()));
        assert_eq!(placed.plan.peak, placed.plan.lower_bound);
        assert_eq!(meaning_of(&placed.header, &placed.ops), meaning(&lowered));
    }
}

#[test]
fn unsound_programs_are_refused_by_name() {
    let reads =
        |op: &str| PlaceError::ReadBeforeWrite { index: 0, op: op.into(), buffer: "t1".into() };
    let mut swapped = small();
    swapped.ops.swap(0, 1);
    swapped.names.swap(0, 1);
    assert_eq!(place(&swapped), Err(reads("n1")));

    let mut twice = small();
    twice.ops[1] = twice.ops[0];
    let error = PlaceError::WrittenTwice { index: 1, op: "n1".into(), buffer: "t1".into() };
    assert_eq!(place(&twice), Err(error));

    let mut short = small();
    short.buffers[1].bytes = 99;
    let error = PlaceError::NoSuchBuffer { index: 0, op: "n0".into(), buffer: 1, bytes: 100 };
    assert_eq!(place(&short), Err(error));

    let mut outside = small();
    let within = Some(Within { buffer: 0, at: 56, holds: Holds::Part });
    outside.buffers.push(Buffer { within, ..Buffer::new("end", 16) });
    let error = PlaceError::NotInside { buffer: "end".into(), other: "t0".into() };
    assert_eq!(place(&outside), Err(error));

    let mut early = small();
    early.header.forward = 1;
    assert_eq!(place(&early), Err(PlaceError::NoOutput { buffer: "t2".into() }));

    let mut huge = small();
    huge.buffers.extend([0, 1].map(|_| Buffer::new("h", 1 << 31)));
    assert!(matches!(place(&huge), Err(PlaceError::TooLarge { .. })));
}

#[test]
fn programs_without_tensors_and_with_unused_ones_are_placed() {
    let empty = placed(&Builder::new().finish());
    assert_eq!((empty.header.arena, check(&empty)), (0, Ok(())));
    let mut b = Builder::new();
    let (x, dead, y) = (b.input(8), b.buffer(16), b.buffer(8));
    b.buffer(1000);
    b.masked(&[x], y, Some(dead));
    b.output(y);
    let placed = placed(&b.finish());
    assert_eq!((placed.plan.peak, check(&placed)), (32, Ok(())));
    assert!(print(&placed).contains("1000  unused     \"t3\""), "{}", print(&placed));
}

#[test]
fn constants_state_and_scratch_stay_where_they_are() {
    let lowered = small();
    let slots = |ops: &[offshoot_runtime::program::Op]| {
        let mut slots: Vec<Slot> = Vec::new();
        ops.iter().for_each(|op| (*op).clone().visit(&mut |_, s| slots.push(*s)));
        slots.retain(|s| s.memory != Memory::Arena || s.is_empty());
        slots
    };
    assert_eq!(slots(&placed(&lowered).ops), slots(&lowered.ops));
}

#[test]
fn a_board_that_is_too_small_is_told_what_to_give_up() {
    let placed = placed(&small());
    assert_eq!(check_budget(&placed, 192), Ok(()));
    let message = check_budget(&placed, 191).unwrap_err().to_string();
    assert_eq!(
        message,
        "a step needs 192 bytes of SRAM (arena 168, trained state 24, scratch 0), but 191 are \
         available; the arena is fullest at op 0 (\"n0\"), where \"t1\" (100 bytes), \"t0\" (64 \
         bytes) are live: train fewer biases, weights or channels in the update scheme, give the \
         network smaller inputs, or choose a board with more SRAM"
    );
}

#[test]
fn the_memory_map_reads_well() {
    let expected = r#"arena 168 bytes, lower bound 168 (reached), fullest at op 0 "n0"
state 24 + scratch 0, in all 192
  offset      end    bytes  life       tensor
       0      100      100  0..1       "t1"
     104      168       64  0..0       "t0"
     104      114       10  1..3       "t2"
       0       12       12  2..3       "t3"
    live  op
     168  ########################################  0 Requantize "n0"
     120  #############################             1 Requantize "n1"
      32  ########                                  2 SoftmaxCrossEntropy "n2"
      32  ########                                  3 ConvUpdate "n3"
"#;
    assert_eq!(print(&placed(&small())), expected);
}
