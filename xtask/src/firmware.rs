//! Starts the program that builds and measures images.

use crate::shell::{cargo, Result};

/// Passes `args` on; the program says what it does itself.
pub fn run(args: impl Iterator<Item = String>) -> Result<()> {
    let package = ["--package", "offshoot-tests", "--bin", "firmware", "--"];
    let mut build = cargo(&["run", "--quiet", "--release"]);
    let status = build.args(package).args(args).status().map_err(|e| format!("cargo: {e}"))?;
    // It has said what went wrong.
    status.success().then_some(()).ok_or_else(String::new)
}
