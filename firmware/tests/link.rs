//! Client and application together, over lines good and bad.

mod common;

use common::{expected, sample, Desk, Noisy, Random, Toy, INPUT};
use offshoot_firmware::client::{Client, InProcess, LinkError, Patience, Piped};
use offshoot_firmware::link::{
    encode, Answer, Command, Decoder, Event, Refusal, Reply, Request, FRAME_BYTES, PROTOCOL,
};
use offshoot_firmware::{App, Counter, Stack};
use offshoot_runtime::{hash, Fault, Trainer};
use std::time::Duration;

#[test]
fn a_good_line_does_what_a_call_does() {
    let mut toy = Toy::new(INPUT);
    let transport = InProcess::new(App::new(&mut toy, Desk(0)));
    let mut client = Client::connect(transport, Patience::default()).unwrap();
    let device = client.device().clone();
    assert_eq!((device.model_hash, device.board.as_str()), (0xA11CE, "desk"));
    assert_eq!((device.input_bytes, device.classes, device.state_bytes), (INPUT, 2, 1100));
    assert_eq!(device.counter, Counter::Nanoseconds);
    for i in 0..10 {
        let stepped = client.train(&sample(i), i as u16 % 2, 0.5).unwrap();
        assert_eq!(stepped.loss, 0.5 + (i % 2) as f32);
        // The first part of two, and the step, of three slices each.
        assert_eq!(stepped.count, 30);
        assert_eq!(stepped.state_hash, hash::fnv1a(hash::EMPTY, &expected(i + 1).state));
    }
    assert_eq!(client.state().unwrap(), expected(10).state);
    let mut direct = expected(10);
    direct.present(&sample(77)).unwrap();
    assert_eq!(client.infer(&sample(77)).unwrap().prediction, direct.infer().unwrap());
    let stats = client.stats().unwrap();
    assert_eq!((stats.steps, stats.damaged, stats.repeated), (10, 0, 0));
    assert_eq!(stats.stack, Some(Stack { used: 10, size: 100 }));
    assert_eq!(stats.longest_slice, 5);
    client.reset().unwrap();
    assert_eq!(client.state_hash().unwrap(), hash::fnv1a(hash::EMPTY, &expected(0).state));
    assert_eq!(client.resent(), 0);
}

#[test]
fn a_bad_line_trains_each_sample_once() {
    let patience = Patience { first: Duration::from_millis(1), total: Duration::from_secs(60) };
    for seed in 1..6 {
        let mut toy = Toy::new(INPUT);
        let transport = Noisy {
            inner: InProcess::new(App::new(&mut toy, Desk(0))),
            random: Random(seed),
            old: Vec::new(),
        };
        let mut client = Client::connect(transport, patience).unwrap();
        for i in 0..100 {
            client.train(&sample(i), i as u16 % 2, 0.5).unwrap();
        }
        assert!(client.resent() > 50, "the line was not bad enough: {}", client.resent());
        assert_eq!(client.state().unwrap(), expected(100).state, "seed {seed}");
        let stats = client.stats().unwrap();
        assert!(stats.damaged > 10 && stats.repeated > 10, "{stats:?}");
        drop(client);
        assert_eq!(toy.steps, 100);
    }
}

#[test]
fn no_bytes_crash_it_or_make_it_train() {
    let mut toy = Toy::new(INPUT);
    let mut app = App::new(&mut toy, Desk(0));
    let mut random = Random(42);
    for _ in 0..3_000_000 {
        // Zeros end frames: let there be many.
        let byte = if random.below(20) == 0 { 0 } else { random.byte() };
        app.feed(byte);
    }
    assert_eq!(toy.steps, 0);
}

#[test]
fn spoiled_requests_do_nothing() {
    let mut toy = Toy::new(64);
    let mut app = App::new(&mut toy, Desk(0));
    let mut random = Random(3);
    let mut sequence = 0u16;
    let mut ask = |app: &mut App<'_, Toy, Desk>, sequence, command, spoil: bool| {
        let mut frame = vec![0; FRAME_BYTES];
        let n = encode(&Request { sequence, command }, &mut frame).unwrap();
        frame.truncate(n);
        if spoil {
            let at = 1 + random.below(n - 2);
            frame[at] ^= 1 << random.below(8);
        }
        for byte in frame {
            app.feed(byte);
        }
    };
    ask(&mut app, sequence, Command::Hello { protocol: PROTOCOL }, false);
    for _ in 0..20_000 {
        let bytes = &[1; 64];
        ask(&mut app, sequence + 1, Command::Sample { offset: 0, bytes }, false);
        ask(&mut app, sequence + 2, Command::Train { label: 1, rate: 0.1 }, true);
        sequence = (sequence + 1) % 60_000;
    }
    assert_eq!(toy.steps, 0);
}

