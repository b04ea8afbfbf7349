//! Scales, and shifts, of channels: a layer gives `y_c + g_c y_c + b_c`, with g and b starting at 0.
//!
//! The scale alone is what IA3 trains, and a case of ScaLearn's task scales (Frohmann et al., 2023) with one source
//! adapter; both are those of "Scaling & Shifting Your Features" (Lian et al., 2022).

use super::Recipe;
use crate::adapter::{Attach, Learn, Reach, Site};

/// A scale a channel.
#[derive(Debug)]
pub struct Scale;

/// A scale and a shift a channel.
#[derive(Debug)]
pub struct ScaleShift;

/// Scales are trained from 0 to at most that much up or down.
const MOST: f64 = 1.0;

fn attach(cx: &mut Attach<'_>, shifted: bool) {
    let y = cx.y();
    let zeros = vec![0.0; y.rows.ncols()];
    let delta = cx.gate("scale", &y, &zeros, Learn::Trained(MOST), Reach::Delta, shifted);
    cx.pace(&delta);
    cx.add(&delta);
}

impl Recipe for Scale {
    fn name(&self) -> &'static str {
        "scale"
    }

    fn trains(&self) -> &'static str {
        "a scale for each channel of a layer's result"
    }

    fn suits(&self, _site: &Site) -> bool {
        true
    }

    fn for_layers(&self) -> &'static str {
        "of any kind"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        attach(cx, false);
    }
}

impl Recipe for ScaleShift {
    fn name(&self) -> &'static str {
        "scale-shift"
    }

    fn trains(&self) -> &'static str {
        "a scale and a shift for each channel of a layer's result"
    }

    fn suits(&self, _site: &Site) -> bool {
        true
    }

    fn for_layers(&self) -> &'static str {
        "of any kind"
    }

    fn attach(&self, cx: &mut Attach<'_>) {
        attach(cx, true);
    }
}
