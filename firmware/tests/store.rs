//! Checkpoints under loss of power: at every operation, in the middle of each, and at random.

mod common;

use common::part::{Part, Tear, LASTING};
use common::Random;
use embedded_storage::nor_flash::NorFlash;
use offshoot_firmware::store::{Checkpoint, Flash, Store, StoreError};

const MODEL: u64 = 0xA11CE;

/// The state after `steps` steps: different for each.
fn state(steps: u32, length: usize) -> Vec<u8> {
    let mut random = Random((u64::from(steps) << 20) | 0xBEEF);
    (0..length).map(|_| random.byte()).collect()
}

fn open(flash: &mut dyn Flash, length: usize) -> Store {
    Store::open(flash, MODEL, length).unwrap()
}

fn save(store: &mut Store, flash: &mut dyn Flash, steps: u32) -> Result<Checkpoint, StoreError> {
    let length = length(flash);
    store.save(flash, &state(steps, length), steps, false)
}

/// Bytes of state that are kept in a part: a page and a bit.
fn length(flash: &dyn Flash) -> usize {
    flash.page() + 37
}

/// A part with room for `slots` of those.
fn part<const UNIT: usize, const PAGE: usize>(slots: usize) -> Part<UNIT, PAGE> {
    let up = |bytes: usize| bytes.next_multiple_of(UNIT);
    // Header, state, mark and seal.
    let slot = up(52) + up(PAGE + 37) + up(16) + UNIT;
    Part::new(slots * slot.div_ceil(PAGE), 5)
}

/// What is restored after a start: it must be whole, and not older than `told`.
fn restored(flash: &mut dyn Flash, told: u32, what: &str) -> u32 {
    let length = length(flash);
    let mut bytes = vec![0; length];
    match open(flash, length).load(flash, &mut bytes) {
        Ok(Checkpoint { steps, .. }) => {
            assert!(steps >= told, "{what}: {steps} steps restored, {told} were committed");
            assert_eq!(bytes, state(steps, length), "{what}: a state that never was");
            steps
        }
        Err(StoreError::Empty) if told == 0 => 0,
        Err(error) => panic!("{what}: {told} steps were committed, and now: {error}"),
    }
}

/// Cuts power at every operation of `checkpoints` checkpoints, in each of `tears` ways. Gives how
/// often, and how often the checkpoint under way was there all the same.
fn every_cut<const UNIT: usize, const PAGE: usize>(
    slots: usize,
    checkpoints: u32,
    tears: &[Tear],
) -> (u64, u64) {
    let mut flash = part::<UNIT, PAGE>(slots);
    let length = PAGE + 37;
    let (mut cuts, mut done) = (0, 0);
    for steps in 1..=checkpoints {
        let mut store = open(&mut flash, length);
        assert_eq!(store.wear(0).slots as usize, slots);
        let before = flash.clone();
        save(&mut store, &mut flash, steps).unwrap();
        for operation in 0..flash.operations - before.operations {
            for &tear in tears {
                let what = format!("checkpoint {steps}, {tear:?} operation {operation}");
                let mut torn = before.clone();
                let mut store = open(&mut torn, length);
                torn.fuse = Some((operation, tear));
                assert_eq!(save(&mut store, &mut torn, steps), Err(StoreError::Flash), "{what}");
                torn.restart();
                let found = restored(&mut torn, steps - 1, &what);
                assert!(found <= steps);
                done += u64::from(found == steps);
                // And life goes on.
                let mut store = open(&mut torn, length);
                save(&mut store, &mut torn, steps + 1).unwrap_or_else(|e| panic!("{what}: {e}"));
                assert_eq!(restored(&mut torn, steps + 1, &what), steps + 1);
                cuts += 1;
            }
        }
        assert_eq!(restored(&mut flash, steps, "uncut"), steps);
    }
    println!(
        "{checkpoints} checkpoints in {slots} slots, units of {UNIT}, pages of {PAGE}: {cuts} cuts \
         at {} operations, {done} of them after all of it was there; none lost, none wrong",
        flash.operations
    );
    (cuts, done)
}

#[test]
fn power_may_fail_at_every_operation() {
    let all = [&LASTING[..], &[Tear::Weak]].concat();
    let (cuts, done) = every_cut::<4, 256>(3, 200, &all);
    // The mark and the seal are two operations of some ninety.
    assert!(cuts > 80_000 && done > 0 && done < cuts / 10, "{cuts} cuts, {done} done");
    every_cut::<4, 256>(2, 50, &LASTING);
    every_cut::<1, 64>(5, 20, &all);
    every_cut::<8, 128>(4, 50, &all);
    every_cut::<32, 512>(3, 50, &all);
    every_cut::<256, 4096>(3, 20, &all);
}

