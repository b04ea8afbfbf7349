//! Pixels and real values as the int8 input of a program.

/// How real values become a program's input: `q = round((v - mean) / std / scale) + zero`, ties to
/// even, saturated to int8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantizer {
    /// Real value of one step of the input.
    pub scale: f32,
    /// Input value that means 0.
    pub zero: i16,
    /// Subtracted from every value first.
    pub mean: f32,
    /// What the difference is divided by.
    pub std: f32,
}

impl Quantizer {
    /// For an input of `scale` and `zero`, values as they are.
    pub const fn new(scale: f32, zero: i16) -> Quantizer {
        Quantizer { scale, zero, mean: 0.0, std: 1.0 }
    }

    /// For the input of a program, values as they are.
    pub const fn of(header: &crate::program::Header) -> Quantizer {
        Quantizer::new(header.input_scale, header.input_zero)
    }

    /// The same, after values were mapped to `(v - mean) / std`.
    pub const fn normalized(self, mean: f32, std: f32) -> Quantizer {
        Quantizer { mean, std, ..self }
    }

    /// One value. Infinite ones saturate; NaN, which no sensor should give, becomes 0.
    #[inline]
    pub fn real(&self, value: f32) -> i8 {
        let steps = libm::rintf((value - self.mean) / self.std / self.scale);
        (steps + f32::from(self.zero)).clamp(-128.0, 127.0) as i8
    }

    /// A window of values; what is longer of the two slices is left alone beyond the other's end.
    pub fn reals(&self, values: &[f32], out: &mut [i8]) {
        for (q, &value) in out.iter_mut().zip(values) {
            *q = self.real(value);
        }
    }
}

/// A pixel, where 0 to 255 cover the input's whole range: `q = pixel - 128`. That is what models
/// do which take 0..1, -1..1 or 0..255.
#[inline]
pub const fn pixel(value: u8) -> i8 {
    (value ^ 0x80) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_ties_to_even_and_saturates() {
        let q = Quantizer::new(0.5, 3);
        let values = [0.0, 0.25, 0.75, -0.25, -0.75, 1e30, -1e30, f32::INFINITY, f32::NAN];
        let mut out = [9; 10];
        q.reals(&values, &mut out);
        assert_eq!(out, [3, 3, 5, 3, 1, 127, -128, 127, 0, 9]);
    }

    #[test]
    fn agrees_with_real_arithmetic() {
        for (scale, zero, mean, std) in [(0.1, -5, 0.0, 1.0), (0.003_9, 0, 127.5, 127.5)] {
            let q = Quantizer::new(scale, zero).normalized(mean, std);
            for i in -2000..2000 {
                let v = i as f32 * 0.17;
                let exact = (f64::from(v) - f64::from(mean)) / f64::from(std) / f64::from(scale)
                    + f64::from(zero);
                let exact = exact.clamp(-128.0, 127.0);
                assert!((f64::from(q.real(v)) - exact).abs() <= 0.5 + 1e-3, "{v}");
            }
        }
    }

    #[test]
    fn pixels_cover_the_range() {
        assert_eq!([pixel(0), pixel(127), pixel(128), pixel(255)], [-128, -1, 0, 127]);
    }
}
