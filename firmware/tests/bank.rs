//! A bank of adapters under loss of power, torn words, changed bits and anything in its flash.

mod common;

use common::learner::Learner;
use common::part::{Part, Tear, LASTING};
use common::Random;
use offshoot_firmware::bank::{Active, Bank, BankError, Name, Place, Status, MOST_WEIGHT};
use offshoot_firmware::store::{Flash, StoreError};
use offshoot_runtime::learnt::WEIGHT_BITS;

const MODEL: u64 = 0xA11CE;
const ONE: i32 = 1 << WEIGHT_BITS;

/// Where a bank lies, and the memory that it has.
struct Shelf<F> {
    flash: F,
    index: Vec<u32>,
    told: [u8; 256],
}

impl<F: Flash> Shelf<F> {
    fn new(flash: F, slots: usize) -> Self {
        Shelf { flash, index: vec![0; slots], told: [0; 256] }
    }

    fn place(&mut self) -> Place<'_> {
        let Shelf { flash, index, told } = self;
        Place { flash, endurance: 100_000, index, told }
    }

    fn open(&mut self, learner: &Learner) -> Bank {
        // What an index held before means nothing.
        self.index.fill(0x5555_5555);
        Bank::open(&mut self.place(), learner, true).unwrap()
    }

    fn status(&mut self, bank: &Bank) -> Status {
        bank.status(&mut self.place()).unwrap()
    }

    fn names(&mut self, bank: &Bank) -> Vec<String> {
        let (mut names, mut from) = (Vec::new(), 0);
        while let Some((slot, entry)) = bank.entry(&mut self.place(), from).unwrap() {
            names.push(entry.name.as_str().to_string());
            from = slot + 1;
        }
        names.sort();
        names
    }
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn numbered(i: usize) -> Name {
    name(&format!("user {i}"))
}

/// A learner of `size` that was taught `seed`.
fn taught(size: u32, seed: u64) -> Learner {
    let mut learner = Learner::new(MODEL, size);
    learner.learn(seed);
    learner
}

#[test]
fn adapters_are_kept_put_in_place_dropped_and_removed() {
    let fresh = Learner::new(MODEL, 90);
    let mut shelf = Shelf::new(Part::<4, 4096>::new(9, 1), 9);
    let mut bank = shelf.open(&fresh);
    let status = shelf.status(&bank);
    assert_eq!((status.active, status.stored, status.capacity), (Active::Base, 0, 8));
    for i in 0..8 {
        let learner = taught(90, i);
        bank.changed();
        let kept = bank.keep(&mut shelf.place(), &learner, &numbered(i as usize), i as u32 * 10);
        assert_eq!(kept.unwrap().length as usize, learner.image().len());
        let status = shelf.status(&bank);
        assert!(!status.changed);
        assert!(matches!(status.active, Active::Adapter(a) if a.name == numbered(i as usize)));
    }
    let full = bank.keep(&mut shelf.place(), &fresh, &name("one more"), 0);
    assert_eq!(full, Err(BankError::Full));
    for again in 0..2 {
        for i in (0..8).rev() {
            let mut learner = taught(90, 99);
            let rest = learner.rest(false);
            let steps = bank.activate(&mut shelf.place(), &mut learner, &numbered(i as usize));
            assert_eq!(steps, Ok(i as u32 * 10));
            assert_eq!(learner.image(), taught(90, i).image());
            assert!(learner.is_calm() && learner.rest(false) == rest, "the course of training");
            bank.changed();
            assert!(shelf.status(&bank).changed);
            bank.drop(&mut learner).unwrap();
            assert_eq!(learner.image(), fresh.image());
            assert_eq!(
                (shelf.status(&bank).active, shelf.status(&bank).changed),
                (Active::Base, false)
            );
        }
        if again == 0 {
            bank = shelf.open(&fresh);
        }
    }
    let mut learner = taught(90, 5);
    let before = learner.state.clone();
    let unknown = bank.activate(&mut shelf.place(), &mut learner, &name("nobody"));
    assert_eq!((unknown, &learner.state), (Err(BankError::Unknown), &before));
    assert_eq!(bank.remove(&mut shelf.place(), &name("nobody")), Err(BankError::Unknown));
    bank.activate(&mut shelf.place(), &mut learner, &numbered(3)).unwrap();
    bank.remove(&mut shelf.place(), &numbered(3)).unwrap();
    assert_eq!(shelf.status(&bank).active, Active::Unknown, "what is in place is in no bank");
    for _ in 0..2 {
        let gone = bank.activate(&mut shelf.place(), &mut learner, &numbered(3));
        assert_eq!(gone, Err(BankError::Unknown));
        assert_eq!((shelf.names(&bank).len(), shelf.status(&bank).stored), (7, 7));
        bank = shelf.open(&fresh);
    }
    bank.keep(&mut shelf.place(), &fresh, &name("one more"), 0).unwrap();
}

