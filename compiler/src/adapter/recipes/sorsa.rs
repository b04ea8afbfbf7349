//! The first singular vectors of a layer, trained, and a gate for the change of each singular value: a layer gets
//! `U diag(g) V x`, with U `[O, r]`, V `[r, I]` and g from 0. What keeps U and V orthonormal is a penalty beside the loss.
//! Cao and Song, "SORSA: Singular Values and Orthonormal Regularized Singular Vectors Adaptation of Large Language
//! Models", 2024.

use super::core::{as_random, singular};
use super::Recipe;
use crate::adapter::{Attach, Learn, Reach};
use crate::ir::Rule;

/// See the module.
#[derive(Debug)]
pub struct Sorsa;

/// Weight of the penalty: at a rate of 0.005, vectors lose in a step a fiftieth of what they are off.
const STRENGTH: f32 = 4.0;

impl Recipe for Sorsa {
    fn name(&self) -> &'static str {
        "sorsa"
    }

    fn trains(&self) -> &'static str {
        "singular vectors of a layer, which stay orthonormal, and a gate for each"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let (u, v) = singular(cx);
        let (rank, scale) = (v.nrows(), cx.gain * as_random(&cx.site.seen, &v));
        let kept = |cx: &mut Attach<'_>, flow: &_, size: f64, columns| {
            let rule = Rule::Orthonormal { size: size as f32, strength: STRENGTH, columns };
            cx.heed(flow, rule);
        };
        let between = cx.like("v", v * scale, Learn::Trained(0.0), Reach::Seen);
        kept(cx, &between, scale, false);
        let most = cx.site.weights.norm() / 2.0 / scale;
        let zeros = vec![0.0; rank];
        let gated = cx.gate("gates", &between, &zeros, Learn::Trained(most), Reach::Seen, false);
        let delta = cx.dense("u", &gated, u, Learn::Trained(0.0), Reach::Delta);
        kept(cx, &delta, 1.0, true);
        cx.add(&delta);
    }
}
