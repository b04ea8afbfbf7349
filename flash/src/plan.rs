//! What of an image would be written where.

use std::fmt;
use std::ops::Range;

use object::elf::{FileHeader32, PT_LOAD};
use object::read::elf::{ElfFile, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSection, ObjectSymbol};
use offshoot_boards::elf;
use offshoot_boards::Board;
use serde::Serialize;

use crate::chip::within;
use crate::{esp, Chip, FlashError};

/// A run of bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Segment {
    /// Where its first byte goes.
    pub address: u64,
    /// How many there are.
    pub bytes: u64,
    /// The sections that they come from.
    pub sections: Vec<String>,
    /// The memory of the chip that they go to.
    pub region: Range<u64>,
    /// Where the core sees them, where that is settled when the chip boots.
    pub seen: Option<Range<u64>>,
    #[serde(skip)]
    pub(crate) data: Vec<u8>,
}

impl Segment {
    /// `data` at `address`, from `sections`, in no memory yet.
    pub(crate) fn new(address: u64, data: Vec<u8>, sections: Vec<String>) -> Segment {
        Segment { address, bytes: data.len() as u64, sections, region: 0..0, seen: None, data }
    }
}

/// What is taken of a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Bytes that are.
    pub bytes: u64,
    /// Bytes that an image may take.
    pub limit: u64,
}

/// What would be written, and what it takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The board.
    pub board: String,
    /// What probe-rs calls its chip.
    pub chip: String,
    /// What would be written, by address.
    pub segments: Vec<Segment>,
    /// Of the flash.
    pub flash: Share,
    /// Of the SRAM, without stack.
    pub sram: Share,
    /// Bytes of stack that the board asks for.
    pub stack: u64,
    /// Where checkpoints go, where the board keeps some: none of it is written.
    pub checkpoints: Option<Range<u64>>,
    /// Where the log is (RTT's control block).
    pub log: Option<u64>,
}

impl Plan {
    /// Plans to write `image`, an ELF file, to `chip` on `board`.
    ///
    /// # Errors
    /// Where it is none, or does not lie in memories of chip and board.
    pub fn new(image: &[u8], board: &Board, chip: &Chip) -> Result<Plan, FlashError> {
        let file = ElfFile::<FileHeader32<Endianness>>::parse(image)
            .map_err(|source| FlashError::NoImage { source })?;
        let (Some(flash), Some(sram)) = (board.flash, board.sram.first()) else {
            return Err(FlashError::NoChip { board: board.name.clone() });
        };
        let sizes = elf::sizes_of(image).map_err(|source| FlashError::NoImage { source })?;
        let mut linked = segments(&file, image)?;
        if chip.boots_esp_idf() {
            linked = esp::segments(&file, image, linked, board, chip)?;
        }
        let segments = linked
            .into_iter()
            .map(|segment| placed(segment, chip, flash.origin..flash.origin + flash.bytes))
            .collect::<Result<Vec<_>, _>>()?;
        if segments.is_empty() {
            return Err(FlashError::Nothing);
        }
        let used = sram.origin..sram.origin + sizes.sram() + board.stack_bytes;
        if within(&chip.ram, &used).is_none() || used.end > sram.origin + sram.bytes {
            return Err(FlashError::SramTooSmall {
                bytes: sizes.sram(),
                stack: board.stack_bytes,
                limit: sram.bytes,
                chip: chip.name.clone(),
                ram: chip.ram.clone(),
            });
        }
        let rtt = file.symbols().find(|symbol| symbol.name() == Ok("_SEGGER_RTT"));
        Ok(Plan {
            board: board.name.clone(),
            chip: chip.name.clone(),
            flash: Share {
                bytes: segments.iter().map(|segment| segment.bytes).sum(),
                limit: flash.bytes,
            },
            sram: Share { bytes: sizes.sram(), limit: sram.bytes },
            stack: board.stack_bytes,
            checkpoints: board.checkpoint_range(),
            segments,
            log: rtt.map(|symbol| symbol.address()),
        })
    }
}

/// What a program loader would copy, by address.
fn segments(
    file: &ElfFile<FileHeader32<Endianness>>,
    image: &[u8],
) -> Result<Vec<Segment>, FlashError> {
    let endian = file.endian();
    let headers = file.elf_header().program_headers(endian, image);
    let mut segments = Vec::new();
    for header in headers.map_err(|source| FlashError::NoImage { source })? {
        let data = header.data(endian, image).map_err(|()| FlashError::CutShort)?;
        let (offset, length) = header.file_range(endian);
        let here = |(start, size): (u64, u64)| {
            size > 0 && offset <= start && start + size <= offset + length
        };
        let sections: Vec<String> = file
            .sections()
            .filter(|section| section.file_range().is_some_and(here))
            .filter_map(|section| section.name().ok().map(str::to_string))
            .collect();
        // A segment without a section is the file's own header.
        if header.p_type(endian) != PT_LOAD || data.is_empty() || sections.is_empty() {
            continue;
        }
        segments.push(Segment::new(u64::from(header.p_paddr(endian)), data.to_vec(), sections));
    }
    segments.sort_by_key(|segment| segment.address);
    Ok(segments)
}

/// The segment with the chip's memory that it goes to.
fn placed(segment: Segment, chip: &Chip, board: Range<u64>) -> Result<Segment, FlashError> {
    let end = segment.address.saturating_add(segment.bytes);
    let Some(region) = within(&chip.flash, &(segment.address..end)) else {
        return Err(FlashError::outside(chip, segment));
    };
    if segment.address < board.start || board.end < end {
        return Err(FlashError::OutsideBoard { segment: Box::new(segment), board });
    }
    Ok(Segment { region: region.clone(), ..segment })
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ({})", self.board, self.chip)?;
        writeln!(f, "  {:<10}  {:>9}  {:<24}  sections", "address", "bytes", "flash of the chip")?;
        for Segment { address, bytes, sections, region, seen, .. } in &self.segments {
            let sections = sections.join(" ");
            let region = span(region);
            write!(f, "  {address:#010x}  {bytes:>9}  {region:<24}  {sections}")?;
            let seen = seen.as_ref().map(|seen| format!(", seen at {}", span(seen)));
            writeln!(f, "{}", seen.unwrap_or_default())?;
        }
        let Plan { flash, sram, stack, checkpoints, .. } = self;
        let left = sram.limit - sram.bytes;
        writeln!(f, "  flash {} of {} bytes", flash.bytes, flash.limit)?;
        if let Some(range) = checkpoints {
            let bytes = range.end - range.start;
            writeln!(f, "  checkpoints {bytes} bytes, {}, are left alone", span(range))?;
        }
        writeln!(f, "  SRAM  {} of {} bytes", sram.bytes, sram.limit)?;
        write!(f, "  stack {left} bytes are left, {stack} asked for")
    }
}

/// A range of addresses.
pub(crate) fn span(range: &Range<u64>) -> String {
    format!("{:#010x}..{:#010x}", range.start, range.end)
}

/// Ranges of addresses.
pub(crate) fn spans(ranges: &[Range<u64>]) -> String {
    ranges.iter().map(span).collect::<Vec<_>>().join(", ")
}
