//! Ops without weights that keep elements where they are: sums, products, extremes, softmax.

use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op::{
    Add, Contraction, Copy, Geometry, MatMul, MaxPool, Mul, Shape, Softmax, Steps, Strides, Table,
    Window,
};
use offshoot_runtime::Slot;

use super::archive::Case;
use super::bench::{each_sample, Bench, Replayed};
use super::moves;

fn multiplier(case: &Case, value: &str, shift: &str) -> Multiplier {
    Multiplier { value: case.int(value), shift: case.int(shift) }
}

/// Two inputs and room for the output, of as many elements.
fn operands(case: &Case, bench: &mut Bench) -> [Slot; 3] {
    let [a, b] = ["input1", "input2"].map(|name| bench.tensor(case.int8(&[name])));
    [a, b, bench.room(a.len())]
}

pub fn add(case: &Case) -> Replayed {
    assert_eq!(case.int("LEFT_SHIFT"), 20, "as ours");
    let mut bench = Bench::default();
    let [a, b, output] = operands(case, &mut bench);
    bench.then(Add {
        a,
        b,
        output,
        zeros: ["INPUT1_OFFSET", "INPUT2_OFFSET"].map(|define| case.zero(define)),
        scales: [("INPUT1_MULT", "INPUT1_SHIFT"), ("INPUT2_MULT", "INPUT2_SHIFT")]
            .map(|(value, shift)| multiplier(case, value, shift)),
        y_scale: multiplier(case, "OUTPUT_MULT", "OUTPUT_SHIFT"),
        range: case.range(),
        ..Add::default()
    });
    bench.run(output)
}

pub fn mul(case: &Case) -> Replayed {
    let mut bench = Bench::default();
    let [a, b, output] = operands(case, &mut bench);
    bench.then(Mul {
        a,
        b,
        output,
        channels: 1,
        steps: Steps { pixel: 1, channel: 1 },
        zeros: ["INPUT1_OFFSET", "INPUT2_OFFSET"].map(|define| case.zero(define)),
        scale: multiplier(case, "OUTPUT_MULT", "OUTPUT_SHIFT"),
        range: case.range(),
    });
    bench.run(output)
}

pub fn softmax(case: &Case) -> Replayed {
    let x = case.int8(&["input"]);
    let [depth] = case.sizes(["ROW_SIZE"]);
    each_sample(x, x.len(), |bench, input| {
        let output = bench.room(x.len());
        let scale = multiplier(case, "INPUT_MULT", "INPUT_LEFT_SHIFT");
        bench.then(Softmax { input, output, depth, scale, diff_min: case.int("DIFF_MIN") });
        output
    })
}

/// Products of matrices, which are read transposed or again for every batch where they lie.
pub fn matmul(case: &Case) -> Replayed {
    let [batches, height, rows, columns] =
        case.sizes(["OUTPUT_BATCH", "OUTPUT_HEIGHT", "OUTPUT_ROWS", "OUTPUT_COLS"]);
    let mut all = Vec::new();
    for batch in 0..u32::from(batches) {
        let mut bench = Bench::default();
        // Steps to the next matrix, along the result's rows or columns, and along what is summed.
        let mut factor = |side: &str, adjoint: &str, kept: usize| {
            let define = |name: &str| format!("{side}_{name}");
            let names = ["BATCH", "HEIGHT", "ROWS", "COLS"].map(define);
            let [b, h, r, c] = case.sizes(names.each_ref().map(String::as_str)).map(u32::from);
            let tensor =
                bench.tensor(case.int8(&[&format!("{}_input_tensor", side.to_lowercase())]));
            let lies = [c, 1];
            let outer = if case.int(adjoint) == 0 { kept } else { 1 - kept };
            let at = if b == 1 { 0 } else { batch * h * r * c };
            let matrix = if h == 1 { 0 } else { r * c };
            (tensor, at, [matrix, lies[outer], lies[1 - outer]], if outer == 0 { c } else { r })
        };
        let (a, a_at, [a_matrix, a_row, a_inner], inner) = factor("LHS", "ADJ_X", 0);
        let (b, b_at, [b_matrix, b_column, b_inner], _) = factor("RHS", "ADJ_Y", 1);
        let output = bench.room(usize::from(height) * usize::from(rows) * usize::from(columns));
        let [r, c] = [rows, columns].map(u32::from);
        bench.then(MatMul {
            a,
            b,
            output,
            loops: Contraction {
                size: [height, rows, columns, inner as u16],
                a: Strides { at: a_at, step: [a_matrix, a_row, 0, a_inner] },
                b: Strides { at: b_at, step: [b_matrix, 0, b_column, b_inner] },
                y: Strides { at: 0, step: [r * c, c, 1, 0] },
            },
            zeros: ["LHS_OFFSET", "RHS_OFFSET"].map(|define| case.zero(define)),
            scale: multiplier(case, "OUTPUT_MULTIPLIER", "OUTPUT_SHIFT"),
            range: case.range(),
        });
        all.extend(bench.run(output)?);
    }
    Ok(all)
}

/// Maxima: both tensors, laid out in full one above the other, meet a window of two rows.
pub fn maximum(case: &Case) -> Replayed {
    let mut bench = Bench::default();
    let output = greatest(case, &mut bench, |_, x| x);
    bench.run(output)
}

/// Minima: maxima between two tables that turn the order round.
pub fn minimum(case: &Case) -> Replayed {
    let mut bench = Bench::default();
    let table = bench.constant((i8::MIN..=i8::MAX).rev());
    let turn = |bench: &mut Bench, input: Slot| {
        let output = bench.room(input.len());
        bench.then(Table { input, output, table });
        output
    };
    let greatest = greatest(case, &mut bench, turn);
    let output = turn(&mut bench, greatest);
    bench.run(output)
}

fn greatest(case: &Case, bench: &mut Bench, before: impl Fn(&mut Bench, Slot) -> Slot) -> Slot {
    let size = case.sizes(["OUTPUT_BATCH", "OUTPUT_HEIGHT", "OUTPUT_WIDTH", "OUTPUT_CHANNEL"]);
    let count = moves::count(size);
    let both = bench.room(2 * count);
    for (n, at) in [(1, 0), (2, count as u32)] {
        let axis = |axis| format!("{axis}_{n}");
        let defines = ["BATCH", "HEIGHT", "WIDTH", "CHANNEL"].map(axis);
        let own = case.sizes(defines.each_ref().map(String::as_str));
        // An axis of one element is read again and again.
        let mut from = moves::steps(own);
        from.iter_mut().zip(own).filter(|(_, n)| *n == 1).for_each(|(step, _)| *step = 0);
        let input = bench.tensor(case.int8(&[&format!("input_tensor_{n}")]));
        let input = before(bench, input);
        let path = moves::path(size, from, at, moves::steps(size));
        bench.then(Copy { input, part: both, path, ..Copy::default() });
    }
    let c = size[3];
    let [x, y] = [2, 1].map(|h| Shape { h, w: count as u16 / c, c });
    let window = Window { kernel: [2, 1], stride: [1, 1], pad: [0, 0], dilation: [1, 1] };
    let output = bench.room(count);
    let geometry = Geometry { x, y, window };
    bench.then(MaxPool { input: both, output, geometry, ..MaxPool::default() });
    output
}
