//! `offshoot report`: what a compiled program needs, and a picture of its memory.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use offshoot::emit;
use offshoot::report::{picture, Report};

use super::compile::print_report;
use super::output::say;
use super::Folder;

/// Arguments of `offshoot report`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder that `offshoot compile` wrote.
    folder: PathBuf,
    /// Also draw the arena against time into this file, as SVG.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let report = read(&Folder(args.folder.clone()))?;
    if let Some(path) = &args.svg {
        emit::write(vec![(path.clone(), picture::svg(&report).into_bytes())])?;
    }
    if json {
        say!("{}", serde_json::to_string(&report)?);
        return Ok(());
    }
    print_report(&report);
    say!("\n  arena, bytes against time:\n");
    for line in picture::text(&report).lines() {
        say!("{line}");
    }
    if let Some(path) = &args.svg {
        say!("\n  drawn to {}", path.display());
    }
    Ok(())
}

/// The report in `folder`.
pub fn read(folder: &Folder) -> Result<Report> {
    let path = folder.report();
    let again = format!("make it with `offshoot compile … -o {}`", folder.0.display());
    let text = fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}; {again}", path.display()))?;
    let report: Report = serde_json::from_str(&text)
        .with_context(|| format!("{} is no report of this version; {again}", path.display()))?;
    report.check().with_context(|| format!("{} is damaged; {again}", path.display()))?;
    Ok(report)
}
