//! Commands that are programs of their own: found, given their arguments, and missed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::support::folder;

/// The binary, alone in a folder: beside the built one the other program may lie.
fn alone(name: &str) -> PathBuf {
    let own = folder(name).join("offshoot");
    fs::copy(env!("CARGO_BIN_EXE_offshoot"), &own).unwrap();
    own
}

fn run(own: &Path, path: &Path, args: &[&str]) -> Output {
    Command::new(own).args(args).env("PATH", path).output().unwrap()
}

#[test]
fn a_program_that_is_not_installed() {
    let own = alone("external-missing");
    for command in ["flash", "monitor"] {
        let ran = run(&own, Path::new("/nowhere"), &[command, "out", "--board", "nrf52840-dk"]);
        let error = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(1), "{error}");
        let says = [&format!("offshoot {command}"), "offshoot-flash", "cargo install --path flash"];
        assert!(says.iter().all(|part| error.contains(*part)), "{error}");
    }
}

#[cfg(unix)]
#[test]
fn arguments_and_exit_code_pass_through() {
    use std::os::unix::fs::PermissionsExt;
    let script = |folder: &Path, says: &str| {
        let program = folder.join("offshoot-flash");
        fs::write(&program, format!("#!/bin/sh\necho {says} \"$@\"\nexit 7\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let own = alone("external-found");
    let path = folder("external-found-path");
    script(&path, "path");
    let printed = |args: &[&str]| {
        let ran = run(&own, &path, args);
        assert_eq!(ran.status.code(), Some(7), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let given = ["flash", "out", "--board", "nrf52840-dk", "--dry-run", "--help"];
    assert_eq!(printed(&given), "path flash out --board nrf52840-dk --dry-run --help\n");
    assert_eq!(printed(&["flash", "--help"]), "path flash --help\n");
    assert_eq!(printed(&["--json", "flash", "out"]), "path flash --json out\n");
    // The one beside it comes first.
    script(own.parent().unwrap(), "beside");
    assert_eq!(printed(&["monitor", "out"]), "beside monitor out\n");
}
