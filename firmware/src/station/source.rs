//! Where samples and labels come from, who is told what the station does, and what time it is.

use crate::station::State;
use offshoot_runtime::features::Quantizer;

/// Why a source gives nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceError {
    /// Bus or pin failed.
    Bus,
    /// Another part answers than the driver is for.
    Identity,
    /// Readings were lost: it was not asked often enough.
    Lost,
    /// It has nothing to give: it is empty.
    Empty,
}

impl core::fmt::Display for SourceError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            SourceError::Bus => "bus or pin failed: look at wiring, address and pull-ups",
            SourceError::Identity => "another part answers than the driver is for",
            SourceError::Lost => "readings were lost: poll more often, or let the sensor be slower",
            SourceError::Empty => "there is nothing stored",
        })
    }
}

impl core::error::Error for SourceError {}

/// Where samples come from. No call waits.
pub trait SampleSource {
    /// A new sample begins in `sample`, which holds the one before. How many of its values are in place
    /// already: a window that overlaps the last one moves what they share to the front.
    fn begin(&mut self, sample: &mut [i8]) -> usize {
        let _ = sample;
        0
    }

    /// Puts what has come at the beginning of `rest`, the part of the sample that is still to come.
    /// How many values that were; 0 where there are none yet.
    ///
    /// # Errors
    /// Why it cannot: the sample is then begun anew.
    fn fill(&mut self, rest: &mut [i8]) -> Result<usize, SourceError>;
}

/// What is known of a sample's class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Nothing yet.
    Pending,
    /// Nobody will say: the sample is not trained on.
    Unknown,
    /// This class.
    Class(u16),
}

/// Who knows what a sample is. No call waits.
pub trait LabelSource {
    /// The class of sample number `sample`, the first being 0.
    ///
    /// # Errors
    /// Why nobody can tell.
    fn label(&mut self, sample: u32) -> Result<Label, SourceError>;
}

/// Shows what the station is at.
pub trait Indicator {
    /// It is at `state` from now on.
    fn show(&mut self, state: State);
}

/// Nothing is shown.
impl Indicator for () {
    fn show(&mut self, _: State) {}
}

/// What time it is.
pub trait Clock {
    /// Milliseconds since some moment; begins anew at 0 after the greatest.
    fn now(&mut self) -> u32;
}

/// Samples in memory, one after the other, for ever.
#[derive(Clone, Debug)]
pub struct Stored<'m> {
    samples: &'m [i8],
    at: usize,
}

impl<'m> Stored<'m> {
    /// Whole samples, int8 NHWC as the program's input.
    pub const fn new(samples: &'m [i8]) -> Stored<'m> {
        Stored { samples, at: 0 }
    }
}

impl SampleSource for Stored<'_> {
    fn fill(&mut self, rest: &mut [i8]) -> Result<usize, SourceError> {
        if self.at >= self.samples.len() {
            self.at = 0;
        }
        let from = self.samples.get(self.at..).filter(|s| !s.is_empty());
        let from = from.ok_or(SourceError::Empty)?;
        rest.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        let count = rest.len().min(from.len());
        self.at += count;
        Ok(count)
    }
}

/// The labels of [`Stored`] samples, in the same order.
#[derive(Clone, Copy, Debug)]
pub struct StoredLabels<'m>(pub &'m [u16]);

impl LabelSource for StoredLabels<'_> {
    fn label(&mut self, sample: u32) -> Result<Label, SourceError> {
        let at = (sample as usize).checked_rem(self.0.len());
        let label = at.and_then(|at| self.0.get(at));
        label.map(|&class| Label::Class(class)).ok_or(SourceError::Empty)
    }
}

/// A sensor that measures `CHANNELS` values at a time. No call waits.
pub trait Sensor<const CHANNELS: usize> {
    /// The next reading, in the units that the network was trained with; `None` where none is due.
    ///
    /// # Errors
    /// Why there is none.
    fn read(&mut self) -> Result<Option<[f32; CHANNELS]>, SourceError>;
}

/// Windows of a sensor's readings: a sample is one reading after the other, all channels of each.
#[derive(Clone, Debug)]
pub struct Windows<S, const CHANNELS: usize> {
    sensor: S,
    quantizers: [Quantizer; CHANNELS],
    shared: usize,
    /// Whether the last window is whole, so that the next one may go on from it.
    whole: bool,
    /// Whether the window has no reading yet: what was lost before it does not matter.
    fresh: bool,
}

impl<S: Sensor<CHANNELS>, const CHANNELS: usize> Windows<S, CHANNELS> {
    /// Windows of what `sensor` measures, each channel by its quantizer. The last `shared` readings of a
    /// window are the first of the next, unless some were lost in between; 0 where windows stand apart.
    pub const fn new(sensor: S, quantizers: [Quantizer; CHANNELS], shared: usize) -> Self {
        Windows { sensor, quantizers, shared, whole: false, fresh: true }
    }
}

impl<S: Sensor<CHANNELS>, const CHANNELS: usize> SampleSource for Windows<S, CHANNELS> {
    fn begin(&mut self, sample: &mut [i8]) -> usize {
        let goes_on = core::mem::take(&mut self.whole);
        let kept = if goes_on { self.shared.saturating_mul(CHANNELS) } else { 0 };
        // A window that is all of the last one would never end.
        let kept = if kept < sample.len() { kept } else { 0 };
        self.fresh = kept == 0;
        sample.copy_within(sample.len().saturating_sub(kept).., 0);
        kept
    }

    fn fill(&mut self, rest: &mut [i8]) -> Result<usize, SourceError> {
        let reading = match self.sensor.read() {
            Err(SourceError::Lost) if self.fresh => return Ok(0),
            reading => reading?,
        };
        let Some(reading) = reading else { return Ok(0) };
        let values = reading.iter().zip(&self.quantizers).map(|(&v, q)| q.real(v));
        rest.iter_mut().zip(values).for_each(|(to, value)| *to = value);
        self.fresh = false;
        self.whole = rest.len() <= CHANNELS;
        Ok(rest.len().min(CHANNELS))
    }
}
