//! `cargo xtask firmware`: builds images around the demo's network, and prints what they take.

use std::process::ExitCode;

use offshoot_boards::baseline::Baseline;
use offshoot_boards::{Board, BoardError};
use offshoot_tests::boards::build;
use offshoot_tests::cases::{root, DEMO};
use offshoot_tests::sizes::{check, expected, row, told, COLUMNS};

const HELP: &str = "\
cargo xtask firmware [--all | BOARD...]

Builds images around the demo's network and prints, in bytes, what they take of their boards. An
image that takes over 2 % more than tests/expected says is an error; with OFFSHOOT_BLESS=1 the file is
rewritten. Of the stack it prints what is left for it, and the most that was used where tests ran
the image in an emulator.
";

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    if names.iter().any(|name| name == "--help" || name == "-h") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match boards(&names).map_err(|e| e.to_string()).and_then(|boards| firmware(&boards)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// The boards called `names`; all where there are none.
fn boards(names: &[String]) -> Result<Vec<Board>, BoardError> {
    if names.is_empty() || names == ["--all"] {
        let all = offshoot_boards::all()?;
        return Ok(all.into_iter().filter(|board| !board.is_host()).collect());
    }
    names.iter().map(|name| offshoot_boards::find(name)).collect()
}

fn firmware(boards: &[Board]) -> Result<(), String> {
    let compiled = DEMO.compile(None);
    // Where tests build theirs, so that either finds what the other has compiled.
    let temporary = root().join("target/tmp");
    let mut rows = vec![COLUMNS.map(String::from)];
    let (mut notes, mut problems) = (Vec::new(), Vec::new());
    for board in boards {
        eprintln!("building {}", board.name);
        let built = match build(&compiled, board, &temporary, DEMO.name) {
            Ok(built) => built,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        let known = Baseline::read(&expected(), &board.name).ok().flatten();
        rows.push(row(board, built.sizes, known.and_then(|known| known.stack)));
        if board.is_host() {
            continue;
        }
        match check(board, built.sizes, None) {
            Ok(verdict) => notes.push(told(&board.name, &verdict)),
            Err(error) => problems.push(error.to_string()),
        }
    }
    print(&rows);
    println!();
    notes.iter().for_each(|note| println!("{note}"));
    problems.is_empty().then_some(()).ok_or_else(|| problems.join("\nerror: "))
}

fn print(rows: &[[String; COLUMNS.len()]]) {
    let widths: Vec<usize> = (0..COLUMNS.len())
        .map(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0))
        .collect();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        println!("{}", cells.join("  "));
    }
}
