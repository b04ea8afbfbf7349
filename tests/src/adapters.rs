//! What tests of adapters share: the demo's network with one.

use offshoot::adapt::HeadStart;
use offshoot::adapter::{attach, Adapter};
use offshoot::ir::{verify, Data, Graph};
use offshoot::pipeline::compile;
use offshoot::scheme::Scheme;
use offshoot_simulator::data::{Dataset, Split};

use crate::cases::DEMO;
use crate::random::Random;

/// The demo's network and its samples.
///
/// # Panics
/// Where the network does not compile.
pub fn demo() -> (Graph, Dataset) {
    let graph = DEMO.graph();
    let head = compile(&graph, HeadStart::Classifier, &Scheme::default());
    let samples = DEMO.samples(&head.unwrap_or_else(|e| panic!("{e}")));
    (graph, samples)
}

/// An adapter in short form.
///
/// # Panics
/// Where there is none such.
pub fn adapter(short: &str) -> Adapter {
    Adapter::from_short(short).unwrap_or_else(|e| panic!("{short}: {e}"))
}

/// `graph`, which is to get a head, with `adapter`.
///
/// # Panics
/// Where it cannot be.
pub fn with(graph: &Graph, adapter: &Adapter, samples: &Split) -> Graph {
    let attached = attach(graph, adapter, true, samples);
    let attached = attached.unwrap_or_else(|e| panic!("{}: {e}", adapter.recipe));
    verify(&attached).unwrap_or_else(|e| panic!("{}: {e}", adapter.recipe));
    attached
}

/// `graph` with the trained constants of adapters moved by something, so that none adds nothing.
pub fn moved(mut graph: Graph) -> Graph {
    let mut random = Random::new(5);
    let trained: Vec<_> = graph
        .tensors()
        .filter(|(_, t)| t.trained.is_some() && t.adapter)
        .map(|(id, _)| id)
        .collect();
    for id in trained {
        let tensor = graph.tensor_mut(id);
        tensor.data = match tensor.data.take() {
            Some(Data::I8(values)) => {
                let near = |&v: &i8| v.saturating_add(random.integer(-9, 9) as i8);
                Some(Data::I8(values.iter().map(near).collect::<Vec<_>>().into()))
            }
            Some(Data::I32(values)) => {
                let near = |&v: &i32| v + random.integer(-3000, 3000);
                Some(Data::I32(values.iter().map(near).collect::<Vec<_>>().into()))
            }
            other => other,
        };
    }
    graph
}
