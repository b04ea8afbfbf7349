//! What schemes have in common. Layers before the first that a scheme trains give the same for a sample, whatever is trained
//! behind them: they run once for each sample, and a program on trial begins where they end.

use offshoot_simulator::data::Split;
use offshoot_simulator::{Memories, ProgramFile, Simulation};

use super::workers::each;
use super::{Search, SearchError};
use crate::adapt::adapt;
use crate::ir::{DType, Graph, NodeId, TensorId};
use crate::learn::{LearnError, Watch};
use crate::pipeline::{compile_adapted, compile_inference, CompileError, Input, Layout};
use crate::schedule::Order;
use crate::scheme::Scheme;
use crate::trim::Trim;

/// Most bytes that are kept of all samples, at all cuts.
const MOST_BYTES: usize = 1 << 30;

/// Shares of the samples that each thread gets, one after the other.
const SHARES: usize = 4;

/// On trial memory does not matter.
const LAYOUT: Layout =
    Layout { bands: false, order: Order::Lowered, input: Input::Whole, trim: Trim::NONE };

/// The network at the places where one tensor alone goes on, with the values that it has there.
#[derive(Debug)]
pub(super) struct Stem {
    cuts: Vec<Cut>,
}

#[derive(Debug)]
struct Cut {
    /// Index of the node before it, the same whatever is trained.
    node: usize,
    /// What that node gives for each sample.
    values: Split,
}

impl Stem {
    /// Runs the layers of `search`'s network that all schemes may leave as they are.
    pub(super) fn of(
        search: &Search<'_>,
        samples: &Split,
        workers: usize,
        watch: &mut (dyn Watch + Send),
    ) -> Result<Stem, SearchError> {
        let mut stem = Stem { cuts: Vec::new() };
        // Where the input is to be reproduced, its end needs it too.
        if !search.task.common.loss.is_headed() {
            return Ok(stem);
        }
        let least = search.scheme(search.least());
        let graph =
            adapt(search.task.graph, search.task.start, &least).map_err(CompileError::from)?;
        let nodes = cuts(&graph, samples.len());
        let size = samples.len().div_ceil(workers.max(1) * SHARES).max(1);
        let shares: Vec<Vec<usize>> = (0..samples.len())
            .step_by(size)
            .map(|at| at..samples.len().min(at + size))
            .map(Vec::from_iter)
            .collect();
        watch.begin("common layers", nodes.len() * shares.len());
        for node in nodes {
            let before = stem.cuts.last();
            let part = part(&graph, before.map(|cut| cut.node), Some(node));
            let program = compile_inference(&part)?.program;
            let from = before.map_or(samples, |cut| &cut.values);
            let values =
                each(&shares, workers, watch, |share| Ok(outputs(&program, from, share)?))?;
            let labels = (0..samples.len()).map(|at| samples.label(at)).collect();
            let values = Split::new(values.concat(), labels).unwrap_or_default();
            stem.cuts.push(Cut { node, values });
        }
        watch.end();
        Ok(stem)
    }

    /// What `scheme` trains and all behind that, as a program, and its samples: those of `samples` that come to it.
    /// It computes what the whole program does, bit for bit.
    pub(super) fn rest<'s>(
        &'s self,
        search: &Search<'_>,
        scheme: &Scheme,
        samples: &'s Split,
    ) -> Result<(ProgramFile, &'s Split), SearchError> {
        let adapted =
            adapt(search.task.graph, search.task.start, scheme).map_err(CompileError::from)?;
        let trained = |t: &TensorId| adapted.tensor(*t).trained.is_some();
        let first = adapted.nodes().position(|(_, node)| node.inputs.iter().any(trained));
        let cut = self.cuts.iter().rev().find(|cut| Some(cut.node) < first);
        let graph = part(&adapted, cut.map(|cut| cut.node), None);
        let program = compile_adapted(graph, scheme, LAYOUT)?.program;
        Ok((program, cut.map_or(samples, |cut| &cut.values)))
    }
}

