//! Removes every node that feeds neither an update nor the network's output, and what nodes keep for a
//! backward pass that does not read it.

use std::collections::HashSet;

use crate::ir::{Graph, NodeId, TensorId};
use crate::ops::Op;

/// `graph` without what nothing needs.
pub fn prune(graph: &Graph) -> Graph {
    let producers = graph.producers();
    let mut needed: HashSet<NodeId> = HashSet::new();
    let updates = graph.nodes().filter(|(_, n)| matches!(n.op, Op::Sgd(_))).map(|(id, _)| id);
    let output = graph.output.and_then(|t| producers[t.index()]);
    let mut queue: Vec<NodeId> = updates.chain(output).collect();
    while let Some(id) = queue.pop() {
        if needed.insert(id) {
            queue.extend(graph.node(id).inputs.iter().filter_map(|t| producers[t.index()]));
        }
    }
    let mut pruned = graph.retain(|id| needed.contains(&id));
    drop_unread(&mut pruned);
    // Dropped outputs leave their tensors behind: make ids dense again.
    pruned.retain(|_| true)
}

fn drop_unread(graph: &mut Graph) {
    let read: HashSet<TensorId> =
        graph.nodes().flat_map(|(_, n)| n.inputs.iter().copied()).collect();
    let unread: Vec<NodeId> = graph
        .nodes()
        .filter(|(_, n)| n.outputs.get(1).is_some_and(|kept| !read.contains(kept)))
        .map(|(id, _)| id)
        .collect();
    for id in unread {
        graph.node_mut(id).outputs.truncate(1);
    }
}
