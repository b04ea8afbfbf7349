//! Data sets of a plan, and how they are divided.

use anyhow::{ensure, Result};
use offshoot_simulator::data::AudioKeys;
use serde::Deserialize;

/// A data set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Data {
    /// Its name in cells.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What people should know of it beside its figures.
    pub about: Option<String>,
    /// The archive.
    pub file: String,
    /// Classes of a new head; without, the network's own classifier is trained further.
    pub classes: Option<u16>,
    /// Whether images are resized to what the network reads.
    #[serde(default)]
    pub resize: bool,
    /// Whether values are int8 features, not pixels.
    #[serde(default)]
    pub features: bool,
    /// What features are computed of, where the archive holds recordings.
    pub spectrum: Option<Spectrum>,
    /// What a network knows that is deployed already, and what its device is to adapt to.
    pub deployed: Option<Deployed>,
}

/// Spectra of recordings as int8 features.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spectrum {
    /// What is computed, as a data spec has it.
    pub audio: AudioKeys,
    /// A feature `v` becomes `round((v - levels[0]) * levels[1])`.
    pub levels: [f32; 2],
}

/// Samples that the network has learnt before it is deployed, and those that its device learns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deployed {
    /// The samples at the device, whose network has learnt all others. Without, the device learns
    /// from the archive's training samples, and the network has learnt them too, but for the new
    /// class.
    pub group: Option<Group>,
    /// Share of each class of the device's samples that it learns from, the first in the archive;
    /// it is tested on the rest. Without, the archive's own division.
    pub learn: Option<f64>,
    /// The last class, if the deployed network does not know it.
    pub new_class: Option<u16>,
    /// The class that a network without classes is to reproduce. The others are what it is to be
    /// told from; it learns nothing of them.
    pub normal: Option<u16>,
}

/// A group of samples, such as those of one speaker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// `array_train` and `array_test` number each sample's group.
    pub array: String,
    /// The group.
    pub group: i64,
}

impl Data {
    /// Whether all of it agrees.
    pub(super) fn check(&self) -> Result<()> {
        let Some(deployed) = &self.deployed else { return Ok(()) };
        ensure!(self.features, "a deployed network reads features");
        ensure!(
            deployed.group.is_some() || deployed.new_class.is_some(),
            "the deployed network knows everything: name a group or a new class"
        );
        ensure!(
            deployed.learn.is_none_or(|share| share > 0.0 && share < 1.0),
            "`learn` leaves nothing to learn from or to test on"
        );
        ensure!(
            deployed.new_class.is_none_or(|class| self.classes == Some(class)),
            "the new class comes after the `classes` that are known"
        );
        Ok(())
    }
}
