//! Clamp masks: one bit an element, lowest bit of a byte first.

/// Bytes a mask of `elements` bits takes.
pub const fn bytes(elements: usize) -> usize {
    elements.div_ceil(8)
}

/// Sets bit `index`; an empty mask is not kept.
#[inline]
pub fn set(mask: &mut [u8], index: usize, bit: bool) {
    if let Some(byte) = mask.get_mut(index / 8) {
        let place = 1u8 << (index % 8);
        if bit {
            *byte |= place;
        } else {
            *byte &= !place;
        }
    }
}

/// Bit `index`; everything passes an empty mask.
#[inline]
pub fn get(mask: &[u8], index: usize) -> bool {
    match mask.get(index / 8) {
        Some(byte) => byte >> (index % 8) & 1 == 1,
        None => true,
    }
}
