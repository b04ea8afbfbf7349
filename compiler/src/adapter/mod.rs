//! Adapters: small trained tensors beside a network that stays as it is.
//!
//! An adapter is where it attaches (some layers), its form and its start (a recipe, one file in
//! [`recipes`]), and how its weights are held. It is put to the imported network, in front of
//! [`crate::adapt`], as layers of its own, so that all that follows knows nothing of it. As it starts, what
//! it adds is 0: the network gives what it gave, bit for bit.
//!
//! Starts are computed from the network's weights and from what its layers see on the user's samples.

mod attach;
mod gradient;
mod linear;
pub mod merge;
mod print;
pub mod recipes;
mod site;
mod spec;

pub use attach::{Attach, Flow, Learn, Reach};
pub use site::Site;
pub use spec::Adapter;

use offshoot_simulator::data::Split;

use crate::adapt::classifier_of;
use crate::ir::{Graph, Node, NodeId};
use crate::scheme::{Layer, Layers};
use recipes::Recipe;

/// Fewest samples that an adapter can start from.
pub const LEAST: usize = 8;

/// A network that an adapter cannot be put to, or one that is not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdapterError {
    /// The TOML is wrong.
    #[error("the adapter is not valid TOML for one: {0}")]
    Toml(String),
    /// A part of the short form is wrong.
    #[error("`{part}` is no part of an adapter; write for example lora,layers=20,rank=4")]
    Short {
        /// The part.
        part: String,
    },
    /// No such recipe.
    #[error("there is no adapter {name:?}; there are {known}")]
    Recipe {
        /// The name.
        name: String,
        /// Those there are.
        known: String,
    },
    /// A rank that cannot be.
    #[error("a rank of {given} is not possible; write 1 to {most}, for example 4")]
    Rank {
        /// What was asked for.
        given: i64,
        /// The greatest.
        most: usize,
    },
    /// A gain that cannot be.
    #[error("a gain of {0} is outside 0.01..100; write for example 1")]
    Gain(String),
    /// `layers` is a word other than "all".
    #[error(
        "layers = {0:?} is not understood; write a number of layers, \"all\", or a list of names"
    )]
    Layers(String),
    /// A layer that is not there.
    #[error("the adapter names layer {layer}, which the model does not have before its classifier; it has {names}")]
    NoLayer {
        /// The layer.
        layer: String,
        /// Those there are.
        names: String,
    },
    /// A layer that the recipe does not suit.
    #[error("{recipe:?} does not suit layer {layer:?}: it is for {suits}")]
    Unsuited {
        /// The recipe.
        recipe: &'static str,
        /// The layer.
        layer: String,
        /// What it suits.
        suits: String,
    },
    /// More layers than there are.
    #[error("the adapter is for the last {asked} layers, but {recipe:?} suits {count} of the model's: those {suits}")]
    TooMany {
        /// How many were asked for.
        asked: usize,
        /// The recipe.
        recipe: &'static str,
        /// How many there are.
        count: usize,
        /// What it suits.
        suits: String,
    },
    /// No gradient to start from.
    #[error(
        "the adapter starts from the gradient of its layers' weights, which cannot be had: {0}"
    )]
    NoGradient(String),
    /// Too few samples.
    #[error("an adapter starts from what layers see on samples: {found} are too few, give at least {LEAST} of the kind that the device will meet")]
    Few {
        /// How many there are.
        found: usize,
    },
}

