//! LoRA: a layer gets `B A x` beside `W x`, with A `[r, I]` and B `[O, r]`.
//!
//! B starts at 0 and A with orthonormal rows times the gain, so that a step of B moves B A as a step of W
//! would move W, seen by those r directions, times the square of the gain.
//! Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021.

use nalgebra::DMatrix;

use super::Recipe;
use crate::adapter::{Attach, Flow, Learn, Reach};
use crate::ir::Rule;

/// Both factors, beside the layer.
#[derive(Debug)]
pub struct Lora;

/// Only B is trained: what is kept for the backward pass is A x, a few channels, in place of x.
/// Zhang et al., "LoRA-FA: Memory-efficient Low-rank Adaptation", 2023.
#[derive(Debug)]
pub struct FixedDown;

/// Both factors, after the layer: `y + B A y`.
#[derive(Debug)]
pub struct Sequential;

/// Both factors, and rows of B learn the slower the farther they are from 0: fast as they start, and no row grows far
/// ahead of the others. Huang and Balestriero, "ALLoRA: Adaptive Learning Rate Mitigates LoRA Fatal Flaws", 2024.
#[derive(Debug)]
pub struct Normed;

/// Factor of the rate of a row of B that is 0.
const AT_ZERO: f64 = 3.0;

/// Norm of a row of `B A` at which its rate is about that of all, of the norm of a row of W.
const AT_ONE: f64 = 0.2;

/// Both factors, of a rank that a device can cut: in each step a number of channels between them is drawn, and only
/// the first so many take part, so that they learn to do without the rest.
/// Valipour et al., "DyLoRA: Parameter-Efficient Tuning of Pre-trained Models using Dynamic Search-Free Low-Rank
/// Adaptation", 2022.
#[derive(Debug)]
pub struct Nested;

/// One pair beside the layer and one after it.
/// Kim et al., "Hydra: Multi-head Low-rank Adaptation", 2023.
#[derive(Debug)]
pub struct Hydra;

/// `B A x` beside the layer.
fn parallel(cx: &mut Attach<'_>, down: Learn) -> Flow {
    let between = narrowed(cx, down);
    widened(cx, &between)
}

/// `A x`.
pub(super) fn narrowed(cx: &mut Attach<'_>, down: Learn) -> Flow {
    let rank = cx.rank_within();
    let columns = cx.site.shape().1;
    let a = cx.site.random("down").orthonormal(rank, columns) * cx.gain;
    cx.like("down", a, down, Reach::Seen)
}

/// `B h`, beside the layer.
pub(super) fn widened(cx: &mut Attach<'_>, between: &Flow) -> Flow {
    let (rows, rank) = (cx.site.shape().0, between.rows.ncols());
    let reach = Learn::Trained(cx.site.reach() / 2.0 / cx.gain);
    cx.dense("up", between, DMatrix::zeros(rows, rank), reach, Reach::Delta)
}

/// `B A y`: B A stands for a change of the identity, whose rows have norm 1.
fn sequential(cx: &mut Attach<'_>) -> Flow {
    let y = cx.y();
    let channels = y.rows.ncols();
    let rank = cx.rank.min(channels);
    let a = cx.site.random("down.after").orthonormal(rank, channels) * cx.gain;
    let between = cx.dense("down.after", &y, a, Learn::Trained(0.0), Reach::Seen);
    let (b, reach) = (DMatrix::zeros(channels, rank), Learn::Trained(0.5 / cx.gain));
    cx.dense("up.after", &between, b, reach, Reach::Delta)
}

impl Recipe for Lora {
    fn name(&self) -> &'static str {
        "lora"
    }

    fn trains(&self) -> &'static str {
        "two factors of low rank beside a layer"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let delta = parallel(cx, Learn::Trained(0.0));
        cx.add(&delta);
    }
}

impl Recipe for FixedDown {
    fn name(&self) -> &'static str {
        "lora-fa"
    }

    fn trains(&self) -> &'static str {
        "the second of two factors of low rank beside a layer"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let delta = parallel(cx, Learn::Frozen);
        cx.add(&delta);
    }
}

impl Recipe for Normed {
    fn name(&self) -> &'static str {
        "allora"
    }

    fn trains(&self) -> &'static str {
        "two factors of low rank beside a layer, rows at rates that fall as they grow"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let delta = parallel(cx, Learn::Trained(0.0));
        let weights = &cx.site.weights;
        // Rows of A have the gain for a norm.
        let row = weights.norm() / (weights.nrows().max(1) as f64).sqrt() / cx.gain;
        let size = (AT_ONE * row).max(f64::from(f32::MIN_POSITIVE)) as f32;
        cx.heed(&delta, Rule::Normed { size, most: AT_ZERO as f32 });
        cx.add(&delta);
    }
}

impl Recipe for Nested {
    fn name(&self) -> &'static str {
        "dylora"
    }

    fn trains(&self) -> &'static str {
        "two factors of a rank that can be cut beside a layer"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let between = narrowed(cx, Learn::Trained(0.0));
        let nested = cx.nest(&between, 0);
        let delta = widened(cx, &nested);
        cx.add(&delta);
    }
}

impl Recipe for Sequential {
    fn name(&self) -> &'static str {
        "lora-sequential"
    }

    fn trains(&self) -> &'static str {
        "two factors of low rank after a layer"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let delta = sequential(cx);
        cx.add(&delta);
    }
}

impl Recipe for Hydra {
    fn name(&self) -> &'static str {
        "hydra"
    }

    fn trains(&self) -> &'static str {
        "two factors of low rank beside a layer, and two after it"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let beside = parallel(cx, Learn::Trained(0.0));
        let after = sequential(cx);
        cx.add(&beside);
        cx.add(&after);
    }
}
