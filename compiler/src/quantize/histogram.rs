//! Which values a tensor takes, in bounded memory, and the ranges that follow from them.

/// Bins on each side of 0.
pub const HALF: usize = 2048;

/// Share of values that a percentile range leaves out at each end.
const TAIL: f64 = 1e-4;

/// Counts of values in bins of equal width around 0; the width doubles when a value lies outside.
#[derive(Clone, Debug)]
pub struct Histogram {
    width: f64,
    bins: Vec<u64>,
    least: f64,
    most: f64,
}

/// How a range is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Least and greatest value.
    MinMax,
    /// Without one value in ten thousand at each end.
    Percentile,
    /// Where the mean-square error of rounding and clipping is least.
    SquareError,
}

impl Method {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Method::MinMax => "min-max",
            Method::Percentile => "percentile",
            Method::SquareError => "least-square-error",
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        let (least, most) = (f64::INFINITY, f64::NEG_INFINITY);
        Histogram { width: f64::from(f32::MIN_POSITIVE), bins: vec![0; 2 * HALF], least, most }
    }
}

impl Histogram {
    /// Counts finite values.
    pub fn add(&mut self, values: &[f32]) {
        for value in values.iter().map(|&v| f64::from(v)) {
            self.least = self.least.min(value);
            self.most = self.most.max(value);
            while value.abs() >= self.width * HALF as f64 {
                self.widen();
            }
            let bin = (value / self.width).floor() as i64 + HALF as i64;
            self.bins[bin.clamp(0, 2 * HALF as i64 - 1) as usize] += 1;
        }
    }

    fn widen(&mut self) {
        self.width *= 2.0;
        let old = std::mem::replace(&mut self.bins, vec![0; 2 * HALF]);
        for (at, count) in old.into_iter().enumerate() {
            self.bins[HALF / 2 + at / 2] += count;
        }
    }

    /// The range that `method` chooses, `[least, greatest]`; `[0, 0]` where nothing was counted.
    pub fn range(&self, method: Method) -> [f64; 2] {
        if self.least > self.most {
            return [0.0; 2];
        }
        match method {
            Method::MinMax => [self.least, self.most],
            Method::Percentile => self.percentile(),
            Method::SquareError => self.square_error(),
        }
    }

    /// The values at the middle of each bin, with their counts.
    fn values(&self) -> impl DoubleEndedIterator<Item = (f64, u64)> + '_ {
        let middle = |at: usize| (at as f64 - HALF as f64 + 0.5) * self.width;
        self.bins.iter().enumerate().filter(|(_, &n)| n > 0).map(move |(at, &n)| (middle(at), n))
    }

    fn percentile(&self) -> [f64; 2] {
        let most = (self.bins.iter().sum::<u64>() as f64 * TAIL) as u64;
        let half = self.width / 2.0;
        let low = beyond(self.values(), most);
        let high = beyond(self.values().rev(), most);
        [(low - half).max(self.least), (high + half).min(self.most)]
    }

    /// The end farther from 0 is drawn in step by step, and the other with it.
    fn square_error(&self) -> [f64; 2] {
        let (low, high) = (self.least.min(0.0), self.most.max(0.0));
        let error = |share: f64| {
            let (low, high) = (low * share, high * share);
            let step = (high - low) / 255.0;
            let one = |(value, count): (f64, u64)| {
                let beyond = (low - value).max(value - high).max(0.0);
                count as f64 * if beyond > 0.0 { beyond * beyond } else { step * step / 12.0 }
            };
            self.values().map(one).sum::<f64>()
        };
        let shares = (0..80).map(|i| 1.0 - f64::from(i) / 100.0);
        let best = shares.min_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap_or(1.0);
        [low * best, high * best]
    }
}

/// The first value behind `count` others.
fn beyond(mut values: impl Iterator<Item = (f64, u64)>, count: u64) -> f64 {
    let mut left = count;
    let found = values.find(|&(_, count)| {
        let found = count > left;
        left = left.saturating_sub(count);
        found
    });
    found.map_or(0.0, |(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::{Histogram, Method};

    #[test]
    fn ranges_of_a_bell_with_an_outlier() {
        let mut histogram = Histogram::default();
        // A triangle between -1 and 1, and one value far out.
        let values: Vec<f32> = (0..40_000u32)
            .map(|i| {
                let unit =
                    |x: u32| (x.wrapping_mul(2_654_435_761) >> 8) as f32 / (1u32 << 24) as f32;
                unit(2 * i + 1) - unit(7 * i + 3)
            })
            .collect();
        histogram.add(&values);
        histogram.add(&[40.0]);
        let [low, high] = histogram.range(Method::MinMax);
        assert!((-1.0..-0.9).contains(&low) && high == 40.0);
        // One value far out costs (40 - h)^2 where the range ends at h, and the rest about n h^2 / 12 / 255^2:
        // the sum is least at 40 / (1 + n / 780300), 38.
        let [low, high] = histogram.range(Method::SquareError);
        assert!((-1.0..-0.9).contains(&(low * 40.0 / high)) && (37.0..39.0).contains(&high));
        let [low, high] = histogram.range(Method::Percentile);
        assert!((-1.0..-0.9).contains(&low) && (0.9..1.01).contains(&high), "{low} to {high}");
    }

    #[test]
    fn nothing_and_zeros_have_an_empty_range() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.range(Method::SquareError), [0.0; 2]);
        histogram.add(&[0.0; 5]);
        for method in [Method::MinMax, Method::Percentile, Method::SquareError] {
            let [low, high] = histogram.range(method);
            assert!(low.abs() < 1e-30 && high.abs() < 1e-30, "{method:?}: {low} to {high}");
        }
    }
}
