//! VeRA: a layer gets `b * U (d * V x)`, with U `[O, r]` and V `[r, I]` random and frozen, shared by layers of one
//! shape; trained are d `[r]`, from 1, and b `[O]`, from 0. Kopiczko et al., "VeRA: Vector-based Random Matrix
//! Adaptation", 2023.

use super::shared::factors;
use super::Recipe;
use crate::adapter::{Attach, Learn, Reach};

/// The recipe.
#[derive(Debug)]
pub struct Vera;

impl Recipe for Vera {
    fn name(&self) -> &'static str {
        "vera"
    }

    fn trains(&self) -> &'static str {
        "two vectors a layer around factors that layers share"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let (u, v) = factors(cx);
        let rank = v.nrows();
        let between = cx.like("v", v * cx.gain, Learn::Frozen, Reach::Seen);
        let d = vec![1.0; rank];
        let scaled = cx.gate("d", &between, &d, Learn::Trained(0.0), Reach::Seen, false);
        let wide = cx.dense("u", &scaled, u, Learn::Frozen, Reach::Seen);
        // U has columns of norm 1: at sqrt(O) or so b makes up for it.
        let rows = wide.rows.ncols();
        let reach = Learn::Trained(cx.site.weights.norm() / cx.gain);
        let delta = cx.gate("b", &wide, &vec![0.0; rows], reach, Reach::Delta, false);
        cx.add(&delta);
    }
}
