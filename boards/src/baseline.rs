//! What an image took of its board when that was last agreed to: a file for each board, against
//! which later images are held.
//!
//! Sizes are a compiler's: an image that another one built is not held against the file.

use crate::elf::Sizes;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// By how much an image may grow unasked, in percent.
pub const TOLERANCE: u64 = 2;

/// Bytes that an image takes, and what it was built by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    /// The compiler, as it calls itself.
    pub compiler: String,
    /// Code and vector table, in flash.
    pub text: u64,
    /// Constants, in flash.
    pub rodata: u64,
    /// Variables with a first value, in SRAM and flash.
    pub data: u64,
    /// Other variables, in SRAM.
    pub bss: u64,
    /// The deepest that its stack was, where it has run.
    pub stack: Option<u64>,
}

/// How an image compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes no more than agreed to.
    Fits,
    /// It takes so much less that the file should learn of it. Says what.
    Smaller(String),
    /// The file was written.
    Blessed,
    /// The file's figures are those of this other compiler.
    OtherCompiler(String),
}

/// An image takes more than was agreed to, or nobody knows.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// It grew.
    #[error(
        "the image of {board} takes more than {} says: {grown}; if it is to, run the same again \
         with OFFSHOOT_BLESS=1, and commit the file",
        .path.display()
    )]
    Grown {
        /// The board.
        board: String,
        /// What grew, from what to what.
        grown: String,
        /// The file.
        path: PathBuf,
    },
    /// There is no file.
    #[error(
        "{} does not say what the image of {board} may take: run the same again with \
         OFFSHOOT_BLESS=1, and commit the file", .path.display()
    )]
    Missing {
        /// The board.
        board: String,
        /// The file.
        path: PathBuf,
    },
    /// The file is none.
    #[error("{}: {source}", .path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: toml::de::Error,
    },
    /// The file could not be written as text.
    #[error("{}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: toml::ser::Error,
    },
    /// The file could not be read or written.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Baseline {
    /// What a built image takes.
    pub fn new(compiler: String, sizes: Sizes, stack: Option<u64>) -> Baseline {
        let Sizes { text, rodata, data, bss } = sizes;
        Baseline { compiler, text, rodata, data, bss, stack }
    }

    /// Bytes of flash.
    pub fn flash(&self) -> u64 {
        self.text + self.rodata + self.data
    }

    /// Reads `board`'s file in `folder`, where there is one.
    ///
    /// # Errors
    /// Where it is no such file.
    pub fn read(folder: &Path, board: &str) -> Result<Option<Baseline>, BaselineError> {
        let path = path(folder, board);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(BaselineError::Io { path, source }),
        };
        match toml::from_str(&text) {
            Ok(baseline) => Ok(Some(baseline)),
            Err(source) => Err(BaselineError::Parse { path, source }),
        }
    }

    /// Holds an image of `board` against its file in `folder`, or writes that where `bless` says so.
    ///
    /// # Errors
    /// Where the image grew by more than [`TOLERANCE`], or there is nothing to hold it against.
    pub fn check(&self, folder: &Path, board: &str, bless: bool) -> Result<Verdict, BaselineError> {
        let old = Baseline::read(folder, board)?;
        let path = path(folder, board);
        if bless {
            // An image that was only linked does not make one that ran forgotten.
            let stack = self.stack.or(old.and_then(|old| old.stack));
            write(&path, &Baseline { stack, ..self.clone() })?;
            return Ok(Verdict::Blessed);
        }
        let Some(old) = old else {
            return Err(BaselineError::Missing { board: board.to_string(), path });
        };
        if old.compiler != self.compiler {
            return Ok(Verdict::OtherCompiler(old.compiler));
        }
        let mut pairs =
            vec![("text + rodata + data", old.flash(), self.flash()), ("bss", old.bss, self.bss)];
        pairs.extend(old.stack.zip(self.stack).map(|(old, new)| ("stack", old, new)));
        let changes = |changed: fn(u64, u64) -> bool| {
            let changed = pairs.iter().filter(|(_, old, new)| changed(*old, *new));
            changed.map(|(what, old, new)| change(what, *old, *new)).collect::<Vec<_>>().join(", ")
        };
        let grown = changes(|old, new| new * 100 > old * (100 + TOLERANCE));
        if !grown.is_empty() {
            return Err(BaselineError::Grown { board: board.to_string(), grown, path });
        }
        let smaller = changes(|old, new| new * 100 < old * (100 - TOLERANCE));
        Ok(if smaller.is_empty() { Verdict::Fits } else { Verdict::Smaller(smaller) })
    }
}

