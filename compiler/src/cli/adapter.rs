//! `offshoot adapter`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use offshoot::device::DeviceClient;
use offshoot::emit;
use offshoot_boards::Board;
use offshoot_firmware::bank::{BankError, Entry, Name, Status};
use offshoot_runtime::learnt::WEIGHT_BITS;
use offshoot_simulator::{AdapterFile, ProgramFile};
use serde_json::{json, Value};

use super::output::{bytes, grouped, row, say, table};
use super::run::start;
use super::simulate::program;
use super::target::board;
use super::{state, Folder};

/// Arguments of `offshoot adapter`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

/// Which board.
#[derive(Debug, clap::Args)]
struct Where {
    /// Folder that `compile --bank` wrote.
    folder: PathBuf,
    /// The board.
    #[arg(long, default_value = "qemu-mps2-an386", value_parser = board)]
    board: Board,
}

/// What becomes of state that is put in place.
#[derive(Debug, clap::Args)]
struct Put {
    /// Also write the state to this file; `run` and `simulate` begin with it by `--state`.
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the adapters that a board keeps, and how its bank fares.
    List {
        #[command(flatten)]
        at: Where,
    },
    /// Keep what the board has learnt as an adapter, in place of an older one of that name.
    Keep {
        #[command(flatten)]
        at: Where,
        /// Its name, at most 24 bytes.
        #[arg(value_parser = name)]
        name: Name,
        /// Keep what this file holds, which `run --save` wrote, in place of the board's newest checkpoint.
        #[arg(long, value_name = "FILE")]
        state: Option<PathBuf>,
    },
    /// Put an adapter in place, and keep that as a checkpoint.
    Activate {
        #[command(flatten)]
        at: Where,
        /// Its name.
        #[arg(value_parser = name)]
        name: Name,
        #[command(flatten)]
        put: Put,
    },
    /// Put a blend of adapters in place: the base network plus the weighted sum of what each differs from it
    /// by. Keep that as a checkpoint.
    Blend {
        #[command(flatten)]
        at: Where,
        /// Adapters and their weights, such as `anna=0.5`.
        #[arg(required = true, value_parser = weighted)]
        parts: Vec<(Name, i32)>,
        #[command(flatten)]
        put: Put,
    },
    /// Put the base network in place, and keep that as a checkpoint.
    Drop {
        #[command(flatten)]
        at: Where,
        #[command(flatten)]
        put: Put,
    },
    /// Let only the first channels count of the adapter in place, one whose rank can be cut, and keep that as a
    /// checkpoint. A higher rank brings them back.
    Cut {
        #[command(flatten)]
        at: Where,
        /// How many.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        rank: u16,
        #[command(flatten)]
        put: Put,
    },
    /// Remove an adapter.
    Remove {
        #[command(flatten)]
        at: Where,
        /// Its name.
        #[arg(value_parser = name, required_unless_present = "others", conflicts_with = "others")]
        name: Option<Name>,
        /// All those of other models and update schemes.
        #[arg(long)]
        others: bool,
    },
    /// Write an adapter to a file.
    Export {
        #[command(flatten)]
        at: Where,
        /// Its name.
        #[arg(value_parser = name)]
        name: Name,
        /// The file.
        #[arg(long)]
        file: PathBuf,
    },
    /// Send an adapter to a board from a file that `export` wrote.
    Import {
        #[command(flatten)]
        at: Where,
        /// A name in place of that in the file.
        #[arg(value_parser = name)]
        name: Option<Name>,
        /// The file.
        #[arg(long)]
        file: PathBuf,
    },
}

impl Action {
    fn at(&self) -> &Where {
        match self {
            Action::List { at }
            | Action::Keep { at, .. }
            | Action::Activate { at, .. }
            | Action::Blend { at, .. }
            | Action::Drop { at, .. }
            | Action::Cut { at, .. }
            | Action::Remove { at, .. }
            | Action::Export { at, .. }
            | Action::Import { at, .. } => at,
        }
    }
}

fn name(text: &str) -> Result<Name, BankError> {
    Name::new(text)
}

/// Reads `anna=0.5`.
fn weighted(text: &str) -> Result<(Name, i32)> {
    let (name, weight) = text.rsplit_once('=').context("write for example anna=0.5")?;
    let weight: f64 = weight.parse().with_context(|| format!("{weight:?} is no number"))?;
    let one = f64::from(1 << WEIGHT_BITS);
    anyhow::ensure!(weight.abs() <= 8.0, "the weight {weight} is not from -8 to 8");
    Ok((Name::new(name)?, (weight * one).round() as i32))
}

/// What is done, in words and as data.
struct Outcome {
    words: String,
    data: Value,
}

