use super::*;
use crate::fixed::Multiplier;
use crate::kernels::testing::{assert_near, joined, near, shapes, Bench, Random};
use crate::program::op::{Error, Precision, Weights};
use crate::Slot;

/// A convolution's input gradient with random content, and what it should come to.
struct Case {
    bench: Bench,
    op: ConvInputGrad,
    exact: Vec<f64>,
    /// What rounding of q and of the skip branch may add, in real units.
    slack: Vec<f64>,
}

fn case(random: &mut Random, geometry: Geometry, groups: usize, trained: usize) -> Case {
    let (k, k_skip, fraction) = (-9, -8, 12);
    let (x, y) = (geometry.x, geometry.y);
    let (inputs, outputs, taps) = (x.c as usize, y.c as usize, geometry.window.taps());
    let (width, depth) = (inputs / groups, outputs / groups);
    let mut bench = Bench::default();
    let e = random.sparse(y.elements(), 2);
    let skip = random.sparse(x.elements(), 2);
    let bits = random.mask(x.elements());
    let scales: Vec<f64> = (0..outputs).map(|_| 1e-3 * (1 + random.below(40)) as f64).collect();
    let multipliers: Vec<_> = scales.iter().map(|s| Multiplier::from_f64(s * 4096.0)).collect();
    let (weights, dense) =
        bench.weights(random, [outputs, taps, width], trained, Precision::Residual);
    let op = ConvInputGrad {
        error: bench.error(&e, k),
        output: bench.error_out(x.elements()),
        skip: bench.error(&skip, k_skip),
        mask: bench.arena(&bits),
        geometry,
        groups: groups as u16,
        weights,
        scale: bench.scales(&multipliers),
        fraction,
        scratch: bench.scratch(if trained > 0 { 5 } else { 4 } * width),
    };
    let unit = ((k - fraction as i32) as f64).exp2();
    let mut exact: Vec<f64> = skip.iter().map(|&e| e as f64 * (k_skip as f64).exp2()).collect();
    let mut slack = vec![0.0; exact.len()];
    for [p, t, pixel] in joined(&geometry) {
        for o in 0..outputs {
            let error = e[p * outputs + o] as f64;
            for i in 0..width {
                let w = dense[(o * taps + t) * width + i] as f64;
                let at = pixel * inputs + o / depth * width + i;
                exact[at] += w * scales[o] * error * (k as f64).exp2();
                slack[at] += if error == 0.0 { 0.0 } else { w.abs() * 0.5 * unit };
            }
        }
    }
    for (i, g) in exact.iter_mut().enumerate() {
        if bits[i / 8] >> (i % 8) & 1 == 0 {
            (*g, slack[i]) = (0.0, 0.0);
        }
    }
    Case { bench, op, exact, slack }
}

#[test]
fn agrees_with_a_float_gradient() {
    let mut random = Random::new(5);
    for geometry in shapes() {
        for (groups, trained) in [(1, 0), (1, 3), (4, 0), (4, 1), (2, 2), (1, 4)] {
            let mut c = case(&mut random, geometry, groups, trained);
            c.bench.run(c.op);
            assert_near(&c.bench, &c.op.output, &c.exact, |i| c.slack[i]);
            let first = c.bench.read::<i8>(c.op.output.data);
            c.bench.run(c.op);
            assert_eq!(c.bench.read::<i8>(c.op.output.data), first);
        }
    }
}

#[test]
fn every_part_matters() {
    let mut random = Random::new(6);
    let mut c = case(&mut random, shapes()[1], 1, 3);
    let whole = c.op;
    let mut differs = |op: ConvInputGrad| {
        c.bench.run(op);
        !near(&c.bench, &op.output, &c.exact, |i| c.slack[i])
    };
    assert!(!differs(whole));
    assert!(differs(ConvInputGrad { skip: Error::default(), ..whole }));
    assert!(differs(ConvInputGrad { mask: Slot::default(), ..whole }));
    let frozen = Weights { latent: Slot::default(), selected: Slot::default(), ..whole.weights };
    assert!(differs(ConvInputGrad { weights: frozen, ..whole }));
}

#[test]
fn scratch_beyond_the_least_changes_nothing() {
    let mut random = Random::new(7);
    for geometry in shapes() {
        let mut c = case(&mut random, geometry, 2, 1);
        c.bench.run(c.op);
        let least = c.bench.read::<i8>(c.op.output.data);
        let width = geometry.x.c as usize / 2;
        for bytes in [5 * width + 1, 7 * width, 12 * width, 33 * width + 3, 400 * width] {
            c.op.scratch = c.bench.scratch(bytes);
            c.bench.run(c.op);
            assert_eq!(c.bench.read::<i8>(c.op.output.data), least);
        }
        c.op.scratch = c.bench.scratch(5 * width - 1);
        assert_eq!(c.bench.with(|m| c.op.run(m)), Err(Fault::Size));
    }
}

#[test]
fn shapes_are_checked() {
    let mut random = Random::new(8);
    let mut c = case(&mut random, shapes()[0], 1, 0);
    let whole = c.op;
    let mut run = |op: ConvInputGrad| c.bench.with(|m| op.run(m));
    let mut geometry = whole.geometry;
    geometry.y.h += 1;
    assert_eq!(run(ConvInputGrad { geometry, ..whole }), Err(Fault::Size));
    assert_eq!(run(ConvInputGrad { groups: 0, ..whole }), Err(Fault::Size));
    assert_eq!(run(ConvInputGrad { groups: 5, ..whole }), Err(Fault::Size));
    assert_eq!(run(ConvInputGrad { mask: whole.error.data, ..whole }), Err(Fault::Size));
    assert_eq!(run(whole), Ok(()));
}
