//! `board.toml`: what a board is, as data.

use crate::image;
use serde::Deserialize;
use std::ops::Range;

/// A board, as its `board.toml` describes it. Limits may be changed before an image is made: the
/// image is then linked with those.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// Its name, also its folder's.
    pub name: String,
    /// What it is, in a few words.
    pub description: String,
    /// Its core, such as `cortex-m4f`; `host` is this computer.
    pub core: String,
    /// Target triple, or `host`.
    pub target: String,
    /// Clock of the core, where there is one to speak of.
    pub clock_hz: Option<u64>,
    /// Program memory, where it is limited.
    pub flash: Option<Region>,
    /// What the end of the chip's flash is kept for, beside the image.
    pub checkpoints: Option<Checkpoints>,
    /// Flash beside it for a bank of adapters, where there is some.
    pub bank: Option<BankFlash>,
    /// Data memories. The image uses the first.
    #[serde(default)]
    pub sram: Vec<Sram>,
    /// Stack that must be left beside the model.
    #[serde(default)]
    pub stack_bytes: u64,
    /// How it is emulated, where it is.
    pub emulator: Option<Emulation>,
    /// What probe-rs calls the chip, where there is one to be flashed.
    pub probe_rs: Option<String>,
    /// What tells that chip from others.
    pub identity: Option<Register>,
    /// What says that the chip may be read, where that is a register's to say.
    pub protection: Option<Register>,
    /// What carries the link.
    pub uart: Uart,
}

/// A run of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Address of the first byte.
    pub origin: u64,
    /// Bytes that an image may use: the budget.
    pub bytes: u64,
    /// Bytes that there are.
    pub physical: u64,
}

/// The end of a chip's flash, which no image is linked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoints {
    /// Bytes, whole pages.
    pub bytes: u64,
    /// Bytes that are erased at once.
    pub page: u64,
    /// How often a page may be erased, as the part's data sheet has it.
    pub endurance: u32,
}

/// Flash for a bank of adapters, outside the chip: no image and no checkpoint lies in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankFlash {
    /// Bytes, whole pages.
    pub bytes: u64,
    /// Bytes that are erased at once.
    pub page: u64,
    /// How often a page may be erased, as the part's data sheet has it; 0 where it does not matter.
    pub endurance: u32,
}

/// A register of a chip, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Register {
    /// Its address.
    pub address: u64,
    /// The bits that count.
    pub mask: u32,
    /// What those are.
    pub value: u32,
}

/// A data memory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sram {
    /// Its name.
    pub name: String,
    /// Address of the first byte.
    pub origin: u64,
    /// Bytes that an image may use: the budget.
    pub bytes: u64,
    /// Bytes that there are.
    pub physical: u64,
}

/// How a board is emulated.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulation {
    /// The emulator's command.
    pub program: String,
    /// Machine that it is told to be.
    pub machine: String,
    /// Core that it is told to have.
    pub cpu: String,
    /// What else it is told.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// How the image's log leaves.
    #[serde(default)]
    pub log: LogChannel,
    /// Instructions that one tick of the image's counter stands for: the grain of its counts.
    pub instructions_per_tick: u32,
    /// Memory that outlives the machine, where the image has flash.
    pub flash: Option<KeptMemory>,
}

/// A memory of an emulated machine that is kept in a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptMemory {
    /// What the emulator calls it.
    pub id: String,
    /// Bytes that it has, all of which the file takes.
    pub bytes: u64,
}

/// How an emulated image's log leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogChannel {
    /// By the machine's second UART.
    #[default]
    Uart,
    /// By calls to the emulator: the machine has one UART only.
    Semihosting,
}

/// What carries the link.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uart {
    /// Its name.
    pub name: String,
    /// Its speed, where it has one.
    pub baud: Option<u32>,
}

/// Why there is no such board.
#[derive(Debug, thiserror::Error)]
pub enum BoardError {
    /// The name is not known.
    #[error("no board is called \"{name}\"; take one of: {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The description is wrong.
    #[error("boards/images/{name}/board.toml: {source}")]
    Parse {
        /// Which.
        name: &'static str,
        /// What is wrong.
        #[source]
        source: toml::de::Error,
    },
}

impl Board {
    /// Reads a description.
    ///
    /// # Errors
    /// Where the text is no description of a board.
    pub fn parse(text: &str) -> Result<Board, toml::de::Error> {
        toml::from_str(text)
    }

    /// The same with all the memory that its machine has, beyond what an image may use: for questions other than
    /// whether one fits.
    pub fn with_all_memory(mut self) -> Board {
        for region in &mut self.sram {
            region.bytes = region.physical;
        }
        self.flash = self.flash.map(|flash| Region { bytes: flash.physical, ..flash });
        self
    }

    /// Whether it is this computer.
    pub fn is_host(&self) -> bool {
        self.target == "host"
    }

