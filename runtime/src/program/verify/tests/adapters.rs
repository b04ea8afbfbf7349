//! The same network with the updates and the ops that only adapters have.

use super::*;

/// What the ops from here on are made of: those of [`convolutions::sample`].
const FIRST: usize = 14;

fn sample() -> Sample {
    let mut sample = convolutions::sample();
    let r = &mut Random::new(5);
    let bench = &mut sample.bench;
    let Op::ConvUpdate(update) = sample.ops[FIRST - 1] else { panic!("no update") };
    // All channels of a matrix as large as the one that is trained there.
    let (whole, _) = bench.weights(r, [8, 1, 8], 8, Precision::Residual);
    let (coded, _) = bench.weights(r, [8, 1, 8], 8, Precision::Stochastic);
    let (signs, _) = bench.weights(r, [8, 1, 8], 3, Precision::Sign);
    let normed = ConvNormed {
        update: ConvUpdate {
            saved: bench.arena(&[1i8; 128]),
            weights: whole,
            random: Slot::default(),
            scratch: bench.scratch(32),
            ..update
        },
        start: whole.frozen,
        unit: bench.constant(&[0.5f32; 8]),
        damping: 0.1,
    };
    let orthonormal = Orthonormalize {
        weights: coded,
        start: coded.frozen,
        columns: false,
        unit: 0.01,
        strength: 4.0,
        random: update.random,
        scratch: bench.scratch(4 * (64 + 8)),
    };
    let [kept, drawn] = [bench.state(&[8u32]), bench.state(&[0u32])];
    let nest = Nest {
        input: normed.update.saved,
        output: bench.room(128),
        channels: 8,
        part: 3,
        zero: -3,
        kept,
        drawn,
        random: update.random,
    };
    let gradient = NestInputGrad {
        error: update.error,
        output: bench.error_out(128),
        channels: 8,
        part: 3,
        kept,
        drawn,
        ..NestInputGrad::default()
    };
    let picked = PickUpdate {
        error: update.error,
        saved: bench.arena(&[0i8; 48]),
        channels: bench.constant(&[0u16, 5, 7]),
        geometry: update.geometry,
        weights: Weights {
            selected: bench.constant(&[0u32, 5, 16, 63]),
            latent: bench.state(&[0i16; 4]),
            precision: Precision::Picked,
            ..whole
        },
        factor: update.factor,
        x_zero: 4,
    };
    let turned = ConvUpdate { weights: signs, ..update };
    let added: [Op; 6] = [
        normed.into(),
        orthonormal.into(),
        nest.into(),
        gradient.into(),
        picked.into(),
        turned.into(),
    ];
    sample.ops.extend(added);
    let Header { arena, state, scratch, .. } = sample.bench.header();
    sample.header = Header { arena, state, scratch, ..sample.header };
    sample.bench.step.rate = 0.01;
    sample
}

#[test]
fn a_sound_program_passes() {
    assert_eq!(verdict(sample, |_| {}), Ok(()));
}

#[test]
fn spoilt_programs_are_refused() {
    use Fault::{OutOfBounds, Size};
    const NORMED: Option<usize> = Some(FIRST);
    const TURNED: Option<usize> = Some(FIRST + 1);
    const NEST: Option<usize> = Some(FIRST + 2);
    const GRADIENT: Option<usize> = Some(FIRST + 3);
    const PICKED: Option<usize> = Some(FIRST + 4);
    refused(
        sample,
        &[
            (NORMED, Size, |s| pick!(s, ConvNormed).start.bytes = 56),
            (NORMED, Size, |s| pick!(s, ConvNormed).unit.bytes = 28),
            (NORMED, Size, |s| pick!(s, ConvNormed).damping = 0.0),
            (NORMED, Size, |s| pick!(s, ConvNormed).damping = f32::NAN),
            (NORMED, Size, |s| pick!(s, ConvNormed).update.weights.selected.bytes = 6),
            (NORMED, Size, |s| pick!(s, ConvNormed).update.weights.precision = Precision::Picked),
            (NORMED, OutOfBounds, |s| pick!(s, ConvNormed).unit.offset = 1 << 30),
            (TURNED, Size, |s| pick!(s, Orthonormalize).scratch.bytes = 280),
            (TURNED, Size, |s| pick!(s, Orthonormalize).start.bytes = 32),
            (TURNED, Size, |s| pick!(s, Orthonormalize).random = Slot::default()),
            (TURNED, Size, |s| pick!(s, Orthonormalize).unit = f32::INFINITY),
            (TURNED, Size, |s| pick!(s, Orthonormalize).strength = -1.0),
            (TURNED, Size, |s| pick!(s, Orthonormalize).weights.precision = Precision::Sign),
            (TURNED, Size, |s| pick!(s, Orthonormalize).weights.rows = 4),
            (NEST, Size, |s| pick!(s, Nest).channels = 0),
            (NEST, Size, |s| pick!(s, Nest).channels = 5),
            (NEST, Size, |s| pick!(s, Nest).part = 9),
            (NEST, Size, |s| pick!(s, Nest).zero = 200),
            (NEST, Size, |s| pick!(s, Nest).input.bytes = 120),
            (NEST, Size, |s| pick!(s, Nest).kept = Slot::default()),
            (NEST, Size, |s| pick!(s, Nest).random = Slot::default()),
            (GRADIENT, Size, |s| pick!(s, NestInputGrad).channels = 3),
            (GRADIENT, Size, |s| pick!(s, NestInputGrad).part = 9),
            (GRADIENT, Size, |s| pick!(s, NestInputGrad).drawn.bytes = 8),
            (GRADIENT, Size, |s| pick!(s, NestInputGrad).output.tracker = Slot::default()),
            (PICKED, Size, |s| pick!(s, PickUpdate).weights.selected.bytes = 12),
            (PICKED, Size, |s| pick!(s, PickUpdate).weights.precision = Precision::Residual),
            (PICKED, Size, |s| pick!(s, PickUpdate).weights.latent = Slot::default()),
            (PICKED, Size, |s| pick!(s, PickUpdate).weights.rows = 7),
            (PICKED, Size, |s| pick!(s, PickUpdate).saved.bytes = 47),
            (PICKED, Size, |s| pick!(s, PickUpdate).channels.bytes = 4),
            // All of the input's channels, of which fewer are kept.
            (PICKED, Size, |s| pick!(s, PickUpdate).channels = Slot::default()),
            (PICKED, Size, |s| pick!(s, PickUpdate).factor.bytes = 16),
            (PICKED, Size, |s| pick!(s, PickUpdate).x_zero = -129),
            // A place beyond the matrix: of the channels' table that lies beside.
            (PICKED, Size, |s| {
                let frozen = pick!(s, ConvNormed).start;
                let picked = &mut pick!(s, PickUpdate).weights.selected;
                (picked.offset, picked.bytes) = (frozen.offset, 16);
            }),
        ],
    );
}

#[test]
fn accepted_programs_run() {
    let accepted = damaged(sample, 20_000);
    assert!(accepted > 1000, "{accepted}");
}
