//! What a network is made of, and what of it a board can train: what `offshoot inspect` shows.

use std::collections::{HashMap, HashSet};

use offshoot_simulator::data::Split;
use serde::Serialize;

use crate::adapt::{adapt, classifier_of, layers, HeadStart};
use crate::adapter::{attach, Adapter, LEAST};
use crate::fit::{Limits, Sizes};
use crate::ir::{Fold, Graph, Node, NodeId, TensorId};
use crate::lower::Banded;
use crate::pipeline::{compile, compile_inference, CompileError, Compiled};
use crate::scheme::{Layer as LayerName, Layers, Scheme, WeightRule};

/// Adapters that are tried, on all layers that they suit.
const ADAPTERS: [&str; 3] = ["scale-shift", "lora-fa", "lora"];

/// What can be trained of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Trainable {
    /// It has no parameters.
    Nothing,
    /// Weights and bias, as the update scheme says.
    Scheme,
    /// It becomes the head, which is always trained.
    Head,
    /// It has parameters that stay as they are: no head can follow it, the steps of a recurrent layer
    /// share them, or they are no weights.
    Frozen,
}

/// One node of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// Index that an update scheme calls it by, where it can be trained by one.
    pub index: Option<usize>,
    /// Name of the node.
    pub name: String,
    /// Its op.
    pub op: &'static str,
    /// Shape of its result: `[1, height, width, channels]`.
    pub shape: Vec<usize>,
    /// Constants that no layer before it reads, which is to say weights and biases.
    pub parameters: usize,
    /// Multiply-accumulates of the forward pass.
    pub macs: u64,
    /// Bytes of its result.
    pub activation_bytes: usize,
    /// What can be trained.
    pub trainable: Trainable,
}

/// The sample that the network reads.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Input {
    /// Name of the tensor.
    pub name: String,
    /// `[1, height, width, channels]`.
    pub shape: Vec<usize>,
    /// Real value of one int8 step.
    pub scale: f32,
    /// int8 value that stands for 0.
    pub zero: i32,
}

/// Whether a use of the network fits a board.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What is trained: `inference` for nothing, else as for `compile --update`.
    pub update: String,
    /// The adapter beside it, as for `compile --adapter`.
    pub adapter: Option<&'static str>,
    /// Bytes of SRAM without stack; none where it cannot be compiled.
    pub sram: Option<u64>,
    /// Bytes of flash without code; none where it cannot be compiled.
    pub flash: Option<u64>,
    /// Parts of the forward pass that run in bands, so that the arena need not hold them whole.
    pub bands: Vec<Banded>,
    /// Whether both are within the board's, code included.
    pub fits: bool,
    /// Why it cannot be compiled.
    pub reason: Option<String>,
}

/// A network, layer by layer.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// Name of the model.
    pub model: String,
    /// What it reads.
    pub input: Input,
    /// Its nodes, in execution order.
    pub layers: Vec<Layer>,
    /// Weights and biases in all.
    pub parameters: usize,
    /// Multiply-accumulates of one inference.
    pub macs: u64,
    /// Bytes of the largest result of a node.
    pub largest_activation: usize,
    /// Nodes of the model that became part of others.
    pub folded: Vec<Fold>,
    /// What fits the board.
    pub verdicts: Vec<Verdict>,
}

/// Looks at `graph`, which [`crate::import`] gave, and at what can be trained behind a head that
/// starts as `start`.
///
/// # Errors
/// Where not even inference compiles.
pub fn inspect(
    graph: &Graph,
    start: HeadStart,
    limits: Limits,
) -> Result<Inspection, CompileError> {
    let inference = compile_inference(graph)?;
    let (named, counts) = (&inference.placed.names, &inference.placed.macs);
    let mut macs: HashMap<&str, u64> = HashMap::new();
    // What runs in bands has many ops of one name.
    for (name, count) in named.iter().zip(counts) {
        *macs.entry(name).or_default() += count;
    }
    let known = Known::of(graph, start);
    let layers: Vec<Layer> =
        graph.nodes().map(|(id, node)| layer(graph, (id, node), &macs, known.as_ref())).collect();
    let input = graph.input.map(|t| graph.tensor(t));
    let mut verdicts = vec![verdict("inference".into(), None, Ok(inference), limits)];
    for (update, scheme) in schemes(known.map_or(0, |known| known.indices.len())) {
        verdicts.push(verdict(update, None, compile(graph, start, &scheme), limits));
    }
    for (adapter, attached) in attached(graph) {
        let compiled = compile(&attached, start, &Scheme::default());
        verdicts.push(verdict("head".into(), Some(adapter), compiled, limits));
    }
    Ok(Inspection {
        model: graph.name.clone(),
        input: Input {
            name: input.map_or(String::new(), |t| t.name.clone()),
            shape: input.map_or(Vec::new(), |t| t.shape.clone()),
            scale: input.map_or(0.0, |t| t.scale_of(0)),
            zero: input.map_or(0, |t| t.zero()),
        },
        parameters: layers.iter().map(|l| l.parameters).sum(),
        macs: layers.iter().map(|l| l.macs).sum(),
        largest_activation: layers.iter().map(|l| l.activation_bytes).max().unwrap_or(0),
        layers,
        folded: graph.folded.clone(),
        verdicts,
    })
}

