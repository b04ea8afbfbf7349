//! Ops without weights that keep elements where they are: sums, products, extremes, softmax.

use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op::{
    Add, Copy, Geometry, MaxPool, Mul, Shape, Softmax, Steps, Table, Window,
};
use offshoot_runtime::Slot;

use crate::archive::Case;
use crate::bench::{each_sample, Bench, Replayed};
use crate::moves;

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
