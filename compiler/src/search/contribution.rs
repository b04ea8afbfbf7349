//! What parts of a network contribute to learning: by how much the loss of samples held out is less where they are
//! trained too.

use offshoot_runtime::program::op::Precision;
use offshoot_simulator::data::{Dataset, Split};
use serde::Serialize;

use super::trial::train;
use super::workers::each;
use super::{Effort, Search, SearchError};
use crate::learn::Watch;
use crate::scheme::{Layer, Scheme, WeightRule};

/// Numbers of biases that are measured, beside none.
const BIASES: usize = 8;

/// Most samples of a short round, those held out included.
const SAMPLES: usize = 600;

/// Times that each is seen in a short round.
const EPOCHS: usize = 2;

/// The biases of some of the last layers, trained with the head and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OfBiases {
    /// How many layers.
    pub layers: usize,
    /// Mean loss of the samples held out.
    pub loss: f64,
}

/// The weights of a layer, trained beside the biases of that many layers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OfLayer {
    /// Index that a scheme calls it by.
    pub index: usize,
    /// Name of its node.
    pub name: String,
    /// Layers whose biases are trained with it.
    pub biases: usize,
    /// Mean loss of the samples held out.
    pub loss: f64,
    /// How much less that is than with the biases alone.
    pub gain: f64,
}

/// What all parts contribute.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contributions {
    /// Biases, from few layers to all.
    pub biases: Vec<OfBiases>,
    /// Weights, in execution order.
    pub layers: Vec<OfLayer>,
}

/// Trains each part for a short round.
pub(super) fn measure(
    search: &Search<'_>,
    data: &Dataset,
    effort: Effort,
    watch: &mut (dyn Watch + Send),
) -> Result<Contributions, SearchError> {
    let count = search.layers.len();
    let numbers = numbers(search.least(), count);
    let beside = |index: usize| {
        let reaching = numbers.iter().copied().find(|&biases| biases >= count - index);
        reaching.unwrap_or(count)
    };
    let part = |index: usize| {
        let rule = WeightRule { layer: Layer::Index(index), channels: 1.0 };
        let precision = Precision::Residual;
        Scheme { weights: vec![rule], precision, ..search.scheme(beside(index)) }
    };
    // The costliest, which reach farthest back, come first: no thread is left with one of them at the end.
    let mut schemes: Vec<Scheme> = (0..count).map(part).collect();
    schemes.extend(numbers.iter().rev().map(|&biases| search.scheme(biases)));
    let data = short(data);
    let steps = EPOCHS * data.train.len();
    watch.begin("measure", schemes.len());
    let losses = each(&schemes, effort.workers, watch, |scheme| {
        let compiled = search.compile(scheme)?;
        Ok(train(&compiled.program, &data, steps, effort.seed)?.loss)
    })?;
    watch.end();
    let (of_layers, of_biases) = losses.split_at(count);
    let biases: Vec<OfBiases> = numbers
        .iter()
        .zip(of_biases.iter().rev())
        .map(|(&layers, &loss)| OfBiases { layers, loss })
        .collect();
    let layers = of_layers.iter().zip(&search.layers).enumerate().map(|(index, (&loss, layer))| {
        let beside = beside(index);
        let alone = biases.iter().find(|b| b.layers == beside).map_or(loss, |b| b.loss);
        let name = layer.name.clone();
        OfLayer { index, name, biases: beside, loss, gain: alone - loss }
    });
    let layers = layers.collect();
    Ok(Contributions { biases, layers })
}

/// Numbers of last layers, ascending, from `least` to all `count` of them.
fn numbers(least: usize, count: usize) -> Vec<usize> {
    let mut numbers: Vec<usize> =
        (0..=BIASES).map(|i| (count * i).div_ceil(BIASES).max(least)).collect();
    numbers.dedup();
    numbers
}

/// The first of each class in turn, as many as a short round takes.
fn short(data: &Dataset) -> Dataset {
    let all = data.train.len() + data.test.len();
    let part = |split: &Split| {
        let count = (split.len() * SAMPLES.min(all)).div_ceil(all);
        split.select(&split.spread(count))
    };
    Dataset { train: part(&data.train), test: part(&data.test) }
}
