//! A ladder beside the network: what layers give is averaged over its map and goes through a narrow side
//! network, whose end is added to the result of the last layer. No gradient passes through the network itself.
//! Diao et al., "UniPT: Universal Parallel Tuning for Transfer Learning", 2024; Sung et al., "LST: Ladder
//! Side-Tuning", 2022.

use nalgebra::DMatrix;

use super::Recipe;
use crate::adapter::{Attach, Learn, Reach, Site};

/// The recipe.
#[derive(Debug)]
pub struct Ladder;

impl Recipe for Ladder {
    fn name(&self) -> &'static str {
        "ladder"
    }

    fn trains(&self) -> &'static str {
        "a narrow network beside the whole one"
    }

    fn suits(&self, _site: &Site) -> bool {
        true
    }

    fn for_layers(&self) -> &'static str {
        "of any kind"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let mean = cx.mean();
        let channels = mean.rows.ncols();
        let a = cx.site.random("rung").orthonormal(cx.rank, channels) * cx.gain;
        let rung = cx.dense("rung", &mean, a, Learn::Trained(0.0), Reach::Rectified);
        let side = match cx.carried() {
            Some(side) if side.rows.ncols() == rung.rows.ncols() => cx.sum(&side, &rung),
            _ => rung,
        };
        if !cx.is_last {
            cx.carry(side);
            return;
        }
        let reach = Learn::Trained(1.0 / cx.gain);
        let b = DMatrix::zeros(channels, side.rows.ncols());
        let end = cx.dense("end", &side, b, reach, Reach::Delta);
        let delta = cx.spread(&end);
        cx.add(&delta);
    }
}
