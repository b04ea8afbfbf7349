//! Commands that are programs of their own, so that the compiler builds without what they need.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{bail, Context, Result};

const PROGRAM: &str = "offshoot-flash";

/// Arguments that are passed on.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// See `offshoot flash --help` and `offshoot monitor --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Runs `offshoot-flash NAME` in place of this process's work, and ends as that does.
pub fn run(name: &str, args: &Args, json: bool) -> Result<()> {
    let found = find();
    let Some(program) = found else {
        bail!(
            "`offshoot {name}` is a program of its own, {PROGRAM}, which is neither beside this one nor \
             on the PATH: install it with `cargo install --path flash`, or build it in place with \
             `cargo build --release -p {PROGRAM}`"
        );
    };
    let json = json.then_some("--json");
    let mut command = Command::new(&program);
    let status = command.arg(name).args(json).args(&args.args).status();
    let status = status.with_context(|| program.display().to_string())?;
    // It has said what went wrong. Ended by a signal, it has no code.
    std::process::exit(status.code().unwrap_or(1))
}

/// The program beside this one, or the first on the PATH.
fn find() -> Option<PathBuf> {
    let name = format!("{PROGRAM}{}", env::consts::EXE_SUFFIX);
    let beside = env::current_exe().ok().and_then(|own| Some(own.parent()?.to_path_buf()));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = beside.into_iter().chain(env::split_paths(&path));
    folders.find_map(|folder| Some(folder.join(&name)).filter(|program| program.is_file()))
}
