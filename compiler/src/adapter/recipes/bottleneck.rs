//! Bottlenecks: `B relu(A x)` beside a layer, or `B relu(A y)` after it, with B starting at 0.
//! Houlsby et al., "Parameter-Efficient Transfer Learning for NLP", 2019 (after); He et al., "Towards a Unified View of
//! Parameter-Efficient Transfer Learning", 2021 (beside).

use nalgebra::DMatrix;

use super::Recipe;
use crate::adapter::{Attach, Learn, Reach};

/// Beside the layer.
#[derive(Debug)]
pub struct Parallel;

/// After the layer.
#[derive(Debug)]
pub struct Series;

impl Recipe for Parallel {
    fn name(&self) -> &'static str {
        "bottleneck"
    }

    fn trains(&self) -> &'static str {
        "two narrow layers with a rectifier between them, beside a layer"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let rank = cx.rank_within();
        let (rows, columns) = cx.site.shape();
        let a = cx.site.random("down").orthonormal(rank, columns) * cx.gain;
        let between = cx.like("down", a, Learn::Trained(0.0), Reach::Rectified);
        let reach = Learn::Trained(cx.site.reach() / 2.0 / cx.gain);
        let delta = cx.dense("up", &between, DMatrix::zeros(rows, rank), reach, Reach::Delta);
        cx.add(&delta);
    }
}

impl Recipe for Series {
    fn name(&self) -> &'static str {
        "bottleneck-series"
    }

    fn trains(&self) -> &'static str {
        "two narrow layers with a rectifier between them, after a layer"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let y = cx.y();
        let channels = y.rows.ncols();
        let rank = cx.rank.min(channels);
        let a = cx.site.random("down").orthonormal(rank, channels) * cx.gain;
        let between = cx.dense("down", &y, a, Learn::Trained(0.0), Reach::Rectified);
        let (b, reach) = (DMatrix::zeros(channels, rank), Learn::Trained(0.5 / cx.gain));
        let delta = cx.dense("up", &between, b, reach, Reach::Delta);
        cx.add(&delta);
    }
}