#[test]
fn a_blend_of_one_is_that_one_and_of_nothing_the_base() {
    fn of<const UNIT: usize, const PAGE: usize>() {
        let fresh = Learner::new(MODEL, 40);
        let mut shelf = Shelf::new(Part::<UNIT, PAGE>::new(24, 1), 5);
        let mut bank = shelf.open(&fresh);
        for i in 0..3 {
            bank.keep(&mut shelf.place(), &taught(40, i), &numbered(i as usize), i as u32).unwrap();
        }
        let mut blend = |parts: &[(usize, i32)]| {
            let mut learner = taught(40, 77);
            let rest = learner.rest(false);
            let parts: Vec<_> = parts.iter().map(|&(i, weight)| (numbered(i), weight)).collect();
            let steps = bank.blend(&mut shelf.place(), &mut learner, &parts).unwrap();
            assert!(learner.is_calm() && learner.rest(false) == rest);
            assert_eq!(shelf.status(&bank).active, Active::Blend(parts.len() as u8));
            (learner.image(), steps)
        };
        for i in 0..3 {
            assert_eq!(blend(&[(i, ONE)]), (taught(40, i as u64).image(), i as u32));
            assert_eq!(blend(&[(i, ONE), (1, 0), (2, 0)]).0, taught(40, i as u64).image());
        }
        assert_eq!(blend(&[(0, 0), (1, 0)]), (fresh.image(), 1));
        assert_eq!(blend(&[(1, MOST_WEIGHT), (1, -MOST_WEIGHT)]).0, fresh.image());
        let half = [(1, ONE / 2), (1, ONE / 2)];
        assert_eq!(blend(&half).0, taught(40, 1).image());
        // The first bias of a blend, by hand.
        let (mixed, _) = blend(&[(1, ONE / 4), (2, -ONE / 2)]);
        let first = |image: &[u8]| i64::from(i32::from_le_bytes(*image.first_chunk().unwrap()));
        let [base, one, two] = [fresh.image(), taught(40, 1).image(), taught(40, 2).image()];
        let off = (first(&one) - first(&base)) * 8192 - (first(&two) - first(&base)) * 16384;
        let expected = first(&base) + ((off + 16384) >> 15);
        let expected = expected.clamp(i32::MIN.into(), i32::MAX.into());
        assert_eq!(first(&mixed), expected);
    }
    of::<4, 4096>();
    of::<1, 256>();
    of::<8, 128>();
    of::<256, 1024>();
    let mut shelf = Shelf::new(Part::<4, 4096>::new(4, 1), 4);
    let mut learner = taught(40, 7);
    let mut bank = shelf.open(&learner);
    bank.keep(&mut shelf.place(), &learner, &numbered(1), 0).unwrap();
    let before = learner.state.clone();
    let mut refused = |parts: &[(Name, i32)], error| {
        assert_eq!(bank.blend(&mut shelf.place(), &mut learner, parts), Err(error));
        assert_eq!(learner.state, before);
    };
    refused(&[], BankError::Blend);
    refused(&[(numbered(1), MOST_WEIGHT + 1)], BankError::Blend);
    refused(&[(numbered(1), i32::MIN)], BankError::Blend);
    refused(&[(numbered(1), 1); 9], BankError::Blend);
    refused(&[(numbered(1), 1), (numbered(2), 1)], BankError::Unknown);
}