/// `graph` with `adapter` on its layers. `headed`: whether its classifier is to become the head,
/// which is always trained and has no adapter. `samples` are int8, as the network reads them.
///
/// # Errors
/// What the network or the adapter does not allow.
pub fn attach(
    graph: &Graph,
    adapter: &Adapter,
    headed: bool,
    samples: &Split,
) -> Result<Graph, AdapterError> {
    let recipe = adapter.recipe()?;
    if samples.len() < LEAST {
        return Err(AdapterError::Few { found: samples.len() });
    }
    let mut sites = chosen(graph, adapter, headed)?;
    site::observe(graph, &mut sites, samples);
    if recipe.needs_gradient() {
        gradient::gradients(graph, &mut sites, headed, samples)?;
    }
    let mut result = graph.clone();
    let mut after: Vec<(NodeId, Vec<Node>)> = Vec::new();
    let mut instead = Vec::new();
    let mut carried = None;
    for (at, site) in sites.iter().enumerate() {
        let mut attach = Attach::new(&mut result, site, adapter, carried.take());
        attach.is_last = at + 1 == sites.len();
        recipe.attach(&mut attach);
        let built = attach.finish();
        after.push((site.node, built.nodes));
        instead.push((site.y, built.result));
        carried = built.carried;
    }
    let replaced = |t| instead.iter().find(|(old, _)| *old == t).map_or(t, |&(_, new)| new);
    let mut nodes = Vec::new();
    for (id, node) in result.nodes() {
        let mut node = node.clone();
        node.inputs.iter_mut().for_each(|t| *t = replaced(*t));
        nodes.push(node);
        // An adapter reads its layer's own input, which another adapter may have changed.
        let own = after.iter().filter(|(site, _)| *site == id).flat_map(|(_, nodes)| nodes);
        let x = graph.node(id).inputs[0];
        nodes.extend(own.cloned().map(|mut node| {
            node.inputs.iter_mut().filter(|t| **t == x).for_each(|t| *t = replaced(*t));
            node
        }));
    }
    result.output = graph.output.map(replaced);
    result.set_nodes(nodes);
    Ok(result)
}

/// Names of the layers that `adapter` is put to, in the order that they run in.
///
/// # Errors
/// What the network or the adapter does not allow.
pub fn layers(graph: &Graph, adapter: &Adapter, headed: bool) -> Result<Vec<String>, AdapterError> {
    Ok(chosen(graph, adapter, headed)?.into_iter().map(|site| site.name).collect())
}

/// The layers that `adapter` is put to.
fn chosen(graph: &Graph, adapter: &Adapter, headed: bool) -> Result<Vec<Site>, AdapterError> {
    let recipe = adapter.recipe()?;
    let head = headed.then(|| classifier_of(graph)).flatten();
    let all = site::sites(graph, head);
    let suits = |s: &Site| recipe.suits(s) && !(adapter.linear && s.clamp.is_some());
    let names = || {
        all.iter()
            .enumerate()
            .map(|(i, s)| format!("{i} {:?}", s.name))
            .collect::<Vec<_>>()
            .join(", ")
    };
    if let Layers::Named(layers) = &adapter.layers {
        let mut sites = Vec::new();
        for layer in layers {
            let found = match layer {
                Layer::Index(index) => all.get(*index),
                Layer::Name(name) => all.iter().find(|s| s.name == *name),
            };
            let site = found.ok_or_else(|| AdapterError::NoLayer {
                layer: layer.to_string(),
                names: names(),
            })?;
            if !suits(site) {
                let layer = site.name.clone();
                return Err(AdapterError::Unsuited {
                    recipe: recipe.name(),
                    layer,
                    suits: which(recipe, adapter),
                });
            }
            sites.push(site.clone());
        }
        sites.sort_by_key(|s| s.node);
        sites.dedup_by_key(|s| s.node);
        return Ok(sites);
    }
    let suited: Vec<Site> = all.into_iter().filter(|s| suits(s)).collect();
    let count = suited.len();
    let first = match adapter.layers {
        Layers::Last(asked) if asked > count || asked == 0 => {
            let (recipe, suits) = (recipe.name(), which(recipe, adapter));
            return Err(AdapterError::TooMany { asked, recipe, count, suits });
        }
        Layers::Last(asked) => count - asked,
        _ => 0,
    };
    Ok(suited.into_iter().skip(first).collect())
}

/// Which layers an adapter suits, in words.
fn which(recipe: &dyn Recipe, adapter: &Adapter) -> String {
    match adapter.linear {
        true => format!("{}, without an activation", recipe.for_layers()),
        false => recipe.for_layers().into(),
    }
}
