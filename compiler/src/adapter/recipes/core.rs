//! A small matrix between frozen factors: a layer gets `U R V x`, with R `[r, r]`, or the diagonal of one,
//! trained from 0. Recipes differ in where U `[O, r]` and V `[r, I]` come from; their columns and rows have norm 1,
//! so that a step of R moves U R V as a step of W would, seen by those directions.

use nalgebra::DMatrix;

use super::Recipe;
use crate::adapter::linear::{covariance, svd, unit_columns, unit_rows, Svd};
use crate::adapter::{Attach, Learn, Reach};

/// Factors are the first singular vectors of the layer's weights. Bałazy et al., "LoRA-XS: Low-Rank Adaptation with
/// Extremely Small Number of Parameters", 2024.
#[derive(Debug)]
pub struct LoraXs;

/// Factors are the first singular vectors of the gradient of the loss for the weights, on the samples. Ponkshe et al.,
/// "Initialization using Update Approximation is a Silver Bullet for Extremely Efficient Low-Rank Fine-Tuning", 2024.
#[derive(Debug)]
pub struct LoraSb;

/// Factors are the first singular vectors of the weights seen by the samples, `W C = U S V^T` with C the
/// covariance of the layer's input; V is then `V^T C^-1`. Yang et al., "CorDA: Context-Oriented
/// Decomposition Adaptation", 2024.
#[derive(Debug)]
pub struct Corda;

/// LoRA-XS's factors, and a gate for each singular value. Wang et al., "KaSA: Knowledge-Aware Singular-Value
/// Adaptation", 2024.
#[derive(Debug)]
pub struct Kasa;

/// Factors are those of `W = P L D U`, and the diagonal is trained: the `rank` largest of it. Shi et al., "LoLDU:
/// Low-Rank Adaptation via Lower-Diag-Upper Decomposition", 2024.
#[derive(Debug)]
pub struct Loldu;

/// Added to the diagonal of a covariance, as a share of its mean, before it is inverted.
const DAMPING: f64 = 1e-2;

/// The two frozen factors, U `[O, r]` and V `[r, I]`.
type Factors = (DMatrix<f64>, DMatrix<f64>);

/// A whole R, or its diagonal, between factors.
fn attach(cx: &mut Attach<'_>, (u, v): Factors, diagonal: bool) {
    let rank = v.nrows();
    let scale = cx.gain * as_random(&cx.site.seen, &v);
    let between = cx.like("v", v * scale, Learn::Frozen, Reach::Seen);
    // In directions of norm 1 no change of use is larger than the weights' own.
    let learn = Learn::Trained(cx.site.weights.norm() / 2.0 / scale);
    let core = if diagonal {
        cx.gate("gates", &between, &vec![0.0; rank], learn, Reach::Seen, false)
    } else {
        cx.dense("core", &between, DMatrix::zeros(rank, rank), learn, Reach::Seen)
    };
    let delta = cx.dense("u", &core, u, Learn::Frozen, Reach::Delta);
    cx.add(&delta);
}

/// Scale at which V x is as large as by random directions, at most 1. Chosen ones are those that most of x lies along:
/// steps, which grow with the square of V x, would be too long.
pub(super) fn as_random(seen: &DMatrix<f64>, v: &DMatrix<f64>) -> f64 {
    let share = v.nrows() as f64 / v.ncols().max(1) as f64;
    pace(share, seen.norm_squared(), (seen * v.transpose()).norm_squared()).sqrt()
}

/// Pace, at most 1, at which steps of a `share` of a layer's weights are as long as if it were a random one, where of
/// `all` the energy of their inputs they meet so much.
pub(super) fn pace(share: f64, all: f64, met: f64) -> f64 {
    if met > 0.0 {
        (share * all / met).min(1.0)
    } else {
        1.0
    }
}

pub(super) fn singular(cx: &Attach<'_>) -> Factors {
    let Svd { u, vt } = svd(&cx.site.weights, cx.rank_within());
    (u, vt)
}

impl Recipe for LoraXs {
    fn name(&self) -> &'static str {
        "lora-xs"
    }

    fn trains(&self) -> &'static str {
        "a small square matrix between the singular vectors of a layer"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let factors = singular(cx);
        attach(cx, factors, false);
    }
}

impl Recipe for LoraSb {
    fn name(&self) -> &'static str {
        "lora-sb"
    }

    fn trains(&self) -> &'static str {
        "a small square matrix between the singular vectors of a layer's gradient"
    }

    fn needs_gradient(&self) -> bool {
        true
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let Svd { u, vt } = svd(&cx.site.gradient, cx.rank_within());
        attach(cx, (u, vt), false);
    }
}

impl Recipe for Corda {
    fn name(&self) -> &'static str {
        "corda"
    }

    fn trains(&self) -> &'static str {
        "a small square matrix between singular vectors of a layer weighted by its input"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let mut c = covariance(&cx.site.seen);
        let damping = DAMPING * c.trace() / c.nrows().max(1) as f64 + f64::MIN_POSITIVE;
        c += DMatrix::identity(c.nrows(), c.ncols()) * damping;
        let Svd { u, vt } = svd(&(&cx.site.weights * &c), cx.rank_within());
        // C is symmetric and, damped, positive: V^T C^-1 is the transpose of C^-1 V.
        let v = match c.cholesky() {
            Some(c) => c.solve(&vt.transpose()).transpose(),
            None => vt,
        };
        attach(cx, (u, unit_rows(v)), false);
    }
}

impl Recipe for Kasa {
    fn name(&self) -> &'static str {
        "kasa"
    }

    fn trains(&self) -> &'static str {
        "a gate for each of the first singular values of a layer"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let factors = singular(cx);
        attach(cx, factors, true);
    }
}

impl Recipe for Loldu {
    fn name(&self) -> &'static str {
        "loldu"
    }

    fn trains(&self) -> &'static str {
        "the diagonal between the triangles of a layer"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let lu = cx.site.weights.clone().lu();
        let (mut l, u) = (lu.l(), lu.u());
        lu.p().inv_permute_rows(&mut l);
        let mut order: Vec<usize> = (0..u.nrows()).collect();
        order.sort_by(|&a, &b| u[(b, b)].abs().total_cmp(&u[(a, a)].abs()));
        order.truncate(cx.rank_within());
        let factors = (unit_columns(l.select_columns(&order)), unit_rows(u.select_rows(&order)));
        attach(cx, factors, true);
    }
}
