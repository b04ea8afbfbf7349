//! Arrangements of random tensors: sound, the least there is where that can be had by trying
//! everything, the same every time.

use super::*;
use crate::place::tests::{fits, full_ops};
use crate::schedule::random::Random;

/// Tensors of up to `sizes` times 8 bytes that live some of `ops` ops.
fn tensors(
    random: &mut Random,
    count: usize,
    sizes: usize,
    ops: usize,
) -> (Vec<u32>, Vec<Option<Life>>) {
    let bytes = (0..count).map(|_| 8 * (1 + random.below(sizes) as u32)).collect();
    let life = |_| {
        let first = random.below(ops);
        let last = first + random.below((ops - first).min(1 + ops / 2));
        Some(Life { first: first as u32, last: last as u32 })
    };
    (bytes, (0..count).map(life).collect())
}

/// Asserts that no two tensors share a byte while both live, and none ends above the peak.
fn assert_sound(bytes: &[u32], live: &[Option<Life>], found: &Arrangement) {
    assert!(found.lower_bound <= found.peak);
    for a in 0..bytes.len() {
        let end = found.offsets[a] + bytes[a];
        assert!(live[a].is_none() || end <= found.peak, "{a}");
        for b in (0..bytes.len()).filter(|&b| b != a && found.offsets[b] >= found.offsets[a]) {
            let together = matches!((live[a], live[b]), (Some(a), Some(b)) if a.meets(&b));
            let empty = bytes[a] == 0 || bytes[b] == 0;
            assert!(!together || empty || found.offsets[b] >= end, "{a} and {b}");
        }
    }
}

#[test]
fn few_tensors_get_the_least_arena_there_is() {
    let mut above = 0;
    for seed in 0..6000 {
        let mut random = Random::new(seed);
        let (bytes, live) = match seed % 3 {
            0 => {
                let count = 3 + random.below(5);
                tensors(&mut random, count, 6, 8)
            }
            _ => full_ops(&mut random),
        };
        let found = arrange(&bytes, &live, Effort::default()).unwrap();
        assert_sound(&bytes, &live, &found);
        let mut peaks = (found.lower_bound..).step_by(8);
        let least = peaks.find(|&peak| fits(&bytes, &live, &mut Vec::new(), peak));
        assert_eq!(Some(found.peak), least, "seed {seed}");
        above += usize::from(found.peak > found.lower_bound);
    }
    assert!(above > 5, "only {above} of them cannot reach the lower bound");
}

#[test]
fn many_tensors_are_sound_and_the_same_every_time() {
    let (mut searched, mut gap) = (0, 0.0);
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let count = 20 + random.below(60);
        let (bytes, live) = tensors(&mut random, count, 64, 24);
        let effort = Effort { nodes: 3000, enough: 0 };
        let found = arrange(&bytes, &live, effort).unwrap();
        assert_sound(&bytes, &live, &found);
        assert_eq!(arrange(&bytes, &live, effort), Ok(found.clone()));
        assert!(found.nodes <= effort.nodes);
        searched += usize::from(found.nodes > 0);
        gap += f64::from(found.peak) / f64::from(found.lower_bound) - 1.0;
    }
    assert!(searched > 100, "{searched} needed the search");
    assert!(gap / 300.0 < 0.02, "mean gap {}", gap / 300.0);
}

#[test]
fn a_peak_that_is_enough_ends_the_search() {
    for seed in 0..100 {
        let mut random = Random::new(seed);
        let (bytes, live) = tensors(&mut random, 60, 64, 24);
        let with = |nodes, enough| arrange(&bytes, &live, Effort { nodes, enough }).unwrap();
        let greedy = with(0, 0);
        assert_eq!((greedy.nodes, with(3000, greedy.peak)), (0, greedy.clone()));
        let most = greedy.lower_bound + greedy.lower_bound / 20;
        let found = with(3000, most);
        assert_sound(&bytes, &live, &found);
        assert!(found.peak <= greedy.peak.max(most) && with(3000, 0).peak <= greedy.peak);
    }
}

#[test]
fn tensors_that_take_nothing_are_left_out() {
    let life = |first, last| Some(Life { first, last });
    let effort = Effort::default();
    assert_eq!(arrange(&[], &[], effort), Ok(Arrangement::default()));
    let found = arrange(&[0, 8], &[life(0, 4), None], effort).unwrap();
    assert_eq!((found.peak, found.lower_bound, found.nodes), (0, 0, 0));
    let ends = [life(0, u32::MAX), life(u32::MAX, u32::MAX), life(0, u32::MAX - 1)];
    let found = arrange(&[8, 16, 24], &ends, effort).unwrap();
    assert_eq!((found.peak, found.lower_bound), (32, 32));
}

#[test]
fn what_cannot_be_arranged_is_refused() {
    let life = |first, last| Some(Life { first, last });
    let error = |bytes: &[u32], live: &[_]| arrange(bytes, live, Effort::default()).unwrap_err();
    assert_eq!(error(&[8, 8], &[life(0, 1)]), ArrangeError::Lengths { bytes: 2, lives: 1 });
    let backward = ArrangeError::Backward { tensor: 1, first: 3, last: 2 };
    assert_eq!(error(&[8, 8], &[None, life(3, 2)]), backward);
    let message = error(&[1 << 31, 1 << 31], &[life(0, 1), life(5, 6)]).to_string();
    assert!(message.contains("4294967296 bytes together"), "{message}");
    assert!(matches!(error(&[u32::MAX], &[life(0, 0)]), ArrangeError::TooLarge { .. }));
}
