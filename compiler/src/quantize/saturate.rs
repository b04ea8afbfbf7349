//! Ranges of what is only read by something that levels off, as a sigmoid does, or a softmax for scores far
//! below the greatest: beyond where it still changes there is nothing to be told apart, and steps are
//! better spent on this side of it.

use super::calibrate::Seen;
use super::histogram::HALF;
use crate::ir::{Graph, Node, Tensor, TensorId};
use crate::ops::{Function, Op, Window};

/// Share of what a function spans that may be lost at an end: a quarter of a step of its result.
const LOST: f64 = 0.25 / 255.0;

/// What is this far below the greatest score of its row is 0 in steps of 1/256, and so is the sum of all
/// such.
const FAR_BELOW: f64 = 9.0;

/// `range` without those ends of it on which all that reads `x` is level; all of it where something that
/// does not level off reads `x`.
pub fn narrowed(graph: &Graph, seen: &[Seen], x: TensorId, range: [f64; 2]) -> [f64; 2] {
    let [low, high] = range;
    let mut needed: Option<[f64; 2]> = None;
    for (_, node) in graph.nodes().filter(|(_, n)| n.inputs.contains(&x)) {
        let one = match (&node.op, factor(graph, node)) {
            (Op::Unary(unary), _) => active(&unary.function, range),
            (Op::Softmax(_), _) => {
                let peak = seen[x.index()].least_peak.unwrap_or(low);
                [low.max(peak - FAR_BELOW).min(high), high]
            }
            (_, Some(factor)) => {
                let scaled = range.map(|bound| bound * factor);
                narrowed(graph, seen, node.outputs[0], scaled).map(|bound| bound / factor)
            }
            _ => return range,
        };
        let all = needed.unwrap_or(one);
        needed = Some([all[0].min(one[0]), all[1].max(one[1])]);
    }
    needed.filter(|_| graph.output != Some(x)).unwrap_or(range)
}

/// The one positive factor that a layer multiplies all channels by, where it does nothing else.
pub fn factor(graph: &Graph, node: &Node) -> Option<f64> {
    let Op::Conv2d(op) = &node.op else { return None };
    let [x, w, b] = [0, 1, 2].map(|i| graph.tensor(node.inputs[i]));
    let factor = w.data.as_ref()?.get(0);
    let all = |t: &Tensor, value: f64| t.data.iter().flat_map(|d| d.iter()).all(|v| v == value);
    let depthwise = op.groups == x.shape[3] && w.elements() == op.groups;
    let alone = depthwise && op.window == Window::whole(1, 1) && op.clamp.is_none();
    (alone && factor > 0.0 && all(w, factor) && all(b, 0.0)).then_some(factor)
}

/// The part of `range` on which `function` is not level.
fn active(function: &Function, [low, high]: [f64; 2]) -> [f64; 2] {
    let at = |n: usize| low + (high - low) * n as f64 / HALF as f64;
    let values: Vec<f64> = (0..=HALF).map(|n| function.value(at(n))).collect();
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let level = |a: f64, b: f64| (a - b).abs() <= LOST * (most - least);
    // All values of an end lie between its least and its greatest, which are near each other.
    let flat = |end: &mut dyn Iterator<Item = usize>| {
        let mut bounds = [f64::INFINITY, f64::NEG_INFINITY];
        let mut inside = |n: &usize| {
            bounds = [bounds[0].min(values[*n]), bounds[1].max(values[*n])];
            level(bounds[0], bounds[1])
        };
        end.take_while(|n| inside(n)).last()
    };
    let first = flat(&mut (0..=HALF)).unwrap_or(0);
    let last = flat(&mut (0..=HALF).rev()).unwrap_or(HALF);
    if first >= last {
        return [low, high];
    }
    [at(first), at(last)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn level_ends_are_left_out() {
        // The sigmoid is within 0.001 of 1 at 6.9, of 0 at -6.9.
        let [low, high] = active(&Function::Sigmoid, [-40.0, 20.0]);
        assert!((-7.1..-6.7).contains(&low) && (6.7..7.1).contains(&high), "{low} to {high}");
        // A hard swish is 0 below -3, and steep above.
        let [low, high] = active(&Function::HardSwish, [-10.0, 10.0]);
        assert!((-3.2..-2.9).contains(&low) && high > 9.98, "{low} to {high}");
        assert!(active(&Function::Tanh, [-1.0, 1.0])[1] > 0.99);
        let leaky = active(&Function::LeakyRelu(0.1), [-3.0, 5.0]);
        assert!((leaky[0] + 3.0).abs() < 0.06 && (leaky[1] - 5.0).abs() < 0.01);
        assert_eq!(active(&Function::Erf, [9.0, 10.0]), [9.0, 10.0], "level throughout");
    }
}
