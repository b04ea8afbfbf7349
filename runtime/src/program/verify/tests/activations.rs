//! Ops between activations, each with its gradient: maxima, tables, products, normalisation, moves.

use super::*;

fn strides(step: [u32; 4]) -> Strides {
    Strides { at: 0, step }
}

/// A map of 4x4x8 goes through one op after the other.
fn sample() -> Sample {
    let mut bench = Bench::default();
    let map = Shape { h: 4, w: 4, c: 8 };
    let window = Window { kernel: [3, 3], stride: [1, 1], pad: [1, 1], dilation: [1, 1] };
    let geometry = Geometry { x: map, y: map, window };
    let range = Range { zero: 3, min: -128, max: 127 };
    let scale = Multiplier::from_f64(0.01);
    let [input, largest, looked_up, gated, normal] = [0; 5].map(|_| bench.room(128));
    let [index, transposed] = [0; 2].map(|_| bench.room(128));
    let [scores, probability] = [0; 2].map(|_| bench.room(256));
    let reciprocal = bench.room(64);
    let gate = bench.room(8);
    let max_pool = MaxPool { input, output: largest, index, geometry };
    let table = Table { input: largest, output: looked_up, table: bench.constant(&[5i8; 256]) };
    let mul = Mul {
        a: looked_up,
        b: gate,
        output: gated,
        channels: 8,
        steps: Steps { pixel: 0, channel: 1 },
        zeros: [1, 2],
        scale,
        range,
    };
    let normalize = Normalize {
        input: gated,
        output: normal,
        reciprocal,
        depth: 8,
        x_scale: 0.05,
        y_scale: 0.03,
        epsilon: 1e-5,
        range,
    };
    let path = Path {
        size: [1, 1, 1, 16, 8],
        from: [0, 0, 0, 8, 1],
        to: [0, 0, 0, 1, 16],
        ..Path::default()
    };
    let copy = Copy { input: normal, output: transposed, path, ..Copy::default() };
    // Every row of the normalised map with every column of its transpose.
    let loops = Contraction {
        size: [1, 16, 16, 8],
        a: strides([0, 8, 0, 1]),
        b: strides([0, 0, 1, 16]),
        y: strides([0, 16, 1, 0]),
    };
    let zeros = [3, 3];
    let matmul = MatMul { a: normal, b: transposed, output: scores, loops, zeros, scale, range };
    let softmax = Softmax {
        input: scores,
        output: probability,
        depth: 16,
        scale: Multiplier::from_f64(1e6),
        diff_min: -248,
    };
    let mut error = |bytes| Error { data: bench.room(bytes), tracker: bench.state(&[0u32; 2]) };
    let [of_probability, of_scores] = [0; 2].map(|_| error(256));
    let [of_transposed, of_normal, of_gated, of_looked_up, of_largest, of_input] =
        [0; 6].map(|_| error(128));
    let softmax_grad = SoftmaxInputGrad {
        error: of_probability,
        output: of_scores,
        probability,
        depth: 16,
        ..Default::default()
    };
    let matmul_grad = MatMulInputGrad {
        error: of_scores,
        output: of_transposed,
        other: normal,
        loops: Contraction { a: loops.y, b: loops.a, y: loops.b, ..loops },
        other_zero: 3,
        scale,
        fraction: 9,
        ..Default::default()
    };
    let copy_grad =
        CopyInputGrad { error: of_transposed, output: of_normal, path, ..Default::default() };
    let normalize_grad = NormalizeInputGrad {
        error: of_normal,
        output: of_gated,
        normal,
        reciprocal,
        depth: 8,
        y_zero: 3,
        y_scale: 0.03,
        fraction: 9,
        ..Default::default()
    };
    let mul_grad = MulInputGrad {
        error: of_gated,
        output: of_looked_up,
        other: gate,
        channels: 8,
        steps: Steps { pixel: 8, channel: 1 },
        other_steps: mul.steps,
        scale,
        fraction: 9,
        ..Default::default()
    };
    let table_grad = TableInputGrad {
        error: of_looked_up,
        output: of_largest,
        input: largest,
        slope: bench.constant(&[-7i16; 256]),
        fraction: 9,
        ..Default::default()
    };
    let max_pool_grad = MaxPoolInputGrad {
        error: of_largest,
        output: of_input,
        skip: of_largest,
        mask: bench.room(16),
        index,
        geometry,
    };
    let ops = vec![
        max_pool.into(),
        table.into(),
        mul.into(),
        normalize.into(),
        copy.into(),
        matmul.into(),
        softmax.into(),
        softmax_grad.into(),
        matmul_grad.into(),
        copy_grad.into(),
        normalize_grad.into(),
        mul_grad.into(),
        table_grad.into(),
        max_pool_grad.into(),
    ];
    let header = Header {
        forward: 7,
        input,
        input_shape: map,
        output: probability,
        output_kind: Output::Scores,
        classes: 256,
        ..bench.header()
    };
    Sample { header, init: Vec::new(), ops, bench }
}