/// Nodes after which nothing but what they computed goes on, in execution order: the last of them, as many as may be kept for so
/// many samples.
fn cuts(graph: &Graph, samples: usize) -> Vec<usize> {
    let mut last_read = vec![None; graph.tensors().count()];
    for (id, node) in graph.nodes() {
        for &t in &node.inputs {
            last_read[t.index()] = Some(id.index());
        }
    }
    let producers = graph.producers();
    let computed: Vec<(usize, Option<usize>)> = graph
        .tensors()
        .filter(|(_, tensor)| tensor.data.is_none())
        .filter_map(|(t, _)| Some((last_read[t.index()]?, producers[t.index()].map(|n| n.index()))))
        .collect();
    let alone = |index: usize| {
        let goes_on =
            |&&(read, from): &&(usize, Option<usize>)| read > index && from <= Some(index);
        computed.iter().filter(goes_on).map(|&(_, from)| from).eq([Some(index)])
    };
    let mut bytes = 0usize;
    let fits = |index: &usize| {
        bytes = bytes.saturating_add(output(graph, *index).1.saturating_mul(samples));
        bytes <= MOST_BYTES
    };
    let can_be = |&index: &usize| {
        let (dtype, elements) = output(graph, index);
        dtype == DType::I8 && elements <= usize::from(u16::MAX) && alone(index)
    };
    let mut cuts: Vec<usize> =
        (0..graph.nodes().len()).rev().filter(can_be).take_while(fits).collect();
    cuts.reverse();
    cuts
}

/// Type and elements of what the node at `index` computes.
fn output(graph: &Graph, index: usize) -> (DType, usize) {
    let tensor = graph.tensor(graph.node(NodeId::new(index)).outputs[0]);
    (tensor.dtype, tensor.elements())
}

/// `graph` behind the node at `from`, up to the node at `to`.
fn part(graph: &Graph, from: Option<usize>, to: Option<usize>) -> Graph {
    let output = |index: usize| graph.node(NodeId::new(index)).outputs[0];
    let mut ends = graph.clone();
    ends.input = from.map(output).or(graph.input);
    ends.output = to.map(output).or(graph.output);
    ends.retain(|node| {
        from.is_none_or(|from| node.index() > from) && to.is_none_or(|to| node.index() <= to)
    })
}

