//! Runs commands and says so.

use std::path::Path;
use std::process::Command;

/// What goes wrong is told, not handled.
pub type Result<T> = std::result::Result<T, String>;

/// Runs a command whose output the user sees.
pub fn run(command: &mut Command) -> Result<()> {
    let words = describe(command);
    println!("$ {words}");
    let status = command.status().map_err(|e| format!("{words}: {e}"))?;
    status.success().then_some(()).ok_or_else(|| format!("{words}: {status}"))
}

/// The standard output of a command that succeeds, trimmed.
pub fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// Whether `program` is on the path.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// A `cargo` in the project's folder.
pub fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    if let Some(root) = Path::new(env!("CARGO_MANIFEST_DIR")).parent() {
        command.current_dir(root);
    }
    command.args(args);
    command
}

/// The command as one would type it.
pub fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    std::iter::once(program)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