#[test]
fn a_sound_program_passes_and_runs() {
    assert_eq!(verdict(sample, |_| {}), Ok(()));
    let Sample { ops, mut bench, .. } = sample();
    bench.with(|m| ops.iter().for_each(|op| assert_eq!(op.run(m), Ok(()), "{op:?}")));
}

#[test]
fn an_output_may_take_the_place_of_one_input() {
    let cases: [fn(&mut Sample); 2] = [
        |s| pick!(s, Mul).output = pick!(s, Mul).a,
        |s| pick!(s, Table).output = pick!(s, Table).input,
    ];
    for spoil in cases {
        assert_eq!(verdict(sample, spoil), Ok(()));
    }
}

#[test]
fn spoilt_forward_ops_are_refused() {
    use Fault::{Misaligned, Overlap, Size};
    refused(
        sample,
        &[
            (Some(0), Size, |s| pick!(s, MaxPool).geometry.y.c = 4),
            (Some(0), Size, |s| pick!(s, MaxPool).geometry.window.dilation = [5, 1]),
            (Some(0), Size, |s| pick!(s, MaxPool).geometry.window.dilation = [0, 1]),
            (Some(0), Size, |s| pick!(s, MaxPool).index.bytes = 127),
            (Some(0), Overlap, |s| {
                let op = pick!(s, MaxPool);
                op.index = op.output;
            }),
            (Some(1), Size, |s| pick!(s, Table).table.bytes = 255),
            (Some(1), Size, |s| pick!(s, Table).output.bytes = 64),
            (Some(2), Size, |s| pick!(s, Mul).channels = 0),
            (Some(2), Size, |s| pick!(s, Mul).channels = 7),
            (Some(2), Size, |s| pick!(s, Mul).steps.channel = 2),
            (Some(2), Size, |s| pick!(s, Mul).steps.pixel = 8),
            (Some(2), Size, |s| pick!(s, Mul).zeros = [128, 0]),
            (Some(3), Size, |s| pick!(s, Normalize).depth = 0),
            (Some(3), Size, |s| pick!(s, Normalize).depth = 7),
            (Some(3), Size, |s| pick!(s, Normalize).epsilon = 0.0),
            (Some(3), Size, |s| pick!(s, Normalize).epsilon = f32::NAN),
            (Some(3), Size, |s| pick!(s, Normalize).x_scale = f32::INFINITY),
            (Some(3), Size, |s| pick!(s, Normalize).y_scale = -1.0),
            (Some(3), Size, |s| pick!(s, Normalize).reciprocal.bytes = 60),
            (Some(3), Misaligned, |s| pick!(s, Normalize).reciprocal.offset += 2),
            (Some(4), Size, |s| pick!(s, Copy).path.size[1] = 0),
            (Some(4), Size, |s| pick!(s, Copy).path.size[3] = 17),
            (Some(4), Size, |s| pick!(s, Copy).path.from_at = 1),
            (Some(4), Size, |s| pick!(s, Copy).path.to[4] = -16),
            (Some(4), Size, |s| pick!(s, Copy).part = Slot::new(Memory::Arena, 0, 128)),
            (Some(5), Size, |s| pick!(s, MatMul).loops.size[1] = 17),
            (Some(5), Size, |s| pick!(s, MatMul).loops.size[3] = 0),
            (Some(5), Size, |s| pick!(s, MatMul).loops.a.at = 1),
            (Some(5), Size, |s| pick!(s, MatMul).loops.b.step[2] = u32::MAX),
            (Some(5), Size, |s| pick!(s, MatMul).loops.y.step = [0, 15, 1, 0]),
            (Some(5), Size, |s| pick!(s, MatMul).loops.y.step = [0, 0, 1, 0]),
            (Some(5), Size, |s| pick!(s, MatMul).zeros = [0, -129]),
            // 8 times 4129 products are more than 31 bits hold.
            (Some(5), Size, |s| pick!(s, MatMul).loops.size[0] = 4129),
            (Some(5), Overlap, |s| {
                let op = pick!(s, MatMul);
                op.output.offset = op.a.offset;
            }),
            // In the place of an input: not shifted, not of the factor that may be broadcast.
            (Some(2), Overlap, |s| {
                let op = pick!(s, Mul);
                op.output.offset = op.a.offset + 8;
            }),
            (Some(2), Overlap, |s| {
                let op = pick!(s, Mul);
                (op.b, op.steps) = (op.output, Steps { pixel: 8, channel: 1 });
            }),
            (Some(2), Overlap, |s| {
                let op = pick!(s, Mul);
                op.output = op.a;
                (op.b, op.steps) = (op.a, Steps { pixel: 8, channel: 1 });
            }),
            (Some(6), Size, |s| pick!(s, Softmax).depth = 4096),
            (Some(6), Size, |s| pick!(s, Softmax).depth = 15),
        ],
    );
}

