//! What Espressif's chips boot: a boot loader, which finds the image in a table of partitions, copies to SRAM
//! what goes there, and lets the core see the rest of it in flash.

use espflash::flasher::{FlashData, FlashSettings, FlashSize};
use espflash::image_format::idf::IdfBootloaderFormat;
use object::elf::FileHeader32;
use object::read::elf::ElfFile;
use object::{Endianness, Object, ObjectSection};
use offshoot_boards::Board;

use crate::chip::within;
use crate::plan::Segment;
use crate::{Chip, FlashError};

/// Bytes before the first part of an image, and before the contents of each.
const HEADER: usize = 24;
const PART_HEADER: usize = 8;
/// What the boot loader asks of an image, by its section, and its bytes.
const DESCRIPTOR: &str = ".flash.appdesc";
const DESCRIPTOR_BYTES: usize = 256;

/// What is written of `image`, an ELF file that is linked into `linked`: boot loader, table, and the image part by part.
///
/// # Errors
/// Where it is no image for `chip`.
pub(crate) fn segments(
    file: &ElfFile<FileHeader32<Endianness>>,
    image: &[u8],
    linked: Vec<Segment>,
    board: &Board,
    chip: &Chip,
) -> Result<Vec<Segment>, FlashError> {
    let seen = [chip.flash.as_slice(), &chip.ram].concat();
    for segment in linked {
        let range = segment.address..segment.address.saturating_add(segment.bytes);
        if within(&seen, &range).is_none() {
            return Err(FlashError::outside(chip, segment));
        }
    }
    // What cannot be read would be left out.
    if file.sections().any(|section| section.file_range().is_some() && section.data().is_err()) {
        return Err(FlashError::CutShort);
    }
    let no_image = |why: String| FlashError::Format { chip: chip.name.clone(), why };
    let descriptor = file.section_by_name(DESCRIPTOR).and_then(|section| section.data().ok());
    if descriptor.is_none_or(|data| data.len() < DESCRIPTOR_BYTES) {
        let why =
            format!("it has no descriptor ({DESCRIPTOR}), as esp-bootloader-esp-idf makes it");
        return Err(no_image(why));
    }
    let kind: espflash::target::Chip =
        chip.name.parse().map_err(|_| no_image("espflash knows no such chip".to_string()))?;
    let size = board.flash.and_then(|flash| flash.physical.checked_ilog2()).unwrap_or(0);
    let settings = FlashSettings::new(None, FlashSize::from_detected(size as u8).ok(), None);
    let data = FlashData::new(settings, 0, None, kind, kind.default_xtal_frequency());
    let whole = IdfBootloaderFormat::new(image, &data, None, None, None, None)
        .map_err(|why| no_image(why.to_string()))?;
    let mut all = Vec::new();
    for (part, name) in whole.flash_segments().zip(["boot loader", "partition table", ""]) {
        let (address, data) = (u64::from(part.addr), part.data.into_owned());
        if name.is_empty() {
            all.extend(parts(file, address, &data).ok_or(FlashError::CutShort)?);
        } else {
            all.push(Segment::new(address, data, vec![name.to_string()]));
        }
    }
    Ok(all)
}

/// The image at `address`, cut where its parts begin. Its header is the first one's, its checksums are the last one's.
fn parts(
    file: &ElfFile<FileHeader32<Endianness>>,
    address: u64,
    image: &[u8],
) -> Option<Vec<Segment>> {
    let count = *image.get(1)?;
    let word = |at: usize| {
        let bytes = image.get(at..at + 4)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    };
    let (mut parts, mut from, mut at) = (Vec::new(), 0, HEADER);
    for part in 0..count {
        let (place, bytes) = (u64::from(word(at)?), word(at + 4)?);
        at += PART_HEADER + bytes as usize;
        let to = if part + 1 == count { image.len() } else { at };
        let seen = place..place + u64::from(bytes);
        let data = image.get(from..to)?.to_vec();
        let address = address + from as u64;
        from = to;
        // What only fills up to the next page has no place.
        parts.push(match place {
            0 => Segment::new(address, data, vec!["padding".to_string()]),
            _ => Segment {
                seen: Some(seen.clone()),
                ..Segment::new(address, data, sections(file, seen))
            },
        });
    }
    Some(parts)
}