/// What a bank may hold of a name: none, or one of the versions that it was given last.
fn found(
    shelf: &mut Shelf<impl Flash>,
    bank: &mut Bank,
    name: &Name,
    size: u32,
) -> Option<Vec<u8>> {
    let mut learner = taught(size, 1234);
    let before = learner.state.clone();
    match bank.activate(&mut shelf.place(), &mut learner, name) {
        Ok(_) => {
            let status = shelf.status(bank);
            assert!(matches!(status.active, Active::Adapter(a) if a.name == *name));
            Some(learner.image())
        }
        Err(error) => {
            assert_eq!((error, learner.state == before), (BankError::Unknown, true));
            None
        }
    }
}

/// Cuts power at every operation of keeping, keeping anew and removing, in each of `tears` ways.
fn every_cut<const UNIT: usize, const PAGE: usize>(pages: usize, tears: &[Tear]) -> u64 {
    const SIZE: u32 = 12;
    let fresh = Learner::new(MODEL, SIZE);
    let mut flash = Part::<UNIT, PAGE>::new(pages, 7);
    let (mut cuts, mut done) = (0, 0);
    let names = [name("a"), name("b")];
    // What each name holds: the seed that it was taught.
    let mut holds = [None::<u64>; 2];
    for round in 0..40u64 {
        let which = (round % 2) as usize;
        let seed = (round % 5 != 4).then_some(round);
        let act = |shelf: &mut Shelf<Part<UNIT, PAGE>>, bank: &mut Bank| match seed {
            Some(seed) => {
                let learner = taught(SIZE, seed);
                bank.keep(&mut shelf.place(), &learner, &names[which], 1).map(drop)
            }
            None => bank.remove(&mut shelf.place(), &names[which]),
        };
        let open = |flash: Part<UNIT, PAGE>| {
            let mut shelf = Shelf::new(flash, 3);
            let bank = shelf.open(&fresh);
            (shelf, bank)
        };
        let image = |seed: Option<u64>| seed.map(|seed| taught(SIZE, seed).image());
        let (mut shelf, mut bank) = open(flash.clone());
        let before = shelf.flash.operations;
        act(&mut shelf, &mut bank).unwrap();
        let operations = shelf.flash.operations - before;
        for operation in 0..operations {
            for &tear in tears {
                let what = format!("round {round}, {tear:?} operation {operation}");
                let (mut torn, mut bank) = open(flash.clone());
                torn.flash.fuse = Some((operation, tear));
                let _ = act(&mut torn, &mut bank);
                torn.flash.restart();
                // Also where it starts again and again, and power fails while it recovers.
                for start in 0..3 {
                    torn.flash.fuse = (start == 0).then_some((operation % 3, tear));
                    torn.open(&fresh);
                    torn.flash.restart();
                }
                bank = torn.open(&fresh);
                let other = found(&mut torn, &mut bank, &names[1 - which], SIZE);
                assert_eq!(other, image(holds[1 - which]), "{what}: the other one");
                let this = found(&mut torn, &mut bank, &names[which], SIZE);
                let new = this == image(seed);
                assert!(new || this == image(holds[which]), "{what}: neither old nor new");
                done += u64::from(new);
                // No slot is lost: both, a new version of each, and no third.
                for (name, seed) in names.iter().zip([500, 501]) {
                    for version in 0..3 {
                        let learner = taught(SIZE, seed + 2 * version);
                        let kept = bank.keep(&mut torn.place(), &learner, name, 1);
                        kept.unwrap_or_else(|e| panic!("{what}: {e}"));
                    }
                }
                let third = bank.keep(&mut torn.place(), &fresh, &name("c"), 1);
                assert_eq!(third, Err(BankError::Full), "{what}");
                bank = torn.open(&fresh);
                for (name, seed) in names.iter().zip([504, 505]) {
                    assert_eq!(
                        found(&mut torn, &mut bank, name, SIZE),
                        image(Some(seed)),
                        "{what}"
                    );
                }
                cuts += 1;
            }
        }
        holds[which] = seed;
        flash = shelf.flash;
    }
    println!(
        "units of {UNIT}, pages of {PAGE}: {cuts} cuts, {done} of them where all was done already; none \
         wrong, no slot lost"
    );
    cuts
}