/// Runs the command.
pub fn run(args: &Args, json: bool) -> Result<()> {
    let Where { folder, board } = args.action.at();
    let folder = Folder(folder.clone());
    let program = program(&folder)?;
    // What is wrong with a file is said before anything is built.
    let file = match &args.action {
        Action::Import { file, .. } => Some(read(file, &program)?),
        _ => None,
    };
    let given = match &args.action {
        Action::Keep { state: Some(file), .. } => Some(state::read(file, &program.header)?),
        _ => None,
    };
    let mut device = start(&folder, &program, board, None)?;
    let client = &mut device.client;
    let Outcome { words, mut data } = match &args.action {
        Action::List { .. } => return list(client, board, json),
        Action::Keep { name, .. } => {
            if let Some(file) = given {
                client.import(file.model_hash, &file.state, file.steps)?;
            }
            let entry = client.keep_adapter(name)?;
            Outcome {
                words: format!("kept {}: {}", name.as_str(), told(&entry)),
                data: data(&entry),
            }
        }
        Action::Activate { name, put, .. } => {
            let done = client.activate_adapter(name)?;
            put_in_place(client, &program, put, name.as_str(), done.steps)?
        }
        Action::Blend { parts, put, .. } => {
            let done = client.blend_adapters(parts)?;
            let what = format!("a blend of {}", parts.len());
            put_in_place(client, &program, put, &what, done.steps)?
        }
        Action::Drop { put, .. } => {
            client.drop_adapter()?;
            put_in_place(client, &program, put, "the base network", 0)?
        }
        Action::Cut { rank, put, .. } => {
            let done = client.cut_adapter(*rank)?;
            put_in_place(client, &program, put, &format!("a rank of {rank}"), done.steps)?
        }
        Action::Remove { name: Some(name), .. } => {
            client.remove_adapter(name)?;
            Outcome { words: format!("removed {}", name.as_str()), data: json!({ "removed": 1 }) }
        }
        Action::Remove { name: None, .. } => {
            let count = client.remove_other_adapters()?;
            let words = format!("removed {count} of other models");
            Outcome { words, data: json!({ "removed": count }) }
        }
        Action::Export { name, file, .. } => {
            let (entry, learnt) = client.export_adapter(name)?;
            let (model_hash, steps) = (program.header.model_hash, entry.steps);
            let adapter =
                AdapterFile { model_hash, steps, name: name.as_str().to_string(), learnt };
            emit::write(vec![(file.clone(), adapter.encode())])?;
            let words = format!("{} in {}: {}", name.as_str(), file.display(), told(&entry));
            Outcome { words, data: data(&entry) }
        }
        Action::Import { name, .. } => {
            let adapter = file.context("no file")?;
            let name = name.map_or_else(|| Name::new(&adapter.name), Ok)?;
            client.import_adapter(adapter.model_hash, &name, adapter.steps, &adapter.learnt)?;
            let size = adapter.learnt.len() as u32;
            let words = format!("imported {}: {}", name.as_str(), bytes(size.into()));
            let data = json!({ "name": name, "bytes": size, "steps": adapter.steps });
            Outcome { words, data }
        }
    };
    if json {
        data["board"] = json!(board.name);
        say!("{data}");
    } else {
        say!("{words} on {}", board.name);
    }
    Ok(())
}

/// Reads an adapter, which must be of this program.
fn read(path: &std::path::Path, program: &ProgramFile) -> Result<AdapterFile> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    AdapterFile::decode(&bytes, &program.program()).with_context(|| path.display().to_string())
}

/// Keeps what was put in place where the board keeps checkpoints, and in a file if one was named.
fn put_in_place(
    client: &mut DeviceClient,
    program: &ProgramFile,
    put: &Put,
    what: &str,
    steps: u32,
) -> Result<Outcome> {
    let checkpoint = match client.stats()?.wear {
        Some(wear) if wear.foreign.is_none() => Some(client.checkpoint(false)?.sequence),
        _ => None,
    };
    if let Some(path) = &put.save {
        state::write(path, &program.header, steps as usize, &client.state()?)?;
    }
    let state_hash = format!("{:016x}", client.state_hash()?);
    let kept = checkpoint.map_or(String::new(), |number| format!(", checkpoint {number}"));
    Ok(Outcome {
        words: format!("put {what} in place ({steps} steps{kept}, state hash {state_hash})"),
        data: json!({ "steps": steps, "checkpoint": checkpoint, "state_hash": state_hash }),
    })
}

fn told(entry: &Entry) -> String {
    let size = bytes(entry.length.into());
    format!("{size}, {} steps, crc {:08x}", grouped(entry.steps.into()), entry.crc)
}

fn data(entry: &Entry) -> Value {
    json!({
        "name": entry.name,
        "bytes": entry.length,
        "steps": entry.steps,
        "crc": format!("{:08x}", entry.crc),
    })
}

fn list(client: &mut DeviceClient, board: &Board, json: bool) -> Result<()> {
    let status = client.adapters()?;
    let Status { stored, capacity, others, slot_bytes, erases, .. } = status;
    let mut entries = client.list_adapters()?;
    entries.sort_by(|a, b| a.name.as_str().cmp(b.name.as_str()));
    if json {
        let adapters: Vec<Value> = entries.iter().map(data).collect();
        let endurance = (status.endurance > 0).then_some(status.endurance);
        say!(
            "{}",
            json!({
                "board": board.name, "adapters": adapters, "capacity": capacity, "others": others,
                "slot_bytes": slot_bytes, "erases": erases, "endurance": endurance,
            })
        );
        return Ok(());
    }
    say!("{} of {} adapters on {}\n", grouped(stored.into()), grouped(capacity.into()), board.name);
    let mut rows = vec![row(["name", "size", "steps", "crc"])];
    rows.extend(entries.iter().map(|entry| {
        let (size, steps) = (bytes(entry.length.into()), grouped(entry.steps.into()));
        row([entry.name.as_str(), &size, &steps, &format!("{:08x}", entry.crc)])
    }));
    table(&rows);
    if others > 0 {
        say!("  {others} slots hold those of other models");
    }
    say!("  {} of flash each, pages erased {erases} times at most", bytes(slot_bytes.into()));
    Ok(())
}