fn path(folder: &Path, board: &str) -> PathBuf {
    folder.join(board).with_extension("toml")
}

fn change(what: &str, old: u64, new: u64) -> String {
    let percent = (new as f64 - old as f64) / old.max(1) as f64 * 100.0;
    format!("{what} {old} -> {new} bytes ({percent:+.1} %)")
}

fn write(path: &Path, baseline: &Baseline) -> Result<(), BaselineError> {
    let text = toml::to_string(baseline)
        .map_err(|source| BaselineError::Write { path: path.to_path_buf(), source })?;
    path.parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| fs::write(path, text))
        .map_err(|source| BaselineError::Io { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOARD: &str = "qemu-mps2-an386";

    fn baseline() -> Baseline {
        let sizes = Sizes { text: 50_000, rodata: 26_000, data: 56, bss: 18_000 };
        Baseline::new("rustc 1".to_string(), sizes, Some(1_000))
    }

    /// A folder of its own for the test called `name`, with the file of [`baseline`] in it.
    fn agreed(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("offshoot-{name}-{}", std::process::id()));
        assert_eq!(baseline().check(&folder, BOARD, true).unwrap(), Verdict::Blessed);
        folder
    }

    #[test]
    fn what_grows_needs_a_blessing() {
        let folder = agreed("grows");
        let check = |now: &Baseline| now.check(&folder, BOARD, false);
        assert_eq!(check(&baseline()).unwrap(), Verdict::Fits);
        // 2 % of flash are 1,521 bytes.
        let within = Baseline { text: 51_521, ..baseline() };
        assert_eq!(check(&within).unwrap(), Verdict::Fits);
        for (grown, what) in [
            (Baseline { text: 51_522, ..baseline() }, "text + rodata + data 76056 -> 77578"),
            (Baseline { rodata: 27_600, ..baseline() }, "(+2.1 %)"),
            (Baseline { bss: 18_361, ..baseline() }, "bss 18000 -> 18361"),
            (Baseline { stack: Some(1_021), ..baseline() }, "stack 1000 -> 1021"),
        ] {
            let error = check(&grown).unwrap_err().to_string();
            let says = [what, BOARD, "OFFSHOOT_BLESS=1", "qemu-mps2-an386.toml"];
            assert!(says.iter().all(|word| error.contains(word)), "{error}");
            assert_eq!(grown.check(&folder, BOARD, true).unwrap(), Verdict::Blessed);
            assert_eq!(check(&grown).unwrap(), Verdict::Fits);
            assert_eq!(baseline().check(&folder, BOARD, true).unwrap(), Verdict::Blessed);
        }
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_shrinks_is_told() {
        let folder = agreed("shrinks");
        let small = Baseline { bss: 9_000, ..baseline() };
        let Verdict::Smaller(what) = small.check(&folder, BOARD, false).unwrap() else { panic!() };
        assert_eq!(what, "bss 18000 -> 9000 bytes (-50.0 %)");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn images_that_were_only_linked_keep_the_stack() {
        let folder = agreed("linked");
        let linked = Baseline { stack: None, ..baseline() };
        assert_eq!(linked.check(&folder, BOARD, false).unwrap(), Verdict::Fits);
        assert_eq!(linked.check(&folder, BOARD, true).unwrap(), Verdict::Blessed);
        assert_eq!(Baseline::read(&folder, BOARD).unwrap(), Some(baseline()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn another_compiler_is_no_growth() {
        let folder = agreed("compiler");
        let other = Baseline { compiler: "rustc 2".to_string(), text: 90_000, ..baseline() };
        let verdict = other.check(&folder, BOARD, false).unwrap();
        assert_eq!(verdict, Verdict::OtherCompiler("rustc 1".to_string()));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_board_without_a_file_is_an_error() {
        let folder = agreed("missing");
        let error = baseline().check(&folder, "toaster", false).unwrap_err().to_string();
        assert!(error.contains("toaster.toml") && error.contains("OFFSHOOT_BLESS=1"), "{error}");
        fs::write(folder.join("toaster.toml"), "text = 1\n").unwrap();
        let error = baseline().check(&folder, "toaster", false).unwrap_err().to_string();
        assert!(error.contains("toaster.toml") && error.contains("missing field"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
