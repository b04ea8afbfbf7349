//! Camera images at the size that a network reads, in integers.
//!
//! Pixel centres lie at half coordinates: output `x` of `w` looks at `(x + 1/2) * W / w` of an
//! image `W` wide.

use core::num::NonZero;

/// Most pixels along a side: so that all positions fit 32 bits.
pub const MOST: u16 = 16_384;

/// Bits of a bilinear weight along one axis.
const BITS: u32 = 11;

/// An image: rows from the top, each of pixels from the left, each of `channels` bytes.
#[derive(Clone, Copy, Debug)]
pub struct Image<'p> {
    /// Its bytes.
    pub pixels: &'p [u8],
    /// Pixels in a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// 1 for grey, 3 for red, green and blue.
    pub channels: u8,
}

/// What of an image is used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Crop {
    /// All of it, stretched where it has another aspect ratio.
    #[default]
    None,
    /// The largest part about its centre that has the output's aspect ratio.
    Centre,
}

/// How pixels are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "lowercase"))]
pub enum Filter {
    /// Area where no side grows, else bilinear.
    #[default]
    Auto,
    /// The pixel at the centre.
    Nearest,
    /// Between the four about the centre; aliases where an image shrinks to less than half.
    Bilinear,
    /// The mean of all that an output pixel covers.
    Area,
}

/// What an image is turned into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resize {
    /// Pixels in a row.
    pub width: u16,
    /// Rows.
    pub height: u16,
    /// 1 for grey, 3 for red, green and blue; images of the other kind are converted.
    pub channels: u8,
    /// What of the image is used.
    pub crop: Crop,
    /// How pixels are taken.
    pub filter: Filter,
}

/// Why an image cannot be resized.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// A side is 0 or larger than [`MOST`].
    Side {
        /// Width.
        width: u16,
        /// Height.
        height: u16,
    },
    /// A pixel has neither 1 nor 3 channels.
    Channels(u8),
    /// There are not as many bytes as pixels need.
    Pixels {
        /// Bytes that there are.
        found: usize,
        /// Bytes that are needed.
        needed: usize,
    },
    /// The output's slice is of another length than the output.
    Output {
        /// Its length.
        found: usize,
        /// What is needed.
        needed: usize,
    },
}

impl core::fmt::Display for ImageError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            ImageError::Side { width, height } => {
                write!(f, "{width} x {height} pixels: each side must have 1 to {MOST}")
            }
            ImageError::Channels(n) => {
                write!(f, "pixels of {n} channels: convert them to grey (1) or RGB (3)")
            }
            ImageError::Pixels { found, needed } => {
                write!(f, "{found} bytes of pixels where width x height x channels is {needed}")
            }
            ImageError::Output { found, needed } => {
                write!(f, "output of {found} values: give a slice of {needed}")
            }
        }
    }
}

impl core::error::Error for ImageError {}

/// Brightness of a colour, with the weights of ITU-R BT.601 in 256ths.
#[inline]
pub const fn grey(red: u8, green: u8, blue: u8) -> u8 {
    ((77 * red as u32 + 150 * green as u32 + 29 * blue as u32 + 128) >> 8) as u8
}

/// The used part along one axis, in whole pixels, and the output's length.
#[derive(Clone, Copy)]
struct Axis {
    from: u32,
    size: NonZero<u32>,
    out: NonZero<u32>,
}

impl Axis {
    /// Twice the output's length, which is at most [`MOST`].
    fn twice(self) -> NonZero<u32> {
        self.out.saturating_mul(const { NonZero::new(2).unwrap() })
    }

    /// The pixel at the centre of output `x`.
    fn nearest(self, x: u32) -> u32 {
        self.from + (2 * x + 1) * self.size.get() / self.twice()
    }

    /// The two pixels about the centre of output `x`, and the second one's weight.
    fn pair(self, x: u32) -> (u32, u32, u32) {
        // Twice the position, in units of 1/out, less the half pixel to the first centre.
        let doubled = ((2 * x + 1) * self.size.get()).saturating_sub(self.out.get());
        let low = doubled / self.twice();
        let weight = ((doubled % self.twice()) << BITS) / self.twice();
        let high = (low + 1).min(self.size.get() - 1);
        (self.from + low, self.from + high, weight)
    }

