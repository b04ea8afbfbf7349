//! Learning that survives the device: checkpoints and state that the host sends, over the link.

mod common;

use common::part::{Part, Tear};
use common::{expected, sample, Desk, Noisy, Random, Shelf, Toy, INPUT};
use offshoot_firmware::client::{Client, InProcess, LinkError, Patience, Transport};
use offshoot_firmware::link::{encode, Answer, Command, Decoder, Event};
use offshoot_firmware::link::{Refusal, Reply, Request, FRAME_BYTES, PROTOCOL};
use offshoot_firmware::store::{Checkpoint, StoreError};
use offshoot_firmware::App;
use offshoot_runtime::Trainer;
use std::time::Duration;

/// Three slots for 1100 bytes of state.
fn flash() -> Part<4, 256> {
    Part::new(15, 1)
}

fn connect<T: Transport>(transport: T) -> Client<T> {
    let patience = Patience { first: Duration::from_millis(1), total: Duration::from_secs(60) };
    Client::connect(transport, patience).unwrap()
}

fn train<T: Transport>(client: &mut Client<T>, steps: std::ops::Range<u32>) {
    for i in steps {
        client.train(&sample(i), i as u16 % 2, 0.5).unwrap();
    }
}

fn refusal<T: std::fmt::Debug>(result: Result<T, LinkError>) -> Refusal {
    match result {
        Err(LinkError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn a_device_goes_on_from_its_newest_checkpoint() {
    let mut flash = flash();
    for start in 0..7 {
        let mut toy = Toy::new(INPUT);
        let mut client = connect(InProcess::new(App::new(&mut toy, Shelf(&mut flash))));
        let (steps, sequence) = (start * 5, u64::from(start));
        let device = client.device().clone();
        assert_eq!((device.steps, device.restored), (steps, Some(sequence).filter(|n| *n > 0)));
        assert_eq!(client.state().unwrap(), expected(steps).state);
        train(&mut client, steps..steps + 5);
        let checkpoint = client.checkpoint(false).unwrap();
        assert_eq!(checkpoint, Checkpoint { sequence: sequence + 1, steps: steps + 5 });
        // What comes after it is lost with the device, or taken back.
        train(&mut client, 90..93);
        let stats = client.stats().unwrap();
        let wear = stats.wear.unwrap();
        assert_eq!((stats.steps, wear.newest), (steps + 8, Some(sequence + 1)));
        assert_eq!((wear.slots, wear.erases, wear.endurance), (3, 1 + start / 3, 10_000));
        assert_eq!(client.restore().unwrap(), checkpoint);
        assert_eq!(client.state().unwrap(), expected(steps + 5).state);
        assert_eq!(client.stats().unwrap().steps, steps + 5);
        client.reset().unwrap();
        assert_eq!(client.stats().unwrap().steps, 0);
        assert_eq!(client.state().unwrap(), expected(0).state);
    }
}

#[test]
fn a_bad_line_writes_each_checkpoint_once() {
    for seed in 1..4 {
        let mut flash = flash();
        let mut toy = Toy::new(INPUT);
        let noisy = |transport| Noisy { inner: transport, random: Random(seed), old: Vec::new() };
        let mut client = connect(noisy(InProcess::new(App::new(&mut toy, Shelf(&mut flash)))));
        for round in 0..30 {
            train(&mut client, round..round + 1);
            let checkpoint = client.checkpoint(false).unwrap();
            assert_eq!(checkpoint.sequence, u64::from(round) + 1, "seed {seed}");
        }
        let sent = expected(5);
        client.import(0xA11CE, &sent.state, 5).unwrap();
        assert!(client.resent() > 20, "the line was not bad enough: {}", client.resent());
        assert_eq!(client.state().unwrap(), sent.state);
        client.restore().unwrap();
        assert_eq!(client.state().unwrap(), expected(30).state);
        drop(client);
        assert_eq!(flash.erased.iter().sum::<u32>(), 30 * 5);
    }
}

#[test]
fn power_that_fails_in_a_checkpoint_costs_what_came_after_the_one_before() {
    for operation in (0..290).step_by(7) {
        let mut flash = flash();
        let mut toy = Toy::new(INPUT);
        let mut client = connect(InProcess::new(App::new(&mut toy, Shelf(&mut flash))));
        train(&mut client, 0..2);
        client.checkpoint(false).unwrap();
        drop(client);
        flash.fuse = Some((operation, Tear::Garbage));
        let mut toy = Toy::new(INPUT);
        let mut client = connect(InProcess::new(App::new(&mut toy, Shelf(&mut flash))));
        train(&mut client, 2..3);
        assert_eq!(refusal(client.checkpoint(false)), Refusal::Store(StoreError::Flash));
        // It goes on learning all the same.
        train(&mut client, 3..4);
        assert_eq!(client.state().unwrap(), expected(4).state);
        drop(client);
        flash.restart();
        let mut toy = Toy::new(INPUT);
        let client = connect(InProcess::new(App::new(&mut toy, Shelf(&mut flash))));
        assert_eq!((client.device().steps, client.device().restored), (2, Some(1)));
        drop(client);
        assert_eq!(toy.state, expected(2).state);
    }
}

#[test]
fn state_of_a_host_is_taken_whole_or_not_at_all() {
    let mut flash = flash();
    let mut toy = Toy::new(INPUT);
    let mut client = connect(InProcess::new(App::new(&mut toy, Shelf(&mut flash))));
    let sent = expected(9).state;
    client.import(0xA11CE, &sent, 9).unwrap();
    assert_eq!((client.state().unwrap(), client.stats().unwrap().steps), (sent.clone(), 9));
    // From there on it learns.
    train(&mut client, 9..11);
    assert_eq!(client.state().unwrap(), expected(11).state);
    assert_eq!(refusal(client.import(1, &sent, 9)), Refusal::OtherModel(0xA11CE));
    assert_eq!(client.state().unwrap(), expected(11).state);
    let short = client.import(0xA11CE, &sent[1..], 9).unwrap_err().to_string();
    assert_eq!(short, "the state has 1099 bytes; that on the device has 1100");
}

/// The answer to one request.
fn answer(app: &mut App<'_, Toy, Shelf<'_>>, sequence: u16, command: Command<'_>) -> String {
    let mut frame = [0; FRAME_BYTES];
    let n = encode(&Request { sequence, command }, &mut frame).unwrap();
    let mut decoder = Decoder::new();
    for &byte in &frame[..n] {
        for &byte in app.feed(byte).unwrap_or_default() {
            if let Event::Message(message) = decoder.feed(byte) {
                let reply: Reply<'_> = postcard::from_bytes(message).unwrap();
                return match reply.answer {
                    Answer::Refused(refusal) => format!("{refusal:?}"),
                    other => format!("{other:?}").chars().take(10).collect(),
                };
            }
        }
    }
    "nothing".into()
}

#[test]
fn half_a_state_is_not_used() {
    let mut flash = flash();
    let mut toy = Toy::new(64);
    toy.reset().unwrap();
    let mut app = App::new(&mut toy, Shelf(&mut flash));
    let refused = |refusal: Refusal| format!("{refusal:?}");
    let begin = |state_hash| Command::StateBegin { model_hash: 0xA11CE, state_hash, steps: 3 };
    let part = |offset, bytes| Command::StateWrite { offset, bytes };
    assert_eq!(answer(&mut app, 9, Command::Hello { protocol: PROTOCOL }), "Welcome(We");
    let mut number = 9;
    let mut ask = |command| {
        number += 1;
        answer(&mut app, number, command)
    };
    assert_eq!(ask(Command::Restore), refused(Refusal::Store(StoreError::Empty)));
    assert_eq!(ask(Command::Checkpoint { overwrite: false }), "Checkpoint");
    assert_eq!(ask(part(0, &[1; 100])), refused(Refusal::Range));
    assert_eq!(ask(begin(0)), "Done");
    assert_eq!(ask(part(1, &[1; 100])), refused(Refusal::Range));
    assert_eq!(ask(part(0, &[1; 500])), "Done");
    assert_eq!(ask(part(0, &[1; 500])), refused(Refusal::Range));
    let train = Command::Train { label: 1, rate: 0.1 };
    for command in [
        train,
        Command::Infer,
        Command::StateHash,
        Command::Checkpoint { overwrite: true },
        Command::StateRead { offset: 0, length: 1 },
        Command::Sample { offset: 0, bytes: &[1; 64] },
    ] {
        assert_eq!(ask(command), refused(Refusal::Incomplete));
    }
    assert_eq!(ask(Command::Stats), "Stats(Stat");
    assert_eq!(ask(part(500, &[1; 512])), "Done");
    assert_eq!(ask(part(1012, &[1; 100])), refused(Refusal::Range));
    // It is not the one that was announced.
    assert_eq!(ask(part(1012, &[1; 88])), refused(Refusal::State));
    assert_eq!(ask(Command::StateHash), "StateHash(");
    assert_eq!(ask(begin(0)), "Done");
    assert_eq!(ask(part(0, &[1; 500])), "Done");
    assert_eq!(ask(Command::Reset), "Done");
    assert_eq!(ask(Command::StateHash), "StateHash(");
    assert_eq!(ask(Command::Sample { offset: 0, bytes: &[1; 64] }), "Done");
    assert_eq!(ask(begin(0)), "Done");
    assert_eq!(ask(Command::Restore), "Checkpoint");
    // The sample went with the state before.
    assert_eq!(ask(train), refused(Refusal::NoSample));
    assert_eq!((toy.steps, toy.state), (0, vec![7; 1100]));
}

#[test]
fn a_board_without_flash_says_so() {
    let mut toy = Toy::new(INPUT);
    let mut client = connect(InProcess::new(App::new(&mut toy, Desk(0))));
    assert_eq!(refusal(client.checkpoint(true)), Refusal::NoFlash);
    assert_eq!(refusal(client.restore()), Refusal::NoFlash);
    assert_eq!(client.stats().unwrap().wear, None);
    drop(client);
    let mut small = Part::<4, 256>::new(9, 1);
    let mut toy = Toy::new(INPUT);
    let mut client = connect(InProcess::new(App::new(&mut toy, Shelf(&mut small))));
    let no_room = StoreError::NoRoom { slot: 1280, capacity: 2304 };
    assert_eq!(refusal(client.checkpoint(true)), Refusal::Store(no_room));
    train(&mut client, 0..3);
    assert_eq!(client.state().unwrap(), expected(3).state);
}

#[test]
fn a_checkpoint_of_another_model_is_told_and_kept() {
    let mut flash = flash();
    let mut toy = Toy::new(INPUT);
    let mut client = connect(InProcess::new(App::new(&mut toy, Shelf(&mut flash))));
    train(&mut client, 0..3);
    client.checkpoint(false).unwrap();
    drop(client);
    let mut other = Toy::of_model(INPUT, 0xB0B);
    let mut client = connect(InProcess::new(App::new(&mut other, Shelf(&mut flash))));
    assert_eq!((client.device().restored, client.device().steps), (None, 0));
    assert_eq!(client.stats().unwrap().wear.unwrap().foreign, Some(0xA11CE));
    let foreign = Refusal::Store(StoreError::Foreign(0xA11CE));
    assert_eq!(refusal(client.checkpoint(false)), foreign);
    assert_eq!(refusal(client.restore()), foreign);
    assert!(foreign.to_string().contains("00000000000a11ce"), "{foreign}");
    assert_eq!(client.state().unwrap(), expected(0).state);
    drop(client);
    let mut toy = Toy::new(INPUT);
    let client = connect(InProcess::new(App::new(&mut toy, Shelf(&mut flash))));
    assert_eq!((client.device().restored, client.device().steps), (Some(1), 3));
    drop(client);
    let mut other = Toy::of_model(INPUT, 0xB0B);
    let mut client = connect(InProcess::new(App::new(&mut other, Shelf(&mut flash))));
    assert_eq!(client.checkpoint(true).unwrap().sequence, 2);
    assert_eq!(client.checkpoint(false).unwrap().sequence, 3);
}
