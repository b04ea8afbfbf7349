//! Arguments, and what they ask for.

use std::fs;
use std::io::stdout;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use offshoot_boards::{build, image, Board, BoardError};
use offshoot_flash::log::{self, Formats};
use offshoot_flash::probe::{attach, choose, list};
use offshoot_flash::{program, Chip, FlashError, Plan};
use probe_rs::probe::DebugProbeSelector;

/// Programs boards through debug probes, and shows their logs.
#[derive(Debug, Parser)]
#[command(name = "offshoot-flash", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Program a board with a compiled model, start it, and show its log.
    Flash {
        #[command(flatten)]
        at: At,
        /// Show what would be written where, and whether it fits, without a probe.
        #[arg(long)]
        dry_run: bool,
        /// With --dry-run, print one JSON object instead of text.
        #[arg(long, requires = "dry_run")]
        json: bool,
        /// Erase all of the chip's flash before, which also unlocks a locked chip.
        #[arg(long)]
        erase_all: bool,
        /// End once the board runs, without showing its log.
        #[arg(long)]
        no_log: bool,
    },
    /// Show the log of a board that runs its image, without touching what it does.
    Monitor {
        #[command(flatten)]
        at: At,
    },
}

#[derive(Debug, clap::Args)]
struct At {
    /// Folder that `offshoot compile` wrote, or an image that was built from one.
    #[arg(value_name = "MODEL_DIR | IMAGE")]
    model: PathBuf,
    /// The board.
    #[arg(long, value_parser = board)]
    board: Board,
    /// The debug probe, where there are several: VID:PID or VID:PID:SERIAL, in hexadecimal.
    #[arg(long, value_parser = selector)]
    probe: Option<DebugProbeSelector>,
    /// Give the image the flash that the board keeps for checkpoints; it then has none.
    #[arg(long)]
    no_checkpoints: bool,
    /// What probe-rs calls the chip, where it is another than board.toml says.
    #[arg(long)]
    chip: Option<String>,
}

fn board(name: &str) -> Result<Board, BoardError> {
    offshoot_boards::find(name)
}

fn selector(text: &str) -> Result<DebugProbeSelector, String> {
    text.parse().map_err(|_| "expected VID:PID or VID:PID:SERIAL, such as 0483:374b".to_string())
}

/// Runs the command.
///
/// # Errors
/// What went wrong, with its causes.
pub fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::Flash { at, dry_run, json, erase_all, no_log } => {
            let ready = Ready::new(&at)?;
            if json {
                println!("{}", serde_json::to_string(&ready.plan)?);
            } else {
                println!("{}", ready.plan);
            }
            if dry_run {
                return Ok(());
            }
            let Ready { board, chip, plan, image } = &ready;
            // Before anything is erased.
            let formats = (!no_log).then(|| Formats::of(image)).transpose()?;
            let probes = list();
            let probe = choose(&probes, at.probe.as_ref(), chip)?;
            let mut session = attach(probe, board, chip, erase_all)?;
            program::write(&mut session, plan, chip, erase_all)?;
            program::start(&mut session, chip, plan.log)?;
            println!("{} runs", board.name);
            if let Some(formats) = formats {
                log::stream(&mut session, plan, chip, &formats, &mut stdout())?;
            }
        }
        Command::Monitor { at } => {
            let Ready { board, chip, plan, image } = Ready::new(&at)?;
            let formats = Formats::of(&image)?;
            let probes = list();
            let probe = choose(&probes, at.probe.as_ref(), &chip)?;
            let mut session = attach(probe, &board, &chip, false)?;
            log::stream(&mut session, &plan, &chip, &formats, &mut stdout())?;
        }
    }
    Ok(())
}

/// An image that fits its board.
struct Ready {
    board: Board,
    chip: Chip,
    plan: Plan,
    image: Vec<u8>,
}

impl Ready {
    fn new(at: &At) -> Result<Ready> {
        let mut board = at.board.clone();
        if at.no_checkpoints {
            board = board.without_checkpoints();
        }
        let chip = at.chip.as_ref().or(board.probe_rs.as_ref());
        let chip = chip.ok_or_else(|| FlashError::NoChip { board: board.name.clone() })?;
        let chip = Chip::find(chip)?;
        let elf = elf(&board, &at.model)?;
        let image = fs::read(&elf).with_context(|| elf.display().to_string())?;
        let plan = Plan::new(&image, &board, &chip).with_context(|| elf.display().to_string())?;
        Ok(Ready { board, chip, plan, image })
    }
}

/// The image in `model`, built where that is a folder.
fn elf(board: &Board, model: &Path) -> Result<PathBuf> {
    if model.is_file() {
        return Ok(model.to_path_buf());
    }
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let folder = image::materialise(board, &model.join("model"), root, model)?;
    eprintln!("building {}", folder.display());
    Ok(build(board, &folder, root)?.elf)
}
