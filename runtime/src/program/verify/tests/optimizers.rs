//! The same network with momentum and batches.

use super::*;

/// What the ops from here on are made of: the updates of [`convolutions::sample`].
const FIRST: usize = 14;

fn sample() -> Sample {
    let mut sample = convolutions::sample();
    let bench = &mut sample.bench;
    let random = bench.state(&[1u32]);
    let mut optimizer = |count: usize, bits: u8, sum: usize, batch: u16| Optimizer {
        momentum: if bits > 0 { 58_982 } else { 0 },
        bits,
        velocity: bench.state(&vec![0u8; count * usize::from(bits / 8)]),
        batch,
        sum: if batch > 1 { bench.state(&vec![0u8; count * sum]) } else { Slot::default() },
        counter: if batch > 1 { bench.state(&[0u32]) } else { Slot::default() },
        random,
    };
    let mut added: Vec<Op> = Vec::new();
    for op in &sample.ops {
        match *op {
            Op::HeadUpdate(update) => {
                added.push(HeadOptimize { update, optimizer: optimizer(24, 8, 2, 4) }.into());
            }
            Op::BiasUpdate(update) => {
                added.push(BiasOptimize { update, optimizer: optimizer(8, 32, 4, 2) }.into());
            }
            Op::ConvUpdate(update) => {
                let update = ConvUpdate { random: Slot::default(), ..update };
                added.push(ConvOptimize { update, optimizer: optimizer(24, 16, 2, 1) }.into());
            }
            _ => {}
        }
    }
    // A sum without a velocity.
    let Op::ConvUpdate(update) = sample.ops[FIRST - 1] else { panic!("no update") };
    let optimizer = optimizer(24, 0, 2, 256);
    let update = ConvUpdate { random: Slot::default(), ..update };
    added.push(ConvOptimize { update, optimizer }.into());
    sample.ops.extend(added);
    let Header { arena, state, scratch, .. } = sample.bench.header();
    sample.header = Header { arena, state, scratch, ..sample.header };
    sample
}

#[test]
fn a_sound_program_passes() {
    assert_eq!(verdict(sample, |_| {}), Ok(()));
}

#[test]
fn spoilt_programs_are_refused() {
    use Fault::{Misaligned, OutOfBounds, Overlap, Size};
    const HEAD: Option<usize> = Some(FIRST);
    const BIAS: Option<usize> = Some(FIRST + 1);
    const CONV: Option<usize> = Some(FIRST + 2);
    refused(
        sample,
        &[
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.momentum = 0),
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.bits = 16),
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.bits = 32),
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.velocity.bytes -= 1),
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.sum = Slot::default()),
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.counter = Slot::default()),
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.batch = 1),
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.batch = 0),
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.batch = 257),
            (HEAD, Size, |s| pick!(s, HeadOptimize).optimizer.random = Slot::default()),
            (HEAD, Size, |s| pick!(s, HeadOptimize).update.latent.bytes -= 2),
            (HEAD, Misaligned, |s| pick!(s, HeadOptimize).optimizer.sum.offset += 1),
            (HEAD, OutOfBounds, |s| pick!(s, HeadOptimize).optimizer.velocity.offset = 1 << 30),
            (HEAD, OutOfBounds, |s| {
                pick!(s, HeadOptimize).optimizer.velocity.memory = Memory::Arena
            }),
            (HEAD, Overlap, |s| {
                let op = pick!(s, HeadOptimize);
                op.optimizer.velocity.offset = op.update.latent.offset;
            }),
            (BIAS, Size, |s| pick!(s, BiasOptimize).optimizer.bits = 16),
            (BIAS, Size, |s| pick!(s, BiasOptimize).optimizer.sum.bytes = 16),
            (BIAS, Size, |s| pick!(s, BiasOptimize).update.factor.bytes = 28),
            (CONV, Size, |s| pick!(s, ConvOptimize).optimizer.bits = 8),
            (CONV, Size, |s| pick!(s, ConvOptimize).optimizer.bits = 0),
            (CONV, Size, |s| {
                let op = pick!(s, ConvOptimize);
                op.update.random = op.optimizer.random;
            }),
            (CONV, Size, |s| pick!(s, ConvOptimize).update.saved.bytes -= 1),
            (CONV, Size, |s| {
                let op = pick!(s, ConvOptimize);
                op.optimizer.counter = op.optimizer.random;
            }),
        ],
    );
}

#[test]
fn accepted_programs_run() {
    let accepted = damaged(sample, 20_000);
    assert!(accepted > 1000, "{accepted}");
}
