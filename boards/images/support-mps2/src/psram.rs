//! Memory that the boards of MPS2 have beside their SRAM, used as NOR flash: the emulator keeps it in a
//! file, so that it outlives the image.

use embedded_storage::nor_flash::{
    check_erase, check_read, check_write, ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash,
};

/// The memory. It behaves as flash does: pages are erased to ones, writing only clears bits.
pub struct Psram {
    base: usize,
    bytes: usize,
}

impl Psram {
    /// `base` is the address of the memory, of which nobody else uses the first `bytes`.
    pub(crate) fn at(base: usize, bytes: usize) -> Psram {
        Psram { base, bytes }
    }

    /// Its first `bytes`, and those behind them.
    pub fn split(self, bytes: usize) -> (Psram, Psram) {
        let bytes = bytes.min(self.bytes);
        let rest = Psram { base: self.base + bytes, bytes: self.bytes - bytes };
        (Psram { bytes, ..self }, rest)
    }

    fn byte(&self, offset: usize) -> *mut u8 {
        (self.base + offset) as *mut u8
    }
}

impl ErrorType for Psram {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Psram {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        for (i, byte) in (offset as usize..).zip(bytes) {
            // SAFETY: within the memory, as checked, which is nobody else's.
            *byte = unsafe { self.byte(i).read_volatile() };
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes
    }
}

impl NorFlash for Psram {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for i in from as usize..to as usize {
            // SAFETY: as above.
            unsafe { self.byte(i).write_volatile(0xFF) };
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        for (i, &byte) in (offset as usize..).zip(bytes) {
            let place = self.byte(i);
            // SAFETY: as above.
            unsafe { place.write_volatile(place.read_volatile() & byte) };
        }
        Ok(())
    }
}
