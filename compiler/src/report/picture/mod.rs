//! Draws the arena of a compiled program against time: [`svg()`] for viewers, [`text()`] for terminals.
//!
//! Time runs to the right, op by op, bytes run up; a tensor is a rectangle from the op that writes it
//! to the op that touches it last. The ops of one node that runs in bands share a place that grows
//! with the square root of their number: they are hundreds, and would leave no room for the others.

mod svg;
mod text;

use std::collections::HashMap;

use super::Report;

pub use svg::svg;
pub use text::text;

/// Where each op lies along the axis of time, which is 1 long.
#[derive(Clone, Debug)]
struct Time {
    /// Where each op begins, and at last where the last one ends.
    edges: Vec<f64>,
}

impl Time {
    fn of(report: &Report) -> Time {
        let mut ops_of: HashMap<&str, usize> = HashMap::new();
        for name in &report.ops {
            *ops_of.entry(name).or_default() += 1;
        }
        let width = |name: &String| {
            let ops = ops_of.get(name.as_str()).copied().unwrap_or(1);
            1.0 / (ops.max(1) as f64).sqrt()
        };
        let total: f64 = report.ops.iter().map(width).sum();
        let (mut edges, mut at) = (vec![0.0], 0.0);
        for name in &report.ops {
            at += width(name);
            edges.push(at / total);
        }
        Time { edges }
    }

    fn ops(&self) -> usize {
        self.edges.len() - 1
    }

    /// Where op `index` begins; 1 for those beyond the last.
    fn begin(&self, index: usize) -> f64 {
        self.edges.get(index).copied().unwrap_or(1.0)
    }

    /// The middle of op `index`.
    fn middle(&self, index: usize) -> f64 {
        (self.begin(index) + self.begin(index + 1)) / 2.0
    }

    /// The op at `x`.
    fn at(&self, x: f64) -> usize {
        self.edges.partition_point(|&edge| edge <= x).saturating_sub(1).min(self.ops().max(1) - 1)
    }
}

/// The first op at which the most bytes live, and how many these are: a tensor takes multiples of 8.
fn fullest(report: &Report) -> (usize, u64) {
    let live = |index: usize| -> u64 {
        let there = report.tensors.iter().filter(|t| t.lives_at(index));
        there.map(|t| u64::from(t.bytes).next_multiple_of(8)).sum()
    };
    let all = (0..report.ops.len()).map(|index| (index, live(index)));
    all.fold((0, 0), |most, this| if this.1 > most.1 { this } else { most })
}
