//! NOR flash in memory, whose power fails in the middle of things.

use super::Random;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash,
};

/// What an operation that power fails in leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tear {
    /// It had not begun.
    Before,
    /// Each bit has changed or has not.
    Half,
    /// Each bit is one or the other, also such that were not to change.
    Garbage,
    /// It was done but for one bit, which reads as one or the other each time.
    Weak,
    /// It was done; nobody was told.
    After,
}

/// Tears whose traces read the same every time.
pub const LASTING: [Tear; 4] = [Tear::Before, Tear::Half, Tear::Garbage, Tear::After];

/// Flash with units of `UNIT` bytes and pages of `PAGE`.
#[derive(Clone)]
pub struct Part<const UNIT: usize, const PAGE: usize> {
    bytes: Vec<u8>,
    /// Bits that read as anything.
    weak: Vec<u8>,
    /// Units that were written since they were erased.
    written: Vec<bool>,
    /// Erasures of each page.
    pub erased: Vec<u32>,
    /// A page that is not erased any more.
    pub worn: Option<usize>,
    /// Operations, a unit or a page each, until power fails, and how.
    pub fuse: Option<(u64, Tear)>,
    pub operations: u64,
    dead: bool,
    random: Random,
}

#[derive(Clone, Copy, Debug)]
pub struct PowerLost;

impl NorFlashError for PowerLost {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl<const UNIT: usize, const PAGE: usize> Part<UNIT, PAGE> {
    /// Pages of anything: no checkpoint.
    pub fn new(pages: usize, seed: u64) -> Self {
        let mut random = Random(seed | 1);
        Part {
            bytes: (0..pages * PAGE).map(|_| random.byte()).collect(),
            weak: vec![0; pages * PAGE],
            written: vec![true; pages * PAGE / UNIT],
            erased: vec![0; pages],
            worn: None,
            fuse: None,
            operations: 0,
            dead: false,
            random,
        }
    }

    /// One bit changes by itself.
    pub fn flip(&mut self, at: usize, bit: u32) {
        self.bytes[at] ^= 1 << bit;
    }

    /// What lies there.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Power is back.
    pub fn restart(&mut self) {
        (self.dead, self.fuse) = (false, None);
    }

    /// How an operation on the bytes from `at` on ends that is to leave `wanted`: whether power holds.
    fn operate(&mut self, at: usize, wanted: &[u8]) -> Result<(), PowerLost> {
        if self.dead {
            return Err(PowerLost);
        }
        self.operations += 1;
        let tear = match &mut self.fuse {
            Some((0, tear)) => Some(*tear),
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        for (i, &wanted) in (at..).zip(wanted) {
            let (old, noise) = (self.bytes[i], self.random.byte());
            let mixed = old ^ ((old ^ wanted) & noise);
            (self.bytes[i], self.weak[i]) = match tear {
                None | Some(Tear::After) => (wanted, 0),
                Some(Tear::Before) => (old, self.weak[i]),
                Some(Tear::Half) => (mixed, 0),
                Some(Tear::Garbage) => (noise, 0),
                Some(Tear::Weak) => (wanted, 0),
            };
        }
        if tear == Some(Tear::Weak) {
            let at = at + self.random.below(wanted.len());
            self.weak[at] = 1 << self.random.below(8);
        }
        self.dead = tear.is_some();
        if self.dead {
            Err(PowerLost)
        } else {
            Ok(())
        }
    }
}

impl<const UNIT: usize, const PAGE: usize> ErrorType for Part<UNIT, PAGE> {
    type Error = PowerLost;
}

impl<const UNIT: usize, const PAGE: usize> ReadNorFlash for Part<UNIT, PAGE> {
    const READ_SIZE: usize = UNIT;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), PowerLost> {
        let at = offset as usize;
        assert!(at.is_multiple_of(UNIT) && bytes.len().is_multiple_of(UNIT));
        for (i, byte) in (at..).zip(bytes) {
            *byte = self.bytes[i] ^ (self.weak[i] & self.random.byte());
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
}

impl<const UNIT: usize, const PAGE: usize> NorFlash for Part<UNIT, PAGE> {
    const WRITE_SIZE: usize = UNIT;
    const ERASE_SIZE: usize = PAGE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), PowerLost> {
        let (from, to) = (from as usize, to as usize);
        assert!(from.is_multiple_of(PAGE) && to.is_multiple_of(PAGE) && from < to);
        for page in from / PAGE..to / PAGE {
            let at = page * PAGE;
            self.written[at / UNIT..(at + PAGE) / UNIT].fill(false);
            if self.worn == Some(page) {
                continue;
            }
            self.erased[page] += 1;
            self.operate(at, &[0xFF; PAGE])?;
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), PowerLost> {
        let first = offset as usize;
        assert!(first.is_multiple_of(UNIT) && bytes.len().is_multiple_of(UNIT));
        for (i, unit) in bytes.chunks(UNIT).enumerate() {
            let at = first + i * UNIT;
            assert!(!self.written[at / UNIT], "unit {} written twice", at / UNIT);
            self.written[at / UNIT] = true;
            // Programming clears bits and sets none.
            let wanted: Vec<u8> = unit.iter().zip(&self.bytes[at..]).map(|(a, b)| a & b).collect();
            self.operate(at, &wanted)?;
        }
        Ok(())
    }
}
