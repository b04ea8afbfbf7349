//! Where a linked program may call into `core::panicking`, from its relocations and line numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::Path;

use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};
use addr2line::Context;
use object::read::elf::ElfFile32;
use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget, SymbolKind};

/// A place in the source that may panic, and the function that it was compiled into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site {
    /// File and line.
    pub place: String,
    /// Name of the symbol.
    pub function: String,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", self.place, self.function)
    }
}

/// One address that refers to a symbol.
struct Reference {
    at: u64,
    /// The symbol that it is in.
    from: Option<String>,
    to: String,
}

/// All places outside `core` that refer to `core::panicking`, or to what in `core` does.
pub fn of(program: &Path) -> BTreeSet<Site> {
    let bytes = fs::read(program).unwrap();
    let file = ElfFile32::<object::Endianness>::parse(&*bytes).unwrap();
    let references = references(&file);
    assert!(
        references.len() > 500,
        "{} references: linked without --emit-relocs",
        references.len()
    );
    let dwarf = Dwarf::load(|section| {
        let section = file.section_by_name(section.name());
        let data = section.and_then(|section| section.data().ok()).unwrap_or_default();
        Ok::<_, addr2line::gimli::Error>(EndianSlice::new(data, LittleEndian))
    });
    let lines = Context::from_dwarf(dwarf.unwrap()).unwrap();
    let mut panics: BTreeSet<&str> = BTreeSet::new();
    panics.extend(references.iter().map(|r| &*r.to).filter(|to| to.starts_with("core::panicking")));
    let mut sites = BTreeSet::new();
    loop {
        let mut found = Vec::new();
        for reference in references.iter().filter(|r| panics.contains(&*r.to)) {
            let from = reference.from.as_deref().unwrap_or("data without a name");
            match place(&lines, reference.at) {
                Some(place) => drop(sites.insert(Site { place, function: from.to_string() })),
                None => found.push(from),
            }
        }
        let before = panics.len();
        panics.extend(found);
        if panics.len() == before {
            break;
        }
    }
    // What is linked is reached, if only by ways that are not seen here.
    if sites.is_empty() {
        let unseen = |&to: &&str| Site { place: "somewhere".into(), function: to.into() };
        sites.extend(panics.iter().map(unseen));
    }
    sites
}

/// The innermost line at an address that is not in the standard library.
fn place(lines: &Context<EndianSlice<'_, LittleEndian>>, at: u64) -> Option<String> {
    let mut frames = lines.find_frames(at).skip_all_loads().unwrap();
    while let Some(frame) = frames.next().unwrap() {
        let Some(location) = frame.location else { continue };
        let (Some(file), Some(line)) = (location.file, location.line) else { continue };
        if line > 0 && !file.contains("/library/") {
            return Some(format!("{file}:{line}"));
        }
    }
    None
}

fn references(file: &ElfFile32<'_>) -> Vec<Reference> {
    let name = |symbol: &object::read::elf::ElfSymbol32<'_, '_>| {
        symbol.name().ok().map(|name| format!("{:#}", rustc_demangle::demangle(name)))
    };
    let named = |s: &object::read::elf::ElfSymbol32<'_, '_>| {
        matches!(s.kind(), SymbolKind::Text | SymbolKind::Data) && s.size() > 0
    };
    // The lowest bit of a function's address says that it is in Thumb code.
    let symbols: BTreeMap<u64, (u64, Option<String>)> =
        file.symbols().filter(named).map(|s| (s.address() & !1, (s.size(), name(&s)))).collect();
    let within = |at: u64| {
        let (first, (size, name)) = symbols.range(..=at).next_back()?;
        name.clone().filter(|_| at < first + size)
    };
    let mut references = Vec::new();
    for section in file.sections() {
        let allocated = matches!(section.flags(), object::SectionFlags::Elf { sh_flags }
            if sh_flags & u64::from(object::elf::SHF_ALLOC) != 0);
        for (at, relocation) in section.relocations().filter(|_| allocated) {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let Some(to) = file.symbol_by_index(index).ok().and_then(|s| name(&s)) else {
                continue;
            };
            references.push(Reference { at, from: within(at), to });
        }
    }
    references
}
