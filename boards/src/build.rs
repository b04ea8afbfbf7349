//! Compiles an image and measures it.

use crate::elf::{self, Sizes};
use crate::toolchain::{route, NoToolchain};
use crate::Board;
use std::fs::{self, File};
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
    /// The folder of objects cannot be shared, or the program not be put in its place.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
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

/// Where objects go: images that use the sources in `root` share them, so that for each processor `core` and
/// firmware are compiled once.
pub fn objects(root: &Path) -> PathBuf {
    root.join("target/images")
}

/// Builds the image in the folder `image`, which [`crate::image::materialise`] made for `board` from the
/// sources in `root`. The program is put into `image/target`.
///
/// # Errors
/// A [`BuildError`], whose text says what to do.
pub fn build(board: &Board, image: &Path, root: &Path) -> Result<Built, BuildError> {
    let route = route(&board.target)?;
    let objects = objects(root);
    // Images of one board have one name: no other is built before this one is in its place.
    let _held = hold(&objects)?;
    // One name for it: what was built under another would be built again.
    let canonical = objects.canonicalize();
    let objects = canonical.map_err(|source| BuildError::Io { path: objects, source })?;
    let output = route
        .cargo_build(&board.target)
        .arg("--target-dir")
        .arg(&objects)
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
    let built = match board.is_host() {
        true => objects.join("release"),
        false => objects.join(&board.target).join("release"),
    };
    let suffix = if board.is_host() { std::env::consts::EXE_SUFFIX } else { "" };
    let name = format!("offshoot-{}{suffix}", board.name);
    let elf = image.join("target").join(&name);
    put(&built.join(&name), &elf).map_err(|source| BuildError::Io { path: elf.clone(), source })?;
    match elf::sizes(&elf) {
        Ok(sizes) => Ok(Built { elf, sizes }),
        Err(source) => Err(BuildError::Elf { elf, source }),
    }
}

/// Waits until no other process builds in `folder`, and keeps them out.
fn hold(folder: &Path) -> Result<File, BuildError> {
    let path = folder.join("offshoot.lock");
    let held = fs::create_dir_all(folder).and_then(|()| File::create(&path)).and_then(|file| {
        match file.lock() {
            // Some file systems have no locks.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
            _ => Ok(file),
        }
    });
    held.map_err(|source| BuildError::Io { path, source })
}

/// Copies `from` to `to`, of which a process may be running.
fn put(from: &Path, to: &Path) -> io::Result<()> {
    let part = to.with_extension("part");
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, &part)?;
    fs::rename(part, to)
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
