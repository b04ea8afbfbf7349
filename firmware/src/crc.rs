//! CRC-32 as Ethernet and zip use it, by nibbles: a table of 64 bytes.

const TABLE: [u32; 16] = table();

const fn table() -> [u32; 16] {
    let mut table = [0u32; 16];
    let mut i = 0;
    while i < 16 {
        let mut value = i as u32;
        let mut bit = 0;
        while bit < 4 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[i] = value;
        i += 1;
    }
    table
}

/// A checksum under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crc(u32);

impl Crc {
    pub(crate) const fn new() -> Crc {
        Crc(u32::MAX)
    }

    pub(crate) fn push(&mut self, byte: u8) {
        let nibble = |crc: u32| (crc >> 4) ^ TABLE[(crc & 15) as usize];
        self.0 = nibble(nibble(self.0 ^ byte as u32));
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.push(b));
    }

    pub(crate) fn value(self) -> u32 {
        !self.0
    }
}

/// CRC-32 of `bytes`.
pub fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.extend(bytes);
    crc.value()
}

#[cfg(test)]
mod tests {
    #[test]
    fn matches_the_published_check_value() {
        assert_eq!(super::crc32(b"123456789"), 0xCBF4_3926);
    }
}