#[test]
fn spoilt_gradients_are_refused() {
    use Fault::{Misaligned, OutOfBounds, Overlap, Size};
    refused(
        sample,
        &[
            (Some(7), Size, |s| pick!(s, SoftmaxInputGrad).depth = 15),
            (Some(7), Size, |s| pick!(s, SoftmaxInputGrad).depth = 4096),
            (Some(7), Size, |s| pick!(s, SoftmaxInputGrad).probability.bytes = 255),
            (Some(7), Size, |s| pick!(s, SoftmaxInputGrad).output.tracker = Slot::default()),
            (Some(8), Size, |s| pick!(s, MatMulInputGrad).loops.size[2] = 17),
            (Some(8), Size, |s| pick!(s, MatMulInputGrad).loops.a.step[1] = 17),
            // Two turns that meet one element of the factor.
            (Some(8), Size, |s| pick!(s, MatMulInputGrad).loops.y.step[3] = 8),
            (Some(8), Size, |s| pick!(s, MatMulInputGrad).scale.shift = -32),
            (Some(8), Size, |s| pick!(s, MatMulInputGrad).mask.bytes = 15),
            // 16 times 4113 errors are more than 31 bits hold.
            (Some(8), Size, |s| pick!(s, MatMulInputGrad).loops.size[0] = 4113),
            (Some(8), OutOfBounds, |s| pick!(s, MatMulInputGrad).other.offset = 1 << 31),
            (Some(9), Size, |s| {
                // One place for two elements.
                let path = &mut pick!(s, CopyInputGrad).path;
                (path.size[0], path.from[0]) = (2, 0);
            }),
            (Some(9), Size, |s| pick!(s, CopyInputGrad).path.from = [0, 0, 0, 1, 1]),
            (Some(9), Size, |s| pick!(s, CopyInputGrad).error.data.bytes = 64),
            (Some(10), Size, |s| pick!(s, NormalizeInputGrad).depth = 16),
            (Some(10), Size, |s| pick!(s, NormalizeInputGrad).fraction = 25),
            (Some(10), Size, |s| pick!(s, NormalizeInputGrad).y_scale = 0.0),
            (Some(10), Size, |s| pick!(s, NormalizeInputGrad).y_zero = 200),
            (Some(10), Size, |s| pick!(s, NormalizeInputGrad).normal.bytes = 64),
            (Some(10), Misaligned, |s| pick!(s, NormalizeInputGrad).reciprocal.offset += 1),
            (Some(10), Overlap, |s| {
                let op = pick!(s, NormalizeInputGrad);
                op.output.data = op.normal;
            }),
            (Some(11), Size, |s| pick!(s, MulInputGrad).steps.pixel = 7),
            (Some(11), Size, |s| pick!(s, MulInputGrad).other_steps.pixel = 8),
            (Some(12), Size, |s| pick!(s, TableInputGrad).slope.bytes = 256),
            (Some(12), Size, |s| pick!(s, TableInputGrad).fraction = 25),
            (Some(13), Size, |s| pick!(s, MaxPoolInputGrad).index.bytes = 64),
            (Some(13), Size, |s| pick!(s, MaxPoolInputGrad).geometry.window.kernel = [16, 17]),
        ],
    );
}

#[test]
fn accepted_programs_run() {
    let accepted = damaged(sample, 40_000);
    assert!(accepted > 2000, "{accepted}");
}
