//! A network that trains its head, and one convolution before it.

use super::*;

pub(super) fn sample() -> Sample {
    let r = &mut Random::new(1);
    let mut bench = Bench::default();
    let map = Shape { h: 4, w: 4, c: 8 };
    let geometry = Geometry {
        x: map,
        y: map,
        window: Window { kernel: [1, 1], stride: [1, 1], pad: [0, 0], dilation: [1, 1] },
    };
    let three = Window { kernel: [3, 3], stride: [1, 1], pad: [1, 1], dilation: [1, 1] };
    let [input, wide, narrow, pooled_map] = [0; 4].map(|_| bench.room(128));
    let (features, logits) = (bench.room(16), bench.room(12));
    let range = Range { zero: 0, min: -128, max: 127 };
    let scale = |bench: &mut Bench, r: &mut Random| {
        let scales: Vec<_> = (0..8).map(|_| r.multiplier(0.01)).collect();
        bench.scales(&scales)
    };
    let (frozen, _) = bench.weights(r, [9, 1, 8], 0, Precision::Residual);
    let depthwise = Depthwise {
        input,
        output: wide,
        mask: Slot::default(),
        geometry: Geometry { window: three, ..geometry },
        weights: frozen,
        bias: bench.constant(&[0i32; 8]),
        scale: scale(&mut bench, r),
        x_zero: 3,
        range,
        scratch: bench.scratch(32),
    };
    let (trained, _) = bench.weights(r, [8, 1, 8], 3, Precision::Stochastic);
    let conv = Conv {
        input: wide,
        output: narrow,
        mask: bench.room(16),
        geometry,
        groups: 1,
        weights: trained,
        bias: bench.state(&[0i32; 8]),
        scale: scale(&mut bench, r),
        x_zero: 0,
        range,
        scratch: bench.scratch(8),
    };
    let pool = AvgPool {
        input: narrow,
        output: pooled_map,
        geometry: Geometry { window: three, ..geometry },
        x_zero: 0,
        scale: Multiplier::default(),
        range,
    };
    let selected = trained.selected;
    let save = SaveChannels {
        input: wide,
        output: bench.room(16 * (selected.len() / 2)),
        selected,
        channels: 8,
    };
    let mean = PoolMean {
        input: pooled_map,
        output: features,
        x: map,
        x_zero: 0,
        scratch: bench.scratch(32),
    };
    let latent = bench.state(&[0i16; 24]);
    let bias = bench.state(&[0i32; 3]);
    let head = Head { input: features, latent, bias, output: logits };
    let loss_error = Error { data: bench.room(3), tracker: Slot::default() };
    let mut error = |bytes| Error { data: bench.room(bytes), tracker: bench.state(&[0u32; 2]) };
    let (of_features, of_map, of_narrow) = (error(8), error(128), error(128));
    let factor = bench.constant(&[1f32; 8]);
    let weights = bench.constant(&[1.5f32, 0.0, 2.0]);
    let loss =
        SoftmaxCrossEntropy { logits, error: loss_error.data, weights, ..Default::default() };
    let independent = SigmoidCrossEntropy { logits, error: loss_error.data, ..Default::default() };
    let head_grad =
        HeadInputGrad { error: loss_error, latent, output: of_features, weight_exponent: -7 };
    let head_update = HeadUpdate { error: loss_error, input: features, latent, factor: 1.0 };
    let mean_grad = PoolInputGrad {
        error: of_features,
        output: of_map,
        geometry: Geometry {
            x: map,
            y: Shape { h: 1, w: 1, c: 8 },
            window: Window { kernel: [4, 4], ..geometry.window },
        },
        fraction: 12,
        ..Default::default()
    };
    let pool_grad = PoolInputGrad {
        error: of_map,
        output: of_narrow,
        geometry: pool.geometry,
        mask: conv.mask,
        fraction: 12,
        ..Default::default()
    };
    let bias_update =
        BiasUpdate { error: of_narrow, bias: conv.bias, factor, scratch: bench.scratch(32) };
    let conv_update = ConvUpdate {
        error: of_narrow,
        saved: save.output,
        geometry,
        groups: 1,
        weights: trained,
        factor,
        random: bench.state(&[1u32]),
        x_zero: 0,
        scratch: bench.scratch(4 * (selected.len() / 2)),
    };
    let from = bench.constant(&[5i32; 3]);
    let init = vec![Init::Copy { from, to: bias }, Init::Latent(trained)];
    let ops = vec![
        depthwise.into(),
        conv.into(),
        pool.into(),
        save.into(),
        mean.into(),
        head.into(),
        loss.into(),
        independent.into(),
        head_grad.into(),
        head_update.into(),
        mean_grad.into(),
        pool_grad.into(),
        bias_update.into(),
        conv_update.into(),
    ];
    let header = Header {
        forward: 6,
        input,
        input_shape: map,
        output: logits,
        classes: 3,
        ..bench.header()
    };
    Sample { header, init, ops, bench }
}

#[test]
fn a_sound_program_passes() {
    assert_eq!(verdict(sample, |_| {}), Ok(()));
}

