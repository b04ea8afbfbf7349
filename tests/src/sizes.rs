//! What images around the demo's network take of their boards, held against `tests/expected`.

use std::path::{Path, PathBuf};

use offshoot_boards::baseline::{Baseline, BaselineError, Verdict};
use offshoot_boards::elf::Sizes;
use offshoot_boards::toolchain::route;
use offshoot_boards::Board;

use crate::blesses;

/// The folder of what images may take.
pub fn expected() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("expected")
}

/// What the image of `board` takes, named with its compiler.
fn measured(board: &Board, sizes: Sizes, stack: Option<u64>) -> Baseline {
    let compiler = route(&board.target).ok().and_then(|route| route.compiler());
    Baseline::new(compiler.unwrap_or_default(), sizes, stack)
}

/// Holds an image against the file of its board, or writes that where `OFFSHOOT_BLESS` is 1.
///
/// # Errors
/// Where it takes more.
pub fn check(board: &Board, sizes: Sizes, stack: Option<u64>) -> Result<Verdict, BaselineError> {
    measured(board, sizes, stack).check(&expected(), &board.name, blesses())
}

/// A row of figures, in bytes: what the image takes, and of how much. The stack is what is left for
/// it, and the deepest that it was seen.
pub fn row(board: &Board, sizes: Sizes, stack: Option<u64>) -> [String; 9] {
    let of = |limit: Option<u64>| limit.map_or("-".to_string(), |bytes| bytes.to_string());
    let left = board.sram_bytes().map(|bytes| bytes.saturating_sub(sizes.sram()));
    [
        board.name.clone(),
        sizes.text.to_string(),
        sizes.rodata.to_string(),
        sizes.data.to_string(),
        sizes.bss.to_string(),
        of(left),
        of(stack),
        format!("{} of {}", sizes.flash(), of(board.flash_bytes())),
        format!("{} of {}", sizes.sram(), of(board.sram_bytes())),
    ]
}

/// What the columns of [`row`] are.
pub const COLUMNS: [&str; 9] =
    ["board", "text", "rodata", "data", "bss", "stack left", "used", "flash", "SRAM"];

/// Prints and checks images, all of them before it fails.
///
/// # Panics
/// Where one takes more than was agreed to.
pub fn hold<'a>(images: impl Iterator<Item = (&'a Board, Sizes, Option<u64>)>) {
    let mut grown = Vec::new();
    for (board, sizes, stack) in images {
        println!("{}: {sizes:?}, stack {stack:?}", board.name);
        match check(board, sizes, stack) {
            Ok(verdict) => println!("{}", told(&board.name, &verdict)),
            Err(error) => grown.push(error.to_string()),
        }
    }
    assert!(grown.is_empty(), "{}", grown.join("\n"));
}

/// A verdict in words.
pub fn told(board: &str, verdict: &Verdict) -> String {
    match verdict {
        Verdict::Fits => format!("{board}: as expected"),
        Verdict::Blessed => format!("{board}: written to tests/expected/{board}.toml"),
        Verdict::Smaller(what) => {
            format!("{board}: takes less: {what}; OFFSHOOT_BLESS=1 writes it down")
        }
        Verdict::OtherCompiler(which) => {
            format!("{board}: not compared, what is expected was built by {which}")
        }
    }
}
