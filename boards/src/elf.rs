//! What a linked program takes of flash and SRAM.

use object::read::elf::{ElfFile32, ElfFile64};
use object::{Object, ObjectSection, SectionFlags};
use std::path::Path;

/// Bytes of a linked program by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Code and vector table, in flash.
    pub text: u64,
    /// Constants, in flash.
    pub rodata: u64,
    /// Variables with a first value, and code that runs from SRAM: there, and what fills it in flash.
    pub data: u64,
    /// Variables that begin as zero or as anything, in SRAM.
    pub bss: u64,
}

impl Sizes {
    /// Bytes of flash.
    pub fn flash(&self) -> u64 {
        self.text + self.rodata + self.data
    }

    /// Bytes of SRAM, without stack.
    pub fn sram(&self) -> u64 {
        self.data + self.bss
    }
}

/// Why a program could not be measured.
#[derive(Debug, thiserror::Error)]
pub enum ElfError {
    /// It could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is no ELF file.
    #[error("not an ELF program: {0}")]
    Parse(#[from] object::Error),
}

/// Measures the program at `path`.
///
/// # Errors
/// Where it cannot be read or is no ELF file.
pub fn sizes(path: &Path) -> Result<Sizes, ElfError> {
    Ok(sizes_of(&std::fs::read(path)?)?)
}

/// Measures a program, the bytes of an ELF file.
///
/// # Errors
/// Where they are none.
pub fn sizes_of(program: &[u8]) -> Result<Sizes, object::Error> {
    Ok(match object::FileKind::parse(program)? {
        object::FileKind::Elf64 => sum(&ElfFile64::<object::Endianness>::parse(program)?),
        _ => sum(&ElfFile32::<object::Endianness>::parse(program)?),
    })
}

fn sum<'d>(file: &impl Object<'d>) -> Sizes {
    let mut sizes = Sizes::default();
    for section in file.sections() {
        let SectionFlags::Elf { sh_flags } = section.flags() else { continue };
        let has = |flag: u32| sh_flags & u64::from(flag) != 0;
        // Some linker scripts make a section of what is left for the stack.
        if !has(object::elf::SHF_ALLOC) || section.name() == Ok(".stack") {
            continue;
        }
        let nothing_stored = section.size() > 0 && section.file_range().is_none();
        *match section.name() {
            // Where the HAL of an ESP32 leaves out addresses at which a memory is used under another one.
            Ok(".rotext_dummy" | ".rwdata_dummy") => continue,
            _ if nothing_stored => &mut sizes.bss,
            Ok(".vector_table") => &mut sizes.text,
            // Of an ESP32.
            Ok(".trap" | ".rwtext") => &mut sizes.data,
            _ if has(object::elf::SHF_EXECINSTR) => &mut sizes.text,
            _ if has(object::elf::SHF_WRITE) => &mut sizes.data,
            _ => &mut sizes.rodata,
        } += section.size();
    }
    sizes
}