fn layer(
    graph: &Graph,
    (id, node): (NodeId, &Node),
    macs: &HashMap<&str, u64>,
    known: Option<&Known>,
) -> Layer {
    // What several nodes read counts where it is read first.
    let first = |t: &TensorId| {
        graph.nodes().find(|(_, n)| n.inputs.contains(t)).is_some_and(|(first, _)| first == id)
    };
    let constants = node.inputs.iter().filter(|t| graph.tensor(**t).data.is_some());
    let has_parameters = constants.clone().count() > 0;
    let parameters = constants.filter(|t| first(t)).map(|&t| graph.tensor(t).elements()).sum();
    let output = graph.tensor(node.outputs[0]);
    let index = known.and_then(|known| known.indices.get(&node.name).copied());
    let trainable = match (index, known) {
        _ if !has_parameters => Trainable::Nothing,
        (Some(_), _) => Trainable::Scheme,
        (None, Some(known)) if !known.kept.contains(&node.name) => Trainable::Head,
        (None, _) => Trainable::Frozen,
    };
    Layer {
        index,
        name: node.name.clone(),
        op: node.op.name(),
        shape: output.shape.clone(),
        parameters,
        macs: macs.get(node.name.as_str()).copied().unwrap_or(0),
        activation_bytes: output.bytes(),
        trainable,
    }
}

/// What becomes of the network once it has a head.
struct Known {
    /// The index that schemes give each layer.
    indices: HashMap<String, usize>,
    /// All nodes that the head does not replace.
    kept: HashSet<String>,
}

impl Known {
    /// None where no head can be put on.
    fn of(graph: &Graph, start: HeadStart) -> Option<Known> {
        let adapted = adapt(graph, start, &Scheme::default()).ok()?;
        let layers = layers(&adapted).into_iter().enumerate();
        let indices = layers.map(|(index, n)| (n.name.clone(), index)).collect();
        let kept = adapted.nodes().map(|(_, n)| n.name.clone()).collect();
        Some(Known { indices, kept })
    }
}

/// From least to most: the head, all biases, the last quarter of the layers, all of them.
fn schemes(layers: usize) -> Vec<(String, Scheme)> {
    let mut schemes = vec![("head".to_string(), Scheme::default())];
    if layers == 0 {
        return schemes;
    }
    let biases = Layers::Word("all".into());
    let all = Scheme { biases: biases.clone(), ..Scheme::default() };
    schemes.push(("biases=all".to_string(), all));
    let mut starts = vec![layers - layers.div_ceil(4), 0];
    starts.dedup();
    for start in starts {
        let rule = |index| WeightRule { layer: LayerName::Index(index), channels: 1.0 };
        let weights: Vec<WeightRule> = (start..layers).map(rule).collect();
        let named: Vec<String> = (start..layers).map(|index| format!(",{index}:1")).collect();
        let count = layers - start;
        let scheme = Scheme { biases: Layers::Last(count), weights, ..Scheme::default() };
        schemes.push((format!("biases={count}{}", named.concat()), scheme));
    }
    schemes
}

/// The network with adapters, from least to most, where it ends in a classifier. Sizes do not depend on samples: any
/// serve.
fn attached(graph: &Graph) -> Vec<(&'static str, Graph)> {
    let size = graph.input.map_or(0, |input| graph.tensor(input).elements());
    let inputs = (0..LEAST * size).map(|i| (i * 7 % 256) as u8 as i8).collect();
    let samples = Split::new(inputs, vec![0; LEAST]).unwrap_or_default();
    let with = |adapter: &'static str| {
        let spec = Adapter::from_short(adapter).ok()?;
        Some((adapter, attach(graph, &spec, true, &samples).ok()?))
    };
    let known = classifier_of(graph).is_some();
    ADAPTERS.iter().filter(|_| known).filter_map(|adapter| with(adapter)).collect()
}

fn verdict(
    update: String,
    adapter: Option<&'static str>,
    compiled: Result<Compiled, CompileError>,
    limits: Limits,
) -> Verdict {
    match compiled.and_then(|c| Ok((Sizes::of(&c)?, c.placed.bands))) {
        Ok((sizes, bands)) => Verdict {
            update,
            adapter,
            sram: Some(sizes.sram),
            flash: Some(sizes.flash),
            bands,
            fits: limits.hold(sizes),
            reason: None,
        },
        Err(error) => Verdict {
            update,
            adapter,
            sram: None,
            flash: None,
            bands: Vec::new(),
            fits: false,
            reason: Some(error.to_string()),
        },
    }
}
