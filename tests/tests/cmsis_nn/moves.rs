//! Ops that move elements: padding and transposes.

use offshoot_runtime::program::op::Path;

use super::archive::Case;
use super::bench::{Bench, Replayed};

/// Sizes of the axes of a tensor, outermost first.
pub type Axes = [u16; 4];

/// Shapes of the transposes' inputs, and which axis of them each axis of the output is: their
/// defines span several lines, of which the archive has none.
const TRANSPOSES: [(&str, &[u16], &[usize]); 7] = [
    ("transpose_3dim", &[5, 4, 20], &[0, 2, 1]),
    ("transpose_chwn", &[5, 4, 12, 17], &[3, 1, 2, 0]),
    ("transpose_default", &[4, 3, 3, 22], &[3, 2, 1, 0]),
    ("transpose_matrix", &[5, 20], &[1, 0]),
    ("transpose_nchw", &[4, 9, 3, 19], &[0, 3, 1, 2]),
    ("transpose_nwhc", &[1, 19, 3, 64], &[0, 2, 1, 3]),
    ("transpose_wchn", &[4, 3, 3, 21], &[2, 3, 1, 0]),
];

pub fn transpose(case: &Case) -> Replayed {
    let (_, shape, order) = TRANSPOSES.iter().find(|(name, ..)| *name == case.name).unwrap();
    // Axes that are not there have size 1 and stay in front.
    let missing = 4 - shape.len();
    let mut size = [1; 4];
    size[missing..].copy_from_slice(shape);
    let source = |axis| if axis < missing { axis } else { order[axis - missing] + missing };
    let order = [0, 1, 2, 3].map(source);
    let moved = steps(order.map(|axis| size[axis]));
    let mut to = [0; 4];
    order.iter().zip(moved).for_each(|(&axis, step)| to[axis] = step);
    run(case, path(size, steps(size), 0, to), count(size), 0)
}

pub fn pad(case: &Case) -> Replayed {
    let size = case.sizes(["INPUT_N", "INPUT_H", "INPUT_W", "INPUT_C"]);
    let before = case.sizes(["PRE_PAD_N", "PRE_PAD_H", "PRE_PAD_W", "PRE_PAD_C"]);
    let after = case.sizes(["POST_PAD_N", "POST_PAD_H", "POST_PAD_W", "POST_PAD_C"]);
    let padded = [0, 1, 2, 3].map(|axis| before[axis] + size[axis] + after[axis]);
    let to = steps(padded);
    let first: i32 = before.iter().zip(to).map(|(&n, step)| i32::from(n) * step).sum();
    let fill = i8::try_from(case.int("PAD_VALUE")).unwrap();
    run(case, path(size, steps(size), first as u32, to), count(padded), fill)
}

fn run(case: &Case, path: Path, elements: usize, fill: i8) -> Replayed {
    let mut bench = Bench::default();
    let input = bench.tensor(case.int8(&["input_tensor"]));
    let output = bench.moved(input, path, elements, fill);
    bench.run(output)
}

/// Elements of a tensor.
pub fn count(size: Axes) -> usize {
    size.map(usize::from).iter().product()
}

/// Distance of neighbours along each axis.
pub fn steps(size: Axes) -> [i32; 4] {
    let [_, b, c, d] = size.map(i32::from);
    [b * c * d, c * d, d, 1]
}

/// Loops over `size`, from the first element to place `to_at`.
pub fn path(size: Axes, from: [i32; 4], to_at: u32, to: [i32; 4]) -> Path {
    fn outer<T>(first: T, [a, b, c, d]: [T; 4]) -> [T; 5] {
        [first, a, b, c, d]
    }
    Path { size: outer(1, size), from_at: 0, from: outer(0, from), to_at, to: outer(0, to) }
}
