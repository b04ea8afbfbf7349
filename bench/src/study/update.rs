//! The gradient of a layer's weights in the plainest form of its definition, for rules of update
//! that need it whole.

use offshoot_runtime::error_scale::exponent;
use offshoot_runtime::program::op::{ConvUpdate, DepthwiseUpdate, Error, Geometry};
use offshoot_runtime::{Fault, Machine, Slot};

use super::Rule;
use crate::ground::selected;

/// Updates the weights of a convolution by `rule`.
///
/// # Errors
/// A [`Fault`] only if the program was not verified.
pub fn conv(op: &ConvUpdate, m: &mut Machine<'_>, rule: Rule) -> Result<(), Fault> {
    let (geometry, groups) = (op.geometry, usize::from(op.groups));
    let (taps, trained) = (geometry.window.taps(), op.weights.selected.len() / 2);
    let outputs = usize::from(geometry.y.c);
    let mut sums = vec![0i32; outputs * taps * trained];
    let ([error, saved], []) = m.arena.split([op.error.data, op.saved], [])?;
    for (p, tap, pixel) in pairs(&geometry) {
        let error = &error[p * outputs..][..outputs];
        for (o, &e) in error.iter().enumerate().filter(|(_, &e)| e != 0) {
            let from = pixel * trained * groups + o / (outputs / groups) * trained;
            let sums = &mut sums[(o * taps + tap) * trained..][..trained];
            add(sums, e, &saved[from..][..trained], op.x_zero);
        }
    }
    let factor = floats(m.constants, op.factor);
    descend(m, &op.error, op.weights.latent, &sums, rule, |at| factor[at / (taps * trained)])
}

/// Updates the weights of a depthwise convolution by `rule`.
///
/// # Errors
/// A [`Fault`] only if the program was not verified.
pub fn depthwise(op: &DepthwiseUpdate, m: &mut Machine<'_>, rule: Rule) -> Result<(), Fault> {
    let geometry = op.geometry;
    let selected = selected(&op.weights, m.constants);
    let (trained, channels) = (selected.len(), usize::from(geometry.y.c));
    let mut sums = vec![0i32; geometry.window.taps() * trained];
    let ([error, saved], []) = m.arena.split([op.error.data, op.saved], [])?;
    for (p, tap, pixel) in pairs(&geometry) {
        for (j, &c) in selected.iter().enumerate() {
            let sum = &mut sums[tap * trained + j..][..1];
            add(sum, error[p * channels + c], &saved[pixel * trained + j..][..1], op.x_zero);
        }
    }
    let factor = floats(m.constants, op.factor);
    descend(m, &op.error, op.weights.latent, &sums, rule, |at| factor[selected[at % trained]])
}

/// `sums += e (x - zero)`.
fn add(sums: &mut [i32], e: u8, x: &[u8], zero: i16) {
    let e = i32::from(e as i8);
    for (sum, &x) in sums.iter_mut().zip(x) {
        *sum += e * (i32::from(x as i8) - i32::from(zero));
    }
}

/// Steps weights from gradients, `rate gamma 2^exponent factor sum` each.
fn descend(
    m: &mut Machine<'_>,
    error: &Error,
    latent: Slot,
    sums: &[i32],
    rule: Rule,
    factor: impl Fn(usize) -> f32,
) -> Result<(), Fault> {
    let exponent = exponent(&m.state, error)?;
    let pace = f64::from(m.step.rate) * f64::from(m.step.gamma) * f64::from(exponent).exp2();
    let ([], [latent]) = m.state.split([], [latent])?;
    if latent.len() != 2 * sums.len() {
        return Err(Fault::Size);
    }
    for (at, (weight, &sum)) in latent.chunks_exact_mut(2).zip(sums).enumerate() {
        let step = pace * f64::from(factor(at)) * f64::from(sum);
        let after = rule(i16::from_le_bytes([weight[0], weight[1]]), step);
        weight.copy_from_slice(&after.to_le_bytes());
    }
    Ok(())
}