/// What `program` gives for those of `samples` that `share` names, one after the other.
fn outputs(program: &ProgramFile, samples: &Split, share: &[usize]) -> Result<Vec<i8>, LearnError> {
    let program = program.program();
    let mut memories = Memories::of(&program);
    let mut simulation = Simulation::new(program, &mut memories)?;
    let mut outputs = Vec::new();
    for &index in share {
        simulation.infer(index, samples.input(index))?;
        let output = program.header.output;
        let ([view], []) = simulation.interpreter().machine().arena.split([output], [])?;
        outputs.extend(view.iter().map(|&byte| byte as i8));
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::super::trial::{Fold, Trials};
    use super::super::{Search, Task};
    use super::*;
    use crate::adapt::HeadStart;
    use crate::fit::Limits;
    use crate::ir::parse;

    /// A block whose input goes by it, and a layer and a classifier behind it.
    const NET: &str = r#"graph "net" source 0x1f
%0 "x" i8[1,2,2,2] scale 0.02 zero 0
%1 "w" i8[2,1,1,2] scale [0.01,0.01] axis 0 zero 0 data [90,-50,40,70]
%2 "b" i32[2] scale [0.0002,0.0002] axis 0 zero 0 data [100,-300]
%3 "h" i8[1,2,2,2] scale 0.03 zero -20
%4 "v" i8[2,1,1,2] scale [0.01,0.01] axis 0 zero 0 data [80,-30,20,50]
%5 "c" i32[2] scale [0.0003,0.0003] axis 0 zero 0 data [200,50]
%6 "y" i8[1,2,2,2] scale 0.03 zero 5
%7 "sum" i8[1,2,2,2] scale 0.05 zero 0
%8 "u" i8[3,1,1,2] scale [0.01,0.01,0.01] axis 0 zero 0 data [80,-30,20,50,-60,40]
%9 "d" i32[3] scale [0.0005,0.0005,0.0005] axis 0 zero 0 data [20,50,-70]
%10 "z" i8[1,2,2,3] scale 0.04 zero -10
%11 "t" i8[2,2,2,3] scale [0.01,0.01] axis 0 zero 0 data [80,-30,20,50,-60,40,10,20,30,40,50,60,-80,30,-20,-50,60,-40,-10,-20,-30,-40,-50,-60]
%12 "e" i32[2] scale [0.0004,0.0004] axis 0 zero 0 data [0,0]
%13 "logits" i8[1,1,1,2] scale 0.1 zero 0
"first" conv2d %0 %1 %2 -> %3 {kernel [1,1], stride [1,1], pad [0,0,0,0], groups [1], clamp [-20,127]}
"second" conv2d %3 %4 %5 -> %6 {kernel [1,1], stride [1,1], pad [0,0,0,0], groups [1], clamp [-128,127]}
"sum" add %0 %6 -> %7 {clamp [-128,127]}
"third" conv2d %7 %8 %9 -> %10 {kernel [1,1], stride [1,1], pad [0,0,0,0], groups [1], clamp [-10,127]}
"classifier" conv2d %10 %11 %12 -> %13 {kernel [2,2], stride [1,1], pad [0,0,0,0], groups [1], clamp [-128,127]}
input %0
output %13
"#;

    fn samples(count: usize) -> Split {
        let value = |i: usize| ((i * 89 + i / 7 * 31) % 251) as u8 as i8;
        let labels = (0..count).map(|i| u16::from(value(8 * i) > 0)).collect();
        Split::new((0..8 * count).map(value).collect(), labels).unwrap()
    }

    fn search(graph: &Graph, common: &Scheme, then: impl Fn(&Search<'_>)) {
        let limits = Limits { sram: u64::MAX, flash: u64::MAX };
        let (start, layout) = (HeadStart::Zero { classes: 2 }, Layout::default());
        let task = Task { graph, start, common, layout, limits, boards: &[] };
        then(&Search::new(task).unwrap());
    }

    #[test]
    fn only_what_goes_on_alone_is_cut_and_only_as_much_as_can_be_kept() {
        let graph = parse(NET).unwrap();
        search(&graph, &Scheme::default(), |search| {
            let graph = adapt(&graph, search.task.start, &Scheme::default()).unwrap();
            assert_eq!(cuts(&graph, 10), [2, 3]);
            assert_eq!(cuts(&graph, MOST_BYTES / 20), [2, 3]);
            assert_eq!(cuts(&graph, MOST_BYTES / 12), [3]);
            assert_eq!(cuts(&graph, MOST_BYTES), [0usize; 0]);
        });
    }

    #[test]
    fn behind_a_cut_the_same_is_learnt() {
        let (graph, samples) = (parse(NET).unwrap(), samples(60));
        let fold = Fold { learn: (0..40).collect(), held: (40..60).collect() };
        search(&graph, &Scheme::default(), |search| {
            let stem = Stem::of(search, &samples, 3, &mut ()).unwrap();
            let cut = Trials { search, samples: &samples, stem };
            let whole = Trials { search, samples: &samples, stem: Stem { cuts: Vec::new() } };
            for update in ["head", "2:1", "stochastic,biases=1,2:1", "biases=2", "biases=all,0:1"] {
                let scheme = Scheme::from_short(update).unwrap();
                let [cut, whole] = [&cut, &whole].map(|t| t.train(&scheme, &fold, 200, 7).unwrap());
                assert_eq!(cut, whole, "{update}");
                assert!(cut.loss < 0.69, "{update}: {}", cut.loss);
            }
        });
    }

    #[test]
    fn a_program_begins_at_the_last_cut_before_what_it_trains() {
        let (graph, samples) = (parse(NET).unwrap(), samples(10));
        search(&graph, &Scheme::default(), |search| {
            let stem = Stem::of(search, &samples, 1, &mut ()).unwrap();
            let size = |update| {
                let scheme = Scheme::from_short(update).unwrap();
                stem.rest(search, &scheme, &samples).unwrap().1.input(0).len()
            };
            assert_eq!(["head", "2:1", "biases=1"].map(size), [12, 8, 8]);
            // The sample itself.
            assert_eq!(["biases=2", "0:1"].map(size), [8, 8]);
            assert_eq!(stem.cuts.len(), 2);
        });
    }
}
