//! Looks for a lesser adapter that makes a program fit.
//!
//! First the same with one byte for each weight. Then, with as few bytes for each, on fewer layers, the last ones: of
//! the rank that was asked for, of half of it, and so on. Of each rank the adapter on most layers that fits is found by
//! halving; of those found, the one that trains most parameters is taken. What is advised has been compiled as it stands,
//! beside the update scheme that was asked for.

use std::iter::successors;

use offshoot_runtime::program::op::Precision;
use offshoot_simulator::data::Split;

use super::schemes::{first_that_fits, sizes_of, trained};
use super::{Advice, Lesser, Limits, Sizes};
use crate::adapt::HeadStart;
use crate::adapter::{attach, layers, Adapter};
use crate::ir::Graph;
use crate::pipeline::Compiled;
use crate::scheme::{Layer, Layers, Scheme};

/// An adapter that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The network, without it.
    pub graph: &'a Graph,
    /// The adapter.
    pub adapter: &'a Adapter,
    /// Samples that it starts from.
    pub samples: &'a Split,
    /// What the head starts from.
    pub start: HeadStart,
    /// The update scheme beside it.
    pub scheme: &'a Scheme,
    /// What came of all that, and does not fit.
    pub compiled: &'a Compiled,
}

/// Adds to `advice` a lesser adapter within `limits`.
pub fn advise_adapter(advice: &mut Advice, asked: &Asked<'_>, limits: Limits) {
    let Ok(names) = layers(asked.graph, asked.adapter, asked.scheme.loss.is_headed()) else {
        return;
    };
    let mut search = Search { asked, limits, best: None, least: advice.least };
    search.run(&names);
    let of = trained(&asked.compiled.graph);
    advice.adapter =
        search.best.map(|(instead, sizes, trained)| Lesser { instead, sizes, trained, of });
    let found = advice.scheme.is_some() || advice.adapter.is_some();
    advice.least = search.least.filter(|_| !found);
}

impl Asked<'_> {
    /// On the last `count` of the layers `names`, of that rank.
    fn lesser(&self, names: &[String], count: usize, rank: usize) -> Adapter {
        let last = names.iter().skip(names.len() - count);
        let layers = match self.adapter.layers {
            Layers::Named(_) => Layers::Named(last.cloned().map(Layer::Name).collect()),
            _ if count == names.len() => self.adapter.layers.clone(),
            _ => Layers::Last(count),
        };
        Adapter { layers, rank, ..self.adapter.clone() }
    }
}

struct Search<'a> {
    asked: &'a Asked<'a>,
    limits: Limits,
    /// The adapter that fits and trains most, what it needs, and how many parameters are trained.
    best: Option<(Adapter, Sizes, usize)>,
    /// What the least of all that were tried needs.
    least: Option<Sizes>,
}

impl Search<'_> {
    fn run(&mut self, names: &[String]) {
        let Asked { adapter, .. } = *self.asked;
        let lean = Adapter { precision: Precision::Stochastic, ..adapter.clone() };
        if adapter.precision != lean.precision && self.attempt(&lean) {
            return;
        }
        // Layers times rank of the best.
        let mut most = 0;
        for rank in successors(Some(adapter.rank), |rank| Some(rank / 2).filter(|&r| r > 0)) {
            if names.len() * rank <= most {
                break;
            }
            let whole = usize::from(rank == adapter.rank);
            let counts: Vec<usize> = (1..=names.len() - whole).rev().collect();
            let fits = |&count: &usize| {
                let lesser = self.asked.lesser(names, count, rank);
                let fits = self.attempt(&Adapter { precision: lean.precision, ..lesser });
                if fits {
                    most = most.max(count * rank);
                }
                fits
            };
            first_that_fits(&counts, fits);
        }
        // Not more changes than it takes.
        let leaner = self.best.as_ref().filter(|(best, ..)| best.precision != adapter.precision);
        if let Some((best, ..)) = leaner {
            let as_asked = Adapter { precision: adapter.precision, ..best.clone() };
            if let Some((sizes, trained)) = self.sizes_of(&as_asked) {
                if self.limits.hold(sizes) {
                    self.best = Some((as_asked, sizes, trained));
                }
            }
        }
    }

    /// Whether `adapter` compiles and fits. Of those that do the best is kept, and of equals the first.
    fn attempt(&mut self, adapter: &Adapter) -> bool {
        let Some((sizes, trained)) = self.sizes_of(adapter) else { return false };
        if self.least.is_none_or(|least| sizes.sram < least.sram) {
            self.least = Some(sizes);
        }
        let fits = self.limits.hold(sizes);
        if fits && self.best.as_ref().is_none_or(|(.., most)| trained > *most) {
            self.best = Some((adapter.clone(), sizes, trained));
        }
        fits
    }

    fn sizes_of(&self, adapter: &Adapter) -> Option<(Sizes, usize)> {
        let Asked { graph, samples, start, scheme, compiled, .. } = *self.asked;
        let attached = attach(graph, adapter, scheme.loss.is_headed(), samples).ok()?;
        sizes_of(&attached, start, scheme, compiled.layout)
    }
}
