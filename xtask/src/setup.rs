//! Installs a compiler for the boards' cores and emulators, where they are missing.

use crate::cases;
use crate::shell::{has, output, run, Result};
use std::path::Path;
use std::process::Command;

/// What images are compiled for.
const TARGETS: [&str; 5] = [
    "thumbv6m-none-eabi",
    "thumbv7em-none-eabihf",
    "thumbv7m-none-eabi",
    "thumbv8m.main-none-eabihf",
    "riscv32imc-unknown-none-elf",
];
/// Emulators, and the packages that have them: since Debian 13 RISC-V has one of its own.
const EMULATORS: [(&str, &[&str]); 2] = [
    ("qemu-system-arm", &["qemu-system-arm"]),
    ("qemu-system-riscv32", &["qemu-system-riscv", "qemu-system-misc"]),
];
/// The compiler's packages: one name before Debian 13, the other since.
const COMPILERS: [[&str; 3]; 2] =
    [["rustc-web", "cargo-web", "rust-web-src"], ["rustc", "cargo", "rust-src"]];

/// All that tests need.
pub fn everything() -> Result<()> {
    cases::fetch();
    install_missing()
}

/// Installs what is missing and says what that is. Leaves the user's Rust toolchain alone.
fn install_missing() -> Result<()> {
    let absent = || EMULATORS.iter().filter(|(program, _)| !has(program));
    if compiles() && absent().next().is_none() {
        println!("setup: compiler and emulators are there");
        return Ok(());
    }
    let apt = Apt::ready()?;
    let mut packages = Vec::new();
    if !compiles() {
        packages.extend(COMPILERS.iter().find(|names| known(names[0])).unwrap_or(&COMPILERS[1]));
        if !links() {
            packages.push("lld");
        }
    }
    for (_, names) in absent() {
        packages.extend(names.iter().find(|name| known(name)).or(names.first()));
    }
    println!("setup: installing {}", packages.join(" "));
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(&packages);
    apt.get(&args)?;
    let emulator = absent().next().map(|(program, _)| *program);
    match emulator.or((!compiles()).then_some("a compiler for the boards")) {
        Some(what) => Err(format!(
            "{} were installed, yet {what} is missing; {}",
            packages.join(" "),
            by_hand()
        )),
        None => Ok(()),
    }
}

fn compiles() -> bool {
    let installed = |rustc: &str, part: &str| {
        output(rustc, &["--print", "sysroot"]).is_some_and(|s| Path::new(&s).join(part).is_dir())
    };
    TARGETS.iter().all(|target| installed("rustc", &format!("lib/rustlib/{target}/lib")))
        || Path::new("/usr/bin/cargo").is_file()
            && installed("/usr/bin/rustc", "lib/rustlib/src/rust/library/core")
            && links()
}

fn links() -> bool {
    let sysroot = output("rustc", &["--print", "sysroot"]);
    let host = output("rustc", &["-vV"])
        .and_then(|text| text.lines().find_map(|l| l.strip_prefix("host: ").map(str::to_string)));
    let own = sysroot.zip(host).map(|(s, h)| format!("{s}/lib/rustlib/{h}/bin/rust-lld"));
    own.is_some_and(|path| Path::new(&path).is_file()) || has("ld.lld") || has("rust-lld")
}

/// Whether the package index knows `package`.
fn known(package: &str) -> bool {
    output("apt-cache", &["show", package]).is_some_and(|text| !text.is_empty())
}

fn by_hand() -> String {
    format!(
        "by hand: `rustup target add {}`, and QEMU for Arm and RISC-V ({}); then try again",
        TARGETS.join(" "),
        EMULATORS.map(|(program, _)| program).join(", ")
    )
}

/// Debian's package manager, with the right to use it.
struct Apt {
    root: bool,
}

impl Apt {
    /// With a fresh package index.
    fn ready() -> Result<Apt> {
        if !has("apt-get") {
            return Err(format!("a compiler or emulator for the boards is missing; {}", by_hand()));
        }
        let root = output("id", &["-u"]).as_deref() == Some("0");
        if !root && !has("sudo") {
            return Err(format!("installing packages takes root; {}", by_hand()));
        }
        let apt = Apt { root };
        apt.get(&["update", "-qq"])?;
        Ok(apt)
    }

    fn get(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(if self.root { "env" } else { "sudo" });
        command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]).args(args);
        run(&mut command).map_err(|e| format!("{e}; {}", by_hand()))
    }
}