/// Sections with bytes in `range`, where the core sees them.
fn sections(file: &ElfFile<FileHeader32<Endianness>>, range: std::ops::Range<u64>) -> Vec<String> {
    let here =
        |start: u64, bytes: u64| bytes > 0 && start < range.end && range.start < start + bytes;
    file.sections()
        .filter(|section| section.file_range().is_some() && here(section.address(), section.size()))
        .filter_map(|section| section.name().ok().map(str::to_string))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plan;
    use std::collections::BTreeMap;

    /// An ELF file of sections, each with a program header of its own.
    fn elf(sections: &[(&str, u32, Vec<u8>)]) -> Vec<u8> {
        let count = sections.len();
        let (mut names, mut data, mut programs) = (vec![0], Vec::new(), Vec::new());
        let mut headers = vec![[0u32; 10]];
        let start = 52 + 32 * count;
        for (name, address, bytes) in sections {
            let (at, size) = ((start + data.len()) as u32, bytes.len() as u32);
            // A section of bytes that lies in memory; a segment that is loaded.
            headers.push([names.len() as u32, 1, 2, *address, at, size, 0, 0, 4, 0]);
            programs.push([1, at, *address, *address, size, size, 4, 4]);
            names.extend(name.bytes().chain([0]));
            data.extend(bytes);
        }
        let at = (start + data.len()) as u32;
        let name = names.len() as u32;
        names.extend(b".shstrtab\0");
        names.resize(names.len().next_multiple_of(4), 0);
        headers.push([name, 3, 0, 0, at, names.len() as u32, 0, 0, 1, 0]);
        let words = |words: &[u32]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>();
        let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        // A program for RISC-V.
        file.extend(words(&[2 | 243 << 16, 1, 0x4201_0020, 52, at + names.len() as u32, 0]));
        let counts = [52, 32, count, 40, count + 2, count + 1];
        file.extend(counts.iter().flat_map(|n| (*n as u16).to_le_bytes()));
        file.extend(programs.iter().flat_map(|header| words(header)));
        file.extend(data.iter().chain(&names));
        file.extend(headers.iter().flat_map(|header| words(header)));
        file
    }

    fn bytes(count: usize, seed: usize) -> Vec<u8> {
        (0..count).map(|i| (i * 7 + i / 251 + seed) as u8).collect()
    }

    /// As esp-hal's scripts place them.
    fn sections() -> Vec<(&'static str, u32, Vec<u8>)> {
        let descriptor = [&0xABCD_5432u32.to_le_bytes()[..], &[0; 252]].concat();
        vec![
            (".rwtext", 0x4038_0000, bytes(3_000, 1)),
            (".data", 0x3FC8_0BB8, bytes(1_000, 2)),
            (DESCRIPTOR, 0x3C00_0020, descriptor),
            (".rodata", 0x3C00_0120, bytes(40_000, 3)),
            (".text", 0x4201_0020, bytes(90_000, 4)),
        ]
    }

    fn plan(image: &[u8], board: &Board) -> Result<Plan, FlashError> {
        Plan::new(image, board, &Chip::find("esp32c3").unwrap())
    }

    #[test]
    fn every_byte_is_written_where_the_boot_loader_looks() {
        let board = offshoot_boards::find("esp32-c3").unwrap();
        let plan = plan(&elf(&sections()), &board).unwrap();
        println!("{plan}");
        let (before, parts) = plan.segments.split_at(2);
        assert_eq!((before[0].address, before[0].sections[0].as_str()), (0, "boot loader"));
        assert!(before[0].bytes > 10_000 && before[0].bytes <= 0x8000, "{}", before[0].bytes);
        assert_eq!(
            (before[1].address, before[1].sections[0].as_str()),
            (0x8000, "partition table")
        );
        assert_eq!(parts[0].address, 0x1_0000);
        for (a, b) in parts.iter().zip(&parts[1..]) {
            assert_eq!(a.address + a.bytes, b.address, "{plan}");
        }
        for header in [&before[0].data, &parts[0].data] {
            assert_eq!((header[0], header[3] >> 4), (0xE9, 2), "an image for 4 MiB of flash");
        }
        let mut seen = BTreeMap::new();
        for (i, part) in parts.iter().enumerate() {
            let Some(range) = &part.seen else { continue };
            let skip = if i == 0 { HEADER + PART_HEADER } else { PART_HEADER };
            // Flash is seen by pages of 64 KiB.
            if !(0x3FC8_0000..0x4200_0000).contains(&range.start) {
                assert_eq!((part.address + skip as u64) % 0x1_0000, range.start % 0x1_0000);
            }
            let there = &part.data[skip..];
            seen.extend(range.clone().zip(there.iter().copied()));
        }
        for (name, address, bytes) in sections() {
            // The descriptor gets the checksum of the file.
            let known = bytes.iter().enumerate().filter(|(i, _)| name != DESCRIPTOR || *i < 144);
            for (i, byte) in known {
                let at = u64::from(address) + i as u64;
                assert_eq!(seen.get(&at), Some(byte), "{name} at {at:#x}");
            }
        }
        assert_eq!(plan.flash.bytes, plan.segments.iter().map(|s| s.bytes).sum::<u64>());
        assert_eq!(plan.checkpoints, Some(0x3E_0000..0x40_0000));
    }

    #[test]
    fn what_it_does_not_boot_is_refused() {
        let board = offshoot_boards::find("esp32-c3").unwrap();
        type Sections<'s> = Vec<(&'s str, u32, Vec<u8>)>;
        let with = |change: fn(&mut Sections<'_>)| {
            let mut all = sections();
            change(&mut all);
            plan(&elf(&all), &board).unwrap_err().to_string()
        };
        for error in [with(|all| drop(all.remove(2))), with(|all| all[2].2.truncate(100))] {
            assert!(error.contains("esp32c3") && error.contains(DESCRIPTOR), "{error}");
        }
        // The emulated RISC-V board's.
        let error = with(|all| all[4].1 = 0x8000_0000);
        assert!(error.contains("does not fit the chip") && error.contains(".text"), "{error}");
        let image = elf(&sections());
        for length in (0..image.len()).step_by(image.len() / 50) {
            assert!(plan(&image[..length], &board).is_err(), "{length} bytes of it");
        }
        let mut small = board.clone();
        small.flash.as_mut().unwrap().bytes = 0x2_0000;
        let error = plan(&image, &small).unwrap_err();
        assert!(matches!(error, FlashError::OutsideBoard { .. }), "{error}");
    }
}
