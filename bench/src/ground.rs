//! What cells of one network and data set share: a network in int8, as it is deployed, and samples.

use std::path::PathBuf;

use anyhow::{ensure, Context, Result};
use offshoot::adapt::HeadStart;
use offshoot::adapter::{attach, Adapter};
use offshoot::import::import;
use offshoot::ir::Graph;
use offshoot::learn::Watch;
use offshoot::pipeline::{compile, Compiled};
use offshoot::quantize::{is_real, quantize};
use offshoot_runtime::program::op::{ConvNormed, Precision, Weights};
use offshoot_runtime::program::Op;
use offshoot_simulator::data::Dataset;
use offshoot_simulator::ProgramFile;

use crate::deploy::deployed;
use crate::plan::{find, Cell, Method, Tier};
use crate::samples::{calibration, hash_of, load, Parts};

/// A network in int8 and the samples that it reads.
#[derive(Debug)]
pub struct Ground {
    /// The network.
    pub graph: Graph,
    /// The samples of a round.
    pub samples: Dataset,
    /// Their hash.
    pub hash: u64,
}

impl Ground {
    /// Loads what `cell` needs of the files that the plan names, and trains the network as far as it
    /// is when it is deployed.
    pub fn load(cell: &Cell<'_>, tier: &Tier, watch: &mut dyn Watch) -> Result<Ground> {
        let path = |file: &str| find(file).map_err(anyhow::Error::msg);
        let (model, file): (PathBuf, PathBuf) =
            (path(&cell.network.model)?, path(&cell.data.file)?);
        let graph = import(&model)?;
        let shape = match graph.input.map(|input| graph.tensor(input).shape.as_slice()) {
            Some(&[_, h, w, c]) => [h, w, c],
            _ => anyhow::bail!("{} has no input of height, width and channels", model.display()),
        };
        let Parts { base, round: samples } =
            load(cell.data, &file, shape, tier).with_context(|| file.display().to_string())?;
        let known = base.as_ref().unwrap_or(&samples.train);
        let mut graph = match cell.network.values {
            Some(values) if is_real(&graph) => {
                quantize(&graph, &calibration(cell.data, known, values))?.0
            }
            _ => graph,
        };
        if let Some((base, classes)) = cell.network.base.as_ref().zip(cell.data.classes) {
            graph = deployed(&graph, base, classes, known, watch)?;
        }
        Ok(Ground { graph, hash: hash_of(&samples), samples })
    }
}

/// The weights of layers that a program steps; the head's are not among them.
pub fn trained_layers(program: &ProgramFile) -> impl Iterator<Item = Weights> + '_ {
    program.ops.iter().filter_map(|op| match op {
        Op::ConvUpdate(u) | Op::ConvNormed(ConvNormed { update: u, .. }) => Some(u.weights),
        Op::DepthwiseUpdate(u) => Some(u.weights),
        Op::PickUpdate(u) => Some(u.weights),
        Op::ConvOptimize(o) => Some(o.update.weights),
        Op::DepthwiseOptimize(o) => Some(o.update.weights),
        _ => None,
    })
}

/// The channels of a weight matrix that are trained.
pub fn selected(weights: &Weights, constants: &[u8]) -> Vec<usize> {
    constants[weights.selected.start()..weights.selected.end()]
        .chunks_exact(2)
        .map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
        .collect()
}

/// What the head of a cell starts from.
pub fn start(cell: &Cell<'_>) -> HeadStart {
    match (&cell.data.deployed, cell.data.classes) {
        (Some(deployed), _) if deployed.new_class.is_some() => HeadStart::Extended { new: 1 },
        (None, Some(classes)) => HeadStart::Zero { classes: classes.into() },
        _ => HeadStart::Classifier,
    }
}

/// The program and the graph of a cell.
pub fn compiled(cell: &Cell<'_>, ground: &Ground) -> Result<Compiled> {
    let mut scheme = cell.scheme.scheme()?;
    ensure!(
        scheme.optimizer.is_plain() || !cell.method.is_study(),
        "scheme {:?} has momentum or batches, which method {:?} cannot do: leave either out",
        cell.scheme.name,
        cell.method.name()
    );
    scheme.precision = match cell.method {
        Method::Stochastic => Precision::Stochastic,
        _ => Precision::Residual,
    };
    let start = start(cell);
    let Some(adapter) = cell.scheme.adapter()? else {
        return Ok(compile(&ground.graph, start, &scheme)?);
    };
    let adapter = Adapter { precision: scheme.precision, ..adapter };
    let headed = scheme.loss.is_headed();
    let attached = attach(&ground.graph, &adapter, headed, &ground.samples.train)?;
    Ok(compile(&attached, start, &scheme)?)
}
