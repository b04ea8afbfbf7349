//! Which update scheme, of those that fit a board, learns best from a user's own samples.
//!
//! 1. What each part contributes is measured ([`contribution`]): for a short round the weights of one layer are trained
//!    with the head, and so are the biases of more and more of the last layers. What the loss of samples held out falls by
//!    is what a part is good for.
//! 2. Schemes are put together that fit ([`assembly`]): for several numbers of biases and both precisions of weights, those
//!    channels first that contribute most for their bytes. The whole pipeline compiles each, so that what fits is
//!    known and not estimated.
//! 3. The best of them are trained for whole rounds ([`trial`]), those that lead for more of them, in which other
//!    samples are held out; the one that is right most often on samples held out is taken.
//!
//! Contributions add up only roughly; therefore schemes that they favour are tried before one is chosen. All of it is
//! determined by samples and seed, however many threads there are.
//!
//! That layers are measured by themselves and schemes then put together under a bound of memory is the way of Lin
//! et al., "On-Device Training Under 256KB Memory" (2022), who search by evolution and estimate memory.

mod assembly;
mod contribution;
mod trial;
mod workers;

use std::collections::BTreeMap;

use offshoot_runtime::program::op::Precision;
use offshoot_runtime::program::Header;
use offshoot_simulator::data::{Dataset, Split};
use serde::Serialize;

use crate::adapt::{adapt, layers, HeadStart};
use crate::fit::{advise, check, Limits, Sizes, Unfit};
use crate::ir::{Graph, Node};
use crate::learn::{LearnError, Watch};
use crate::ops::conv2d::is_depthwise;
use crate::ops::Op;
use crate::pipeline::{compile_in, CompileError, Compiled, Layout};
use crate::scheme::{Layers, Scheme};

pub use contribution::{Contributions, OfBiases, OfLayer};
pub use trial::Tried;

/// Fewest training samples that a part can be held out of and the rest be learnt from.
const LEAST: usize = 16;

/// One in so many training samples of each class is held out.
const HELD: usize = 4;

/// Times that others of them are.
const FOLDS: usize = 3;

/// What schemes are for, and where they are to fit.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// The int8 network as it was imported.
    pub graph: &'a Graph,
    /// What its head starts from.
    pub start: HeadStart,
    /// Loss and optimizer of all schemes.
    pub common: &'a Scheme,
    /// How a step runs in memory.
    pub layout: Layout,
    /// Memory that a program may take.
    pub limits: Limits,
    /// Boards that may be advised where this is too little.
    pub boards: &'a [(String, Limits)],
}

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Times that each sample is seen in a round.
    pub epochs: usize,
    /// Schemes that are trained for a whole round.
    pub trials: usize,
    /// Seed of the order of samples.
    pub seed: u64,
    /// Threads.
    pub workers: usize,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Found {
    /// What parts contribute.
    #[serde(flatten)]
    pub contributions: Contributions,
    /// Schemes that were compiled to see whether they fit.
    pub compiled: usize,
    /// Schemes that were trained, the best first.
    pub trials: Vec<Tried>,
}

/// Nothing can be searched.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Not enough samples.
    #[error("{found} training samples are too few to hold some of them out; give at least {LEAST}, of all classes")]
    Few {
        /// How many there are.
        found: usize,
    },
    /// The loss and the optimizer are common to all schemes, layers are what is searched for.
    #[error("--update says what all schemes have in common, loss and optimizer: leave biases, layers and precision out, they are what is searched for")]
    Layers,
    /// Not even the least scheme fits.
    #[error(transparent)]
    Unfit(#[from] Box<Unfit>),
    /// The network does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A program does not run.
    #[error(transparent)]
    Learn(#[from] LearnError),
}

/// A search.
#[derive(Debug)]
pub struct Search<'a> {
    task: Task<'a>,
    /// The network's own layers, in execution order.
    layers: Vec<LayerCost>,
    header: Header,
}

/// What training a layer's weights costs, about.
#[derive(Debug)]
struct LayerCost {
    name: String,
    /// Elements of what it reads, which is kept for the backward pass.
    input: usize,
    /// Elements of its weights.
    weights: usize,
    /// Whether some of the input channels can be trained and others not.
    divisible: bool,
}