    /// The pixels that output `x` covers, each with its share in units of `1 / out` pixels; shares
    /// sum to the used part's size.
    fn covered(self, x: u32) -> impl Iterator<Item = (u32, u32)> + Clone {
        let (begin, end) = (x * self.size.get(), (x + 1) * self.size.get());
        let out = self.out.get();
        (begin / self.out..end.div_ceil(out)).map(move |pixel| {
            let (first, last) = (pixel * out, (pixel + 1) * out);
            (self.from + pixel, last.min(end) - first.max(begin))
        })
    }
}

impl Image<'_> {
    #[inline]
    fn at(&self, x: u32, y: u32, channel: usize) -> u32 {
        let pixel = y as usize * self.width as usize + x as usize;
        let at = pixel * self.channels as usize + channel;
        self.pixels.get(at).copied().unwrap_or_default().into()
    }

    /// Its sides, where it is sound.
    fn check(&self) -> Result<[NonZero<u32>; 2], ImageError> {
        let sides = sides(self.width, self.height)?;
        channels(self.channels)?;
        let needed = self.width as usize * self.height as usize * self.channels as usize;
        match self.pixels.len() == needed {
            true => Ok(sides),
            false => Err(ImageError::Pixels { found: self.pixels.len(), needed }),
        }
    }
}

fn sides(width: u16, height: u16) -> Result<[NonZero<u32>; 2], ImageError> {
    match [width, height].map(|side| NonZero::new(u32::from(side)).filter(|_| side <= MOST)) {
        [Some(across), Some(down)] => Ok([across, down]),
        _ => Err(ImageError::Side { width, height }),
    }
}

fn channels(count: u8) -> Result<(), ImageError> {
    match count {
        1 | 3 => Ok(()),
        _ => Err(ImageError::Channels(count)),
    }
}

impl Resize {
    /// Values of the output.
    pub const fn outputs(&self) -> usize {
        self.width as usize * self.height as usize * self.channels as usize
    }

    /// Resizes `image` to `out`, rows from the top; `map` makes a value of each byte, for example
    /// [`super::pixel`].
    ///
    /// # Errors
    /// An [`ImageError`] says what does not fit, before anything is written.
    pub fn run<T>(
        &self,
        image: &Image<'_>,
        out: &mut [T],
        map: impl Fn(u8) -> T,
    ) -> Result<(), ImageError> {
        let whole = image.check()?;
        let [width, height] = sides(self.width, self.height)?;
        channels(self.channels)?;
        if out.len() != self.outputs() {
            return Err(ImageError::Output { found: out.len(), needed: self.outputs() });
        }
        let (columns, rows) = self.axes(whole, [width, height]);
        let shrinks = columns.size >= columns.out && rows.size >= rows.out;
        let filter = match self.filter {
            Filter::Auto if shrinks => Filter::Area,
            Filter::Auto => Filter::Bilinear,
            other => other,
        };
        for (index, values) in out.chunks_exact_mut(usize::from(self.channels)).enumerate() {
            let (x, y) = (index as u32 % width, index as u32 / width);
            let sample = |channel| match filter {
                Filter::Nearest => image.at(columns.nearest(x), rows.nearest(y), channel) as u8,
                Filter::Bilinear => bilinear(image, columns.pair(x), rows.pair(y), channel),
                Filter::Area | Filter::Auto => area(image, columns, rows, (x, y), channel),
            };
            match (image.channels, values) {
                (3, [value]) => *value = map(grey(sample(0), sample(1), sample(2))),
                (1, values) => {
                    let value = sample(0);
                    values.iter_mut().for_each(|v| *v = map(value));
                }
                (_, values) => {
                    values.iter_mut().enumerate().for_each(|(c, v)| *v = map(sample(c)));
                }
            }
        }
        Ok(())
    }

    /// The part of an image that is used, by the sides of image and output.
    fn axes(&self, [w, h]: [NonZero<u32>; 2], [out_w, out_h]: [NonZero<u32>; 2]) -> (Axis, Axis) {
        let part = |whole: NonZero<u32>, scaled: u32| {
            NonZero::new(scaled).unwrap_or(NonZero::<u32>::MIN).min(whole)
        };
        let (used_w, used_h) = match self.crop {
            Crop::None => (w, h),
            Crop::Centre => {
                (part(w, h.get() * out_w.get() / out_h), part(h, w.get() * out_h.get() / out_w))
            }
        };
        let axis = |whole: NonZero<u32>, size: NonZero<u32>, out| Axis {
            from: (whole.get() - size.get()) / 2,
            size,
            out,
        };
        (axis(w, used_w, out_w), axis(h, used_h, out_h))
    }
}

