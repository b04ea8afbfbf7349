//! Bytes aligned to 8, as programs ask of their memories.

use zerocopy::IntoBytes;

/// Zeroed or given bytes at an address that is a multiple of 8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlignedBytes {
    words: Vec<u64>,
    len: usize,
}

impl AlignedBytes {
    /// `len` zeros.
    pub fn zeroed(len: usize) -> Self {
        AlignedBytes { words: vec![0; len.div_ceil(8)], len }
    }

    /// A copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut aligned = AlignedBytes::zeroed(bytes.len());
        aligned.as_mut().copy_from_slice(bytes);
        aligned
    }
}

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.words.as_bytes()[..self.len]
    }
}

impl AsMut<[u8]> for AlignedBytes {
    fn as_mut(&mut self) -> &mut [u8] {
        let len = self.len;
        &mut <[u64] as IntoBytes>::as_mut_bytes(&mut self.words)[..len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_and_alignment_hold_for_every_length() {
        for len in 0..20u8 {
            let source: Vec<u8> = (0..len).collect();
            let aligned = AlignedBytes::copy_of(&source);
            assert_eq!(aligned.as_ref(), source);
            assert_eq!(aligned.as_ref().as_ptr() as usize % 8, 0);
        }
    }
}
