//! Starts compiled programs on boards, for tests.

use std::fs;
use std::path::Path;

use offshoot::device::{build_image, Device, DeviceError};
use offshoot::emit::{self, Beside};
use offshoot::pipeline::Compiled;
use offshoot_boards::build::Built;
use offshoot_boards::Board;

use crate::cases::root;

/// Builds the image of `board` around `compiled`, in `folder` of `temporary`.
///
/// # Errors
/// Why it cannot be built.
///
/// # Panics
/// Where files cannot be written.
pub fn build(
    compiled: &Compiled,
    board: &Board,
    temporary: &Path,
    folder: &str,
) -> Result<Built, DeviceError> {
    build_with(compiled, Beside::default(), board, temporary, folder)
}

/// As [`build`], with more beside the network.
///
/// # Errors
/// Why it cannot be built.
///
/// # Panics
/// Where files cannot be written.
pub fn build_with(
    compiled: &Compiled,
    beside: impl Into<Beside>,
    board: &Board,
    temporary: &Path,
    folder: &str,
) -> Result<Built, DeviceError> {
    let out = temporary.join(folder);
    let model = out.join("model");
    emit_model(compiled, beside, folder, &model);
    build_image(board, &model, root(), &out)
}

/// Writes the crate of `compiled` to `model`, with what is beside it.
///
/// # Panics
/// Where it cannot be written.
pub fn emit_model(compiled: &Compiled, beside: impl Into<Beside>, name: &str, model: &Path) {
    let runtime = root().canonicalize().expect("the repository").join("runtime");
    let names = &compiled.placed.names;
    let files = emit::files(&compiled.program, name, names, &beside.into(), &runtime, model);
    emit::write(files).unwrap_or_else(|e| panic!("{e}"));
}

/// Copies `files` of the image `name` in `tests/images` to `folder`, with the places of its crates.
///
/// # Panics
/// Where they cannot be read or written.
pub fn copy_image(name: &str, files: &[&str], model: &Path, folder: &Path) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("images").join(name);
    let root = root().canonicalize().expect("the repository");
    for file in files {
        let text = fs::read_to_string(from.join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        let text = text.replace("@ROOT@", &root.to_string_lossy());
        let text = text.replace("@MODEL@", &model.to_string_lossy());
        let to = folder.join(file);
        fs::create_dir_all(to.parent().unwrap_or(folder)).unwrap_or_else(|e| panic!("{e}"));
        fs::write(&to, text).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    }
}

/// Runs `compiled` on `board`, its image in `folder` of `temporary`. Counts of instructions are exact only
/// where `count` asks for them.
///
/// # Panics
/// Where it cannot be built or does not answer.
pub fn start(
    compiled: &Compiled,
    board: &Board,
    temporary: &Path,
    folder: &str,
    count: bool,
) -> Device {
    let built = build(compiled, board, temporary, folder).unwrap_or_else(|e| panic!("{e}"));
    let mut device = Device::start(board, &built, None, count).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(device.client.device().model_hash, compiled.program.header.model_hash);
    device.client.reset().unwrap_or_else(|e| panic!("{e}"));
    device
}
