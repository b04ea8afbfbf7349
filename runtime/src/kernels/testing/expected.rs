//! What kernels should come to: definitions, and comparison with real arithmetic.

use super::Bench;
use crate::error_scale::power_of_two;
use crate::program::op::{Contraction, Error, Geometry, Range, Strides};

/// Clamps, and says which elements were in range, as a mask's bytes.
pub fn clamped(values: &[i64], range: Range) -> (Vec<i8>, Vec<u8>) {
    let (min, max) = (range.min as i64, range.max as i64);
    let mut mask = vec![0u8; values.len().div_ceil(8)];
    let shifted = values.iter().map(|v| v + range.zero as i64);
    let y = shifted.enumerate().map(|(i, v)| {
        if (min..=max).contains(&v) {
            mask[i / 8] += 1 << (i % 8);
        }
        v.max(min).min(max) as i8
    });
    (y.collect(), mask)
}

/// Every output position, kernel position and input position that a window joins, by definition.
pub fn joined(geometry: &Geometry) -> Vec<[usize; 3]> {
    let Geometry { x, y, window } = *geometry;
    let axis = |axis: usize, size: u16, outputs: u16| {
        let (stride, pad) = (window.stride[axis] as usize, window.pad[axis] as usize);
        let pairs = (0..outputs as usize)
            .flat_map(move |o| (0..window.kernel[axis] as usize).map(move |k| (o, k)));
        pairs.filter_map(move |(o, k)| {
            let dilation = window.dilation[axis] as usize;
            let input = (o * stride + k * dilation).checked_sub(pad)?;
            (input < size as usize).then_some([o, k, input])
        })
    };
    let widths = [y.w, window.kernel[1], x.w].map(usize::from);
    let mut all = Vec::new();
    for row in axis(0, x.h, y.h) {
        for column in axis(1, x.w, y.w) {
            all.push([0, 1, 2].map(|n| row[n] * widths[n] + column[n]));
        }
    }
    all
}

/// Every place in a, b and y that the loops of a contraction meet together, by definition.
pub fn products(loops: &Contraction) -> Vec<[usize; 3]> {
    let mut all = vec![[0; 4]];
    for (k, &size) in loops.size.iter().enumerate() {
        let turned = |turn: [usize; 4]| {
            (0..size.into()).map(move |n| {
                let mut turn = turn;
                turn[k] = n;
                turn
            })
        };
        all = all.into_iter().flat_map(turned).collect();
    }
    let place = |s: &Strides, turn: &[usize; 4]| {
        let moved = |(&n, &step): (&usize, &u32)| n * step as usize;
        s.at as usize + turn.iter().zip(&s.step).map(moved).sum::<usize>()
    };
    let places = |turn: &[usize; 4]| [&loops.a, &loops.b, &loops.y].map(|s| place(s, turn));
    all.iter().map(places).collect()
}

/// `sum w (x - zero)` of every output element by the definition of a grouped convolution, with
/// `w(output, kernel position, i)`; input channels of group `g` are `g * n..g * n + n`.
pub fn convolution(
    geometry: &Geometry,
    groups: usize,
    x: &[i8],
    zero: i16,
    w: impl Fn(usize, usize, usize) -> i8,
) -> Vec<i64> {
    let (inputs, outputs) = (geometry.x.c as usize, geometry.y.c as usize);
    let per_group = inputs / groups;
    let mut sums = vec![0; geometry.y.elements()];
    for [position, tap, pixel] in joined(geometry) {
        for o in 0..outputs {
            let first = pixel * inputs + o / (outputs / groups) * per_group;
            for i in 0..per_group {
                let x = x[first + i] as i64 - zero as i64;
                sums[position * outputs + o] += x * w(o, tap, i) as i64;
            }
        }
    }
    sums
}

/// Largest disagreement of an error tensor with exact gradients, beyond half a step and `slack`
/// (real units).
fn excess(bench: &Bench, output: &Error, exact: &[f64], slack: impl Fn(usize) -> f64) -> f64 {
    let step = power_of_two(bench.read::<i32>(output.tracker)[1]) as f64;
    let e = bench.read::<i8>(output.data);
    assert_eq!(e.len(), exact.len());
    let off = e.iter().zip(exact).enumerate().map(|(i, (&e, &g))| {
        let wanted = (g / step).clamp(-127.0, 127.0);
        (e as f64 - wanted).abs() - 0.5 - slack(i) / step
    });
    off.fold(f64::MIN, f64::max)
}

/// Whether an error tensor is what exact gradients round to.
pub fn near(bench: &Bench, output: &Error, exact: &[f64], slack: impl Fn(usize) -> f64) -> bool {
    excess(bench, output, exact, slack) < 1e-6
}

/// As [`near`]; also that the tensor uses its range and that the peak is that of `exact`.
pub fn assert_near(bench: &Bench, output: &Error, exact: &[f64], slack: impl Fn(usize) -> f64) {
    let off = excess(bench, output, exact, slack);
    assert!(off < 1e-6, "off by {off} steps more than rounding explains");
    let peak = exact.iter().fold(0.0, |a: f64, g| a.max(g.abs()));
    let seen = f32::from_bits(bench.read::<u32>(output.tracker)[0]) as f64;
    assert!((seen - peak).abs() <= 0.01 * peak, "peak {peak}, noted {seen}");
}
