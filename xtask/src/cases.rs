//! Fetches the node cases of the `onnx` package, by which operators are tested.

use crate::shell::{run, Result};
use std::path::Path;
use std::process::Command;

const PACKAGE: &str = "onnx==1.15.0";
/// Of any build of the package: the cases are the same in all.
const BUILD: [&str; 4] = ["--python-version", "3.11", "--platform", "manylinux_2_17_x86_64"];

/// Lays the package out in `target/onnx-1.15.0`, where it is not there yet. Without Python the
/// tests that read it skip.
pub fn fetch() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let folder = root.join("target/onnx-1.15.0");
    if folder.join("onnx/backend/test/data/node").is_dir() {
        return;
    }
    if let Err(why) = unpack(&folder) {
        println!("setup: no ONNX node cases, their tests will skip: {why}");
    }
}

fn unpack(folder: &Path) -> Result<()> {
    let part = folder.with_extension("part");
    let _ = std::fs::remove_dir_all(&part);
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
    run(pip.args(BUILD).arg("--dest").arg(&part).arg(PACKAGE))?;
    let mut files = std::fs::read_dir(&part).map_err(|e| e.to_string())?;
    let wheel = files.next().and_then(|f| f.ok()).ok_or("pip left no file")?.path();
    run(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(&wheel).arg(&part))?;
    let _ = std::fs::remove_file(&wheel);
    // Whole or not at all: a folder that is there is taken to be complete.
    let _ = std::fs::remove_dir_all(folder);
    std::fs::rename(&part, folder).map_err(|e| format!("{}: {e}", folder.display()))
}
