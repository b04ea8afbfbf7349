//! One command each for what a developer does: `cargo xtask setup`, `test`, `bench`, `firmware`.

mod bench;
mod cases;
mod firmware;
mod setup;
mod shell;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  setup     installs what images and emulators need, where it is missing
  test      setup, format check, lints, and every test there is; the last line counts them
  bench     measures what the project claims: `bench accuracy --help` says how
  firmware  builds the images of boards and prints what they take: `firmware --help` says how
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let result = match command.as_deref() {
        Some("bench") => bench::run(args),
        Some("firmware") => firmware::run(args),
        Some("setup") => setup::everything(),
        Some("test") => test::all(),
        None | Some("help" | "-h" | "--help") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(format!("there is no command \"{other}\"\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            if !why.is_empty() {
                eprintln!("xtask: {why}");
            }
            ExitCode::FAILURE
        }
    }
}