/// The answer to one request.
fn answer(app: &mut App<'_, Toy, Desk>, sequence: u16, command: Command<'_>) -> String {
    let mut frame = [0; FRAME_BYTES];
    let n = encode(&Request { sequence, command }, &mut frame).unwrap();
    let mut decoder = Decoder::new();
    for &byte in &frame[..n] {
        for &byte in app.feed(byte).unwrap_or_default() {
            if let Event::Message(message) = decoder.feed(byte) {
                let reply: Reply<'_> = postcard::from_bytes(message).unwrap();
                assert_eq!(reply.sequence, sequence);
                return match reply.answer {
                    Answer::Refused(refusal) => format!("{refusal:?}"),
                    other => format!("{other:?}").chars().take(7).collect(),
                };
            }
        }
    }
    "nothing".into()
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut toy = Toy::new(64);
    let mut app = App::new(&mut toy, Desk(0));
    let train = Command::Train { label: 1, rate: 0.1 };
    let refused = |r: Refusal| format!("{r:?}");
    assert_eq!(answer(&mut app, 1, train), refused(Refusal::NoSession));
    let other = Command::Hello { protocol: 999 };
    assert_eq!(answer(&mut app, 1, other), refused(Refusal::Protocol(PROTOCOL)));
    assert_eq!(answer(&mut app, 2, train), refused(Refusal::NoSession));
    assert_eq!(answer(&mut app, 65535, Command::Hello { protocol: PROTOCOL }), "Welcome");
    assert_eq!(answer(&mut app, 0, train), refused(Refusal::NoSample));
    assert_eq!(answer(&mut app, 2, train), refused(Refusal::OutOfOrder));
    let part = |offset, bytes| Command::Sample { offset, bytes };
    assert_eq!(answer(&mut app, 1, part(32, &[0; 32])), refused(Refusal::Offset));
    assert_eq!(answer(&mut app, 2, part(0, &[0; 65])), refused(Refusal::Offset));
    assert_eq!(answer(&mut app, 3, part(0, &[0; 32])), "Done");
    assert_eq!(answer(&mut app, 4, train), refused(Refusal::NoSample));
    assert_eq!(answer(&mut app, 5, part(u32::MAX, &[0; 32])), refused(Refusal::Offset));
    assert_eq!(answer(&mut app, 6, part(32, &[0; 32])), "Done");
    let nan = Command::Train { label: 1, rate: f32::NAN };
    assert_eq!(answer(&mut app, 7, nan), refused(Refusal::Rate));
    let label = Command::Train { label: 2, rate: 0.1 };
    assert_eq!(answer(&mut app, 8, label), refused(Refusal::Fault(Fault::Label)));
    assert_eq!(answer(&mut app, 9, Command::Infer), refused(Refusal::NoSample));
    let read = |offset, length| Command::StateRead { offset, length };
    assert_eq!(answer(&mut app, 10, read(1000, 101)), refused(Refusal::Range));
    assert_eq!(answer(&mut app, 11, read(0, 513)), refused(Refusal::Range));
    assert_eq!(answer(&mut app, 12, read(u32::MAX, 512)), refused(Refusal::Range));
    assert_eq!(answer(&mut app, 13, read(588, 512)), "StateBy");
    assert_eq!(toy.steps, 0);
}

#[test]
fn a_closed_line_is_told_from_a_silent_one() {
    let patience = Patience { first: Duration::from_millis(5), total: Duration::from_millis(30) };
    let closed = Client::connect(Piped::new(&[][..], Vec::new()), patience);
    assert!(matches!(closed, Err(LinkError::Closed)), "{closed:?}");
    let (_keep_open, reader) = std::os::unix::net::UnixStream::pair().unwrap();
    let silent = Client::connect(Piped::new(reader, Vec::new()), patience);
    assert!(matches!(silent, Err(LinkError::Silent(_))), "{silent:?}");
}

#[test]
fn a_sample_of_another_size_is_an_error() {
    let mut toy = Toy::new(INPUT);
    let transport = InProcess::new(App::new(&mut toy, Desk(0)));
    let mut client = Client::connect(transport, Patience::default()).unwrap();
    let error = client.infer(&[0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "the sample has 3 bytes; the model on the device takes 1200");
}
