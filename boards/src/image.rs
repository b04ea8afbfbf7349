//! Image sources: copied beside an emitted model, with the places they need filled in.

use crate::Board;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Sources of one image, as they lie in `images/<name>/`.
pub(crate) struct Source {
    pub(crate) name: &'static str,
    pub(crate) board: &'static str,
    files: &'static [(&'static str, &'static str)],
}

macro_rules! source {
    ($name:literal: $($file:literal),*) => {
        Source {
            name: $name,
            board: include_str!(concat!("../images/", $name, "/board.toml")),
            files: &[$(($file, include_str!(concat!("../images/", $name, "/", $file)))),*],
        }
    };
}

/// What runs without an operating system, and its files beside those that all such have.
macro_rules! bare {
    ($name:literal $(, $file:literal)*) => {
        source!($name: "Cargo.toml", "Cargo.lock", ".cargo/config.toml", "build.rs", "memory.x",
            "src/main.rs" $(, $file)*)
    };
}

/// The list of boards.
pub(crate) const IMAGES: &[Source] = &[
    source!("host": "Cargo.toml", "Cargo.lock", "src/main.rs"),
    bare!("qemu-mps2-an385"),
    bare!("qemu-mps2-an386"),
    bare!("qemu-mps2-an500"),
    bare!("qemu-mps2-an505"),
    bare!("qemu-mps3-an547"),
    bare!("netduino2"),
    bare!("netduinoplus2"),
    bare!("qemu-riscv32-virt", "src/uart.rs"),
    bare!("nucleo-f411re"),
    bare!("stm32f746g-disco"),
    bare!("raspberry-pi-pico"),
    bare!("raspberry-pi-pico2"),
    bare!("nrf52840-dk"),
    // Its memories are laid out by its HAL.
    source!("esp32-c3": "Cargo.toml", "Cargo.lock", ".cargo/config.toml", "build.rs", "limits.x",
        "src/main.rs"),
];

pub(crate) fn source(name: &str) -> Option<&'static Source> {
    IMAGES.iter().find(|image| image.name == name)
}

/// Why an image could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// There is no image of that name.
    #[error(
        "no image for board \"{0}\": add boards/images/{0}/ and list it in boards/src/image.rs"
    )]
    Unknown(String),
    /// A folder that the image needs is not there.
    #[error("{} holds no crate: {hint}", .path.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// What to do.
        hint: &'static str,
    },
    /// A path that cannot be written into `Cargo.toml`.
    #[error("the path {} cannot be named in a Cargo.toml: use one in UTF-8 without quotes", .0.display())]
    Path(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Makes the image of `board` around the emitted crate in `model`, in `out/firmware/<board>/`, and
/// returns that folder. `root` is the folder of this project. Files that are as they should be are
/// left alone, so that the next build is incremental.
///
/// # Errors
/// An [`ImageError`], whose text says what to do.
pub fn materialise(
    board: &Board,
    model: &Path,
    root: &Path,
    out: &Path,
) -> Result<PathBuf, ImageError> {
    let image = source(&board.name).ok_or_else(|| ImageError::Unknown(board.name.clone()))?;
    let model = crate_path(model, "compile a model first")?;
    let root = crate_path(root, "give the folder that this project's sources lie in")?;
    let mut tokens = vec![("@MODEL@", model), ("@ROOT@", root)];
    if let Some(flash) = board.flash {
        tokens.push(("@FLASH_ORIGIN@", format!("{:#x}", flash.origin)));
        tokens.push(("@FLASH_BYTES@", flash.bytes.to_string()));
    }
    if let Some(sram) = board.sram.first() {
        tokens.push(("@SRAM_ORIGIN@", format!("{:#x}", sram.origin)));
        tokens.push(("@SRAM_BYTES@", sram.bytes.to_string()));
    }
    tokens.push(("@STACK_BYTES@", board.stack_bytes.to_string()));
    // Without any they are 0: the image then offers no flash.
    let kept = board.checkpoint_range().unwrap_or_default();
    let offset = kept.start.saturating_sub(board.flash.map_or(0, |flash| flash.origin));
    tokens.push(("@CHECKPOINTS_OFFSET@", format!("{offset:#x}")));
    tokens.push(("@CHECKPOINTS_BYTES@", format!("{:#x}", kept.end - kept.start)));
    let endurance = board.checkpoints.map_or(0, |checkpoints| checkpoints.endurance);
    tokens.push(("@CHECKPOINTS_ENDURANCE@", endurance.to_string()));
    tokens.push(("@BANK_BYTES@", board.bank.map_or(0, |bank| bank.bytes).to_string()));
    tokens.push(("@BANK_ENDURANCE@", board.bank.map_or(0, |bank| bank.endurance).to_string()));
    let folder = out.join("firmware").join(&board.name);
    for (file, text) in image.files {
        let path = folder.join(file);
        // The model's own dependencies are added to the copy of this one.
        if *file == "Cargo.lock" && path.exists() {
            continue;
        }
        let text =
            tokens.iter().fold(text.to_string(), |t, (token, value)| t.replace(token, value));
        write_if_changed(&path, &text).map_err(|source| ImageError::Io { path, source })?;
    }
    Ok(folder)
}

/// The absolute path of a crate's or workspace's folder, fit for a TOML string.
fn crate_path(path: &Path, hint: &'static str) -> Result<String, ImageError> {
    if !path.join("Cargo.toml").is_file() {
        return Err(ImageError::Missing { path: path.to_path_buf(), hint });
    }
    let full = path
        .canonicalize()
        .map_err(|source| ImageError::Io { path: path.to_path_buf(), source })?;
    match full.to_str() {
        Some(text) if !text.contains(['"', '\\', '\n']) => Ok(text.to_string()),
        _ => Err(ImageError::Path(full)),
    }
}

fn write_if_changed(path: &Path, text: &str) -> io::Result<()> {
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}
