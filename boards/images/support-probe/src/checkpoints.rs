//! A part of the chip's flash, for checkpoints.

use crate::{serve_on, Core};
use core::cell::RefCell;
use cortex_m::peripheral::SYST;
use embassy_embedded_hal::flash::partition::BlockingPartition;
use embassy_sync::blocking_mutex::{raw::NoopRawMutex, Mutex};
use embedded_io::{Read, Write};
use embedded_storage::nor_flash::NorFlash;
use offshoot_firmware::store::Storage;
use offshoot_firmware::{Board, Counter, Stack};
use offshoot_runtime::guard::GuardMemory;
use offshoot_runtime::Trainer;
use offshoot_support_cortex_m::Ticks;

/// The chip's flash, and what of it is kept for checkpoints: no part of the image.
pub struct Checkpoints<F> {
    /// All of the flash.
    pub flash: F,
    /// Where the part begins, in bytes from the flash's first, at a page.
    pub offset: u32,
    /// Whole pages; 0 where none are kept.
    pub bytes: u32,
    /// How often a page may be erased.
    pub endurance: u32,
}

/// A board with flash.
struct Keeping<'f, F: NorFlash> {
    core: Core,
    part: Option<BlockingPartition<'f, NoopRawMutex, F>>,
    endurance: u32,
}

impl<F: NorFlash> Board for Keeping<'_, F> {
    fn name(&self) -> &str {
        self.core.name()
    }

    fn counter(&self) -> Counter {
        self.core.counter()
    }

    fn count(&mut self) -> u64 {
        self.core.count()
    }

    fn stack(&mut self) -> Option<Stack> {
        self.core.stack()
    }

    fn flash(&mut self) -> Option<Storage<'_>> {
        let flash = self.part.as_mut()?;
        Some(Storage { flash, endurance: self.endurance })
    }
}

/// As [`crate::serve`], with checkpoints.
pub fn serve_with_checkpoints<T, G, L, F>(
    name: &'static str,
    trainer: &mut T,
    guard: &mut G,
    syst: SYST,
    link: L,
    checkpoints: Checkpoints<F>,
) -> !
where
    T: Trainer + ?Sized,
    G: GuardMemory,
    L: Read + Write,
    F: NorFlash,
{
    let Checkpoints { flash, offset, bytes, endurance } = checkpoints;
    let flash = Mutex::new(RefCell::new(flash));
    let part = (bytes > 0).then(|| BlockingPartition::new(&flash, offset, bytes));
    let core = Core { name, ticks: Ticks::new(syst) };
    serve_on(trainer, guard, Keeping { core, part, endurance }, link)
}
