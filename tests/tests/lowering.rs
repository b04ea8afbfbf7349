//! What lowering makes of the backward pass means the same as the graph it comes from.

use std::collections::HashSet;

use offshoot::ir::{Graph, NodeId, TensorId};
use offshoot::lower::{lower, Lowered};
use offshoot::reference::Values;
use offshoot_runtime::program::op::{Error, Op};
use offshoot_runtime::{Access, Memory, Slot};
use offshoot_tests::check::{everything, training};
use offshoot_tests::gradients::{start, Sample};
use offshoot_tests::nets;

/// Training graphs of many kinds, with everything trained or only some of it.
fn graphs() -> Vec<Graph> {
    let mut graphs: Vec<Graph> = (300..360).map(nets::any).collect();
    graphs.extend((360..370).map(nets::tangled));
    graphs.extend([nets::residual(1), nets::resnet(2, 6, 3), nets::ds_cnn(3)]);
    let trained = |graph: &Graph, scheme: &str| named_by_id(training(graph, scheme));
    let all = graphs.iter().map(|graph| trained(graph, &everything(graph)));
    let first = graphs.iter().map(|graph| trained(graph, "0:1/2"));
    all.chain(first).collect()
}

/// The graph with every tensor and node named by its index, so that names tell which is which.
fn named_by_id(mut graph: Graph) -> Graph {
    let (tensors, nodes) = (graph.tensors().count(), graph.nodes().len());
    for index in 0..tensors {
        graph.tensor_mut(TensorId::new(index)).name = index.to_string();
    }
    for index in 0..nodes {
        graph.node_mut(NodeId::new(index)).name = index.to_string();
    }
    graph
}

/// The tensor that a buffer holds.
fn tensor(lowered: &Lowered, slot: Slot) -> Option<TensorId> {
    let name = &lowered.buffers[slot.offset as usize].name;
    (!slot.is_empty()).then(|| TensorId::new(name.parse().expect("an index")))
}

/// What an op finishes: its first error where it adds errors only, the finished error, the term
/// that it adds, the mask that it applies.
fn epilogue(op: &Op) -> Option<(Option<Error>, Error, Error, Slot)> {
    match op {
        Op::ConvInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::DepthwiseInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::PoolInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::MaxPoolInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::TableInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::NestInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::MulInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::MatMulInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::NormalizeInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::SoftmaxInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::CopyInputGrad(op) => Some((None, op.output, op.skip, op.mask)),
        Op::SumGrad(op) => Some((Some(op.error), op.output, op.skip, op.mask)),
        _ => None,
    }
}

#[test]
fn sums_and_masks_mean_the_same_where_they_are_absorbed() {
    let (mut skips, mut masks, mut sums) = (0, 0, 0);
    for graph in graphs() {
        let lowered = lower(&graph).expect("integer ops");
        let mut values: Values<'_, f64> = start(&graph, &Sample::random(&graph, 5));
        values.run(0, graph.nodes().len());
        for (op, name) in lowered.ops.iter().zip(&lowered.names) {
            let Some((error, output, skip, mask)) = epilogue(op) else { continue };
            let node = graph.node(NodeId::new(name.parse().expect("an index")));
            let own = error.and_then(|e| tensor(&lowered, e.data)).unwrap_or(node.outputs[0]);
            let mut expected = values.get(own).to_vec();
            if let Some(skip) = tensor(&lowered, skip.data) {
                expected.iter_mut().zip(values.get(skip)).for_each(|(e, s)| *e += s);
                skips += 1;
            }
            if let Some(mask) = tensor(&lowered, mask) {
                expected.iter_mut().zip(values.get(mask)).for_each(|(e, m)| *e *= m);
                masks += 1;
            }
            sums += usize::from(error.is_some());
            let output = tensor(&lowered, output.data).expect("an output");
            assert_eq!(values.get(output), expected, "{}: node {name}", graph.name);
        }
    }
    println!("{skips} terms and {masks} masks in all, {sums} of them in ops of their own");
    assert!(skips > 100 && masks > 100 && sums * 2 < skips + masks);
}

#[test]
fn nothing_is_read_before_it_is_written() {
    for graph in graphs() {
        let lowered = lower(&graph).expect("integer ops");
        let mut written = HashSet::from([lowered.header.input.offset]);
        for (mut op, name) in lowered.ops.into_iter().zip(&lowered.names) {
            let mut writes = Vec::new();
            op.visit(&mut |access, slot| match (slot.memory, access) {
                (Memory::Arena, Access::Write) => writes.push(slot.offset),
                (Memory::Arena, _) if !slot.is_empty() => {
                    assert!(written.contains(&slot.offset), "node {name} reads {}", slot.offset);
                }
                _ => (),
            });
            written.extend(writes);
        }
        assert!(written.contains(&lowered.header.output.offset), "{} has no output", graph.name);
    }
}

/// Trained state and its first content: one part for each parameter, in its precision.
#[test]
fn every_trained_element_has_its_state() {
    for (scheme, weight) in [("0:1/2,2:1,biases=2", 2), ("stochastic,0:1/2,2:1,biases=2", 1)] {
        let graph = training(&nets::residual(6), scheme);
        let lowered = lower(&graph).expect("integer ops");
        let bytes = |t: &offshoot::ir::Tensor| match t.shape.len() {
            4 => t.trained_elements() * weight,
            _ => t.bytes(),
        };
        let trained = graph.tensors().filter(|(_, t)| t.trained.is_some());
        let (count, total) = trained.fold((0, 0), |(n, sum), (_, t)| (n + 1, sum + bytes(t)));
        assert_eq!((lowered.init.len(), lowered.trainable as usize), (count, total), "{scheme}");
    }
}
