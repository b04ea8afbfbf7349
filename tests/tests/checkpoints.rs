//! A board that is killed in the middle of training goes on from a checkpoint, over flash that is kept
//! in a file: never from one older than the last that it told of, never from anything else.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use offshoot::device::Device;
use offshoot_runtime::hash;
use offshoot_tests::boards::build;
use offshoot_tests::cases::DEMO;
use offshoot_tests::random::Random;
use offshoot_tests::trace::{round, simulated, Samples};

const KILLS: usize = 50;
const STEPS: usize = 20_000;
/// Steps between checkpoints.
const EVERY: usize = 2;

/// When a board is killed.
enum Moment {
    /// So long after its start.
    Any(Duration),
    /// So long after it was asked for its n-th checkpoint.
    Checkpoint(u32, Duration),
}

fn moment(random: &mut Random) -> Moment {
    match random.below(2) {
        0 => Moment::Any(Duration::from_micros(random.below(300_000) as u64)),
        _ => {
            let after = Duration::from_micros(random.below(3_000) as u64);
            Moment::Checkpoint(1 + random.below(8) as u32, after)
        }
    }
}

fn killed(name: &str) {
    let compiled = DEMO.compile(None);
    let data = DEMO.samples(&compiled).train;
    let expected = simulated(&compiled, &data, STEPS, |_, _| {});
    let board = offshoot_boards::find(name).unwrap();
    let temporary = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let built = build(&compiled, &board, &temporary, "keeping").unwrap_or_else(|e| panic!("{e}"));
    let file = built.elf.with_extension("flash");
    // That of an earlier run of this test.
    let _ = std::fs::remove_file(&file);
    let mut random = Random::new(11);
    // Steps behind the last checkpoint that was told of, and behind one that was asked for.
    let (mut told, mut asked) = (0, None);
    let (mut unanswered, mut whole, mut checkpoints, mut steps) = (0, 0, 0, 0);
    let start = Instant::now();
    for kill in 0..=KILLS {
        let device = Device::start(&board, &built, None, false).unwrap_or_else(|e| panic!("{e}"));
        let (mut client, emulator) = device.apart();
        let restored = client.device().steps as usize;
        assert_eq!(client.device().restored.is_some(), restored > 0);
        assert!(restored == told || Some(restored) == asked, "{kill}: {restored}, told {told}");
        let state = client.state().unwrap();
        if restored > 0 {
            let (_, hash) = expected[restored - 1];
            assert_eq!(hash::fnv1a(hash::EMPTY, &state), hash, "{kill}: another state");
        }
        if asked.take().is_some() {
            unanswered += 1;
            whole += usize::from(restored > told);
        }
        told = restored;
        if kill == KILLS {
            let wear = client.stats().unwrap().wear.unwrap();
            println!("{name}: {wear:?}");
            assert!(wear.slots >= 3 && wear.erases > 0);
            break;
        }
        let (begun, checkpoint) = mpsc::channel();
        let moment = moment(&mut random);
        let killer = thread::spawn(move || {
            match moment {
                Moment::Any(after) => thread::sleep(after),
                Moment::Checkpoint(number, after) => {
                    let _ended = (0..number).try_for_each(|_| checkpoint.recv());
                    thread::sleep(after);
                }
            }
            drop(emulator);
        });
        for (step, (index, rate)) in round(&data, STEPS).steps().enumerate().skip(restored) {
            let (sample, label) = data.sample(index);
            let Ok(stepped) = client.train(sample, label, rate) else { break };
            assert_eq!(stepped.state_hash, expected[step].1, "{kill}: step {step}");
            steps += 1;
            if (step + 1) % EVERY == 0 {
                asked = Some(step + 1);
                // The killer may be gone, having killed.
                let _ = begun.send(());
                let Ok(kept) = client.checkpoint(false) else { break };
                assert_eq!(kept.steps as usize, step + 1);
                (told, asked) = (step + 1, None);
                checkpoints += 1;
            }
        }
        drop(begun);
        killer.join().unwrap();
    }
    println!(
        "{name}: killed {KILLS} times in {:?}: {steps} steps, {checkpoints} checkpoints told of, \
         {unanswered} under way when it was killed, {whole} of them whole; went on {told} steps \
         far, none lost, none wrong",
        start.elapsed()
    );
    assert!(checkpoints > KILLS && unanswered > 0);
}

#[test]
fn a_process_that_is_killed_goes_on() {
    killed("host");
}

#[test]
#[ignore = "needs an emulator: cargo xtask test"]
fn a_board_that_is_killed_goes_on() {
    killed("qemu-mps2-an386");
}
