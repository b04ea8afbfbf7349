//! Starts the benchmark, built with optimisation.

use crate::shell::{cargo, Result};

/// Passes `args` on; the benchmark says what it does itself.
pub fn run(args: impl Iterator<Item = String>) -> Result<()> {
    let mut bench = cargo(&["run", "--quiet", "--release", "--package", "offshoot-bench", "--"]);
    let status = bench.args(args).status().map_err(|e| format!("cargo: {e}"))?;
    // It has said what went wrong.
    status.success().then_some(()).ok_or_else(String::new)
}