/// A device that loses power `cuts` times, at random, also while it recovers.
fn random_cuts<const UNIT: usize, const PAGE: usize>(slots: usize, cuts: u32, tears: &[Tear]) {
    let mut flash = part::<UNIT, PAGE>(slots);
    let length = PAGE + 37;
    let mut random = Random(99);
    // Operations of a checkpoint.
    let mut uncut = flash.clone();
    save(&mut open(&mut uncut, length), &mut uncut, 1).unwrap();
    let each = uncut.operations as usize;
    let (mut attempt, mut told, mut made, mut whole) = (0, 0, 0, 0);
    for cut in 0..cuts {
        let mut store = open(&mut flash, length);
        // At random, or where a checkpoint is about to count.
        let operation = match random.below(2) {
            0 => random.below(3 * each),
            _ => (1 + random.below(3)) * each - 1 - random.below(3),
        };
        flash.fuse = Some((operation as u64, tears[random.below(tears.len())]));
        loop {
            attempt += 1;
            match save(&mut store, &mut flash, attempt) {
                Ok(_) => {
                    told = attempt;
                    made += 1;
                }
                Err(error) => {
                    assert_eq!(error, StoreError::Flash);
                    break;
                }
            }
        }
        flash.restart();
        let found = restored(&mut flash, told, &format!("cut {cut}"));
        whole += u32::from(found > told);
    }
    let wear = open(&mut flash, length).wear(10_000);
    let (least, most) = (flash.erased.iter().min().unwrap(), flash.erased.iter().max().unwrap());
    println!(
        "{cuts} random cuts over {made} checkpoints in {slots} slots, units of {UNIT}: {whole} after \
         all of it was there; none lost, none wrong; pages erased {least} to {most} times, {} reported",
        wear.erases
    );
    assert!(made > cuts / 4 && whole > 0, "{made} made, {whole} whole");
}

#[test]
fn power_may_fail_at_random() {
    let all = [&LASTING[..], &[Tear::Weak, Tear::Weak]].concat();
    random_cuts::<4, 256>(3, 4000, &all);
    random_cuts::<4, 256>(2, 2000, &LASTING);
    random_cuts::<8, 128>(7, 2000, &all);
    random_cuts::<32, 512>(4, 2000, &all);
}

/// Power fails in the mark of one checkpoint after another: whatever each of them reads as at each
/// start, the last one that was told of stays.
#[test]
fn torn_marks_may_read_as_anything() {
    let (mut last, mut read) = (0, [0; 2]);
    for seed in 1..300 {
        let mut flash = Part::<4, 256>::new(6, seed);
        save(&mut open(&mut flash, 293), &mut flash, 1).unwrap();
        let each = flash.operations;
        for steps in 2..8 {
            let mut store = open(&mut flash, 293);
            // The operation before the last, which is the seal.
            flash.fuse = Some((each - 2, Tear::Weak));
            assert_eq!(save(&mut store, &mut flash, steps), Err(StoreError::Flash));
            flash.restart();
            for _ in 0..8 {
                let found = restored(&mut flash, 1, &format!("seed {seed}, {steps} steps"));
                read[usize::from(found == last)] += 1;
                last = found;
            }
        }
    }
    assert!(read[0] > 1000, "marks hardly ever changed: {read:?}");
}

#[test]
fn slots_wear_alike_and_are_counted() {
    let mut flash = Part::<4, 256>::new(11, 1);
    let mut store = open(&mut flash, 293);
    for steps in 1..=500 {
        assert_eq!(save(&mut store, &mut flash, steps).unwrap().sequence, u64::from(steps));
        if steps % 7 == 0 {
            store = open(&mut flash, 293);
        }
    }
    // Five slots of two pages; the last page is left over.
    assert_eq!(flash.erased, [100, 100, 100, 100, 100, 100, 100, 100, 100, 100, 0]);
    let wear = store.wear(10_000);
    assert_eq!((wear.slots, wear.erases, wear.endurance), (5, 100, 10_000));
    assert_eq!((wear.newest, wear.foreign), (Some(500), None));
}

