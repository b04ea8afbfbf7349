//! Looks for the smallest change that makes a program fit.
//!
//! Beside that, the same scheme with the sample in rows, and on a larger board.
//!
//! First the same layers with fewer bytes for each weight. Then, with as few bytes for each, some of
//! what was asked for: a share of the channels, all but the costliest layers, all behind some layer,
//! or biases alone. Each of these is a row of schemes from more to less, in which the first that fits
//! is found by halving; of those found, the one that trains most parameters is taken. Whatever is
//! advised has been compiled as it stands.

use std::collections::BTreeSet;

use offshoot_runtime::program::op::Precision;

use super::{Advice, Larger, Lesser, Limits, Sizes};
use crate::adapt::{adapt, layers, HeadStart};
use crate::ir::Graph;
use crate::pipeline::{compile_in, Input, Layout};
use crate::scheme::{Layer, Layers, Optimizer, Scheme, WeightRule};

/// Shares of the channels that were asked for.
const SHARES: [f64; 4] = [0.75, 0.5, 0.25, 0.125];

/// What would fit in place of `graph` under `scheme`, which needs `sizes` and does not: a lesser scheme
/// within `limits`, the smallest of `boards` that holds it as it is, and the sample in rows if it comes
/// as a whole.
pub fn advise(
    graph: &Graph,
    start: HeadStart,
    scheme: &Scheme,
    layout: Layout,
    sizes: Sizes,
    limits: Limits,
    boards: &[(String, Limits)],
) -> Advice {
    let holds = boards.iter().filter(|(_, limits)| limits.hold(sizes));
    let board =
        holds.min_by_key(|(_, limits)| (limits.sram, limits.flash)).map(|(name, limits)| Larger {
            name: name.clone(),
            sram: limits.sram,
            flash: limits.flash,
        });
    let in_rows = Layout { input: Input::Rows, ..layout };
    let rows = match layout.input {
        Input::Whole => sizes_of(graph, start, scheme, in_rows).map(|(sizes, _)| sizes),
        Input::Rows => None,
    };
    let rows = rows.filter(|sizes| limits.hold(*sizes));
    let mut search = Search { graph, start, layout, limits, best: None, least: Some(sizes) };
    if let Some(asked) = Asked::of(graph, start, scheme) {
        search.run(&asked);
        let of = asked.parameters;
        let scheme =
            search.best.map(|(instead, sizes, trained)| Lesser { instead, sizes, trained, of });
        let least = search.least.filter(|_| scheme.is_none());
        return Advice { scheme, adapter: None, board, rows, least };
    }
    Advice { scheme: None, adapter: None, board, rows, least: None }
}

/// What a scheme asks for, layer by layer.
#[derive(Clone, Debug)]
struct Asked<'s> {
    scheme: &'s Scheme,
    /// Number of layers that a scheme may name.
    layers: usize,
    biases: BTreeSet<usize>,
    /// Trained weights, with the index of their layer and about the bytes that they cost.
    rules: Vec<(WeightRule, usize, f64)>,
    /// Parameters that it trains.
    parameters: usize,
}

