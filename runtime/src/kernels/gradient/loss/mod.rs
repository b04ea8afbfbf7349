//! Losses in integers: what each makes of a step's output, and the normalised gradient that starts
//! the backward pass.
//!
//! Exponentials come from a table of `exp(-n/16)` with straight lines between its entries: at most
//! 0.05 % too large, and off by half of 1/65535 from rounding. That is far below what the int8
//! gradient can show.

mod mean_square;
mod sigmoid;
mod softmax;

/// `exp` of 0 in the table: one.
const ONE: u16 = u16::MAX;

/// Fraction bits of a logit in sixteenths.
const FINE: u32 = 8;

/// Logits are counted in this many to one.
const UNITS: f32 = (16 << FINE) as f32;

/// `round(65535 exp(-n/16))`, computed with integers so that every build has the same bytes.
static EXP: [u16; 256] = {
    /// `exp(-1/16)` in Q64.
    const STEP: u128 = 0xF07D_5FDE_3815_1E73;
    const PLACES: u32 = 40;
    let mut table = [0; 256];
    let mut value = (ONE as u128) << PLACES;
    let mut n = 0;
    while n < table.len() {
        table[n] = ((value + (1 << (PLACES - 1))) >> PLACES) as u16;
        value = (value * STEP) >> 64;
        n += 1;
    }
    table
};

/// `65535 exp(-fine / 4096)`; 0 for what lies beyond the table.
fn exp(fine: i32) -> u32 {
    let (n, part) = ((fine >> FINE) as usize, (fine & ((1 << FINE) - 1)) as u32);
    match (EXP.get(n), EXP.get(n + 1)) {
        (Some(&a), Some(&b)) => {
            let line = a as u32 * ((1 << FINE) - part) + b as u32 * part;
            (line + (1 << (FINE - 1))) >> FINE
        }
        _ => 0,
    }
}

/// `round(127 delta / peak)`, half away from zero, where `|delta| <= peak < 2^56`; 0 where `peak`
/// is.
fn share(delta: i64, peak: u64) -> i8 {
    let size = match 2 * peak {
        0 => 0,
        twice => ((254 * delta.unsigned_abs() + peak) / twice) as i8,
    };
    if delta < 0 {
        -size
    } else {
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_holds_the_exponential() {
        for (n, &t) in EXP.iter().enumerate() {
            assert_eq!(t as f64, (65535.0 * (-(n as f64) / 16.0).exp()).round(), "{n}");
        }
    }

    #[test]
    fn shares_round_half_away_from_zero() {
        assert_eq!([0, 1, -1, 2, -2].map(|d| share(d, 2)), [0, 64, -64, 127, -127]);
        assert_eq!(share(0, 0), 0);
        assert_eq!(share(-(1 << 55), 1 << 55), -127);
    }
}