#[test]
fn power_may_fail_at_every_operation() {
    let all = [&LASTING[..], &[Tear::Weak]].concat();
    let cuts = every_cut::<4, 256>(6, &all) + every_cut::<8, 1024>(3, &all);
    assert!(cuts > 5_000, "{cuts}");
    every_cut::<1, 512>(3, &LASTING);
    every_cut::<64, 512>(6, &all);
}

/// What a name may hold, as far as whoever asked for it was told.
#[derive(Default)]
struct Held {
    /// Seeds of what it may hold; none where it may hold nothing.
    may: Vec<Option<u64>>,
    /// Whether a bit of it has changed.
    hurt: bool,
}

/// A thousand adapters, switched ten thousand times, while power fails at random, words are torn and bits change.
#[test]
fn no_adapter_is_ever_another() {
    const SIZE: u32 = 170;
    const ADAPTERS: usize = 1000;
    const SWITCHES: usize = 10_000;
    let fresh = Learner::new(MODEL, SIZE);
    let length = fresh.image().len();
    assert!((1900..2200).contains(&length), "{length}");
    let slots = ADAPTERS + 1;
    let mut shelf = Shelf::new(Part::<4, 4096>::new(slots, 3), slots);
    let mut bank = shelf.open(&fresh);
    let mut random = Random(0xBA_4B);
    let mut held: Vec<Held> = Vec::new();
    let mut seed = 0;
    for i in 0..ADAPTERS {
        bank.keep(&mut shelf.place(), &taught(SIZE, i as u64), &numbered(i), 1).unwrap();
        held.push(Held { may: vec![Some(i as u64)], hurt: false });
        seed = i as u64 + 1;
    }
    let full = bank.keep(&mut shelf.place(), &fresh, &name("one more"), 1);
    assert_eq!(full, Err(BankError::Full));
    let tears = [Tear::Before, Tear::Half, Tear::Garbage, Tear::Weak, Tear::After];
    let mut learner = taught(SIZE, 1);
    let (mut switched, mut cuts, mut flips, mut damaged, mut lost, mut kept, mut removed) =
        (0, 0, 0, 0, 0, 0, 0);
    while switched < SWITCHES {
        if random.below(20) == 0 {
            // A bit of a slot that holds something, or not.
            let (at, bit) = (random.below(slots * 4096), random.below(8));
            shelf.flash.flip(at, bit as u32);
            flips += 1;
            let slot = &shelf.flash.bytes()[at / 4096 * 4096..][..4096];
            // The name lies 56 bytes behind the slot's first. Where that bit has changed, the number may be
            // another's: both are taken for hurt.
            let mut texts = vec![slot[56..80].to_vec()];
            if (56..80).contains(&(at % 4096)) {
                texts[0][at % 4096 - 56] ^= 1 << bit;
                texts.push(slot[56..80].to_vec());
            }
            for text in texts {
                let text = String::from_utf8_lossy(&text);
                let number = text.trim_end_matches('\0').strip_prefix("user ");
                let number = number.and_then(|number| number.parse::<usize>().ok());
                if let Some(held) = number.and_then(|number| held.get_mut(number)) {
                    held.hurt = true;
                }
            }
        }
        let which = random.below(ADAPTERS);
        let (name, held) = (numbered(which), &mut held[which]);
        match random.below(16) {
            0 | 1 => {
                seed += 1;
                let cut = random.below(3) == 0;
                if cut {
                    shelf.flash.fuse = Some((random.below(560) as u64, tears[random.below(5)]));
                }
                match bank.keep(&mut shelf.place(), &taught(SIZE, seed), &name, 1) {
                    Ok(_) => {
                        *held = Held { may: vec![Some(seed)], hurt: false };
                        kept += 1;
                    }
                    Err(error) => {
                        assert!(error == BankError::Flash && cut, "{name:?}: {error}");
                        held.may.push(Some(seed));
                    }
                }
            }
            2 => {
                let cut = random.below(2) == 0;
                if cut {
                    shelf.flash.fuse = Some((random.below(3) as u64, tears[random.below(5)]));
                }
                match bank.remove(&mut shelf.place(), &name) {
                    Ok(()) => {
                        *held = Held { may: vec![None], hurt: false };
                        removed += 1;
                    }
                    Err(BankError::Unknown) => {
                        assert!(held.hurt || held.may.contains(&None), "{name:?} is gone");
                    }
                    Err(error) => {
                        assert!(error == BankError::Flash && cut, "{name:?}: {error}");
                        held.may.push(None);
                    }
                }
            }
            _ => {
                let before = learner.state.clone();
                let result = bank.activate(&mut shelf.place(), &mut learner, &name);
                switched += 1;
                match result {
                    Ok(_) => {
                        let image = learner.image();
                        let of = |seed: &Option<u64>| {
                            seed.is_some_and(|seed| taught(SIZE, seed).image() == image)
                        };
                        assert!(held.may.iter().any(of), "{name:?} is another");
                        let active = shelf.status(&bank).active;
                        assert!(matches!(active, Active::Adapter(a) if a.name == name));
                    }
                    Err(BankError::Unknown) => {
                        assert_eq!(learner.state, before);
                        lost += usize::from(!held.may.contains(&None));
                        assert!(held.hurt || held.may.contains(&None), "{name:?} is gone");
                    }
                    Err(error) => {
                        assert_eq!((error, &learner.state), (BankError::Damaged, &before));
                        assert!(held.hurt, "{name:?} is damaged");
                        damaged += 1;
                    }
                }
            }
        }
        if shelf.flash.fuse.take().is_some() || random.below(300) == 0 {
            // Whether power failed or not: it is off now.
            cuts += 1;
            shelf.flash.restart();
            bank = shelf.open(&fresh);
        }
    }
    let held_by_name = shelf.names(&bank);
    bank = shelf.open(&fresh);
    assert_eq!(shelf.names(&bank), held_by_name);
    let status = shelf.status(&bank);
    assert_eq!(status.stored as usize, held_by_name.len());
    let (least, most) =
        (shelf.flash.erased.iter().min().unwrap(), shelf.flash.erased.iter().max().unwrap());
    println!(
        "{switched} switches among {ADAPTERS} adapters of {length} bytes, {kept} kept anew and {removed} \
         removed meanwhile, {cuts} losses of power, {flips} changed bits: {damaged} switches refused because of \
         damage, {lost} because its header or mark was, none to another adapter; slots erased {least} to {most} \
         times, {} reported",
        status.erases
    );
    // Nothing leaks: what is free takes as many as are missing.
    let missing = ADAPTERS - held_by_name.len();
    for i in 0..missing {
        bank.keep(&mut shelf.place(), &fresh, &numbered(ADAPTERS + i), 1).unwrap();
    }
    let full = bank.keep(&mut shelf.place(), &fresh, &name("one more"), 1);
    assert_eq!(full, Err(BankError::Full));
    assert!(cuts > 300 && flips > 400 && damaged > 50 && lost > 0 && missing > 0);
}