    /// Bytes of SRAM that an image may use; `None` where memory is no concern.
    pub fn sram_bytes(&self) -> Option<u64> {
        self.sram.first().map(|sram| sram.bytes)
    }

    /// Bytes of flash that an image may use; `None` where memory is no concern.
    pub fn flash_bytes(&self) -> Option<u64> {
        self.flash.map(|flash| flash.bytes)
    }

    /// Addresses that are kept for checkpoints; none where an image may be linked into them.
    pub fn checkpoint_range(&self) -> Option<Range<u64>> {
        let flash = self.flash?;
        let end = flash.origin + flash.physical;
        let start = end.checked_sub(self.checkpoints?.bytes)?;
        (flash.origin + flash.bytes <= start).then_some(start..end)
    }

    /// The board with all of its flash for the image, which then keeps no checkpoints.
    pub fn without_checkpoints(self) -> Board {
        let kept = self.checkpoints.map_or(0, |checkpoints| checkpoints.bytes);
        let flash = self.flash.map(|flash| Region { bytes: flash.bytes + kept, ..flash });
        Board { flash, checkpoints: None, ..self }
    }
}

/// Names of all boards.
pub fn names() -> impl Iterator<Item = &'static str> {
    image::IMAGES.iter().map(|image| image.name)
}

/// All boards.
///
/// # Errors
/// [`BoardError::Parse`] where a description is wrong.
pub fn all() -> Result<Vec<Board>, BoardError> {
    names().map(find).collect()
}

/// Those of `boards` that an emulator runs; where `OFFSHOOT_BOARDS` names some, with commas in
/// between, those of them.
pub fn emulated(boards: Vec<Board>) -> Vec<Board> {
    let asked = std::env::var("OFFSHOOT_BOARDS").ok();
    let asked = |name: &str| asked.as_ref().is_none_or(|all| all.split(',').any(|n| n == name));
    boards.into_iter().filter(|b| b.emulator.is_some() && asked(&b.name)).collect()
}

/// The board called `name`.
///
/// # Errors
/// [`BoardError::Unknown`] lists the names that there are.
pub fn find(name: &str) -> Result<Board, BoardError> {
    let image = image::source(name).ok_or_else(|| BoardError::Unknown {
        name: name.to_string(),
        known: names().collect::<Vec<_>>().join(", "),
    })?;
    Board::parse(image.board).map_err(|source| BoardError::Parse { name: image.name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_is_sound() {
        for board in all().unwrap() {
            let of_image = image::source(&board.name).unwrap();
            assert_eq!(board.name, of_image.name);
            for sram in &board.sram {
                assert!(board.stack_bytes < sram.bytes && sram.bytes <= sram.physical);
            }
            assert_eq!(board.is_host(), board.sram.is_empty());
            // Either a program, or an emulator's machine, or a chip.
            let kinds = [board.is_host(), board.emulator.is_some(), board.probe_rs.is_some()];
            assert_eq!(kinds.iter().filter(|kind| **kind).count(), 1, "{}", board.name);
            assert_eq!(board.identity.is_some(), board.probe_rs.is_some(), "{}", board.name);
            if let (Some(kept), Some(flash)) = (board.checkpoints, board.flash) {
                assert!(board.probe_rs.is_some(), "{}: checkpoints of a chip", board.name);
                assert_eq!(kept.bytes % kept.page, 0, "{}", board.name);
                assert!(kept.bytes / kept.page >= 2 && kept.endurance > 0, "{}", board.name);
                let range = board.checkpoint_range().unwrap();
                assert_eq!((range.start - flash.origin) % kept.page, 0, "{}", board.name);
                let mut larger = board.clone();
                larger.flash = Some(Region { bytes: flash.physical, ..flash });
                assert_eq!(larger.checkpoint_range(), None, "{}", board.name);
                let alone = board.clone().without_checkpoints();
                assert!(alone.flash_bytes().unwrap() <= flash.physical, "{}", board.name);
            }
            if let Some(bank) = board.bank {
                assert!(
                    bank.bytes % bank.page == 0 && bank.bytes / bank.page >= 2,
                    "{}",
                    board.name
                );
            }
            for Register { mask, value, .. } in board.identity.iter().chain(&board.protection) {
                assert_eq!(mask & value, *value, "{}", board.name);
            }
        }
        assert_eq!(find("qemu-mps2-an386").unwrap().sram_bytes(), Some(256 * 1024));
        assert_eq!(find("qemu-mps2-an500").unwrap().sram_bytes(), Some(320 * 1024));
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = find("toaster").unwrap_err().to_string();
        assert!(error.contains("toaster") && error.contains("qemu-mps2-an386"), "{error}");
    }

    #[test]
    fn a_misspelt_key_is_an_error() {
        let text = image::source("host").unwrap().board.replace("core", "cpre");
        assert!(Board::parse(&text).unwrap_err().to_string().contains("cpre"));
    }
}
