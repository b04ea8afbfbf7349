use super::*;
use crate::kernels::gradient::rig::{assert_near, near, shapes, Random, Rig};
use crate::program::op::{Error, Precision, Weights};
use crate::Slot;

/// A convolution's input gradient with random content, and what it should come to.
struct Case {
    rig: Rig,
    op: ConvInputGrad,
    exact: Vec<f64>,
    /// What rounding of q and of the skip branch may add, in real units.
    slack: Vec<f64>,
}

fn case(random: &mut Random, geometry: Geometry, groups: usize, trained: usize) -> Case {
    let (k, k_skip, fraction) = (-9, -8, 12);
    let (x, y, window) = (geometry.x, geometry.y, geometry.window);
    let (inputs, outputs, taps) = (x.c as usize, y.c as usize, window.taps());
    let (width, depth) = (inputs / groups, outputs / groups);
    let mut rig = Rig::default();
    let e = random.int8s(y.elements(), 2);
    let skip = random.int8s(x.elements(), 2);
    let bits = random.mask(x.elements());
    let scales: Vec<f64> = (0..outputs).map(|_| 1e-3 * (1 + random.below(40)) as f64).collect();
    let (weights, dense) = match trained {
        0 => {
            let dense = random.int8s(outputs * taps * width, 9);
            let frozen = rig.constant(&dense);
            let (rows, taps, channels) = (outputs as u16, taps as u16, width as u16);
            (Weights { frozen, rows, taps, channels, ..Weights::default() }, dense)
        }
        n => rig.weights(random, [outputs, taps, width], n, Precision::Residual),
    };
    let op = ConvInputGrad {
        error: rig.error(&e, k),
        output: rig.output(x.elements()),
        skip: rig.error(&skip, k_skip),
        mask: rig.arena(&bits),
        geometry,
        groups: groups as u16,
        weights,
        scale: rig.scales(&scales.iter().map(|s| s * 4096.0).collect::<Vec<_>>()),
        fraction,
        scratch: rig.scratch(if trained > 0 { 5 } else { 4 } * width),
    };
    let unit = ((k - fraction as i32) as f64).exp2();
    let mut exact: Vec<f64> = skip.iter().map(|&e| e as f64 * (k_skip as f64).exp2()).collect();
    let mut slack = vec![0.0; exact.len()];
    for p in 0..y.positions() {
        let (oy, ox) = ((p / y.w as usize) as i32, (p % y.w as usize) as i32);
        for t in 0..taps {
            let (ky, kx) = (t as i32 / window.kernel[1] as i32, t as i32 % window.kernel[1] as i32);
            let iy = oy * window.stride[0] as i32 + ky - window.pad[0] as i32;
            let ix = ox * window.stride[1] as i32 + kx - window.pad[1] as i32;
            if iy < 0 || ix < 0 || iy >= x.h as i32 || ix >= x.w as i32 {
                continue;
            }
            let pixel = (iy as usize * x.w as usize + ix as usize) * inputs;
            for o in 0..outputs {
                let error = e[p * outputs + o] as f64;
                for i in 0..width {
                    let w = dense[(o * taps + t) * width + i] as f64;
                    let at = pixel + o / depth * width + i;
                    exact[at] += w * scales[o] * error * (k as f64).exp2();
                    slack[at] += if error == 0.0 { 0.0 } else { w.abs() * 0.5 * unit };
                }
            }
        }
    }
    for (i, g) in exact.iter_mut().enumerate() {
        if bits[i / 8] >> (i % 8) & 1 == 0 {
            (*g, slack[i]) = (0.0, 0.0);
        }
    }
    Case { rig, op, exact, slack }
}

#[test]
fn agrees_with_a_float_gradient() {
    let mut random = Random::new(5);
    for geometry in shapes() {
        for (groups, trained) in [(1, 0), (1, 3), (4, 0), (4, 1), (2, 2), (1, 4)] {
            let mut c = case(&mut random, geometry, groups, trained);
            c.rig.run(|m| c.op.run(m)).unwrap();
            assert_near(&c.rig, &c.op.output, &c.exact, |i| c.slack[i]);
            let first = c.rig.read::<i8>(c.op.output.data);
            c.rig.run(|m| c.op.run(m)).unwrap();
            assert_eq!(c.rig.read::<i8>(c.op.output.data), first);
        }
    }
}

#[test]
fn every_part_matters() {
    let mut random = Random::new(6);
    let mut c = case(&mut random, shapes()[1], 1, 3);
    let whole = c.op;
    let mut differs = |op: ConvInputGrad| {
        c.rig.run(|m| op.run(m)).unwrap();
        !near(&c.rig, &op.output, &c.exact, |i| c.slack[i])
    };
    assert!(!differs(whole));
    assert!(differs(ConvInputGrad { skip: Error::default(), ..whole }));
    assert!(differs(ConvInputGrad { mask: Slot::default(), ..whole }));
    let frozen = Weights { latent: Slot::default(), ..whole.weights };
    assert!(differs(ConvInputGrad { weights: frozen, ..whole }));
}

#[test]
fn scratch_beyond_the_least_changes_nothing() {
    let mut random = Random::new(7);
    for geometry in shapes() {
        let mut c = case(&mut random, geometry, 2, 1);
        c.rig.run(|m| c.op.run(m)).unwrap();
        let least = c.rig.read::<i8>(c.op.output.data);
        let width = geometry.x.c as usize / 2;
        for bytes in [5 * width + 1, 7 * width, 12 * width, 33 * width + 3, 400 * width] {
            c.op.scratch = c.rig.scratch(bytes);
            c.rig.run(|m| c.op.run(m)).unwrap();
            assert_eq!(c.rig.read::<i8>(c.op.output.data), least);
        }
        c.op.scratch = c.rig.scratch(5 * width - 1);
        assert_eq!(c.rig.run(|m| c.op.run(m)), Err(Fault::Size));
    }
}

#[test]
fn shapes_are_checked() {
    let mut random = Random::new(8);
    let mut c = case(&mut random, shapes()[0], 1, 0);
    let whole = c.op;
    let mut run = |op: ConvInputGrad| c.rig.run(|m| op.run(m));
    let mut geometry = whole.geometry;
    geometry.y.h += 1;
    assert_eq!(run(ConvInputGrad { geometry, ..whole }), Err(Fault::Size));
    assert_eq!(run(ConvInputGrad { groups: 0, ..whole }), Err(Fault::Size));
    assert_eq!(run(ConvInputGrad { groups: 5, ..whole }), Err(Fault::Size));
    assert_eq!(run(ConvInputGrad { mask: whole.error.data, ..whole }), Err(Fault::Size));
    assert_eq!(run(whole), Ok(()));
}
