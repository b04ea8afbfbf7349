//! `sums += factor * row`, several rows a pass: the inner loop of input and weight gradients.
//!
//! A pass over four rows loads and stores each sum once instead of four times. Rows whose factor
//! is 0 are never pushed, so clamped errors cost a comparison only.

/// Rows waiting to be added to sums.
#[derive(Debug)]
pub struct Pending<'r> {
    factors: [i16; 4],
    rows: [&'r [i8]; 4],
    held: usize,
}

impl<'r> Pending<'r> {
    /// Nothing waits.
    pub fn new() -> Self {
        Pending { factors: [0; 4], rows: [&[]; 4], held: 0 }
    }

    /// Adds `factor * row` to `sums`, at the latest when flushed. Until then every call must name
    /// the same sums, and rows as long as they.
    #[inline]
    pub fn push(&mut self, sums: &mut [i32], factor: i16, row: &'r [i8]) {
        let at = self.held & 3;
        self.factors[at] = factor;
        self.rows[at] = row;
        self.held = at + 1;
        if self.held == 4 {
            four(sums, self.factors, self.rows);
            self.held = 0;
        }
    }

    /// Adds what still waits.
    #[inline]
    pub fn flush(&mut self, sums: &mut [i32]) {
        let ([f0, f1, f2, _], [r0, r1, r2, _]) = (self.factors, self.rows);
        match self.held {
            0 => {}
            1 => one(sums, f0, r0),
            2 => two(sums, [f0, f1], [r0, r1]),
            _ => {
                two(sums, [f0, f1], [r0, r1]);
                one(sums, f2, r2);
            }
        }
        self.held = 0;
    }
}

// Sums wrap: a program whose sums fit 31 bits, as the compiler sees to, never notices, and a
// damaged one must not panic.

#[inline]
fn product(factor: i16, weight: i8) -> i32 {
    factor as i32 * weight as i32
}

#[inline(never)]
fn one(sums: &mut [i32], factor: i16, row: &[i8]) {
    for (s, &w) in sums.iter_mut().zip(row) {
        *s = s.wrapping_add(product(factor, w));
    }
}

#[inline(never)]
fn two(sums: &mut [i32], [fa, fb]: [i16; 2], [a, b]: [&[i8]; 2]) {
    for ((s, &a), &b) in sums.iter_mut().zip(a).zip(b) {
        *s = s.wrapping_add(product(fa, a)).wrapping_add(product(fb, b));
    }
}

#[inline(never)]
fn four(sums: &mut [i32], [fa, fb, fc, fd]: [i16; 4], [a, b, c, d]: [&[i8]; 4]) {
    for ((((s, &a), &b), &c), &d) in sums.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let left = product(fa, a).wrapping_add(product(fb, b));
        let right = product(fc, c).wrapping_add(product(fd, d));
        *s = s.wrapping_add(left).wrapping_add(right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_rows_is_added() {
        let rows: Vec<[i8; 5]> = (0..11).map(|r| [r, -r, 2 * r, 127, -128]).collect();
        for count in 0..rows.len() {
            let mut sums = [7; 5];
            let mut pending = Pending::new();
            let mut expected = [7; 5];
            for (n, row) in rows[..count].iter().enumerate() {
                let factor = 1000 * n as i16 - 3000;
                pending.push(&mut sums, factor, row);
                for (e, &w) in expected.iter_mut().zip(row) {
                    *e += factor as i32 * w as i32;
                }
            }
            pending.flush(&mut sums);
            assert_eq!(sums, expected);
        }
    }
}
