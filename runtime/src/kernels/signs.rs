//! Weights of one bit: the sign of a number that training moves, with the magnitude of the frozen weight.
//! Courbariaux et al., "BinaryConnect: Training Deep Neural Networks with Binary Weights during Propagations", 2015.

/// The code of the number that a weight begins with, but for its sign, and again where only its sign is known.
/// `companded.rs` has what codes stand for: this, 24 int8 steps of the weight.
pub const START: i8 = 64;

/// A number of the sign of `weight`.
#[inline]
pub fn start(weight: i8) -> i8 {
    if weight < 0 {
        -START
    } else {
        START
    }
}

/// The weight that `code` makes of `frozen`.
#[inline]
pub fn signed(frozen: i8, code: i8) -> i8 {
    let magnitude = frozen.saturating_abs();
    if code < 0 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_all_that_a_code_tells() {
        for frozen in -127..=127 {
            assert_eq!(signed(frozen, start(frozen)), frozen);
            for code in i8::MIN..=i8::MAX {
                let flipped = (code < 0) != (frozen < 0);
                assert_eq!(signed(frozen, code), if flipped { -frozen } else { frozen });
            }
        }
        assert_eq!(signed(i8::MIN, -1), -127);
    }
}
