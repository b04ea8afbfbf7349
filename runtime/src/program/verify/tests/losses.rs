//! A network that reproduces its input: one layer, and the error of what it makes.

use super::*;
use crate::program::Output;

fn sample() -> Sample {
    let r = &mut Random::new(9);
    let mut bench = Bench::default();
    let map = Shape { h: 2, w: 3, c: 4 };
    let window = Window { kernel: [1, 1], stride: [1, 1], pad: [0, 0], dilation: [1, 1] };
    let geometry = Geometry { x: map, y: map, window };
    let (x, y, error) = (bench.room(24), bench.room(24), bench.room(24));
    let (weights, _) = bench.weights(r, [4, 1, 4], 2, Precision::Residual);
    let scales: Vec<Multiplier> = (0..4).map(|_| r.multiplier(0.01)).collect();
    let conv = Conv {
        input: x,
        output: y,
        geometry,
        groups: 1,
        weights,
        bias: bench.state(&[0i32; 4]),
        scale: bench.scales(&scales),
        range: Range { zero: 0, min: -128, max: 127 },
        scratch: bench.scratch(4),
        ..Default::default()
    };
    let scales = [0.5, 1.0].map(Multiplier::from_f64);
    let loss = MeanSquare { x, y, error, zeros: [3, -3], scales, unit: 0.25 };
    let error = Error { data: error, tracker: Slot::default() };
    let factor = bench.constant(&[1f32; 4]);
    let update = BiasUpdate { error, bias: conv.bias, factor, scratch: bench.scratch(16) };
    let header = Header {
        forward: 2,
        input: x,
        input_shape: map,
        output: y,
        output_kind: Output::Reconstruction,
        classes: 0,
        ..bench.header()
    };
    let ops = vec![conv.into(), loss.into(), update.into()];
    Sample { header, init: vec![Init::Latent(weights)], ops, bench }
}

#[test]
fn a_sound_program_passes() {
    assert_eq!(verdict(sample, |_| {}), Ok(()));
}

#[test]
fn spoilt_programs_are_refused() {
    use Fault::{OutOfBounds, Overlap, Size};
    refused(
        sample,
        &[
            (None, Size, |s| s.header.classes = 4),
            (None, Size, |s| s.header.output_kind = Output::Scores),
            (None, Size, |s| s.header.output.bytes = 23),
            (Some(1), Size, |s| pick!(s, MeanSquare).x.bytes = 23),
            (Some(1), Size, |s| pick!(s, MeanSquare).y.bytes = 0),
            (Some(1), Size, |s| pick!(s, MeanSquare).y.bytes = MeanSquare::MOST_ELEMENTS + 1),
            (Some(1), Size, |s| pick!(s, MeanSquare).error.bytes = 23),
            (Some(1), OutOfBounds, |s| pick!(s, MeanSquare).x.memory = Memory::State),
            (Some(1), OutOfBounds, |s| pick!(s, MeanSquare).error.offset = u32::MAX),
            (Some(1), Overlap, |s| {
                let op = pick!(s, MeanSquare);
                op.error = op.y;
            }),
            (Some(1), Size, |s| pick!(s, MeanSquare).zeros[1] = 128),
            (Some(1), Size, |s| pick!(s, MeanSquare).scales[0].shift = 2),
            (Some(1), Size, |s| pick!(s, MeanSquare).scales[1].value = -1),
            (Some(1), Size, |s| pick!(s, MeanSquare).unit = 0.0),
            (Some(1), Size, |s| pick!(s, MeanSquare).unit = f32::NAN),
        ],
    );
}

#[test]
fn accepted_programs_run() {
    let accepted = damaged(sample, 5_000);
    assert!(accepted > 300, "{accepted}");
}
