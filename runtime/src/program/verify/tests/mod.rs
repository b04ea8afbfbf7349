//! A sound program passes; each way to spoil it is noticed; what passes runs.

mod activations;
mod adapters;
mod convolutions;
mod losses;
mod optimizers;

use super::*;
use crate::fixed::Multiplier;
use crate::kernels::testing::{Bench, Random};
use crate::program::op::*;
use crate::program::{Header, Slot};

/// A program and its memories.
struct Sample {
    header: Header,
    init: Vec<Init>,
    ops: Vec<Op>,
    bench: Bench,
}

fn op<'s, T: 's>(ops: &'s mut [Op], pick: impl Fn(&'s mut Op) -> Option<&'s mut T>) -> &'s mut T {
    ops.iter_mut().find_map(pick).unwrap()
}

/// The first op of a kind.
macro_rules! pick {
    ($sample:ident, $kind:ident) => {
        op(&mut $sample.ops, |op| match op {
            Op::$kind(op) => Some(op),
            _ => None,
        })
    };
}
use pick;

/// Verdict on a sample after `spoil`.
fn verdict(sample: fn() -> Sample, spoil: impl FnOnce(&mut Sample)) -> Result<(), Refusal> {
    let mut sample = sample();
    spoil(&mut sample);
    let Sample { header, init, ops, bench } = &mut sample;
    bench.with(|m| {
        let (header, constants) = (*header, m.constants);
        verify(&Program { header, init, ops, constants, feature_energy: None })
    })
}

/// A way to spoil a program: the op that is refused for it, and why.
type Case = (Option<usize>, Fault, fn(&mut Sample));

/// Checks that every case is refused as it says.
fn refused(sample: fn() -> Sample, cases: &[Case]) {
    for (index, (op, fault, spoil)) in cases.iter().enumerate() {
        let refusal = verdict(sample, spoil).expect_err(&format!("case {index}"));
        assert_eq!((refusal.op, refusal.fault), (*op, *fault), "case {index}: {refusal}");
    }
}

/// Damages ops at random, once a seed: whatever is still accepted must run. How many were.
fn damaged(sample: fn() -> Sample, seeds: u64) -> usize {
    let mut accepted = 0;
    for seed in 0..seeds {
        let r = &mut Random::new(seed);
        let mut sample = sample();
        let index = r.below(sample.ops.len());
        // Where a slot lies, or how long it is.
        let slot = r.below(16);
        let delta = [1, 2, 4, 8, 64, 128, 1 << 31][r.below(7)];
        let op = &mut sample.ops[index];
        let mut at = 0;
        op.visit(&mut |_, s| {
            if at == slot {
                s.offset = s.offset.wrapping_add(delta);
            } else if at + 8 == slot {
                s.bytes ^= delta;
            }
            at += 1;
        });
        if r.below(2) == 0 {
            number(op, r);
        }
        let (op, header) = (*op, sample.header);
        sample.bench.with(|m| {
            let constants = m.constants;
            let program =
                Program { header, init: &[], ops: &[op], constants, feature_energy: None };
            let header = Header { forward: 0, ..header };
            if verify(&Program { header, ..program }).is_ok() {
                accepted += 1;
                assert_eq!(op.run(m), Ok(()), "seed {seed}: {op:?}");
            }
        });
    }
    accepted
}

/// Changes one number of an op's shape.
fn number(op: &mut Op, r: &mut Random) {
    let value = [0, 1, 2, 3, 4, 5, 8, 65_535][r.below(8)];
    let (k, wide) = (r.below(4), if r.below(2) == 0 { u32::from(value) } else { 1 << 31 });
    match op {
        Op::Conv(Conv { geometry, .. })
        | Op::Depthwise(Depthwise { geometry, .. })
        | Op::AvgPool(AvgPool { geometry, .. })
        | Op::PoolInputGrad(PoolInputGrad { geometry, .. })
        | Op::MaxPool(MaxPool { geometry, .. })
        | Op::MaxPoolInputGrad(MaxPoolInputGrad { geometry, .. }) => {
            let window = &mut geometry.window;
            let places = [
                &mut geometry.x.h,
                &mut geometry.y.w,
                &mut geometry.y.h,
                &mut window.kernel[k % 2],
                &mut window.stride[k % 2],
                &mut window.pad[k % 2],
                &mut window.dilation[k % 2],
                &mut geometry.x.c,
            ];
            *places.into_iter().nth(r.below(8)).unwrap() = value;
        }
        Op::MatMul(MatMul { loops, .. }) | Op::MatMulInputGrad(MatMulInputGrad { loops, .. }) => {
            match r.below(5) {
                0 => loops.size[k] = value,
                1 => loops.a.step[k] = wide,
                2 => loops.b.step[k] = wide,
                3 => loops.y.step[k] = wide,
                _ => *[&mut loops.a.at, &mut loops.b.at, &mut loops.y.at][k % 3] = wide,
            }
        }
        Op::PickUpdate(PickUpdate { geometry, weights, .. }) => {
            *[
                &mut geometry.x.h,
                &mut geometry.y.w,
                &mut geometry.window.stride[k % 2],
                &mut weights.taps,
            ][k] = value;
        }
        Op::ConvNormed(ConvNormed { update: ConvUpdate { geometry, weights, .. }, .. }) => {
            *[&mut geometry.x.w, &mut geometry.y.h, &mut weights.rows, &mut weights.channels][k] =
                value;
        }
        Op::Orthonormalize(Orthonormalize { weights, columns, .. }) => {
            *[&mut weights.rows, &mut weights.channels, &mut weights.taps][k % 3] = value;
            *columns = wide > 2;
        }
        Op::Nest(Nest { channels, part, .. })
        | Op::NestInputGrad(NestInputGrad { channels, part, .. }) => {
            *[channels, part][k % 2] = value;
        }
        Op::Copy(Copy { path, .. }) | Op::CopyInputGrad(CopyInputGrad { path, .. }) => {
            match r.below(5) {
                0 => path.size[k] = value,
                1 => path.from[k] = wide as i32,
                2 => path.to[k] = wide as i32,
                3 => path.from_at = wide,
                _ => path.to_at = wide,
            }
        }
        Op::Mul(Mul { channels, steps, .. })
        | Op::MulInputGrad(MulInputGrad { channels, steps, .. }) => {
            *[channels, &mut steps.pixel, &mut steps.channel][k % 3] = value;
        }
        Op::Normalize(Normalize { depth, .. })
        | Op::NormalizeInputGrad(NormalizeInputGrad { depth, .. })
        | Op::Softmax(Softmax { depth, .. })
        | Op::SoftmaxInputGrad(SoftmaxInputGrad { depth, .. }) => *depth = value,
        Op::SoftmaxCrossEntropy(SoftmaxCrossEntropy { smoothing, .. }) => *smoothing = value,
        Op::MeanSquare(MeanSquare { scales, .. }) => scales[k % 2].shift = i32::from(value) - 4,
        _ => (),
    }
}
