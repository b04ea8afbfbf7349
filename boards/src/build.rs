//! Compiles an image and measures it.

use crate::elf::{self, Sizes};
use crate::toolchain::{route, NoToolchain};
use crate::Board;
use std::io;
use std::path::{Path, PathBuf};

/// An image that is ready to run.
#[derive(Clone, Debug)]
pub struct Built {
    /// The program.
    pub elf: PathBuf,
    /// What it takes of the board's memories.
    pub sizes: Sizes,
}

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// No compiler for the board.
    #[error(transparent)]
    Toolchain(#[from] NoToolchain),
    /// The compiler could not be started.
    #[error("cargo could not be started: {0}")]
    Start(#[source] io::Error),
    /// It does not fit.
    #[error(
        "the image does not fit {board}: train fewer layers, or take a larger board\n{messages}"
    )]
    TooLarge {
        /// The board.
        board: String,
        /// The linker's words.
        messages: String,
    },
    /// It does not compile.
    #[error("the image in {} does not build:\n{messages}", .image.display())]
    Failed {
        /// Where it lies.
        image: PathBuf,
        /// The compiler's words.
        messages: String,
    },
    /// The program could not be measured.
    #[error("{}: {source}", .elf.display())]
    Elf {
        /// Which.
        elf: PathBuf,
        /// Why.
        #[source]
        source: elf::ElfError,
    },
}

/// Builds the image in the folder `image`, which [`crate::image::materialise`] made for `board`.
/// Objects go to `target_dir`, or to `image/target` where that is `None`. Two builds for one board
/// in one target folder overwrite each other's program.
///
/// # Errors
/// A [`BuildError`], whose text says what to do.
pub fn build(board: &Board, image: &Path, target_dir: Option<&Path>) -> Result<Built, BuildError> {
    let route = route(&board.target)?;
    let target_dir = match target_dir {
        Some(folder) => std::path::absolute(folder).map_err(BuildError::Start)?,
        None => std::path::absolute(image.join("target")).map_err(BuildError::Start)?,
    };
    let output = route
        .cargo_build(&board.target)
        .arg("--target-dir")
        .arg(&target_dir)
        .current_dir(image)
        .output()
        .map_err(BuildError::Start)?;
    if !output.status.success() {
        let messages = String::from_utf8_lossy(&output.stderr).trim().to_string();
        let full = ["will not fit in region", "overflowed by", "ERROR(offshoot)"];
        return Err(match full.iter().any(|sign| messages.contains(sign)) {
            true => BuildError::TooLarge { board: board.name.clone(), messages: linker(&messages) },
            false => BuildError::Failed { image: image.to_path_buf(), messages },
        });
    }
    let name = format!("offshoot-{}", board.name);
    let elf = match board.is_host() {
        true => target_dir.join("release").join(name + std::env::consts::EXE_SUFFIX),
        false => target_dir.join(&board.target).join("release").join(name),
    };
    match elf::sizes(&elf) {
        Ok(sizes) => Ok(Built { elf, sizes }),
        Err(source) => Err(BuildError::Elf { elf, source }),
    }
}

/// The lines of the linker's complaint that say by how much it does not fit.
fn linker(messages: &str) -> String {
    let telling = |line: &&str| {
        ["will not fit", "overflowed by", "ERROR(offshoot)"].iter().any(|sign| line.contains(sign))
    };
    let mut lines: Vec<&str> = messages.lines().map(str::trim).filter(telling).collect();
    lines.dedup();
    lines.join("\n")
}
