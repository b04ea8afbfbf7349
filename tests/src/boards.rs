//! Starts compiled programs on boards, for tests.

use std::fs;
use std::path::Path;
use std::sync::Mutex;

use offshoot::device::{build_image, Device, DeviceError};
use offshoot::emit;
use offshoot::pipeline::Compiled;
use offshoot_boards::build::Built;
use offshoot_boards::Board;
use offshoot_runtime::guard::Guard;

use crate::cases::root;

/// Builds of one board share a folder, so that `core` is compiled once: one at a time, and each
/// program is moved away before the next overwrites it.
static BUILDING: Mutex<()> = Mutex::new(());

/// Builds the image of `board` around `compiled`. Files go below `folder`; `temporary` is the folder
/// for build products.
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
    build_guarded(compiled, &Guard::NONE, board, temporary, folder)
}

/// As [`build`], watched with `guard`.
///
/// # Errors
/// Why it cannot be built.
///
/// # Panics
/// Where files cannot be written.
pub fn build_guarded(
    compiled: &Compiled,
    guard: &Guard,
    board: &Board,
    temporary: &Path,
    folder: &str,
) -> Result<Built, DeviceError> {
    let out = temporary.join(folder);
    let model = out.join("model");
    let runtime = root().canonicalize().expect("the repository").join("runtime");
    let names = &compiled.placed.names;
    let files = emit::files(&compiled.program, folder, names, guard, &runtime, &model);
    emit::write(files).unwrap_or_else(|e| panic!("{e}"));
    let _guard = BUILDING.lock().unwrap_or_else(|e| e.into_inner());
    let target = temporary.join("images/target");
    let mut built = build_image(board, &model, root(), &out, Some(&target))?;
    let elf = out.join(format!("{}.elf", board.name));
    fs::copy(&built.elf, &elf).unwrap_or_else(|e| panic!("{}: {e}", elf.display()));
    built.elf = elf;
    Ok(built)
}

/// Runs `compiled` on `board`. Files go below `folder`; `temporary` is the folder for build
/// products. Counts of instructions are exact only where `count` asks for them.
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