#[test]
fn spoilt_programs_are_refused() {
    use Fault::{Misaligned, OutOfBounds, Overlap, Size};
    refused(
        sample,
        &[
            (None, Size, |s| s.header.classes = 0),
            (None, Size, |s| s.header.forward = 99),
            (None, Size, |s| s.header.classes = 4),
            (None, Size, |s| s.header.input_shape.h = 5),
            (None, OutOfBounds, |s| s.header.input.memory = Memory::State),
            (None, OutOfBounds, |s| s.header.output.offset = u32::MAX - 3),
            (None, Size, |s| {
                s.init[0] = Init::Copy {
                    from: Slot::new(Memory::Constant, 0, 8),
                    to: Slot::new(Memory::State, 0, 4),
                }
            }),
            (Some(0), OutOfBounds, |s| pick!(s, Depthwise).input.offset = 100_000),
            (Some(0), OutOfBounds, |s| pick!(s, Depthwise).mask.offset = 100_000),
            (Some(0), Size, |s| pick!(s, Depthwise).weights.rows = 8),
            (Some(0), Size, |s| pick!(s, Depthwise).geometry.window.stride[1] = 0),
            (Some(0), Size, |s| pick!(s, Depthwise).geometry.window.pad[0] = 3),
            (Some(0), Size, |s| pick!(s, Depthwise).geometry.x.h = 0),
            (Some(0), Size, |s| pick!(s, Depthwise).geometry.y.c = 4),
            (Some(0), OutOfBounds, |s| pick!(s, Depthwise).bias.memory = Memory::Arena),
            (Some(0), Misaligned, |s| pick!(s, Depthwise).bias.offset += 2),
            (Some(0), Overlap, |s| {
                let op = pick!(s, Depthwise);
                op.output = op.input;
            }),
            (Some(1), Size, |s| pick!(s, Conv).mask.bytes = 15),
            (Some(1), Overlap, |s| pick!(s, Conv).mask.offset = 0x80),
            (Some(1), Size, |s| pick!(s, Conv).groups = 0),
            (Some(1), Size, |s| pick!(s, Conv).groups = 3),
            (Some(1), Size, |s| pick!(s, Conv).weights.taps = 2),
            (Some(1), Size, |s| pick!(s, Conv).weights.precision = Precision::Residual),
            (Some(1), Size, |s| pick!(s, Conv).weights.latent.bytes -= 1),
            (Some(1), OutOfBounds, |s| pick!(s, Conv).weights.latent.memory = Memory::Arena),
            (Some(1), Size, |s| pick!(s, Conv).scratch = Slot::default()),
            (Some(1), Size, |s| pick!(s, Conv).x_zero = 128),
            (Some(1), Size, |s| pick!(s, Conv).range = Range { zero: 0, min: 1, max: 0 }),
            (Some(1), Size, |s| {
                let op = pick!(s, Conv);
                op.scale.shift = op.weights.frozen;
                op.scale.shift.bytes = 8;
            }),
            (Some(2), Size, |s| pick!(s, AvgPool).scale = Multiplier { value: 1, shift: 0 }),
            (Some(3), Size, |s| pick!(s, SaveChannels).channels = 1),
            (Some(3), Size, |s| pick!(s, SaveChannels).selected.bytes = 0),
            (Some(4), Misaligned, |s| pick!(s, PoolMean).output.offset += 1),
            (Some(4), Size, |s| pick!(s, PoolMean).scratch.bytes = 3),
            (Some(5), Size, |s| pick!(s, Head).latent.bytes -= 2),
            (Some(6), Size, |s| pick!(s, SoftmaxCrossEntropy).error.bytes = 2),
            (Some(6), Size, |s| pick!(s, SoftmaxCrossEntropy).sixteenths.shift = 31),
            (Some(6), Size, |s| pick!(s, SoftmaxCrossEntropy).weights.bytes = 8),
            (Some(6), Misaligned, |s| pick!(s, SoftmaxCrossEntropy).weights.offset += 2),
            (Some(6), OutOfBounds, |s| {
                pick!(s, SoftmaxCrossEntropy).weights.memory = Memory::State
            }),
            (Some(6), Size, |s| {
                pick!(s, SoftmaxCrossEntropy).weights = s.bench.constant(&[1.0, -1.0, 1.0f32])
            }),
            (Some(6), Size, |s| {
                pick!(s, SoftmaxCrossEntropy).weights = s.bench.constant(&[f32::NAN; 3])
            }),
            (Some(7), Size, |s| pick!(s, SigmoidCrossEntropy).logits.bytes = 8),
            (Some(7), Size, |s| pick!(s, SigmoidCrossEntropy).error.bytes = 4),
            (Some(7), Size, |s| pick!(s, SigmoidCrossEntropy).sixteenths.value = -1),
            (Some(7), Overlap, |s| {
                let op = pick!(s, SigmoidCrossEntropy);
                op.error.offset = op.logits.offset;
            }),
            (Some(8), Size, |s| pick!(s, HeadInputGrad).output.tracker = Slot::default()),
            (Some(10), Size, |s| pick!(s, PoolInputGrad).fraction = 31),
            (Some(10), Size, |s| pick!(s, PoolInputGrad).geometry.window.stride = [0, 1]),
            (Some(12), Size, |s| pick!(s, BiasUpdate).factor.bytes = 28),
            (Some(13), Size, |s| pick!(s, ConvUpdate).random = Slot::default()),
            (Some(13), Size, |s| pick!(s, ConvUpdate).saved.bytes -= 1),
            (Some(13), Overlap, |s| {
                let op = pick!(s, ConvUpdate);
                op.random.offset = op.weights.latent.offset;
            }),
        ],
    );
}

#[test]
fn a_refusal_says_where() {
    let refusal = verdict(sample, |s| pick!(s, Conv).mask.bytes = 15).unwrap_err();
    assert_eq!(refusal.to_string(), "op 1, mask: a slot's size disagrees with the op's shapes");
}

#[test]
fn accepted_programs_run() {
    let accepted = damaged(sample, 20_000);
    assert!(accepted > 1000, "{accepted}");
}
