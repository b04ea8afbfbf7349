//! Puts schemes together that fit.
//!
//! For each number of biases and each precision of weights, shares of layers are taken in the order of what they
//! contribute for a byte; how many of them fit is found by halving, and of the next some are tried one by one. What a share
//! of a layer's channels contributes is taken to grow with the root of it: the channels that matter most come first.

use std::collections::BTreeMap;

use offshoot_runtime::program::op::Precision;

use super::workers::each;
use super::{Contributions, Effort, OfBiases, Search, SearchError};
use crate::fit::{first_that_fits, sizes_of, Sizes};
use crate::learn::Watch;
use crate::scheme::{Layer, Scheme, WeightRule};

/// Shares of a layer's input channels, ascending.
const SHARES: [f64; 4] = [0.125, 0.25, 0.5, 1.0];

/// Shares that are tried beyond the first that does not fit.
const BEYOND: usize = 12;

/// A scheme that fits.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    pub scheme: Scheme,
    pub sizes: Sizes,
    /// Parameters that it trains.
    pub trained: usize,
    /// What its parts contribute together.
    pub value: f64,
}

/// More of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Item {
    layer: usize,
    /// Share of its channels that is trained then.
    share: f64,
    /// What that adds to what less of it contributes.
    gain: f64,
    /// Bytes that it adds, about.
    bytes: f64,
}

/// What fits with a number of biases.
struct Fitting {
    /// The biases by themselves.
    plain: Option<Candidate>,
    /// With weights, one for each precision at most.
    rich: Vec<Candidate>,
    /// Schemes that were compiled.
    compiled: usize,
}

/// Schemes that are worth a trial, at most as many as were asked for, and how many were compiled. Beside those that promise
/// most are the biases that do best and the head by itself, to compare with.
pub(super) fn assemble(
    search: &Search<'_>,
    of: &Contributions,
    effort: Effort,
    watch: &mut (dyn Watch + Send),
) -> Result<(Vec<Candidate>, usize), SearchError> {
    watch.begin("assemble", of.biases.len());
    let fitting =
        each(&of.biases, effort.workers, watch, |&biases| Ok(fitting(search, of, biases)))?;
    watch.end();
    let by_value = |a: &Candidate, b: &Candidate| b.value.total_cmp(&a.value);
    let mut plain: Vec<&Candidate> = fitting.iter().filter_map(|f| f.plain.as_ref()).collect();
    let mut rich: Vec<&Candidate> = fitting.iter().flat_map(|f| &f.rich).collect();
    let least = plain.first().copied();
    plain.sort_by(|a, b| by_value(a, b));
    rich.sort_by(|a, b| by_value(a, b));
    let mut beside: Vec<&Candidate> = plain.into_iter().take(1).chain(least).collect();
    beside.dedup_by_key(|c| &c.scheme);
    let promising = rich.into_iter().take(effort.trials.saturating_sub(beside.len()).max(1));
    let chosen = promising.chain(beside).take(effort.trials).cloned().collect();
    Ok((chosen, fitting.iter().map(|f| f.compiled).sum()))
}

fn fitting(search: &Search<'_>, of: &Contributions, biases: OfBiases) -> Fitting {
    let head = of.biases.first().map_or(0.0, |b| b.loss);
    let (value, precision) = (head - biases.loss, Precision::Residual);
    let mut family = Family { search, biases: biases.layers, value, precision, compiled: 0 };
    let (plain, mut rich) = (family.candidate(&[]), Vec::new());
    for precision in [Precision::Residual, Precision::Stochastic] {
        if plain.is_some() {
            family.precision = precision;
            rich.extend(family.richest(&items(search, of, biases.layers, precision)));
        }
    }
    Fitting { plain, rich, compiled: family.compiled }
}

/// Schemes with as many biases and that precision.
struct Family<'a> {
    search: &'a Search<'a>,
    biases: usize,
    /// What the biases contribute.
    value: f64,
    precision: Precision,
    compiled: usize,
}

impl Family<'_> {
    /// The one that contributes most, if any but the biases fits.
    fn richest(&mut self, items: &[Item]) -> Option<Candidate> {
        let counts: Vec<usize> = (1..=items.len()).rev().collect();
        let (mut best, mut most) = (None, 0);
        first_that_fits(&counts, |&count| {
            let found = self.candidate(&items[..count]);
            let fits = found.is_some();
            if fits && count > most {
                (best, most) = (found, count);
            }
            fits
        });
        let mut taken = items[..most].to_vec();
        for &item in items[most..].iter().skip(1).take(BEYOND) {
            taken.push(item);
            match self.candidate(&taken) {
                Some(found) => best = Some(found),
                None => {
                    taken.pop();
                }
            }
        }
        best
    }

    /// The scheme with these shares, if it fits.
    fn candidate(&mut self, items: &[Item]) -> Option<Candidate> {
        let mut shares: BTreeMap<usize, f64> = BTreeMap::new();
        for item in items {
            let share = shares.entry(item.layer).or_default();
            *share = share.max(item.share);
        }
        let rule = |(layer, channels)| WeightRule { layer: Layer::Index(layer), channels };
        let weights: Vec<WeightRule> = shares.into_iter().map(rule).collect();
        let precision = if weights.is_empty() { Precision::Residual } else { self.precision };
        let scheme = Scheme { weights, precision, ..self.search.scheme(self.biases) };
        let task = self.search.task;
        self.compiled += 1;
        let (sizes, trained) = sizes_of(task.graph, task.start, &scheme, task.layout)?;
        let value = self.value + items.iter().map(|item| item.gain).sum::<f64>();
        task.limits.hold(sizes).then_some(Candidate { scheme, sizes, trained, value })
    }
}

/// Shares of layers that may be trained beside `biases` biases, those first that contribute most for a byte.
fn items(
    search: &Search<'_>,
    of: &Contributions,
    biases: usize,
    precision: Precision,
) -> Vec<Item> {
    let first = search.layers.len() - biases;
    let mut items = Vec::new();
    for layer in of.layers.iter().filter(|l| l.index >= first && l.gain > 0.0) {
        let cost = &search.layers[layer.index];
        let bytes = (cost.input + cost.weights * precision.bytes()) as f64;
        let shares = if cost.divisible { &SHARES[..] } else { &SHARES[3..] };
        let mut before = 0.0f64;
        for &share in shares {
            let gain = layer.gain * (share.sqrt() - before.sqrt());
            let bytes = bytes * (share - before);
            items.push(Item { layer: layer.index, share, gain, bytes });
            before = share;
        }
    }
    items.sort_by(|a, b| (b.gain / b.bytes).total_cmp(&(a.gain / a.bytes)));
    items
}
