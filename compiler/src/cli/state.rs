//! Arguments by which learnt state comes and goes, and the files that hold it.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use offshoot::emit;
use offshoot_runtime::program::Header;
use offshoot_simulator::StateFile;

/// What `simulate` and `run` share about state.
#[derive(Debug, clap::Args)]
pub struct StateArgs {
    /// Begin with the learnt state in this file, which `export` or `--save` wrote, in place of what
    /// the compiler gave.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    state: Option<PathBuf>,
    /// Write the learnt state to this file in the end.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Keep the state each so many steps: on a board in its flash, in the simulator in the program's
    /// folder.
    #[arg(long, value_name = "STEPS")]
    pub checkpoint_every: Option<NonZeroUsize>,
    /// Go on with a round that was broken off, from its newest checkpoint, with the same arguments.
    #[arg(long)]
    pub resume: bool,
}

impl StateArgs {
    /// The state to begin with, where a file of it was named.
    pub fn given(&self, header: &Header) -> Result<Option<StateFile>> {
        self.state.as_deref().map(|path| read(path, header)).transpose()
    }

    /// Writes state where it was asked for.
    pub fn save(&self, header: &Header, steps: usize, state: &[u8]) -> Result<()> {
        self.save.as_deref().map_or(Ok(()), |path| Ok(write(path, header, steps, state)?))
    }

    /// Whether the state in the end is asked for.
    pub fn saves(&self) -> bool {
        self.save.is_some()
    }
}

/// Reads state that must be of the program with this header.
pub fn read(path: &Path, header: &Header) -> Result<StateFile> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    StateFile::decode(&bytes, header).with_context(|| path.display().to_string())
}

/// Writes state, whole or not at all.
pub fn write(
    path: &Path,
    header: &Header,
    steps: usize,
    state: &[u8],
) -> Result<(), emit::EmitError> {
    let steps = u32::try_from(steps).unwrap_or(u32::MAX);
    let file = StateFile { model_hash: header.model_hash, steps, state: state.to_vec() };
    emit::write(vec![(path.to_path_buf(), file.encode())])
}

/// Steps of a round that are behind a checkpoint, of `steps` in all.
pub fn taken(behind: u32, steps: usize) -> Result<usize> {
    let behind = behind as usize;
    anyhow::ensure!(
        behind <= steps,
        "the checkpoint has {behind} steps behind it, the round has {steps}: resume with the \
         arguments that the round began with"
    );
    Ok(behind)
}
