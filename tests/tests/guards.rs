//! Guard rails of learning: what wrong labels and changed samples do to a device, with them and without.

use std::cell::Cell;
use std::path::Path;

use offshoot::device::Device;
use offshoot_firmware::client::{Client, InProcess, Patience, Transport, Used};
use offshoot_firmware::guard::{Admission, Watched};
use offshoot_firmware::App;
use offshoot_runtime::guard::{Drift, GuardMemory};
use offshoot_runtime::program::Header;
use offshoot_runtime::schedule::{default_rate, Schedule};
use offshoot_runtime::{Interpreter, Prediction};
use offshoot_simulator::data::{Dataset, Split};
use offshoot_simulator::AlignedBytes;
use offshoot_tests::boards::build_with;
use offshoot_tests::cases::{Case, DEMO};
use offshoot_tests::chip::Chip;
use offshoot_tests::guarded::{All, Flashed, Gate, Nothing, Replay, Resting, Stopping, Watching};
use offshoot_tests::random::Random;

/// Steps of a round, as in `offshoot_tests::guarded`.
const ROUND: usize = 100;

type Here<'t, 'p, 'c, G> = Client<InProcess<'t, Interpreter<'p>, Chip<'c>, G>>;

/// Runs `session` with a device of this process that is guarded by `G`, and gives it the default rate.
fn guarded<G: GuardMemory, R>(
    memory: impl FnOnce(&Header) -> G,
    session: impl FnOnce(&mut Here<'_, '_, '_, G>, f32) -> R,
) -> R {
    let compiled = DEMO.compile(None);
    let program = compiled.program.program();
    let (header, rate) = (program.header, default_rate(&program));
    let bytes = |bytes: u32| AlignedBytes::zeroed(bytes as usize);
    let [mut arena, mut state, mut scratch] =
        [bytes(header.arena), bytes(header.state), bytes(header.scratch)];
    let mut trainer =
        Interpreter::new(program, arena.as_mut(), state.as_mut(), scratch.as_mut()).unwrap();
    let (changes, mut guard) = (Cell::new(0), memory(&header));
    let app = App::guarded(&mut trainer, &mut guard, Chip::new(&changes));
    let mut client = Client::connect(InProcess::new(app), Patience::default()).unwrap();
    session(&mut client, rate)
}

/// Digits as the network was taught them, and as the turned sensor sees them.
fn digits() -> [Dataset; 2] {
    let compiled = DEMO.compile(None);
    ["demo/digits_upright.npz", "demo/digits_rotated.npz"]
        .map(|data| Case { data, ..DEMO }.samples(&compiled))
}

/// Percent of a split that are right.
fn accuracy<T: Transport>(device: &mut Client<T>, split: &Split) -> f64 {
    let right = |index: &usize| {
        let class = device.infer(split.input(*index)).unwrap().prediction;
        class == Prediction::Class(split.label(*index))
    };
    100.0 * (0..split.len()).filter(right).count() as f64 / split.len() as f64
}

/// Offers samples at random until `steps` of them were trained on, the rate falling in each round;
/// `wrong` percent of them with another label than theirs.
fn learn<T: Transport>(
    device: &mut Client<T>,
    split: &Split,
    random: &mut Random,
    rate: f32,
    (steps, wrong): (usize, usize),
) {
    let mut step = 0;
    let mut rates = Schedule::cosine(rate, ROUND as u32).cycle().take(steps);
    let mut next = rates.next();
    while let Some(rate) = next {
        let index = random.below(split.len());
        let off = if random.below(100) < wrong { 1 + random.below(9) as u16 } else { 0 };
        let label = (split.label(index) + off) % 10;
        step += 1;
        assert!(step < 3 * steps + 200, "the device does not learn");
        if let Used::Stepped(_) = device.offer(split.input(index), label, rate).unwrap() {
            next = rates.next();
        }
    }
}

/// Fills the reservoir.
fn hold_out<T: Transport>(device: &mut Client<T>, split: &Split, random: &mut Random, count: u16) {
    for _ in 0..count {
        let index = random.below(split.len());
        let used = device.offer(split.input(index), split.label(index), 0.0).unwrap();
        assert!(matches!(used, Used::Kept { admission: Admission::Hold, .. }), "{used:?}");
    }
    assert_eq!(device.watched().unwrap().held_out, count);
}

#[test]
fn a_gate_keeps_wrong_labels_from_doing_harm() {
    fn attacked<G: GuardMemory>(
        memory: impl FnOnce(&Header) -> G,
        split: &Dataset,
        seed: u64,
    ) -> (f64, f64, u64, Watched) {
        guarded(memory, |device, rate| {
            let mut random = Random::new(seed);
            hold_out(device, &split.train, &mut random, G::GUARD.held_out);
            let before = accuracy(device, &split.test);
            learn(device, &split.train, &mut random, rate, (200, 30));
            let after = accuracy(device, &split.test);
            (before, after, device.state_hash().unwrap(), device.watched().unwrap())
        })
    }
    let [upright, _] = digits();
    println!("200 steps, 30 % of the labels wrong; accuracy before and after:");
    for seed in 1..=5 {
        let (before, bare, _, _) = attacked(Nothing::of, &upright, seed);
        let (_, after, hash, told) = attacked(Gate::of, &upright, seed);
        println!(
            "seed {seed}: {before:.1} -> {bare:.1} without a gate, {after:.1} with one; {} rounds kept, {} \
             taken back",
            told.kept, told.taken_back
        );
        assert!(after >= before - 1.0 && bare < before - 5.0);
        assert_eq!(told.kept + told.taken_back, 2);
        let (_, _, in_flash, flash) = attacked(Flashed::of, &upright, seed);
        assert_eq!((in_flash, flash), (hash, told), "a snapshot in flash is one in SRAM");
    }
}

#[test]
fn a_gate_lets_a_device_learn() {
    let [_, rotated] = digits();
    for seed in 1..=3 {
        let (bare, held, told) = guarded(Nothing::of, |device, rate| {
            let mut random = Random::new(seed);
            learn(device, &rotated.train, &mut random, rate, (2000, 0));
            let bare = accuracy(device, &rotated.test);
            guarded(Gate::of, |device, rate| {
                let mut random = Random::new(seed);
                hold_out(device, &rotated.train, &mut random, Gate::GUARD.held_out);
                learn(device, &rotated.train, &mut random, rate, (2000, 0));
                (bare, accuracy(device, &rotated.test), device.watched().unwrap())
            })
        });
        println!(
            "seed {seed}, a sensor that was turned, 2000 steps: {bare:.1} without a gate, {held:.1} with \
             one; {} rounds kept, {} taken back",
            told.kept, told.taken_back
        );
        assert!(held > 40.0 && told.kept > 3, "{told:?}");
    }
}

#[test]
fn drift_is_flagged_and_nothing_else_is() {
    let [upright, rotated] = digits();
    let pick = |data: &Dataset, random: &mut Random| {
        let index = random.below(data.train.len() + data.test.len());
        match index.checked_sub(data.train.len()) {
            None => data.train.input(index).to_vec(),
            Some(index) => data.test.input(index).to_vec(),
        }
    };
    let changed = |how: &str, sample: Vec<i8>, random: &mut Random| -> Vec<i8> {
        let value = |v: i8| match how {
            "darker" => i32::from(v) - 16,
            "noise" => i32::from(v) + random.integer(-40, 40),
            _ => -128 + (i32::from(v) + 128) * 7 / 10,
        };
        sample.into_iter().map(value).map(|v| v.clamp(-128, 127) as i8).collect()
    };
    for seed in 1..=5 {
        for shift in ["turned", "darker", "noise", "contrast"] {
            guarded(Watching::of, |device, _| {
                let mut random = Random::new(seed);
                let usual = usize::from(Watching::GUARD.reference) + 5000;
                for _ in 0..usual {
                    device.infer(&pick(&upright, &mut random)).unwrap();
                }
                let told = device.watched().unwrap();
                assert_eq!((told.observed as usize, told.drift), (usual, None));
                let mut samples = 0;
                while device.watched().unwrap().drift.is_none() && samples < 200 {
                    let sample = match shift {
                        "turned" => pick(&rotated, &mut random),
                        how => changed(how, pick(&upright, &mut random), &mut random),
                    };
                    device.infer(&sample).unwrap();
                    samples += 1;
                }
                let flag = device.watched().unwrap().drift.expect("a flag");
                println!(
                    "seed {seed}: nothing in 5000 samples; {shift}: {:?} after {samples}",
                    flag.statistic
                );
                assert!(samples <= 100);
            });
        }
    }
}

#[test]
fn drift_starts_learning_or_stops_it() {
    let [upright, rotated] = digits();
    let infer =
        |device: &mut Here<'_, '_, '_, _>, split: &Split, count: usize, random: &mut Random| {
            for _ in 0..count {
                device.infer(split.input(random.below(split.len()))).unwrap();
            }
        };
    guarded(Stopping::of, |device, rate| {
        let mut random = Random::new(4);
        let offer = |device: &mut Here<'_, '_, '_, Stopping>| {
            device.offer(rotated.train.input(0), rotated.train.label(0), rate).unwrap()
        };
        infer(device, &upright.train, 400, &mut random);
        assert!(matches!(offer(device), Used::Stepped(_)));
        for _ in 0..100 {
            device.infer(rotated.train.input(random.below(700))).unwrap();
        }
        let hash = device.state_hash().unwrap();
        let used = offer(device);
        assert!(matches!(used, Used::Kept { admission: Admission::Stop, .. }), "{used:?}");
        assert_eq!(device.state_hash().unwrap(), hash);
        assert_eq!(device.watched().unwrap().refused, 1);
        device.rebase().unwrap();
        assert!(matches!(offer(device), Used::Stepped(_)));
    });
    guarded(Resting::of, |device, rate| {
        let mut random = Random::new(5);
        for _ in 0..400 {
            device.infer(upright.train.input(random.below(700))).unwrap();
        }
        let used = device.offer(upright.train.input(0), upright.train.label(0), rate).unwrap();
        assert!(matches!(used, Used::Kept { admission: Admission::Rest, .. }), "{used:?}");
        for _ in 0..100 {
            device.infer(rotated.train.input(random.below(700))).unwrap();
        }
        let before = accuracy(device, &rotated.test);
        let mut steps = 0;
        for offered in 0..20_000 {
            let index = random.below(rotated.train.len());
            let share = (steps % ROUND) as f32 / ROUND as f32;
            let rate = rate * (1.0 - share);
            let used = device.offer(rotated.train.input(index), rotated.train.label(index), rate);
            match used.unwrap() {
                Used::Stepped(_) => steps += 1,
                Used::Kept { admission: Admission::Rest, .. } => {
                    let (after, told) =
                        (accuracy(device, &rotated.test), device.watched().unwrap());
                    println!(
                        "learning began with drift, {before:.1} %, and rests again after {steps} steps \
                         ({offered} samples), {after:.1} %: {} rounds kept, {} taken back",
                        told.kept, told.taken_back
                    );
                    assert!(after > before + 20.0);
                    return;
                }
                Used::Kept { .. } => {}
            }
        }
        panic!("learning never comes to rest");
    });
}

