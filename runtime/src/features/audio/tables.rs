//! What is computed once: window, twiddles, mel weights, DCT.
//!
//! In f64 with `libm`, rounded once to f32: all the same on every core, and no matter whether a
//! device computes its tables or has them as constants.

use super::fft::Twiddles;
use super::spec::{AudioSpec, MelNorm, SpecError, Triangles, Window};
use core::f64::consts::{PI, TAU};

/// Tables as they lie one after the other.
///
/// A bin lies between two edges of bands, on the falling side of the band that ends at the upper
/// edge and on the rising side of the next: two weights a bin are the whole filter bank.
#[derive(Clone, Copy)]
pub(super) struct Tables<'t> {
    pub(super) window: &'t [f32],
    pub(super) twiddles: Twiddles<'t>,
    /// First bin at or above each edge, `bands + 2` of them: whole numbers.
    pub(super) edges: &'t [f32],
    /// Weight of each bin in the band that begins below it.
    pub(super) rising: &'t [f32],
    /// Weight of each bin in the band that ends above it.
    pub(super) falling: &'t [f32],
    /// Rows of `bands` values.
    pub(super) dct: &'t [f32],
}

impl AudioSpec {
    const fn window_len(&self) -> usize {
        match self.window {
            Window::Rectangular => 0,
            _ => self.frame as usize,
        }
    }

    /// Lengths of the tables, in their order.
    const fn lengths(&self) -> [usize; 6] {
        let bands = self.bands as usize;
        let quarter = self.fft as usize / 4 + 1;
        let (bins, dct) = (self.bins(), self.mfcc as usize * bands);
        [self.window_len(), quarter, bands + 2, bins, bins, dct]
    }

    /// Values in the tables.
    pub const fn table_len(&self) -> usize {
        let [a, b, c, d, e, f] = self.lengths();
        a + b + c + d + e + f
    }

    /// Computes the tables. They depend on nothing but the specification: a device fills them when
    /// it starts, or has what the desktop filled among its constants.
    ///
    /// # Errors
    /// What is wrong with the specification, or with the length of `tables`.
    pub fn fill_tables(&self, tables: &mut [f32]) -> Result<(), SpecError> {
        self.check()?;
        let needed = self.table_len();
        if tables.len() != needed {
            return Err(SpecError::Tables { found: tables.len(), needed });
        }
        let mut rest = tables;
        let [window, twiddles, edges, rising, falling, dct] =
            self.lengths().map(|length| rest.split_off_mut(..length).unwrap_or_default());
        self.fill_window(window);
        quarter(twiddles);
        self.fill_bands(edges, rising, falling);
        self.fill_dct(dct);
        Ok(())
    }

    /// The tables in a slice that was filled for this specification.
    pub(super) fn tables<'t>(&self, tables: &'t [f32]) -> Result<Tables<'t>, SpecError> {
        let needed = self.table_len();
        if tables.len() != needed {
            return Err(SpecError::Tables { found: tables.len(), needed });
        }
        let mut rest = tables;
        let [window, quarter, edges, rising, falling, dct] =
            self.lengths().map(|length| rest.split_off(..length).unwrap_or_default());
        Ok(Tables { window, twiddles: Twiddles::new(quarter), edges, rising, falling, dct })
    }

    fn fill_window(&self, window: &mut [f32]) {
        let (mean, swing) = match self.window {
            Window::Hann => (0.5, 0.5),
            Window::Hamming => (0.54, 0.46),
            Window::Rectangular => (1.0, 0.0),
        };
        for (i, w) in window.iter_mut().enumerate() {
            let angle = TAU * i as f64 / f64::from(self.frame);
            *w = (mean - swing * libm::cos(angle)) as f32;
        }
    }

    fn fill_bands(&self, edges: &mut [f32], rising: &mut [f32], falling: &mut [f32]) {
        let (low, high) = (f64::from(self.low_hz), f64::from(self.high_hz));
        let (first, last) = (self.scale.mels(low), self.scale.mels(high));
        let hz_of = |bin: usize| bin as f64 * f64::from(self.rate) / f64::from(self.fft);
        // Edges in mels; the outer ones exactly what was asked for.
        let mels = |edge: usize| match edge {
            0 => first,
            _ => first + (last - first) * edge as f64 / f64::from(self.bands + 1),
        };
        let hertz = |edge: usize| match edge {
            0 => low,
            _ if edge > usize::from(self.bands) => high,
            _ => self.scale.hertz(mels(edge)),
        };
        let height = |band: usize| match self.norm {
            MelNorm::None => 1.0,
            MelNorm::Slaney => 2.0 / (hertz(band + 2) - hertz(band)),
        };
        rising.fill(0.0);
        falling.fill(0.0);
        let mut bin = 0;
        while bin < rising.len() && hz_of(bin) < low {
            bin += 1;
        }
        for (edge, first_bin) in edges.iter_mut().enumerate() {
            if edge == 0 {
                *first_bin = bin as f32;
                continue;
            }
            let (from, to) = (hertz(edge - 1), hertz(edge));
            let up = |hz: f64| match self.triangles {
                Triangles::Hertz => (hz - from) / (to - from),
                Triangles::Mel => {
                    let (from, to) = (mels(edge - 1), mels(edge));
                    (self.scale.mels(hz) - from) / (to - from)
                }
            };
            while bin < rising.len() && hz_of(bin) < to {
                let share = up(hz_of(bin)).clamp(0.0, 1.0);
                // The band that begins at the edge below, and the one that ends at this.
                if edge <= usize::from(self.bands) {
                    set(rising, bin, share * height(edge - 1));
                }
                if edge >= 2 {
                    set(falling, bin, (1.0 - share) * height(edge - 2));
                }
                bin += 1;
            }
            *first_bin = bin as f32;
        }
    }

    fn fill_dct(&self, dct: &mut [f32]) {
        let bands = usize::from(self.bands).max(1);
        for (i, row) in dct.chunks_exact_mut(bands).enumerate() {
            let scale = libm::sqrt(if i == 0 { 1.0 } else { 2.0 } / bands as f64);
            for (m, d) in row.iter_mut().enumerate() {
                // Whole periods are taken off while numbers are exact.
                let angle = PI * ((i * (2 * m + 1)) % (4 * bands)) as f64 / (2 * bands) as f64;
                *d = (scale * libm::cos(angle)) as f32;
            }
        }
    }
}

/// A quarter of a cosine's period, both ends included.
pub(super) fn quarter(table: &mut [f32]) {
    // cos(pi / 2) as the nearest f64 to its argument has it is not quite 0.
    let Some((end, table)) = table.split_last_mut() else { return };
    *end = 0.0;
    let last = table.len() as f64;
    for (k, c) in table.iter_mut().enumerate() {
        *c = libm::cos(TAU / 4.0 * k as f64 / last) as f32;
    }
}

/// Sets a weight, rounded, where there is such a bin.
fn set(weights: &mut [f32], bin: usize, weight: f64) {
    if let Some(to) = weights.get_mut(bin) {
        *to = weight as f32;
    }
}
