//! The `offshoot-flash` command, which `offshoot flash` and `offshoot monitor` start.

mod cli;

use std::process::ExitCode;

use clap::Parser;
use offshoot_boards::build::BuildError;
use offshoot_flash::FlashError;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", message(&error));
            ExitCode::from(if error.chain().any(unfit) { 3 } else { 1 })
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

/// Whether an image does not fit.
fn unfit(error: &(dyn std::error::Error + 'static)) -> bool {
    use FlashError::{OutsideBoard, OutsideChip, SramTooSmall};
    matches!(error.downcast_ref(), Some(BuildError::TooLarge { .. }))
        || matches!(
            error.downcast_ref(),
            Some(OutsideBoard { .. } | OutsideChip { .. } | SramTooSmall { .. })
        )
}
