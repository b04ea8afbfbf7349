//! The `offshoot` command; see [`offshoot`] for the library.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use offshoot::place::PlaceError;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let over = |e: &PlaceError| matches!(e, PlaceError::Budget { .. });
            let unfit = error.chain().any(|e| e.downcast_ref().is_some_and(over));
            ExitCode::from(if unfit { 3 } else { 1 })
        }
    }
}