fn bilinear(image: &Image<'_>, x: (u32, u32, u32), y: (u32, u32, u32), channel: usize) -> u8 {
    let row = |y| {
        let (left, right) = (image.at(x.0, y, channel), image.at(x.1, y, channel));
        left * ((1 << BITS) - x.2) + right * x.2
    };
    let sum = row(y.0) * ((1 << BITS) - y.2) + row(y.1) * y.2;
    ((sum + (1 << (2 * BITS - 1))) >> (2 * BITS)) as u8
}

fn area(image: &Image<'_>, columns: Axis, rows: Axis, at: (u32, u32), channel: usize) -> u8 {
    let mut sum = 0u64;
    for (y, high) in rows.covered(at.1) {
        let row: u64 =
            columns.covered(at.0).map(|(x, wide)| u64::from(image.at(x, y, channel) * wide)).sum();
        sum += row * u64::from(high);
    }
    let whole = (u64::from(columns.size.get()) * u64::from(rows.size.get())).max(1);
    ((sum + whole / 2) / whole) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: u16, height: u16, channels: u8) -> Vec<u8> {
        let mut random = crate::random::Xorshift::new(u32::from(width) * 977 + u32::from(height));
        let len = usize::from(width) * usize::from(height) * usize::from(channels);
        (0..len).map(|_| random.bits16() as u8).collect()
    }

    fn resized(pixels: &[u8], from: (u16, u16), to: (u16, u16), filter: Filter) -> Vec<u8> {
        let image = Image { pixels, width: from.0, height: from.1, channels: 1 };
        let resize = Resize { width: to.0, height: to.1, channels: 1, crop: Crop::None, filter };
        let mut out = vec![0; resize.outputs()];
        resize.run(&image, &mut out, |p| p).unwrap();
        out
    }

    const SIZES: [((u16, u16), (u16, u16)); 7] = [
        ((7, 5), (3, 4)),
        ((3, 4), (7, 9)),
        ((64, 48), (10, 10)),
        ((1, 1), (4, 4)),
        ((13, 1), (5, 3)),
        ((8, 8), (8, 8)),
        ((100, 37), (99, 36)),
    ];

    /// Each filter by its definition in f64. Weights have 11 bits, so that a bilinear value is off
    /// by less than 255 / 2048 twice, and by a half for its rounding.
    #[test]
    fn filters_agree_with_their_definitions() {
        for (from, to) in SIZES {
            let pixels = image(from.0, from.1, 1);
            let at = |x: usize, y: usize| f64::from(pixels[y * usize::from(from.0) + x]);
            let nearest = resized(&pixels, from, to, Filter::Nearest);
            let bilinear = resized(&pixels, from, to, Filter::Bilinear);
            let area = resized(&pixels, from, to, Filter::Area);
            for index in 0..nearest.len() {
                let (x, y) = (index % usize::from(to.0), index / usize::from(to.0));
                let axis = |x: usize, from: u16, to: u16| {
                    let ratio = f64::from(from) / f64::from(to);
                    let (begin, end) = (x as f64 * ratio, (x + 1) as f64 * ratio);
                    let centre = (begin + end) / 2.0;
                    let p = (centre - 0.5).clamp(0.0, f64::from(from) - 1.0);
                    let low = p.floor() as usize;
                    let high = (low + 1).min(usize::from(from) - 1);
                    (begin, end, low, high, p - p.floor(), ratio)
                };
                let (x0, x1, left, right, fx, rx) = axis(x, from.0, to.0);
                let (y0, y1, top, bottom, fy, ry) = axis(y, from.1, to.1);
                let centre = |a: f64, b: f64| ((a + b) / 2.0 + 1e-9).floor() as usize;
                assert_eq!(f64::from(nearest[index]), at(centre(x0, x1), centre(y0, y1)));
                let exact = (at(left, top) * (1.0 - fx) + at(right, top) * fx) * (1.0 - fy)
                    + (at(left, bottom) * (1.0 - fx) + at(right, bottom) * fx) * fy;
                assert!((f64::from(bilinear[index]) - exact).abs() < 0.75, "{from:?} {to:?}");
                let mut mean = 0.0;
                for y in 0..usize::from(from.1) {
                    for x in 0..usize::from(from.0) {
                        let share = |a: f64, b: f64, i: usize| {
                            (b.min((i + 1) as f64) - a.max(i as f64)).max(0.0)
                        };
                        mean += at(x, y) * share(x0, x1, x) * share(y0, y1, y);
                    }
                }
                let mean = mean / rx / ry;
                assert!((f64::from(area[index]) - mean).abs() < 0.5 + 1e-6, "{from:?} {to:?}");
            }
        }
    }

    #[test]
    fn the_same_size_changes_nothing() {
        let pixels = image(9, 6, 1);
        for filter in [Filter::Auto, Filter::Nearest, Filter::Bilinear, Filter::Area] {
            assert_eq!(resized(&pixels, (9, 6), (9, 6), filter), pixels);
        }
    }

    #[test]
    fn auto_is_area_where_no_side_grows() {
        let pixels = image(20, 10, 1);
        let filtered = |to, filter| resized(&pixels, (20, 10), to, filter);
        assert_eq!(filtered((7, 10), Filter::Auto), filtered((7, 10), Filter::Area));
        assert_eq!(filtered((7, 11), Filter::Auto), filtered((7, 11), Filter::Bilinear));
    }

    #[test]
    fn a_crop_keeps_the_centre_and_the_aspect() {
        // A row of columns 0..10, two rows: a square of 2 about the centre is columns 4 and 5.
        let pixels: Vec<u8> = (0..20).map(|i| (i % 10) as u8).collect();
        let image = Image { pixels: &pixels, width: 10, height: 2, channels: 1 };
        let (crop, filter) = (Crop::Centre, Filter::Auto);
        let resize = Resize { width: 2, height: 2, channels: 1, crop, filter };
        let mut out = [0; 4];
        resize.run(&image, &mut out, |p| p).unwrap();
        assert_eq!(out, [4, 5, 4, 5]);
    }

    #[test]
    fn colours_become_grey_and_grey_becomes_colours() {
        let colour = [255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 255, 255];
        let image = Image { pixels: &colour, width: 2, height: 2, channels: 3 };
        let (crop, filter) = (Crop::None, Filter::Auto);
        let resize = Resize { width: 2, height: 2, channels: 1, crop, filter };
        let mut out = [0i8; 4];
        resize.run(&image, &mut out, super::super::pixel).unwrap();
        assert_eq!(out.map(|q| i16::from(q) + 128), [77, 149, 29, 255]);
        let grey = Image { pixels: &[7, 9, 11, 13], width: 2, height: 2, channels: 1 };
        let mut out = [0; 12];
        Resize { channels: 3, ..resize }.run(&grey, &mut out, |p| p).unwrap();
        assert_eq!(out, [7, 7, 7, 9, 9, 9, 11, 11, 11, 13, 13, 13]);
        let mut out = [0; 12];
        Resize { channels: 3, ..resize }.run(&image, &mut out, |p| p).unwrap();
        assert_eq!(out, colour);
    }

    #[test]
    fn the_largest_sides_do_not_overflow() {
        let pixels = vec![255; usize::from(MOST) * 2];
        for (from, to) in [((MOST, 2), (MOST - 1, 1)), ((2, MOST), (1, MOST))] {
            for filter in [Filter::Nearest, Filter::Bilinear, Filter::Area] {
                let out = resized(&pixels, from, to, filter);
                assert!(out.iter().all(|&p| p == 255));
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (crop, filter) = (Crop::None, Filter::Auto);
        let resize = Resize { width: 2, height: 2, channels: 1, crop, filter };
        let image = Image { pixels: &[0; 4], width: 2, height: 2, channels: 1 };
        let run = |resize: Resize, image, len: usize| {
            resize.run(&image, &mut vec![0; len], |p| p).unwrap_err()
        };
        let found = run(resize, image, 5);
        assert_eq!(found, ImageError::Output { found: 5, needed: 4 });
        let found = run(resize, Image { pixels: &[0; 3], ..image }, 4);
        assert_eq!(found, ImageError::Pixels { found: 3, needed: 4 });
        let found = run(resize, Image { channels: 4, ..image }, 4);
        assert_eq!(found, ImageError::Channels(4));
        let found = run(Resize { width: 0, ..resize }, image, 4);
        assert_eq!(found, ImageError::Side { width: 0, height: 2 });
    }
}
