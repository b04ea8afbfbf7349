//! Kronecker factors: a layer gets `sum_t (A_t (x) B_t) x`, with A_t `[4, 4]` and B_t `[O/4, I/4]`, for `rank` terms.
//! A starts at 0. Mahabadi et al., "Compacter: Efficient Low-Rank Hypercomplex Adapter Layers", 2021.
//!
//! Channel `4` times wide: channel c is number `c / (I/4)` of 4 groups. Every group goes through the same B, which is
//! a 1x1 layer over 4 times as many pixels; then A mixes groups, which a transpose makes channels of.

use nalgebra::DMatrix;

use super::Recipe;
use crate::adapter::linear::unit_rows;
use crate::adapter::{Attach, Learn, Reach, Site};

/// Groups of channels.
const GROUPS: usize = 4;

/// The recipe.
#[derive(Debug)]
pub struct Compacter;

impl Recipe for Compacter {
    fn name(&self) -> &'static str {
        "compacter"
    }

    fn trains(&self) -> &'static str {
        "sums of Kronecker products beside a layer"
    }

    fn suits(&self, site: &Site) -> bool {
        let (rows, columns) = site.shape();
        site.is_dense() && site.is_pointwise() && rows % GROUPS == 0 && columns % GROUPS == 0
    }

    fn for_layers(&self) -> &'static str {
        "with 1x1 kernels and channels in fours"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let (rows, columns) = cx.site.shape();
        let (terms, q) = (cx.rank, rows / GROUPS);
        let x = cx.x();
        let [h, w] = cx.site.map;
        // [1, h, w, 4 I/4] is [1, h w, 4, I/4] as it lies in memory.
        let (dims, m) = ([h * w, GROUPS, columns / GROUPS], columns / GROUPS);
        let split = cx.rearrange("groups", &x, dims, [0, 1, 2], dims);
        let b = cx.site.random("b").matrix(terms * q, m);
        let b = unit_rows(b) * cx.gain;
        let through = cx.dense("b", &split, b, Learn::Trained(0.0), Reach::Seen);
        // [1, h w, 4, t q] to [1, h w, q, t 4].
        let (dims, shape) = ([h * w, GROUPS, terms, q], [h * w, q, terms * GROUPS]);
        let mixed = cx.rearrange("terms", &through, dims, [0, 3, 2, 1], shape);
        let reach = Learn::Trained(cx.site.reach() / 2.0 / cx.gain);
        let a = DMatrix::zeros(GROUPS, terms * GROUPS);
        let mixed = cx.dense("a", &mixed, a, reach, Reach::Delta);
        // [1, h w, q, 4] to [1, h, w, 4 q].
        let delta = cx.rearrange("channels", &mixed, [h * w, q, GROUPS], [0, 2, 1], [h, w, rows]);
        cx.add(&delta);
    }
}