impl<'s> Asked<'s> {
    /// None where the scheme does not go with the network.
    fn of(graph: &Graph, start: HeadStart, scheme: &'s Scheme) -> Option<Asked<'s>> {
        let adapted = adapt(graph, start, scheme).ok()?;
        let nodes = layers(&adapted);
        let find = |layer: &Layer| match layer {
            Layer::Index(index) => (*index < nodes.len()).then_some(*index),
            Layer::Name(name) => nodes.iter().position(|n| n.name == *name),
        };
        let biases = match &scheme.biases {
            Layers::Last(count) => (nodes.len().saturating_sub(*count)..nodes.len()).collect(),
            Layers::Word(_) => (0..nodes.len()).collect(),
            Layers::Named(named) => named.iter().filter_map(find).collect(),
        };
        let cost = |index: usize, share: f64| {
            let [input, weights] =
                [0, 1].map(|operand| adapted.tensor(nodes[index].inputs[operand]));
            let state = weights.trained_elements() * scheme.precision.bytes();
            input.bytes() as f64 * share + state as f64
        };
        let rule = |rule: &WeightRule| {
            let index = find(&rule.layer)?;
            Some((rule.clone(), index, cost(index, rule.channels)))
        };
        Some(Asked {
            scheme,
            layers: nodes.len(),
            biases,
            rules: scheme.weights.iter().filter_map(rule).collect(),
            parameters: trained(&adapted),
        })
    }

    /// A scheme with these rules and biases, all else being as it was asked for.
    fn with(&self, rules: Vec<WeightRule>, biases: &BTreeSet<usize>) -> Scheme {
        let biases = if *biases == self.biases {
            self.scheme.biases.clone()
        } else if biases.iter().copied().eq(self.layers - biases.len()..self.layers) {
            Layers::Last(biases.len())
        } else {
            Layers::Named(biases.iter().map(|&index| Layer::Index(index)).collect())
        };
        Scheme { biases, weights: rules, ..self.scheme.clone() }
    }

    fn rules(&self, kept: impl Fn(usize) -> bool) -> Vec<WeightRule> {
        let kept = self.rules.iter().filter(|(_, index, _)| kept(*index));
        kept.map(|(rule, _, _)| rule.clone()).collect()
    }

    /// Rows of schemes, each from more to less.
    fn rows(&self) -> Vec<Vec<Scheme>> {
        let share = |share: &f64| {
            let part = |(rule, _, _): &(WeightRule, usize, f64)| WeightRule {
                channels: rule.channels * share,
                ..rule.clone()
            };
            self.with(self.rules.iter().map(part).collect(), &self.biases)
        };
        let mut costly: Vec<(usize, f64)> =
            self.rules.iter().map(|(_, index, cost)| (*index, *cost)).collect();
        costly.sort_by(|a, b| b.1.total_cmp(&a.1));
        let without = |count: usize| {
            let gone = &costly[..count];
            self.with(self.rules(|index| gone.iter().all(|g| g.0 != index)), &self.biases)
        };
        let from = |first: usize| self.biases.iter().copied().filter(|&b| b >= first).collect();
        let behind = |first: usize| self.with(self.rules(|index| index >= first), &from(first));
        let biases = |first: usize| self.with(Vec::new(), &from(first));
        let shares = if self.rules.is_empty() { &[][..] } else { &SHARES };
        // Of a head alone there is nothing less.
        let layers = if self.rules.is_empty() && self.biases.is_empty() { 0 } else { self.layers };
        vec![
            shares.iter().map(share).collect(),
            (1..=self.rules.len()).map(without).collect(),
            (1..=layers).map(behind).collect(),
            (1..=layers).map(biases).collect(),
        ]
    }
}

/// Parameters that a graph trains.
pub(super) fn trained(graph: &Graph) -> usize {
    graph.tensors().filter(|(_, t)| t.trained.is_some()).map(|(_, t)| t.trained_elements()).sum()
}

/// What a scheme needs, and how many parameters it trains; none where it does not compile.
pub(crate) fn sizes_of(
    graph: &Graph,
    start: HeadStart,
    scheme: &Scheme,
    layout: Layout,
) -> Option<(Sizes, usize)> {
    let compiled = compile_in(graph, start, scheme, layout).ok()?;
    Some((Sizes::of(&compiled).ok()?, trained(&compiled.graph)))
}

/// Of what needs less and less, tries some until the first that `fits` is among them.
pub(crate) fn first_that_fits<T>(row: &[T], mut fits: impl FnMut(&T) -> bool) {
    let (mut from, mut to) = (0, row.len());
    while from < to {
        let middle = (from + to) / 2;
        if fits(&row[middle]) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
}

struct Search<'a> {
    graph: &'a Graph,
    start: HeadStart,
    layout: Layout,
    limits: Limits,
    /// The scheme that fits and trains most, what it needs, and how many parameters it trains.
    best: Option<(Scheme, Sizes, usize)>,
    /// What the scheme with the least SRAM needs, the one that was asked for included.
    least: Option<Sizes>,
}

impl Search<'_> {
    fn run(&mut self, asked: &Asked<'_>) {
        let lean = lean(asked);
        if lean.iter().any(|scheme| self.attempt(scheme)) {
            return;
        }
        let leanest = lean.last().unwrap_or(asked.scheme);
        let (precision, optimizer) = (leanest.precision, leanest.optimizer);
        for row in asked.rows() {
            let row: Vec<Scheme> =
                row.into_iter().map(|scheme| Scheme { precision, optimizer, ..scheme }).collect();
            first_that_fits(&row, |scheme| self.attempt(scheme));
        }
        // Not more changes than it takes.
        if let Some((scheme, ..)) = self.best.clone() {
            let Scheme { precision, optimizer, .. } = *asked.scheme;
            for change in
                [Scheme { precision, optimizer, ..scheme.clone() }, Scheme { precision, ..scheme }]
            {
                if self.attempt(&change) {
                    break;
                }
            }
        }
    }

    /// Whether `scheme` compiles and fits. The best of those that do is kept; of equals the last.
    fn attempt(&mut self, scheme: &Scheme) -> bool {
        let sizes = sizes_of(self.graph, self.start, scheme, self.layout);
        let Some((sizes, trained)) = sizes else { return false };
        if self.least.is_none_or(|least| sizes.sram < least.sram) {
            self.least = Some(sizes);
        }
        let fits = self.limits.hold(sizes);
        if fits && self.best.as_ref().is_none_or(|(.., most)| trained >= *most) {
            self.best = Some((scheme.clone(), sizes, trained));
        }
        fits
    }
}

/// What was asked for with fewer bytes for each weight, from the least change to the greatest.
fn lean(asked: &Asked<'_>) -> Vec<Scheme> {
    let scheme = asked.scheme;
    let narrow = Optimizer { momentum_bits: 8, ..scheme.optimizer };
    let narrower = scheme.optimizer.momentum > 0.0 && scheme.optimizer.momentum_bits > 8;
    let coarser = scheme.precision == Precision::Residual && !asked.rules.is_empty();
    let mut all = Vec::new();
    if narrower {
        all.push(Scheme { optimizer: narrow, ..scheme.clone() });
    }
    if coarser {
        all.push(Scheme { precision: Precision::Stochastic, ..scheme.clone() });
    }
    if narrower && coarser {
        let precision = Precision::Stochastic;
        all.push(Scheme { precision, optimizer: narrow, ..scheme.clone() });
    }
    all
}