#[test]
fn another_models_checkpoint_is_left_alone_until_it_is_overwritten() {
    let mut flash = Part::<4, 256>::new(8, 1);
    let length = 293;
    for steps in 1..=5 {
        save(&mut open(&mut flash, length), &mut flash, steps).unwrap();
    }
    // Another scheme, other slots.
    for (model, other) in [(MODEL + 1, length), (MODEL, length + 1), (MODEL + 1, 700)] {
        let mut flash = flash.clone();
        let before = flash.operations;
        let mut store = Store::open(&mut flash, model, other).unwrap();
        assert_eq!((store.wear(0).newest, store.wear(0).foreign), (Some(5), Some(MODEL)));
        let mut bytes = vec![9; other];
        assert_eq!(store.load(&mut flash, &mut bytes), Err(StoreError::Foreign(MODEL)));
        assert!(bytes.iter().all(|&byte| byte == 9));
        let refused = store.save(&mut flash, &bytes, 1, false);
        assert_eq!(refused, Err(StoreError::Foreign(MODEL)));
        assert_eq!((flash.operations, restored(&mut flash, 5, "refused")), (before, 5));
        // On purpose; and if power fails then, the other's is still there.
        let mut torn = flash.clone();
        torn.fuse = Some((40, Tear::Garbage));
        let mut unlucky = store.clone();
        assert_eq!(unlucky.save(&mut torn, &bytes, 1, true), Err(StoreError::Flash));
        torn.restart();
        assert_eq!(restored(&mut torn, 5, "torn"), 5);
        assert_eq!(store.save(&mut flash, &bytes, 1, true).unwrap().sequence, 6);
        for steps in 2..9 {
            store = Store::open(&mut flash, model, other).unwrap();
            assert_eq!(store.wear(0).foreign, None);
            let mut found = vec![0; other];
            assert_eq!(store.load(&mut flash, &mut found).unwrap().steps, steps - 1);
            assert_eq!(found, bytes);
            bytes[0] = steps as u8;
            store.save(&mut flash, &bytes, steps, false).unwrap();
        }
    }
}

#[test]
fn a_worn_page_is_noticed_and_passed_over() {
    let mut flash = Part::<4, 256>::new(6, 1);
    let mut store = open(&mut flash, 293);
    save(&mut store, &mut flash, 1).unwrap();
    save(&mut store, &mut flash, 2).unwrap();
    save(&mut store, &mut flash, 3).unwrap();
    // The first page of the first slot, whose turn it is.
    flash.worn = Some(0);
    assert_eq!(save(&mut store, &mut flash, 4), Err(StoreError::Damaged));
    assert_eq!(restored(&mut flash, 3, "worn"), 3);
    for steps in 5..20 {
        while let Err(error) = save(&mut store, &mut flash, steps) {
            assert_eq!(error, StoreError::Damaged);
            assert_eq!(restored(&mut flash, steps - 1, "worn"), steps - 1);
        }
        assert_eq!(restored(&mut flash, steps, "worn"), steps);
    }
}

/// Units and pages of chips: two sectors of an STM32F4 or F7, the end of an nRF52840, a part of units of a
/// byte.
#[test]
fn sectors_of_chips_keep_checkpoints() {
    fn keeps<const UNIT: usize, const PAGE: usize>(pages: usize, slots: u32) {
        let (mut flash, length) = (Part::<UNIT, PAGE>::new(pages, 3), 9_000);
        let before = |steps| match steps {
            1 => Err(StoreError::Empty),
            _ => Ok(steps - 1),
        };
        for steps in 1..=2 * slots {
            let bytes = state(steps, length);
            let mut store = open(&mut flash, length);
            assert_eq!(store.wear(0).slots, slots);
            flash.fuse = Some((20, Tear::Half));
            assert_eq!(store.save(&mut flash, &bytes, steps, false), Err(StoreError::Flash));
            flash.restart();
            let mut store = open(&mut flash, length);
            let mut found = vec![0; length];
            assert_eq!(store.load(&mut flash, &mut found).map(|c| c.steps), before(steps));
            store.save(&mut flash, &bytes, steps, false).unwrap();
            store.load(&mut flash, &mut found).unwrap();
            assert_eq!(found, bytes);
        }
    }
    keeps::<4, 0x2_0000>(2, 2);
    keeps::<16, 0x4_0000>(2, 2);
    keeps::<4, 0x1000>(32, 10);
    keeps::<1, 0x1000>(32, 10);
}

#[test]
fn flash_that_cannot_hold_two_says_so() {
    let open = |flash: &mut dyn Flash, length| Store::open(flash, MODEL, length).map(drop);
    let no_room = |slot, capacity| Err(StoreError::NoRoom { slot, capacity });
    assert_eq!(open(&mut Part::<4, 256>::new(4, 1), 440), Ok(()));
    assert_eq!(open(&mut Part::<4, 256>::new(4, 1), 441), no_room(768, 1024));
    assert_eq!(open(&mut Part::<4, 256>::new(0, 1), 1), no_room(256, 0));
    assert_eq!(open(&mut Part::<4, 256>::new(4, 1), usize::MAX), no_room(u32::MAX, 1024));
    assert_eq!(open(&mut Part::<512, 4096>::new(4, 1), 8), Err(StoreError::Unsuited));
    assert_eq!(open(&mut Part::<12, 48>::new(4, 1), 8), Err(StoreError::Unsuited));
    let text = StoreError::NoRoom { slot: 768, capacity: 1024 }.to_string();
    assert!(text.contains("1024 bytes") && text.contains("2 x 768"), "{text}");
    assert_eq!(Part::<4, 256>::ERASE_SIZE, Flash::page(&Part::<4, 256>::new(1, 1)));
}
