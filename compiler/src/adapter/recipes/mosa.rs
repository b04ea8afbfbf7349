//! MoSA: the channels between two factors of low rank are parts that share nothing. In each step one of them, drawn anew,
//! is there and learns; in use all are, each counting for its share, which makes one adapter of the whole rank.
//! Zhang et al., "MoSA: Mixture of Sparse Adapters for Visual Efficient Tuning", 2023.

use super::lora::{narrowed, widened};
use super::Recipe;
use crate::adapter::{Attach, Learn};

/// Parts of an adapter.
const PARTS: usize = 2;

/// The recipe.
#[derive(Debug)]
pub struct Mosa;

impl Recipe for Mosa {
    fn name(&self) -> &'static str {
        "mosa"
    }

    fn trains(&self) -> &'static str {
        "two factors of low rank beside a layer, in parts by turns"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let between = narrowed(cx, Learn::Trained(0.0));
        let part = between.rows.ncols().div_ceil(PARTS);
        let split = cx.nest(&between, part);
        let delta = widened(cx, &split);
        cx.add(&delta);
    }
}
