//! Why a board is not programmed, and what to do.

use std::ops::Range;

use crate::plan::{span, spans};
use crate::{Chip, Segment};

/// Why a board is not programmed. Every text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum FlashError {
    /// There is no chip to program.
    #[error("board {board} is no chip to program: `offshoot run --board {board}` runs it here")]
    NoChip {
        /// The board.
        board: String,
    },
    /// probe-rs does not know the chip.
    #[error("probe-rs knows no chip called \"{name}\"{}; `--chip` takes its name there", nearby(.near))]
    UnknownChip {
        /// Its name.
        name: String,
        /// Names that come near.
        near: Vec<String>,
    },
    /// What should be written is no image.
    #[error("this is no image of a board (a 32-bit ELF program): {source}")]
    NoImage {
        /// Why.
        #[source]
        source: object::Error,
    },
    /// The image ends before its contents do.
    #[error("the image is cut short: build it again")]
    CutShort,
    /// The image holds nothing.
    #[error("the image holds nothing to write: build it again")]
    Nothing,
    /// What the chip boots cannot be made of the image.
    #[error("the image is none that {chip} boots: {why}; was it built for another board?")]
    Format {
        /// The chip.
        chip: String,
        /// Why.
        why: String,
    },
    /// Bytes that the chip has no flash for.
    #[error(
        "the image does not fit the chip: {} bytes from {:#010x} on ({}) lie outside the flash of \
         {chip}, {}; was it built for another board?",
        .segment.bytes, .segment.address, .segment.sections.join(" "), spans(.flash)
    )]
    OutsideChip {
        /// The chip.
        chip: String,
        /// The bytes.
        segment: Box<Segment>,
        /// The chip's flash.
        flash: Vec<Range<u64>>,
    },
    /// Bytes that the board keeps for something else.
    #[error(
        "the image does not fit the board: {} bytes from {:#010x} on ({}) lie outside what \
         board.toml gives to images, {}; train fewer layers, or take a larger board",
        .segment.bytes, .segment.address, .segment.sections.join(" "), span(.board)
    )]
    OutsideBoard {
        /// The bytes.
        segment: Box<Segment>,
        /// What an image may take.
        board: Range<u64>,
    },
    /// SRAM that there is not.
    #[error(
        "the image does not fit the SRAM: it takes {bytes} bytes and a stack of {stack}, the board \
         allows {limit}, and {chip} has {}; train fewer layers, or take a larger board", spans(.ram)
    )]
    SramTooSmall {
        /// Without stack.
        bytes: u64,
        /// Stack that the board asks for.
        stack: u64,
        /// What an image may take.
        limit: u64,
        /// The chip.
        chip: String,
        /// Its RAM.
        ram: Vec<Range<u64>>,
    },
    /// Nothing to program with.
    #[error(
        "no debug probe is connected: {}; `--dry-run` shows without one what would be written",
        match .own {
            true => "this chip is one itself, by its own USB port, which some boards lead to a socket \
                     and some to pins only (ESP32-C3: 18 is D-, 19 is D+); a serial bridge is none",
            false => "plug in the board's (its debug USB socket) or one of your own",
        }
    )]
    NoProbe {
        /// Whether the chip has a probe of its own.
        own: bool,
    },
    /// None of the probes is the one asked for.
    #[error("no debug probe is {wanted}; connected:{}", listed(.probes))]
    NoSuchProbe {
        /// What was asked for.
        wanted: String,
        /// What there is.
        probes: Vec<String>,
    },
    /// Which of them?
    #[error("{} debug probes are connected; choose one with `--probe`:{}", .probes.len(), listed(.probes))]
    SeveralProbes {
        /// What there is.
        probes: Vec<String>,
    },
    /// The system keeps it from this user.
    #[error(
        "the debug probe {probe} may not be opened by this user: install probe-rs's udev rules \
         (https://probe.rs/docs/getting-started/probe-setup), and plug it in again"
    )]
    Forbidden {
        /// Which.
        probe: String,
    },
    /// The probe does not open.
    #[error(
        "the debug probe {probe} does not open; close other programs that use it (debuggers, \
         serial-over-probe tools), or plug it in again: {why}"
    )]
    Busy {
        /// Which.
        probe: String,
        /// What probe-rs says.
        why: String,
    },
    /// Nobody there.
    #[error(
        "no {chip} answers the debug probe: is the board powered, the debug cable right, and this \
         the probe of this board? A chip whose debug port is closed for good (STM32: RDP level 2) \
         does not answer either: {why}"
    )]
    NoAnswer {
        /// The chip.
        chip: String,
        /// What probe-rs says.
        why: String,
    },
    /// Locked against reading.
    #[error(
        "{chip} is locked against debug probes (nRF: APPROTECT): `--erase-all` unlocks it, which \
         erases all of its flash, settings that other programs keep there included"
    )]
    Locked {
        /// The chip.
        chip: String,
    },
    /// Locked, and not by what a probe can lift.
    #[error(
        "{chip} is protected against reading ({register:#010x} holds {found:#x}; STM32: RDP level \
         1): set RDP to level 0, for example in STM32CubeProgrammer under \"Option bytes\", which \
         erases its flash; then try again"
    )]
    Protected {
        /// The chip.
        chip: String,
        /// Where it says so.
        register: u64,
        /// What it says.
        found: u32,
    },
    /// Another chip.
    #[error(
        "the chip behind the probe is no {chip}: its identity at {register:#010x} is {found:#x} \
         instead of {expected:#x}; take the probe of the right board with `--probe`, or the right \
         board with `--board`"
    )]
    OtherChip {
        /// What was to be there.
        chip: String,
        /// Where it says what it is.
        register: u64,
        /// What it says.
        found: u32,
        /// What it should say.
        expected: u32,
    },
    /// No telling which chip.
    #[error(
        "the chip behind the probe does not say what it is (at {register:#010x}), and is most likely \
         no {chip}: take the probe of the right board with `--probe`, or the right board with \
         `--board`: {why}"
    )]
    NoIdentity {
        /// What was to be there.
        chip: String,
        /// Where it should say what it is.
        register: u64,
        /// What probe-rs says.
        why: String,
    },
    /// Writing failed.
    #[error(
        "writing to {chip} failed, and what it holds now is not whole; try again, and with \
         `--erase-all` where that fails too: {source}"
    )]
    Write {
        /// The chip.
        chip: String,
        /// Why.
        #[source]
        source: Box<probe_rs::flashing::FlashError>,
    },
    /// The probe or the chip fails.
    #[error("the debug probe lost {chip}; plug it in again: {source}")]
    Lost {
        /// The chip.
        chip: String,
        /// Why.
        #[source]
        source: Box<probe_rs::Error>,
    },
    /// No log in the image.
    #[error(
        "the image has no log to read (it was built without defmt over RTT): `--no-log` flashes it \
         all the same"
    )]
    NoLog,
    /// The log does not start.
    #[error(
        "the log of {chip} was not found: does the board run this image? `offshoot flash` writes \
         it: {source}"
    )]
    LogNotFound {
        /// The chip.
        chip: String,
        /// Why.
        #[source]
        source: Box<probe_rs::rtt::Error>,
    },
    /// The log's formats are not readable.
    #[error("the image's log cannot be decoded (built by another version of defmt?): {0}")]
    Formats(String),
}

impl FlashError {
    /// That `segment` lies outside the flash of `chip`.
    pub(crate) fn outside(chip: &Chip, segment: Segment) -> FlashError {
        let (chip, flash) = (chip.name.clone(), chip.flash.clone());
        FlashError::OutsideChip { chip, segment: Box::new(segment), flash }
    }
}

fn nearby(near: &[String]) -> String {
    match near {
        [] => String::new(),
        near => format!("; near it are {}", near.join(", ")),
    }
}

fn listed(probes: &[String]) -> String {
    probes.iter().map(|probe| format!("\n  --probe {probe}")).collect()
}
