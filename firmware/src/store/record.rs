//! What stands around the state in a slot: a header before it, a mark behind it.

use crate::crc::crc32;

/// Bytes of a header, before it is filled up to whole units.
pub(super) const HEADER_BYTES: usize = 52;
/// Bytes of a mark, likewise.
pub(crate) const MARK_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"OFFSHCKP";
const VERSION: u32 = 1;
const MARK: [u8; 8] = *b"COMMITTD";

/// What a checkpoint is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Bytes of state.
    pub length: u32,
    /// Greater than that of every checkpoint before it.
    pub sequence: u64,
    /// Sequence number of the checkpoint that was sure to hold while this one was written; its own
    /// where there was none.
    pub anchor: u64,
    /// Hash of model and update scheme.
    pub model_hash: u64,
    /// Training steps behind the state.
    pub steps: u32,
    /// How often the slot has been erased.
    pub erases: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest: &mut [u8] = &mut bytes;
        put(&mut rest, &MAGIC);
        put(&mut rest, &VERSION.to_le_bytes());
        put(&mut rest, &self.length.to_le_bytes());
        put(&mut rest, &self.sequence.to_le_bytes());
        put(&mut rest, &self.anchor.to_le_bytes());
        put(&mut rest, &self.model_hash.to_le_bytes());
        put(&mut rest, &self.steps.to_le_bytes());
        put(&mut rest, &self.erases.to_le_bytes());
        if let Some((content, crc)) = bytes.split_last_chunk_mut::<4>() {
            *crc = crc32(content).to_le_bytes();
        }
        bytes
    }

    /// The header that `bytes` begin with; none where its magic, version or checksum differ.
    pub(super) fn decode(bytes: &[u8]) -> Option<Header> {
        let mut rest = bytes;
        if take::<8>(&mut rest)? != MAGIC || u32::from_le_bytes(take(&mut rest)?) != VERSION {
            return None;
        }
        let header = Header {
            length: u32::from_le_bytes(take(&mut rest)?),
            sequence: u64::from_le_bytes(take(&mut rest)?),
            anchor: u64::from_le_bytes(take(&mut rest)?),
            model_hash: u64::from_le_bytes(take(&mut rest)?),
            steps: u32::from_le_bytes(take(&mut rest)?),
            erases: u32::from_le_bytes(take(&mut rest)?),
        };
        let crc = crc32(bytes.get(..bytes.len() - rest.len())?);
        (u32::from_le_bytes(take(&mut rest)?) == crc).then_some(header)
    }
}

/// The mark of a checkpoint whose header and state have this checksum.
pub(crate) fn mark(crc: u32) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    let mut rest: &mut [u8] = &mut bytes;
    put(&mut rest, &MARK);
    put(&mut rest, &crc.to_le_bytes());
    put(&mut rest, &(!crc).to_le_bytes());
    bytes
}

/// The checksum that a mark names; none where `bytes` begin with no mark.
pub(crate) fn marked(mut bytes: &[u8]) -> Option<u32> {
    let magic = take::<8>(&mut bytes)?;
    let crc = u32::from_le_bytes(take(&mut bytes)?);
    let inverse = u32::from_le_bytes(take(&mut bytes)?);
    (magic == MARK && inverse == !crc).then_some(crc)
}

pub(crate) fn put(rest: &mut &mut [u8], bytes: &[u8]) {
    if let Some((place, later)) = core::mem::take(rest).split_at_mut_checked(bytes.len()) {
        place.copy_from_slice(bytes);
        *rest = later;
    }
}

pub(crate) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (now, later) = rest.split_first_chunk()?;
    *rest = later;
    Some(*now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_is_noticed() {
        let header = Header {
            length: 1,
            sequence: 1 << 40,
            anchor: 3,
            model_hash: u64::MAX,
            steps: 5,
            erases: 6,
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&flipped), None, "bit {bit}");
        }
        assert_eq!(Header::decode(&bytes[..HEADER_BYTES - 1]), None);
    }

    #[test]
    fn a_mark_comes_back_and_every_flipped_bit_is_noticed() {
        let bytes = mark(0x1234_5678);
        assert_eq!(marked(&bytes), Some(0x1234_5678));
        for bit in 0..MARK_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(marked(&flipped), None, "bit {bit}");
        }
        assert_eq!(marked(&[0xFF; MARK_BYTES]), None);
    }
}