/// A table of f32.
fn floats(constants: &[u8], slot: Slot) -> Vec<f32> {
    let bytes = constants[slot.start()..slot.end()].chunks_exact(4);
    bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Output position, kernel position and input position of every product of a convolution.
fn pairs(geometry: &Geometry) -> Vec<(usize, usize, usize)> {
    let Geometry { x, y, window } = *geometry;
    let across = usize::from(window.kernel[1]);
    // Input coordinate along an axis, where the kernel lies on the input.
    let input = |axis: usize, y: usize, tap: usize, size: u16| {
        let at = y * usize::from(window.stride[axis]) + tap * usize::from(window.dilation[axis]);
        at.checked_sub(usize::from(window.pad[axis])).filter(|&at| at < usize::from(size))
    };
    let mut pairs = Vec::new();
    for p in 0..y.positions() {
        let (row, column) = (p / usize::from(y.w), p % usize::from(y.w));
        for tap in 0..window.taps() {
            let at = input(0, row, tap / across, x.h).zip(input(1, column, tap % across, x.w));
            pairs.extend(at.map(|(h, w)| (p, tap, h * usize::from(x.w) + w)));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use offshoot::adapt::HeadStart;
    use offshoot::scheme::Scheme;
    use offshoot::{import, pipeline};
    use offshoot_runtime::program::Op;
    use offshoot_runtime::{step, Trainer};
    use offshoot_simulator::{Memories, Simulation};

    use super::*;
    use crate::plan::find;

    /// The product's own rule.
    fn residual(weight: i16, step: f64) -> i16 {
        let step = (256.0 * step).round().clamp(-1024.0, 1024.0);
        (f64::from(weight) - step).clamp(-32640.0, 32639.0) as i16
    }

    #[test]
    fn under_the_products_rule_weights_are_the_products() {
        let graph = import::import(&find("demo/digits_int8qdq.onnx").unwrap()).unwrap();
        let scheme = "biases=all,stem:1,block1_dw:1/2,block2_expand:1/2,block2_project:1,last:1";
        let scheme = Scheme::from_short(scheme).unwrap();
        let compiled = pipeline::compile(&graph, HeadStart::Classifier, &scheme).unwrap();
        let file = &compiled.program;
        let mut memories = Memories::of(&file.program());
        let mut simulation = Simulation::new(file.program(), &mut memories).unwrap();
        let mut moved = [0; 2];
        for seed in 0..20usize {
            let sample: Vec<i8> =
                (0..64).map(|i| ((i * 37 + seed * 91) % 251) as u8 as i8).collect();
            let from = simulation.front(seed, &sample).unwrap();
            let interpreter = simulation.interpreter();
            interpreter.machine().step =
                step::begun(&file.header, (seed % 10) as u16, 0.01).unwrap();
            for (index, op) in file.ops.iter().enumerate().skip(from) {
                let before = interpreter.state().to_vec();
                interpreter.run(index, index + 1).unwrap();
                let after = interpreter.state().to_vec();
                let latent = match op {
                    Op::ConvUpdate(op) => op.weights.latent,
                    Op::DepthwiseUpdate(op) => op.weights.latent,
                    _ => continue,
                };
                interpreter.state_mut().copy_from_slice(&before);
                match op {
                    Op::ConvUpdate(op) => conv(op, interpreter.machine(), residual).unwrap(),
                    Op::DepthwiseUpdate(op) => {
                        depthwise(op, interpreter.machine(), residual).unwrap();
                    }
                    _ => {}
                }
                let weights = |state: &[u8]| -> Vec<i16> {
                    let bytes = state[latent.start()..latent.end()].chunks_exact(2);
                    bytes.map(|b| i16::from_le_bytes([b[0], b[1]])).collect()
                };
                let (ours, theirs) = (weights(interpreter.state()), weights(&after));
                let was = weights(&before);
                // f64 here, fixed point there: ties may fall to either side.
                assert!(ours.iter().zip(&theirs).all(|(a, b)| a.abs_diff(*b) <= 1));
                let kind = usize::from(matches!(op, Op::DepthwiseUpdate(_)));
                moved[kind] += was.iter().zip(&theirs).filter(|(a, b)| a.abs_diff(**b) > 2).count();
                interpreter.state_mut().copy_from_slice(&after);
            }
        }
        assert!(moved.iter().all(|&count| count > 100), "{moved:?}");
    }
}