#[test]
fn replay_keeps_what_was_known() {
    fn changed<G: GuardMemory>(
        memory: impl FnOnce(&Header) -> G,
        [old, new]: &[Dataset; 2],
    ) -> (f64, f64, Watched) {
        guarded(memory, |device, rate| {
            let mut random = Random::new(7);
            learn(device, &old.train, &mut random, rate / 8.0, (100, 0));
            learn(device, &new.train, &mut random, rate, (600, 0));
            let scores = [&old.test, &new.test].map(|split| accuracy(device, split));
            (scores[0], scores[1], device.watched().unwrap())
        })
    }
    let both = digits();
    let (old, new, _) = changed(Nothing::of, &both);
    let (old_kept, new_kept, told) = changed(Replay::of, &both);
    println!(
        "600 steps on digits that are turned: {old:.1} % of upright ones and {new:.1} % of turned ones; with \
         {} samples for replay {old_kept:.1} % and {new_kept:.1} %",
        told.replay
    );
    assert_eq!((told.replay, told.replayed), (Replay::GUARD.replay, 700));
    assert!(old_kept > old + 5.0);
}

#[test]
#[ignore = "needs an emulator and a cross compiler: cargo xtask test"]
fn guards_are_the_same_on_a_core() {
    fn session<T: Transport>(
        device: &mut Client<T>,
        rate: f32,
        [upright, rotated]: &[Dataset; 2],
    ) -> (u64, Watched) {
        let mut random = Random::new(11);
        device.reset().unwrap();
        for _ in 0..64 {
            device.infer(upright.test.input(random.below(upright.test.len()))).unwrap();
        }
        hold_out(device, &upright.train, &mut random, All::GUARD.held_out);
        learn(device, &upright.train, &mut random, rate, (100, 30));
        for _ in 0..64 {
            device.infer(rotated.test.input(random.below(rotated.test.len()))).unwrap();
        }
        learn(device, &upright.train, &mut random, rate / 8.0, (150, 0));
        (device.state_hash().unwrap(), device.watched().unwrap())
    }
    let digits = digits();
    let (hash, told) = guarded(All::of, |device, rate| session(device, rate, &digits));
    println!("{told:?}");
    assert!(told.drift.is_some() && told.taken_back > 0 && told.replayed > 0, "{told:?}");
    let compiled = DEMO.compile(None);
    let board = offshoot_boards::find("qemu-mps2-an386").unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let built = build_with(&compiled, All::GUARD, &board, folder, "guarded").unwrap();
    let mut device = Device::start(&board, &built, None, false).unwrap();
    let rate = default_rate(&compiled.program.program());
    assert_eq!(session(&mut device.client, rate, &digits), (hash, told));
    let bytes = All::GUARD.bytes(&compiled.program.header).total() as u64;
    assert!(device.sizes.bss > bytes + u64::from(compiled.program.header.arena));
    assert_eq!(All::GUARD.drift, Drift::Watch);
}