/// One adapter is kept anew again and again beside many that are not.
#[test]
fn slots_wear_alike() {
    const KEEPS: u32 = 6_000;
    let fresh = Learner::new(MODEL, 12);
    let mut shelf = Shelf::new(Part::<4, 256>::new(64, 1), 32);
    let mut bank = shelf.open(&fresh);
    for i in 0..31 {
        bank.keep(&mut shelf.place(), &taught(12, i), &numbered(i as usize), 1).unwrap();
    }
    for i in 0..KEEPS {
        bank.keep(&mut shelf.place(), &taught(12, u64::from(i)), &numbered(7), i).unwrap();
        if i % 500 == 0 {
            bank = shelf.open(&fresh);
        }
    }
    for i in (0..31).filter(|i| *i != 7) {
        let image = found(&mut shelf, &mut bank, &numbered(i), 12);
        assert_eq!(image, Some(taught(12, i as u64).image()));
    }
    let erased = shelf.flash.erased[..32].to_vec();
    let (least, most) = (*erased.iter().min().unwrap(), *erased.iter().max().unwrap());
    let told = shelf.open(&fresh);
    println!("{KEEPS} new versions of one of 31: pages erased {least} to {most} times");
    assert_eq!(shelf.status(&told).erases, most);
    assert!(erased.iter().sum::<u32>() < 2 * KEEPS * 11 / 10 && most < 2 * least, "{erased:?}");
}

