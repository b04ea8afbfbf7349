//! The memory of a bank of adapters, as a compiler settles it: how many there may be, and the bytes
//! that this takes. The application around the program keeps the bank.

/// Words of an index and bytes of what is told, emitted beside a program; none of a bank that was not asked
/// for.
#[derive(Debug)]
pub struct BankMemory<const SLOTS: usize, const TOLD: usize> {
    /// What is known of each slot.
    pub index: [u32; SLOTS],
    /// What a host is told.
    pub told: [u8; TOLD],
}

impl<const SLOTS: usize, const TOLD: usize> BankMemory<SLOTS, TOLD> {
    /// All zeros.
    pub const fn new() -> Self {
        BankMemory { index: [0; SLOTS], told: [0; TOLD] }
    }
}

impl<const SLOTS: usize, const TOLD: usize> Default for BankMemory<SLOTS, TOLD> {
    fn default() -> Self {
        BankMemory::new()
    }
}

/// No bank: it takes no bytes.
pub type NoBank = BankMemory<0, 0>;

/// Bytes of an adapter that a host is told at once.
pub const TOLD_BYTES: usize = 256;

/// Slots of a bank of so many adapters: one more, which a new version of one is written to.
pub const fn slots(adapters: u16) -> usize {
    if adapters == 0 {
        0
    } else {
        adapters as usize + 1
    }
}

/// Bytes of SRAM of a bank of so many adapters.
pub const fn bytes(adapters: u16) -> usize {
    if adapters == 0 {
        0
    } else {
        4 * slots(adapters) + TOLD_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_memory() {
        assert_eq!((bytes(0), size_of::<NoBank>()), (0, 0));
        const ADAPTERS: u16 = 1000;
        let memory = size_of::<BankMemory<{ slots(ADAPTERS) }, TOLD_BYTES>>();
        assert_eq!((memory, bytes(ADAPTERS)), (4260, 4260));
    }
}
