//! The `offshoot` command; see [`offshoot`] for the library.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use offshoot::fit::Unfit;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", message(&error));
            let unfit = error.chain().any(|e| e.downcast_ref::<Unfit>().is_some());
            ExitCode::from(if unfit { 3 } else { 1 })
        }
    }
}

/// An error and its causes, without those that the text before them has said already.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        said if said.contains(&cause) => text,
        said => format!("{said}: {cause}"),
    })
}