/// Flash that reads as something else from some read on, for so many reads.
struct Fickle<F> {
    flash: F,
    reads: u32,
    wrong: std::ops::Range<u32>,
}

impl<F: Flash> Flash for Fickle<F> {
    fn capacity(&self) -> usize {
        self.flash.capacity()
    }

    fn page(&self) -> usize {
        self.flash.page()
    }

    fn unit(&self) -> usize {
        self.flash.unit()
    }

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.reads += 1;
        self.flash.read(at, bytes)?;
        if self.wrong.contains(&self.reads) {
            bytes[0] ^= 4;
        }
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), StoreError> {
        self.flash.write(at, bytes)
    }

    fn erase(&mut self, at: u32) -> Result<(), StoreError> {
        self.flash.erase(at)
    }
}

#[test]
fn what_does_not_read_the_same_twice_is_not_left_in_place() {
    let fresh = Learner::new(MODEL, 90);
    let flash = Fickle { flash: Part::<4, 4096>::new(4, 1), reads: 0, wrong: 0..0 };
    let mut shelf = Shelf::new(flash, 4);
    let mut bank = shelf.open(&fresh);
    bank.keep(&mut shelf.place(), &taught(90, 1), &numbered(1), 1).unwrap();
    let blend = [(numbered(1), ONE / 2)];
    let (mut unchanged, mut based) = (0, 0);
    for blended in [false, true] {
        for wrong in 1.. {
            let mut learner = taught(90, 2);
            let before = learner.state.clone();
            shelf.flash.wrong = shelf.flash.reads + wrong..shelf.flash.reads + wrong + 1;
            let result = match blended {
                false => bank.activate(&mut shelf.place(), &mut learner, &numbered(1)),
                true => bank.blend(&mut shelf.place(), &mut learner, &blend),
            };
            match result {
                Ok(_) => {
                    assert!(shelf.flash.reads < shelf.flash.wrong.start);
                    break;
                }
                Err(BankError::Lost) => {
                    assert_eq!((learner.image(), learner.is_calm()), (fresh.image(), true));
                    assert_eq!(shelf.status(&bank).active, Active::Base);
                    based += 1;
                }
                Err(error) => {
                    assert_eq!((error, learner.state), (BankError::Damaged, before));
                    unchanged += 1;
                }
            }
        }
    }
    assert!(unchanged >= 8 && based >= 8, "{unchanged} unchanged, {based} based");
}

#[test]
fn adapters_of_another_model_are_left_alone_until_they_are_removed() {
    let mut shelf = Shelf::new(Part::<4, 256>::new(30, 1), 30);
    let mut bank = shelf.open(&Learner::new(MODEL, 12));
    for i in 0..5 {
        bank.keep(&mut shelf.place(), &taught(12, i), &numbered(i as usize), 1).unwrap();
    }
    // The same size, and another: other slots.
    for (model, size) in [(MODEL + 1, 12), (MODEL + 2, 60), (MODEL, 30)] {
        let mut learner = Learner::new(model, size);
        let mut other = shelf.open(&learner);
        let status = shelf.status(&other);
        assert!(status.stored == 0 && status.others > 0, "{status:?}");
        let unknown = other.activate(&mut shelf.place(), &mut learner, &numbered(1));
        assert_eq!(unknown, Err(BankError::Unknown));
        let room = status.capacity - status.others;
        for i in 0..room as usize {
            other.keep(&mut shelf.place(), &learner, &name(&format!("other {i}")), 1).unwrap();
        }
        let full = other.keep(&mut shelf.place(), &learner, &name("one more"), 1);
        assert_eq!(full, Err(BankError::Full));
        // Those of the first are as they were.
        let mut own = shelf.open(&Learner::new(MODEL, 12));
        for i in 0..5 {
            let image = found(&mut shelf, &mut own, &numbered(i), 12);
            assert_eq!(image, Some(taught(12, i as u64).image()));
        }
        assert!(own.remove_others(&mut shelf.place()).unwrap() >= room);
        let status = shelf.status(&own);
        assert_eq!((status.stored, status.others, shelf.names(&own).len()), (5, 0, 5));
    }
    let other = Learner::new(MODEL + 1, 12);
    let mut bank = shelf.open(&other);
    assert_eq!(bank.remove_others(&mut shelf.place()), Ok(5));
    assert_eq!((shelf.status(&bank).stored, shelf.status(&bank).others), (0, 0));
}