impl<'a> Search<'a> {
    /// Checks what can be checked without samples.
    ///
    /// # Errors
    /// A network that does not compile, or does not fit however little is trained of it.
    pub fn new(task: Task<'a>) -> Result<Search<'a>, SearchError> {
        let plain = Scheme {
            precision: Precision::default(),
            biases: Layers::default(),
            weights: Vec::new(),
            ..task.common.clone()
        };
        if plain != *task.common {
            return Err(SearchError::Layers);
        }
        let mut search = Search { task, layers: Vec::new(), header: Header::default() };
        let least = search.scheme(search.least());
        let compiled = search.compile(&least)?;
        let (sizes, limits) = (Sizes::of(&compiled)?, task.limits);
        if let Err(unfit) = check(&compiled, sizes, limits) {
            let Task { graph, start, layout, boards, .. } = task;
            let advice = Some(advise(graph, start, &least, layout, sizes, limits, boards));
            return Err(Box::new(Unfit { advice, ..*unfit }).into());
        }
        search.header = compiled.program.header;
        let adapted = adapt(task.graph, task.start, &least).map_err(CompileError::from)?;
        search.layers = layers(&adapted).into_iter().map(|node| cost(&adapted, node)).collect();
        Ok(search)
    }

    /// What samples must be like.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Looks for the scheme that learns best from `samples`, a part of which is held out to judge by. `watch` is told of
    /// the programs that were trained.
    ///
    /// # Errors
    /// Too few samples.
    pub fn run(
        &self,
        samples: &Split,
        effort: Effort,
        watch: &mut (dyn Watch + Send),
    ) -> Result<Found, SearchError> {
        // Where classes are small, later ones hold nothing out.
        let folds = (0..FOLDS).map(|fold| divide(samples, fold));
        let folds: Vec<Dataset> = folds.filter(|fold| !fold.test.is_empty()).collect();
        let first = folds.first().filter(|_| samples.len() >= LEAST);
        let first = first.ok_or(SearchError::Few { found: samples.len() })?;
        let contributions = contribution::measure(self, first, effort, watch)?;
        let (candidates, compiled) = assembly::assemble(self, &contributions, effort, watch)?;
        let trials = trial::compare(self, &folds, effort, candidates, watch)?;
        Ok(Found { contributions, compiled, trials })
    }

    /// Fewest biases that a scheme can train: a network that reproduces its input has no head.
    fn least(&self) -> usize {
        usize::from(!self.task.common.loss.is_headed())
    }

    /// The scheme that trains the biases of the last `biases` layers, and nothing else.
    fn scheme(&self, biases: usize) -> Scheme {
        Scheme { biases: Layers::Last(biases), ..self.task.common.clone() }
    }

    fn compile(&self, scheme: &Scheme) -> Result<Compiled, CompileError> {
        compile_in(self.task.graph, self.task.start, scheme, self.task.layout)
    }
}

fn cost(graph: &Graph, node: &Node) -> LayerCost {
    let [input, weights] = [0, 1].map(|operand| graph.tensor(node.inputs[operand]));
    let grouped = matches!(&node.op, Op::Conv2d(conv)
        if conv.groups > 1 && !is_depthwise(conv.groups, weights));
    let (input, weights) = (input.elements(), weights.elements());
    LayerCost { name: node.name.clone(), input, weights, divisible: !grouped }
}

/// Holds a run of the samples of each class out, the last or the one so many before: neighbours are often alike, as
/// windows that overlap are, and would give each other away.
fn divide(samples: &Split, fold: usize) -> Dataset {
    let mut classes: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
    for index in 0..samples.len() {
        classes.entry(samples.label(index)).or_default().push(index);
    }
    let (mut learn, mut held) = (Vec::new(), Vec::new());
    for of in classes.into_values() {
        let count = (of.len() / HELD).max(usize::from(of.len() > fold + 1));
        let to = of.len() - fold * count;
        let out = to - count..to;
        held.extend_from_slice(&of[out.clone()]);
        learn.extend(of[..out.start].iter().chain(&of[out.end..]));
    }
    learn.sort_unstable();
    held.sort_unstable();
    Dataset { train: samples.select(&learn), test: samples.select(&held) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::parse;

    /// Reproduces four values through two.
    const NET: &str = r#"graph "net" source 0x1f
%0 "x" i8[1,1,1,4] scale 0.02 zero 0
%1 "w" i8[2,1,1,4] scale [0.01,0.01] axis 0 zero 0 data [60,-20,30,10,-40,50,20,-30]
%2 "b" i32[2] scale [0.0002,0.0002] axis 0 zero 0 data [0,0]
%3 "h" i8[1,1,1,2] scale 0.03 zero 0
%4 "v" i8[4,1,1,2] scale [0.01,0.01,0.01,0.01] axis 0 zero 0 data [40,-30,20,50,-10,60,70,10]
%5 "c" i32[4] scale [0.0003,0.0003,0.0003,0.0003] axis 0 zero 0 data [0,0,0,0]
%6 "y" i8[1,1,1,4] scale 0.02 zero 0
"first" conv2d %0 %1 %2 -> %3 {kernel [1,1], stride [1,1], pad [0,0,0,0], groups [1], clamp [-128,127]}
"last" conv2d %3 %4 %5 -> %6 {kernel [1,1], stride [1,1], pad [0,0,0,0], groups [1], clamp [-128,127]}
input %0
output %6
"#;

    const EFFORT: Effort = Effort { epochs: 4, trials: 5, seed: 1, workers: 2 };

    /// Points of a line.
    fn line(count: usize) -> Split {
        let along = |i: usize| ((i * 37) % 101) as i8 - 50;
        let inputs = (0..count).flat_map(|i| [along(i), -along(i), along(i) / 2, along(i)]);
        Split::new(inputs.collect(), vec![0; count]).unwrap()
    }

    fn found(sram: u64, workers: usize) -> Result<Found, SearchError> {
        search(sram, Effort { workers, ..EFFORT })
    }

    fn search(sram: u64, effort: Effort) -> Result<Found, SearchError> {
        let graph = parse(NET).unwrap();
        let common = Scheme::from_short("loss=mean-square").unwrap();
        let limits = Limits { sram, flash: u64::MAX };
        let (start, layout) = (HeadStart::Classifier, Layout::default());
        let task = Task { graph: &graph, start, common: &common, layout, limits, boards: &[] };
        Search::new(task)?.run(&line(80), effort, &mut ())
    }

    #[test]
    fn a_network_that_reproduces_its_input_is_searched_too() {
        let found = found(u64::MAX, 2).unwrap();
        assert_eq!(found.contributions.biases.iter().map(|b| b.layers).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(found.contributions.layers.len(), 2);
        // One bias alone is tried beside whatever else is, and is worse than weights.
        let best = &found.trials[0];
        assert!(!best.scheme.weights.is_empty());
        let bias = found.trials.iter().find(|t| t.scheme.weights.is_empty()).unwrap();
        assert!(best.score < 0.5 * bias.score, "{} and {}", best.score, bias.score);
        assert_eq!(best.rounds, FOLDS);
        let one = search(u64::MAX, Effort { trials: 1, ..EFFORT }).unwrap();
        assert!(one.trials.len() == 1 && !one.trials[0].scheme.weights.is_empty());
    }

    #[test]
    fn what_is_found_fits_and_does_not_depend_on_threads() {
        let all = found(u64::MAX, 1).unwrap();
        let most = all.trials.iter().map(|t| t.sram).max().unwrap();
        let less = found(most - 1, 1).unwrap();
        assert!(less.trials.iter().all(|t| t.sram < most));
        let json = |found: &Found| serde_json::to_string(found).unwrap();
        assert_eq!(json(&found(most - 1, 3).unwrap()), json(&less));
        assert!(matches!(found(10, 1), Err(SearchError::Unfit(_))));
    }

    #[test]
    fn runs_of_each_class_are_held_out_in_turn() {
        let labels = vec![0, 1, 0, 0, 1, 0, 2, 0, 0, 0, 0];
        let split = Split::new((0..11).collect(), labels).unwrap();
        let inputs = |of: &Split| (0..of.len()).map(|i| of.input(i)[0]).collect::<Vec<_>>();
        let [last, before, first] = [0, 1, 2].map(|fold| divide(&split, fold));
        assert_eq!(inputs(&last.test), [4, 9, 10]);
        assert_eq!(inputs(&last.train), [0, 1, 2, 3, 5, 6, 7, 8]);
        // Of two samples both cannot be spared.
        assert_eq!(inputs(&before.test), [7, 8]);
        assert_eq!(inputs(&first.test), [3, 5]);
        assert_eq!(inputs(&first.train), [0, 1, 2, 4, 6, 7, 8, 9, 10]);
    }
}
