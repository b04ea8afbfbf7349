//! What stands before an adapter's bytes in a slot: how often it was erased, and what the adapter is.

use super::BankError;
use crate::crc::crc32;
use crate::store::record::{put, take};

/// Bytes of a record of wear, before it is filled up to whole units.
pub(super) const WEAR_BYTES: usize = 12;
/// Bytes of a header, likewise.
pub(super) const HEADER_BYTES: usize = 72;

const WEAR: [u8; 4] = *b"WEAR";
const MAGIC: [u8; 8] = *b"OFFSADPT";
const VERSION: u32 = 1;

/// Most bytes of a name.
pub const NAME_BYTES: usize = 24;

/// The name of an adapter: 1 to [`NAME_BYTES`] bytes of UTF-8, no control characters among them.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Name {
    bytes: [u8; NAME_BYTES],
    length: u8,
}

impl Name {
    /// The name `text`.
    ///
    /// # Errors
    /// [`BankError::Name`] where it is none.
    pub fn new(text: &str) -> Result<Name, BankError> {
        let mut name = Name { bytes: [0; NAME_BYTES], length: text.len() as u8 };
        let place = name.bytes.get_mut(..text.len()).filter(|place| !place.is_empty());
        let place = place.ok_or(BankError::Name)?;
        if text.chars().any(char::is_control) {
            return Err(BankError::Name);
        }
        place.copy_from_slice(text.as_bytes());
        Ok(name)
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length.into()).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an adapter is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Its name.
    pub name: Name,
    /// Hash of the model and update scheme that it belongs to.
    pub model_hash: u64,
    /// Bytes of it.
    pub length: u32,
    /// CRC-32 of those.
    pub crc: u32,
    /// Training steps behind it.
    pub steps: u32,
    /// Greater than that of everything that was written to the bank before it.
    pub sequence: u64,
}

impl Header {
    /// Its bytes, and the checksum that they end with: what a mark names.
    pub(super) fn encode(&self) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest: &mut [u8] = &mut bytes;
        put(&mut rest, &MAGIC);
        put(&mut rest, &VERSION.to_le_bytes());
        put(&mut rest, &self.length.to_le_bytes());
        put(&mut rest, &self.sequence.to_le_bytes());
        put(&mut rest, &self.model_hash.to_le_bytes());
        put(&mut rest, &self.steps.to_le_bytes());
        put(&mut rest, &self.crc.to_le_bytes());
        put(&mut rest, &[self.name.length, 0, 0, 0]);
        put(&mut rest, &self.name.bytes);
        let mut sum = 0;
        if let Some((content, crc)) = bytes.split_last_chunk_mut::<4>() {
            sum = crc32(content);
            *crc = sum.to_le_bytes();
        }
        (bytes, sum)
    }

    /// The header that `bytes` are, and its checksum; none where anything differs.
    pub(super) fn decode(bytes: &[u8; HEADER_BYTES]) -> Option<(Header, u32)> {
        let mut rest: &[u8] = bytes;
        if take::<8>(&mut rest)? != MAGIC || u32::from_le_bytes(take(&mut rest)?) != VERSION {
            return None;
        }
        let length = u32::from_le_bytes(take(&mut rest)?);
        let sequence = u64::from_le_bytes(take(&mut rest)?);
        let model_hash = u64::from_le_bytes(take(&mut rest)?);
        let steps = u32::from_le_bytes(take(&mut rest)?);
        let crc = u32::from_le_bytes(take(&mut rest)?);
        let [name_length, ..] = take::<4>(&mut rest)?;
        let name: [u8; NAME_BYTES] = take(&mut rest)?;
        let name = Name::new(core::str::from_utf8(name.get(..name_length.into())?).ok()?).ok()?;
        let header = Header { name, model_hash, length, crc, steps, sequence };
        let (encoded, sum) = header.encode();
        (encoded == *bytes).then_some((header, sum))
    }
}

/// The record of `erases` erasures.
pub(super) fn wear(erases: u32) -> [u8; WEAR_BYTES] {
    let mut bytes = [0; WEAR_BYTES];
    let mut rest: &mut [u8] = &mut bytes;
    put(&mut rest, &WEAR);
    put(&mut rest, &erases.to_le_bytes());
    if let Some((content, crc)) = bytes.split_last_chunk_mut::<4>() {
        *crc = crc32(content).to_le_bytes();
    }
    bytes
}

/// The erasures that a record names, if it is one.
pub(super) fn worn(bytes: &[u8; WEAR_BYTES]) -> Option<u32> {
    let erases = u32::from_le_bytes(*bytes.get(4..)?.first_chunk()?);
    (wear(erases) == *bytes).then_some(erases)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_is_noticed() {
        let header = Header {
            name: Name::new("Anna’s kitchen").unwrap(),
            model_hash: u64::MAX - 1,
            length: 2048,
            crc: 0xDEAD_BEEF,
            steps: 7,
            sequence: 1 << 40,
        };
        let (bytes, sum) = header.encode();
        assert_eq!(Header::decode(&bytes), Some((header, sum)));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped), None, "bit {bit}");
        }
        let bytes = wear(77);
        assert_eq!(worn(&bytes), Some(77));
        for bit in 0..WEAR_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(worn(&flipped), None, "bit {bit}");
        }
        for n in 0..WEAR_BYTES {
            let mut torn = bytes;
            torn[n..].fill(0xFF);
            assert_eq!(worn(&torn), None, "{n} bytes");
        }
    }

    #[test]
    fn names_are_text_of_some_bytes() {
        for name in ["a", "Jürgen", "123456789012345678901234"] {
            assert_eq!(Name::new(name).unwrap().as_str(), name);
        }
        for name in ["", "1234567890123456789012345", "a\nb", "\u{7f}"] {
            assert_eq!(Name::new(name), Err(BankError::Name), "{name:?}");
        }
    }
}