#[test]
fn a_worn_page_is_noticed_and_passed_over() {
    let fresh = Learner::new(MODEL, 12);
    let mut shelf = Shelf::new(Part::<4, 512>::new(6, 1), 6);
    let mut bank = shelf.open(&fresh);
    for i in 0..3 {
        bank.keep(&mut shelf.place(), &taught(12, i), &numbered(i as usize), 1).unwrap();
    }
    for worn in 0..6 {
        shelf.flash.worn = Some(worn);
        let mut failed = 0;
        for round in 0..12 {
            let (i, seed) = (round % 3, 100 * worn as u64 + round as u64);
            while let Err(error) = bank.keep(&mut shelf.place(), &taught(12, seed), &numbered(i), 1)
            {
                assert_eq!(error, BankError::Flash);
                failed += 1;
                assert!(failed < 12);
            }
            if round % 4 == 3 {
                bank = shelf.open(&fresh);
            }
            let image = found(&mut shelf, &mut bank, &numbered(i), 12);
            assert_eq!(image, Some(taught(12, seed).image()), "page {worn}, round {round}");
        }
    }
}

#[test]
fn adapters_are_sent_and_received() {
    let fresh = Learner::new(MODEL, 90);
    let mut shelf = Shelf::new(Part::<4, 4096>::new(4, 1), 4);
    let mut bank = shelf.open(&fresh);
    let header = bank.keep(&mut shelf.place(), &taught(90, 1), &name("a"), 17).unwrap();
    let image = taught(90, 1).image();
    let mut bytes: Vec<u8> = Vec::new();
    while bytes.len() < image.len() {
        let length = bank.export(&mut shelf.place(), &name("a"), bytes.len() as u32).unwrap();
        bytes.extend(&shelf.told[..length]);
    }
    assert_eq!(bytes, image);
    for (offset, error) in
        [(2048, BankError::Sent), (1, BankError::Sent), (u32::MAX, BankError::Sent)]
    {
        assert_eq!(bank.export(&mut shelf.place(), &name("a"), offset).map(drop), Err(error));
    }
    let unknown = bank.export(&mut shelf.place(), &name("b"), 0).map(drop);
    assert_eq!(unknown, Err(BankError::Unknown));

    let incoming = offshoot_firmware::bank::Header { name: name("b"), ..header };
    let send = |bank: &mut Bank, shelf: &mut Shelf<_>, bytes: &[u8]| {
        bank.receive_first(&mut shelf.place(), &incoming)?;
        let mut parts = (0..).step_by(256).zip(bytes.chunks(256));
        parts.try_for_each(|(offset, part)| bank.receive(&mut shelf.place(), offset, part))
    };
    send(&mut bank, &mut shelf, &image).unwrap();
    assert_eq!(found(&mut shelf, &mut bank, &name("b"), 90), Some(image.clone()));
    // What is not what was announced leaves what there was.
    let mut other = image.clone();
    other[300] ^= 1;
    assert_eq!(send(&mut bank, &mut shelf, &other), Err(BankError::Sent));
    let cut = &image[..image.len() - 4];
    assert_eq!(send(&mut bank, &mut shelf, cut), Err(BankError::Sent));
    bank.receive_first(&mut shelf.place(), &incoming).unwrap();
    assert_eq!(bank.receive(&mut shelf.place(), 256, &image[256..512]), Err(BankError::Sent));
    assert_eq!(bank.receive(&mut shelf.place(), 0, &image[..256]), Err(BankError::Sent));
    bank.receive_first(&mut shelf.place(), &incoming).unwrap();
    assert_eq!(bank.receive(&mut shelf.place(), 0, &image[..255]), Err(BankError::Sent));
    for foreign in [
        offshoot_firmware::bank::Header { model_hash: 1, ..incoming },
        offshoot_firmware::bank::Header { length: 4, ..incoming },
    ] {
        let refused = bank.receive_first(&mut shelf.place(), &foreign);
        assert_eq!(refused, Err(BankError::Foreign));
    }
    for _ in 0..2 {
        assert_eq!(shelf.names(&bank), ["a", "b"]);
        assert_eq!(found(&mut shelf, &mut bank, &name("b"), 90), Some(image.clone()));
        bank = shelf.open(&fresh);
    }
}

