//! Recipes: one file each, or a few that are cases of one form, named in the list below.

mod bias;
mod bottleneck;
mod clr;
mod core;
mod kronecker;
mod ladder;
mod lora;
mod mosa;
mod s2ft;
mod scale;
mod shared;
mod signs;
mod sorsa;
mod sparse;
mod vera;

use super::{Attach, Site};

/// How an adapter is made.
pub trait Recipe: Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// What it trains, in a few words.
    fn trains(&self) -> &'static str;

    /// Whether it can be put to a layer.
    fn suits(&self, site: &Site) -> bool {
        site.is_dense()
    }

    /// Which layers those are, in words.
    fn for_layers(&self) -> &'static str {
        "of one group"
    }

    /// Whether it starts from the gradient of the layers' weights.
    fn needs_gradient(&self) -> bool {
        false
    }

    /// Builds the adapter of one layer: what it adds is 0 as it starts.
    fn attach(&self, cx: &mut Attach<'_>);
}

/// All of them.
pub const ALL: &[&dyn Recipe] = &[
    &bias::Bias,
    &scale::Scale,
    &scale::ScaleShift,
    &clr::Clr,
    &lora::Lora,
    &lora::FixedDown,
    &lora::Normed,
    &lora::Nested,
    &lora::Sequential,
    &lora::Hydra,
    &mosa::Mosa,
    &core::LoraXs,
    &core::LoraSb,
    &core::Corda,
    &core::Kasa,
    &core::Loldu,
    &sorsa::Sorsa,
    &signs::BiLora,
    &shared::S2Lora,
    &vera::Vera,
    &kronecker::Compacter,
    &bottleneck::Parallel,
    &bottleneck::Series,
    &ladder::Ladder,
    &s2ft::S2ft,
    &sparse::Sparse,
];

/// The recipe of a name.
pub fn find(name: &str) -> Option<&'static dyn Recipe> {
    ALL.iter().copied().find(|r| r.name() == name)
}
