//! Factors of one bit: a layer gets `diag(s) B A x` with A `[r, I]` and B `[O, r]` of one magnitude each, whose signs are
//! trained, and a scale an output channel, from 0. A stored adapter has a bit for each element of A and B.
//! Jie, Wang and Deng, "Revisiting the Parameter Efficiency of Adapters from the Perspective of Precision Redundancy",
//! 2023.

use super::Recipe;
use crate::adapter::{Attach, Learn, Reach};

/// See the module.
#[derive(Debug)]
pub struct BiLora;

impl Recipe for BiLora {
    fn name(&self) -> &'static str {
        "bi-lora"
    }

    fn trains(&self) -> &'static str {
        "two factors of low rank whose weights have one bit, and a scale a channel"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let rank = cx.rank_within();
        let (rows, columns) = cx.site.shape();
        // Rows of A have the gain for a norm, those of B have norm 1.
        let signs = |factor: &str, size: (usize, usize), norm: f64| {
            let drawn = cx.site.random(factor).matrix(size.0, size.1);
            let magnitude = norm / (size.1.max(1) as f64).sqrt();
            drawn.map(|v| if v < 0.0 { -magnitude } else { magnitude })
        };
        let a = signs("down", (rank, columns), cx.gain);
        let b = signs("up", (rows, rank), 1.0);
        let between = cx.like("down", a, Learn::Trained(0.0), Reach::Seen);
        cx.signs(&between);
        let product = cx.dense("up", &between, b, Learn::Trained(0.0), Reach::Seen);
        cx.signs(&product);
        let learn = Learn::Trained(cx.site.reach() / 2.0 / cx.gain);
        let delta = cx.gate("scales", &product, &vec![0.0; rows], learn, Reach::Delta, false);
        cx.add(&delta);
    }
}
