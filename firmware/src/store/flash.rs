//! Flash as the store sees it: a part behind [`NorFlash`], whatever its type.

use super::StoreError;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

/// NOR flash: a page is erased to ones as a whole, then each unit of it is written once. Every
/// [`NorFlash`] is one.
pub trait Flash {
    /// Bytes that there are.
    fn capacity(&self) -> usize;

    /// Bytes of a page.
    fn page(&self) -> usize;

    /// Bytes that reads and writes are whole multiples of; 0 where there is no such number.
    fn unit(&self) -> usize;

    /// Reads whole units.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), StoreError>;

    /// Writes whole units that are erased.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), StoreError>;

    /// Erases the page that begins at `at`.
    ///
    /// # Errors
    /// [`StoreError::Flash`].
    fn erase(&mut self, at: u32) -> Result<(), StoreError>;
}

impl<F: NorFlash> Flash for F {
    fn capacity(&self) -> usize {
        ReadNorFlash::capacity(self)
    }

    fn page(&self) -> usize {
        F::ERASE_SIZE
    }

    fn unit(&self) -> usize {
        let unit = F::READ_SIZE.max(F::WRITE_SIZE);
        let whole = |part: usize| unit.checked_rem(part) == Some(0);
        if whole(F::READ_SIZE) && whole(F::WRITE_SIZE) {
            unit
        } else {
            0
        }
    }

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), StoreError> {
        ReadNorFlash::read(self, at, bytes).map_err(|_| StoreError::Flash)
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), StoreError> {
        NorFlash::write(self, at, bytes).map_err(|_| StoreError::Flash)
    }

    fn erase(&mut self, at: u32) -> Result<(), StoreError> {
        NorFlash::erase(self, at, at.saturating_add(F::ERASE_SIZE as u32))
            .map_err(|_| StoreError::Flash)
    }
}

/// Flash that a board gives to checkpoints: none of it is its image's.
pub struct Storage<'b> {
    /// The part.
    pub flash: &'b mut dyn Flash,
    /// How often a page may be erased, as the part's data sheet has it; 0 where it does not matter.
    pub endurance: u32,
}
