//! Boards with flash that is this process's memory.

use std::cell::Cell;

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use offshoot_firmware::bank::Place;
use offshoot_firmware::store::Storage;
use offshoot_firmware::{Board, Counter, Stack};
use offshoot_runtime::bank::BankMemory;

/// A board with flash in memory, which counts what changes it.
#[derive(Debug)]
pub struct Chip<'c> {
    bytes: Vec<u8>,
    changes: &'c Cell<u64>,
}

impl<'c> Chip<'c> {
    /// One whose flash holds 64 KiB of zeros.
    pub fn new(changes: &'c Cell<u64>) -> Chip<'c> {
        Chip { bytes: vec![0; 64 << 10], changes }
    }
}

impl ErrorType for Chip<'_> {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Chip<'_> {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let at = offset as usize;
        bytes.copy_from_slice(&self.bytes[at..at + bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl NorFlash for Chip<'_> {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.changes.set(self.changes.get() + 1);
        self.bytes[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.changes.set(self.changes.get() + 1);
        self.bytes[offset as usize..].iter_mut().zip(bytes).for_each(|(to, from)| *to &= from);
        Ok(())
    }
}

impl Board for Chip<'_> {
    fn name(&self) -> &str {
        "chip"
    }

    fn counter(&self) -> Counter {
        Counter::Cycles
    }

    fn count(&mut self) -> u64 {
        0
    }

    fn stack(&mut self) -> Option<Stack> {
        None
    }

    fn flash(&mut self) -> Option<Storage<'_>> {
        Some(Storage { flash: self, endurance: 10_000 })
    }
}

/// Such a board with a bank of 15 adapters of less than a page.
#[derive(Debug)]
pub struct Shelf<'c> {
    checkpoints: Chip<'c>,
    bank: Chip<'c>,
    memory: BankMemory<16, 256>,
}

impl<'c> Shelf<'c> {
    /// One whose flash holds zeros.
    pub fn new(changes: &'c Cell<u64>) -> Shelf<'c> {
        let [checkpoints, bank] = [Chip::new(changes), Chip::new(changes)];
        Shelf { checkpoints, bank, memory: BankMemory::new() }
    }
}

impl Board for Shelf<'_> {
    fn name(&self) -> &str {
        "shelf"
    }

    fn counter(&self) -> Counter {
        self.checkpoints.counter()
    }

    fn count(&mut self) -> u64 {
        0
    }

    fn stack(&mut self) -> Option<Stack> {
        None
    }

    fn flash(&mut self) -> Option<Storage<'_>> {
        self.checkpoints.flash()
    }

    fn bank(&mut self) -> Option<Place<'_>> {
        Place::of(&mut self.memory, &mut self.bank, 100_000)
    }
}
