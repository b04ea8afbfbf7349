//! Which compiler builds an image: rustup's target where it is installed, else the system's
//! compiler with `core` built from its sources.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A way to compile for a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// For this computer, with the usual toolchain.
    Host,
    /// With the usual toolchain, whose target is installed.
    Installed,
    /// With the system's compiler, which comes with the sources of `core`.
    System {
        /// Its `cargo`.
        cargo: PathBuf,
        /// Its `rustc`.
        rustc: PathBuf,
        /// A linker for the target.
        linker: PathBuf,
    },
}

/// Nothing here can compile for the target.
#[derive(Debug, thiserror::Error)]
#[error(
    "nothing here compiles for {target}: run `rustup target add {target}`, or `cargo xtask setup` \
     to install the system's compiler (missing: {missing})"
)]
pub struct NoToolchain {
    /// The target.
    pub target: String,
    /// What the second way lacks.
    pub missing: &'static str,
}

/// Variables by which a build under way would leak into the build of an image.
const LEAKS: &[&str] = &[
    "CARGO",
    "CARGO_BUILD_TARGET",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_MANIFEST_DIR",
    "CARGO_MANIFEST_PATH",
    "CARGO_TARGET_DIR",
    "RUSTC",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTFLAGS",
];

/// Finds a way to compile for `target`, a triple or `host`.
///
/// # Errors
/// [`NoToolchain`] says how to get one.
pub fn route(target: &str) -> Result<Route, NoToolchain> {
    if target == "host" {
        return Ok(Route::Host);
    }
    let usual = sysroot(Path::new("rustc"));
    if usual.as_ref().is_some_and(|s| s.join("lib/rustlib").join(target).join("lib").is_dir()) {
        return Ok(Route::Installed);
    }
    let missing = |missing| NoToolchain { target: target.to_string(), missing };
    let (cargo, rustc) = (PathBuf::from("/usr/bin/cargo"), PathBuf::from("/usr/bin/rustc"));
    if !cargo.is_file() {
        return Err(missing("/usr/bin/cargo"));
    }
    let system = sysroot(&rustc).ok_or_else(|| missing("/usr/bin/rustc"))?;
    if !system.join("lib/rustlib/src/rust/library/core").is_dir() {
        return Err(missing("the sources of core"));
    }
    let linker = linker([usual, Some(system)]).ok_or_else(|| missing("rust-lld or ld.lld"))?;
    Ok(Route::System { cargo, rustc, linker })
}

impl Route {
    /// A `cargo build` for `target`, to which the caller adds what and where.
    pub fn cargo_build(&self, target: &str) -> Command {
        let mut command = match self {
            Route::Host | Route::Installed => Command::new("cargo"),
            Route::System { cargo, .. } => Command::new(cargo),
        };
        for name in LEAKS {
            command.env_remove(name);
        }
        command.arg("build").arg("--release");
        match self {
            Route::Host => {}
            Route::Installed => drop(command.args(["--target", target])),
            Route::System { rustc, linker, .. } => {
                let variable = target.to_uppercase().replace(['-', '.'], "_");
                command
                    .args(["-Zbuild-std=core", "--target", target])
                    .env("RUSTC", rustc)
                    // Building `core` is a feature of this very compiler that is not stable yet.
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env(format!("CARGO_TARGET_{variable}_LINKER"), linker)
                    .env_remove("LD_LIBRARY_PATH")
                    .env_remove("RUSTUP_TOOLCHAIN");
            }
        }
        command
    }

    /// What its compiler calls itself, such as `rustc 1.95.0 (59807616e 2026-04-14)`.
    pub fn compiler(&self) -> Option<String> {
        let rustc = match self {
            Route::Host | Route::Installed => Path::new("rustc"),
            Route::System { rustc, .. } => rustc,
        };
        ask(rustc, "--version")
    }
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    ask(rustc, "--print=sysroot").map(PathBuf::from)
}

fn ask(rustc: &Path, what: &str) -> Option<String> {
    let output = Command::new(rustc).arg(what).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

fn linker(sysroots: [Option<PathBuf>; 2]) -> Option<PathBuf> {
    let own = sysroots.into_iter().flatten().flat_map(|sysroot| {
        let targets = std::fs::read_dir(sysroot.join("lib/rustlib")).into_iter().flatten();
        targets.flatten().map(|target| target.path().join("bin/rust-lld"))
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = ["rust-lld", "ld.lld"]
        .iter()
        .flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)))
        .collect();
    own.chain(on_path).find(|linker| linker.is_file())
}
