//! The tables that lowering gives to integer kernels hold the scales of the graph.

use offshoot::ir::{Graph, Node, NodeId, Tensor};
use offshoot::lower::{lower, Lowered};
use offshoot::ops::Clamp;
use offshoot_runtime::program::op::{ChannelScale, Op};
use offshoot_runtime::Slot;
use offshoot_tests::check::{everything, training};
use offshoot_tests::nets;

/// Training graphs whose nodes are named by their index.
fn lowered() -> Vec<(Graph, Lowered)> {
    let nets = [nets::residual(400), nets::resnet(401, 6, 3), nets::tangled(402), nets::any(403)];
    let lowered = |net: Graph| {
        let mut graph = training(&net, &everything(&net));
        let nodes = graph.nodes().len();
        for index in 0..nodes {
            graph.node_mut(NodeId::new(index)).name = index.to_string();
        }
        let lowered = lower(&graph).expect("integer ops");
        (graph, lowered)
    };
    nets.into_iter().map(lowered).collect()
}

fn node<'g>(graph: &'g Graph, name: &str) -> &'g Node {
    graph.node(NodeId::new(name.parse().expect("an index")))
}

fn bytes(lowered: &Lowered, slot: Slot) -> &[u8] {
    &lowered.constants[slot.start()..slot.end()]
}

fn floats(lowered: &Lowered, slot: Slot) -> Vec<f64> {
    let words = bytes(lowered, slot).chunks_exact(4);
    words.map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap()))).collect()
}

/// Real values of Q31 multipliers and left shifts.
fn reals(lowered: &Lowered, scale: ChannelScale) -> Vec<f64> {
    let values = bytes(lowered, scale.multiplier).chunks_exact(4);
    let values = values.map(|b| f64::from(i32::from_le_bytes(b.try_into().unwrap())));
    let shifts = bytes(lowered, scale.shift).iter().map(|&b| f64::from(b as i8));
    values.zip(shifts).map(|(value, shift)| value * (shift - 31.0).exp2()).collect()
}

fn scales(tensor: &Tensor) -> Vec<f64> {
    (0..tensor.shape[0]).map(|channel| f64::from(tensor.scale_of(channel))).collect()
}

fn same(actual: &[f64], expected: impl IntoIterator<Item = f64>) {
    let expected: Vec<f64> = expected.into_iter().collect();
    assert_eq!(actual.len(), expected.len());
    for (a, e) in actual.iter().zip(&expected) {
        assert!((a / e - 1.0).abs() < 1e-6, "{a}, expected {e}");
    }
}

#[test]
fn forward_ops_rescale_from_accumulator_to_output() {
    for (graph, lowered) in lowered() {
        for (op, name) in lowered.ops.iter().zip(&lowered.names) {
            let (scale, x_zero, range) = match op {
                Op::Conv(op) => (op.scale, op.x_zero, op.range),
                Op::Depthwise(op) => (op.scale, op.x_zero, op.range),
                _ => continue,
            };
            let node = node(&graph, name);
            let [x, w] = [0, 1].map(|input| graph.tensor(node.inputs[input]));
            let y = graph.tensor(node.outputs[0]);
            let ratio = f64::from(x.scale_of(0)) / f64::from(y.scale_of(0));
            same(&reals(&lowered, scale), scales(w).iter().map(|s_w| s_w * ratio));
            assert_eq!((i32::from(x_zero), i32::from(range.zero)), (x.zero(), y.zero()));
            let clamp = node.op.clamp().unwrap_or(Clamp::Steps([-128, 127]));
            assert_eq!(Clamp::Steps([range.min, range.max]), clamp);
        }
    }
}

/// Input gradients use as many bits as there are: with errors and weights of 127 throughout, the
/// sum stays within 31 bits, and what a convolution multiplies by its weights within 16. One
/// more bit would be too many for one of them.
#[test]
fn input_gradients_use_the_room_there_is() {
    for (graph, lowered) in lowered() {
        for (op, name) in lowered.ops.iter().zip(&lowered.names) {
            let (scale, fraction, depthwise) = match op {
                Op::ConvInputGrad(op) => (op.scale, op.fraction, false),
                Op::DepthwiseInputGrad(op) => (op.scale, op.fraction, true),
                _ => continue,
            };
            let weights = graph.tensor(node(&graph, name).inputs[1]);
            let scaled = reals(&lowered, scale);
            same(&scaled, scales(weights).iter().map(|s| s * f64::from(fraction).exp2()));
            let groups = match op {
                Op::ConvInputGrad(op) => usize::from(op.groups),
                _ => weights.shape[0],
            };
            let terms = weights.shape[1] * weights.shape[2] * weights.shape[0] / groups;
            let most = scaled.iter().fold(0.0f64, |m, s| m.max(*s));
            let sum = 127.0 * 127.0 * most * terms as f64;
            let factor = 127.0 * most;
            assert!(sum <= f64::from(i32::MAX), "the sum may reach {sum}");
            assert!(depthwise || factor <= 32767.0, "a factor may reach {factor}");
            let twice = 2.0 * sum > f64::from(i32::MAX) / if depthwise { 2.0 } else { 1.0 };
            assert!(
                twice || (!depthwise && 2.0 * factor > 32767.0),
                "room is left: {sum}, {factor}"
            );
        }
    }
}

#[test]
fn updates_turn_gradients_into_steps() {
    for (graph, lowered) in lowered() {
        let mut seen = [0; 4];
        for (op, name) in lowered.ops.iter().zip(&lowered.names) {
            let node = node(&graph, name);
            let readers = &graph.consumers()[node.outputs[0].index()];
            let Some(&update) = readers.first() else { continue };
            let parameter = graph.tensor(graph.node(update).inputs[0]);
            let saved_scale =
                |input: usize| f64::from(graph.tensor(node.inputs[input]).scale_of(0));
            match op {
                Op::BiasUpdate(op) => {
                    seen[0] += 1;
                    same(&floats(&lowered, op.factor), scales(parameter).iter().map(|s| 1.0 / s));
                }
                Op::ConvUpdate(op) => {
                    seen[1] += 1;
                    let s_x = saved_scale(1);
                    assert_eq!(i32::from(op.x_zero), graph.tensor(node.inputs[1]).zero());
                    same(&floats(&lowered, op.factor), scales(parameter).iter().map(|s| s_x / s));
                }
                Op::DepthwiseUpdate(op) => {
                    seen[2] += 1;
                    let s_x = saved_scale(1);
                    assert_eq!(i32::from(op.x_zero), graph.tensor(node.inputs[1]).zero());
                    same(&floats(&lowered, op.factor), scales(parameter).iter().map(|s| s_x / s));
                }
                Op::HeadUpdate(op) => {
                    seen[3] += 1;
                    let factor = saved_scale(1) / f64::from(parameter.scale_of(0));
                    same(&[f64::from(op.factor)], [factor]);
                }
                _ => (),
            }
        }
        assert!(seen[0] > 1 && seen[1] > 0 && seen[3] == 1, "{}: {seen:?}", graph.name);
    }
}
