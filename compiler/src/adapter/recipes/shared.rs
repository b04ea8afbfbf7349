//! Frozen random factors that layers of one shape share, of which flash holds one copy, and a few numbers a layer.

use nalgebra::DMatrix;

use super::Recipe;
use crate::adapter::linear::Random;
use crate::adapter::{Attach, Learn, Reach};

/// Sparse coefficients between the factors: those `rank / 2` whose direction the samples use most.
/// Liu et al., "S2-LoRA: Sparsely Shared LoRA", 2023.
#[derive(Debug)]
pub struct S2Lora;

/// Factors of the shape of `cx`'s layer: `[O, r]` with unit columns, and `[r, I]` with unit rows.
pub(super) fn factors(cx: &Attach<'_>) -> (DMatrix<f64>, DMatrix<f64>) {
    let (rows, columns) = cx.site.shape();
    let rank = cx.rank_within();
    let mut random = Random::new(&format!("{rows}x{columns}"));
    (random.orthonormal(rank, rows).transpose(), random.orthonormal(rank, columns))
}

impl Recipe for S2Lora {
    fn name(&self) -> &'static str {
        "s2-lora"
    }

    fn trains(&self) -> &'static str {
        "a few coefficients a layer between factors that layers share"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let (u, v) = factors(cx);
        let rank = v.nrows();
        let between = cx.like("v", v * cx.gain, Learn::Frozen, Reach::Seen);
        let used: Vec<f64> = between.rows.column_iter().map(|c| c.norm_squared()).collect();
        let mut order: Vec<usize> = (0..rank).collect();
        order.sort_by(|&a, &b| used[b].total_cmp(&used[a]));
        order.truncate(rank.div_ceil(2));
        let learn = Learn::Trained(cx.site.weights.norm() / 2.0 / cx.gain);
        let zeros = vec![0.0; rank];
        let core = cx.gate("coefficients", &between, &zeros, learn, Reach::Seen, false);
        cx.train_only(&core, &order);
        let delta = cx.dense("u", &core, u, Learn::Frozen, Reach::Delta);
        cx.add(&delta);
    }
}
