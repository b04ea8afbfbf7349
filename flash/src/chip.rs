//! A chip's memories, as probe-rs knows them.

use std::ops::Range;
use std::sync::Once;

use probe_rs::config::{MemoryRegion, Registry, Target};

use crate::FlashError;

/// Tells probe-rs of Espressif's chips and of the probe that is in each of them, once.
pub(crate) fn with_espressif() {
    static ONCE: Once = Once::new();
    ONCE.call_once(probe_rs_espressif::register_plugin);
}

/// A chip that probe-rs can program.
#[derive(Clone, Debug)]
pub struct Chip {
    /// Its name.
    pub name: String,
    /// Memories that keep their contents, by address.
    pub flash: Vec<Range<u64>>,
    /// Memories that do not, by address.
    pub ram: Vec<Range<u64>>,
    pub(crate) target: Target,
}

impl Chip {
    /// The chip that probe-rs calls `name`.
    ///
    /// # Errors
    /// [`FlashError::UnknownChip`], with names that come near.
    pub fn find(name: &str) -> Result<Chip, FlashError> {
        with_espressif();
        let registry = Registry::from_builtin_families();
        let target = registry
            .get_target_by_name(name)
            .ok()
            // It takes prefixes too, and with them another chip than was meant.
            .filter(|target| target.name.eq_ignore_ascii_case(name));
        match target {
            Some(target) => Ok(Chip::of(target)),
            None => {
                Err(FlashError::UnknownChip { name: name.to_string(), near: near(&registry, name) })
            }
        }
    }

    /// Whether it boots images in the form of ESP-IDF, by a boot loader in its flash.
    pub(crate) fn boots_esp_idf(&self) -> bool {
        self.target.default_format.as_deref() == Some("idf")
    }

    fn of(target: Target) -> Chip {
        let regions = |pick: fn(&MemoryRegion) -> Option<Range<u64>>| {
            joined(target.memory_map.iter().filter_map(pick).collect())
        };
        let flash = regions(|region| match region {
            MemoryRegion::Nvm(nvm) => Some(nvm.range.clone()),
            _ => None,
        });
        let ram = regions(|region| match region {
            MemoryRegion::Ram(ram) => Some(ram.range.clone()),
            _ => None,
        });
        Chip { name: target.name.clone(), flash, ram, target }
    }
}

/// Ranges in order, those that touch made one.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut all: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match all.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => all.push(range),
        }
    }
    all
}

/// The first of `ranges` that all of `inner` lies in.
pub(crate) fn within<'a>(ranges: &'a [Range<u64>], inner: &Range<u64>) -> Option<&'a Range<u64>> {
    ranges.iter().find(|range| range.start <= inner.start && inner.end <= range.end)
}

/// Names that share the longest beginning with `name`, at most eight.
fn near(registry: &Registry, name: &str) -> Vec<String> {
    let shared = |other: &str| {
        let pairs = name.chars().zip(other.chars());
        pairs.take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count()
    };
    let chips = registry.families().iter().flat_map(|family| &family.variants);
    let mut names: Vec<String> = chips.flat_map(|chip| chip.package_variants().cloned()).collect();
    names.sort_by_key(|other| (std::cmp::Reverse(shared(other)), other.clone()));
    let longest = names.first().map_or(0, |first| shared(first));
    // A letter or two in common is chance.
    names.retain(|other| longest > 2 && shared(other) == longest);
    names.truncate(8);
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_rs::config::SectorDescription;

    #[test]
    fn memories_that_touch_are_one() {
        let chip = Chip::find("STM32F746NGHx").unwrap();
        assert!(within(&chip.ram, &(0x2000_0000..0x2005_0000)).is_some(), "{:x?}", chip.ram);
        assert!(within(&chip.ram, &(0x2000_0000..0x2005_0001)).is_none());
        assert!(within(&chip.flash, &(0x0800_0000..0x0810_0000)).is_some());
    }

    /// Pages of the chip in `range`, as probe-rs erases them.
    fn pages(chip: &Chip, range: &Range<u64>) -> Vec<Range<u64>> {
        let algorithms = &chip.target.flash_algorithms;
        let mut flash = algorithms.iter().map(|algorithm| &algorithm.flash_properties);
        let flash = flash
            .rfind(|flash| {
                let all = &flash.address_range;
                all.start <= range.start && range.end <= all.end
            })
            .unwrap_or_else(|| panic!("{} writes none of {range:x?}", chip.name));
        let mut pages = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let from = |s: &&SectorDescription| flash.address_range.start + s.address;
            let sector = flash.sectors.iter().rfind(|s| from(s) <= at).unwrap();
            pages.push(at..at + sector.size);
            at += sector.size;
        }
        pages
    }

    /// What is erased for an image is nothing of what checkpoints lie in, and each of their pages is
    /// erased alone.
    #[test]
    fn checkpoints_have_pages_of_their_own() {
        let mut keeping = 0;
        for board in offshoot_boards::all().unwrap() {
            let (Some(kept), Some(name)) = (board.checkpoints, &board.probe_rs) else { continue };
            let range = board.checkpoint_range().unwrap();
            let chip = Chip::find(name).unwrap();
            assert!(within(&chip.flash, &range).is_some(), "{name}: {range:x?}");
            let pages = pages(&chip, &range);
            let sizes = || pages.iter().map(|page| page.end - page.start);
            // probe-rs erases Espressif's flash by blocks of pages.
            let block = if chip.boots_esp_idf() { 0x1_0000 } else { kept.page };
            assert_eq!(block % kept.page, 0, "{name}");
            assert!(sizes().all(|bytes| bytes == block), "{name}: {pages:x?}");
            assert_eq!(sizes().sum::<u64>(), kept.bytes, "{name}");
            let flash = board.flash.unwrap();
            assert!(flash.origin + flash.bytes <= range.start, "{name}");
            assert_eq!(range.start % block, 0, "{name}: no block has both image and checkpoints");
            keeping += 1;
        }
        assert!(keeping >= 3, "{keeping} boards keep checkpoints");
    }

    #[test]
    fn an_unknown_chip_names_what_comes_near() {
        let error = Chip::find("nRF52841_xxAA").unwrap_err().to_string();
        assert!(error.contains("nRF52841_xxAA") && error.contains("nRF52840_xxAA"), "{error}");
        let error = Chip::find("Z80").unwrap_err().to_string();
        assert!(error.contains("Z80") && !error.contains("near"), "{error}");
        // Another chip's name in full is no beginning of one's own.
        assert!(Chip::find("STM32F4").is_err());
    }
}