#[test]
fn flash_that_cannot_hold_two_says_so() {
    fn open<const UNIT: usize, const PAGE: usize>(pages: usize, slots: usize) -> Option<BankError> {
        let mut shelf = Shelf::new(Part::<UNIT, PAGE>::new(pages, 1), slots);
        Bank::open(&mut shelf.place(), &Learner::new(MODEL, 90), true).err()
    }
    assert_eq!(open::<4, 4096>(2, 2), None);
    assert_eq!(open::<4, 4096>(1, 2), Some(BankError::NoRoom));
    assert_eq!(open::<4, 4096>(0, 2), Some(BankError::NoRoom));
    assert_eq!(open::<4, 4096>(2, 1), Some(BankError::NoRoom));
    assert_eq!(open::<4, 256>(9, 2), Some(BankError::NoRoom));
    assert_eq!(open::<512, 4096>(4, 2), Some(BankError::Unsuited));
    assert_eq!(open::<12, 48>(4, 2), Some(BankError::Unsuited));
    assert_eq!(open::<4, 64>(99, 2), Some(BankError::Unsuited));
}

/// Whatever lies in flash, and whatever it turns into, nothing panics and nothing is put in place that was not
/// kept.
#[test]
fn any_bytes_in_flash_do_no_harm() {
    let fresh = Learner::new(MODEL, 30);
    let mut random = Random(17);
    let mut refused = 0;
    for round in 0..150u64 {
        let mut shelf = Shelf::new(Part::<4, 512>::new(20, round + 1), 11);
        let mut bank = shelf.open(&fresh);
        for i in 0..8 {
            bank.keep(&mut shelf.place(), &taught(30, i), &numbered(i as usize), 1).unwrap();
        }
        for _ in 0..40 {
            // Into headers and marks more often than not.
            let (page, capacity) = (random.below(20) * 512, shelf.flash.capacity());
            for _ in 0..random.below(30) {
                let at = match random.below(3) {
                    0 => random.below(capacity),
                    1 => page + random.below(84),
                    _ => page + random.below(512),
                };
                shelf.flash.flip(at, random.below(8) as u32);
            }
            let i = random.below(8);
            let mut learner = taught(30, 99);
            match bank.activate(&mut shelf.place(), &mut learner, &numbered(i)) {
                Ok(_) => assert_eq!(learner.image(), taught(30, i as u64).image()),
                Err(_) => refused += 1,
            }
            shelf.status(&bank);
            shelf.names(&bank);
            match random.below(5) {
                0 => bank = shelf.open(&fresh),
                1 => drop(bank.keep(&mut shelf.place(), &taught(30, i as u64), &numbered(i), 1)),
                2 => drop(bank.remove(&mut shelf.place(), &numbered(i))),
                3 => drop(bank.remove_others(&mut shelf.place())),
                _ => drop(bank.export(&mut shelf.place(), &numbered(i), 0)),
            }
        }
    }
    assert!(refused > 1000, "{refused}");
}
