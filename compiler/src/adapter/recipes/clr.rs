//! Channel-wise reprogramming: a 3x3 kernel a channel after a layer, whose result is added to what it reads.
//! Kernels start at 0. Dumery et al., "Channel-wise Lightweight Reprogramming", 2023.

use super::Recipe;
use crate::adapter::{Attach, Site};

/// The recipe.
#[derive(Debug)]
pub struct Clr;

/// Kernels reach that far: at 1 the middle of one doubles a channel.
const MOST: f64 = 1.0;

impl Recipe for Clr {
    fn name(&self) -> &'static str {
        "clr"
    }

    fn trains(&self) -> &'static str {
        "a 3x3 kernel for each channel of a layer's result"
    }

    fn suits(&self, site: &Site) -> bool {
        site.map.iter().all(|&side| side > 1)
    }

    fn for_layers(&self) -> &'static str {
        "with a map of more than one row and column"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        let y = cx.y();
        let delta = cx.depthwise("kernels", &y, 3, MOST);
        cx.pace(&delta);
        cx.add(&delta);
    }
}
