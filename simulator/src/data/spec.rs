//! `--data-spec FILE.toml`: what files of samples do not say of themselves.

use std::path::Path;

use offshoot_runtime::features::audio::{
    AudioSpec, LogUnit, MelNorm, MelScale, SpecError, Spectrum, Triangles, Window,
};
use offshoot_runtime::features::image::{Crop, Filter};
use serde::Deserialize;

use super::DataError;

/// How samples lie in their files and what is made of them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSpec {
    /// Names of the classes in their order, in place of `classes.txt`.
    pub classes: Option<Vec<String>>,
    /// What ends the part of a file's name that says whose it is, such as `_nohash_`: files with
    /// the same part stay in one split.
    pub group_ends: Option<String>,
    /// Folders of images.
    pub image: ImageKeys,
    /// Folders of `.wav` files.
    pub audio: AudioKeys,
    /// Tables.
    pub csv: CsvKeys,
}

/// How images become the input's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageKeys {
    /// What of an image is used.
    pub crop: Crop,
    /// How pixels are taken.
    pub filter: Filter,
}

/// Features of audio: the fields of [`AudioSpec`], where they are not [`AudioSpec::at`]'s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)] // They are AudioSpec's.
pub struct AudioKeys {
    /// Resample files of another rate, in place of refusing them.
    pub resample: bool,
    pub rate: Option<u32>,
    pub pre_emphasis: Option<f32>,
    pub frame: Option<u16>,
    pub hop: Option<u16>,
    pub window: Option<Window>,
    pub fft: Option<u16>,
    pub spectrum: Option<Spectrum>,
    pub bands: Option<u16>,
    pub low_hz: Option<f32>,
    pub high_hz: Option<f32>,
    pub scale: Option<MelScale>,
    pub triangles: Option<Triangles>,
    pub norm: Option<MelNorm>,
    pub offset: Option<f32>,
    pub floor: Option<f32>,
    pub log: Option<LogUnit>,
    pub mfcc: Option<u16>,
}

impl AudioKeys {
    /// The specification.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn spec(&self) -> Result<AudioSpec, SpecError> {
        let base = AudioSpec::at(self.rate.unwrap_or(16_000));
        let frame = self.frame.unwrap_or(base.frame);
        let spec = AudioSpec {
            rate: base.rate,
            pre_emphasis: self.pre_emphasis.unwrap_or(base.pre_emphasis),
            frame,
            hop: self.hop.unwrap_or(base.hop),
            window: self.window.unwrap_or(base.window),
            fft: self.fft.unwrap_or(AudioSpec::fft_of(frame)),
            spectrum: self.spectrum.unwrap_or(base.spectrum),
            bands: self.bands.unwrap_or(base.bands),
            low_hz: self.low_hz.unwrap_or(base.low_hz),
            high_hz: self.high_hz.unwrap_or(base.high_hz),
            scale: self.scale.unwrap_or(base.scale),
            triangles: self.triangles.unwrap_or(base.triangles),
            norm: self.norm.unwrap_or(base.norm),
            offset: self.offset.unwrap_or(base.offset),
            floor: self.floor.unwrap_or(base.floor),
            log: self.log.unwrap_or(base.log),
            mfcc: self.mfcc.unwrap_or(base.mfcc),
        };
        spec.check()?;
        Ok(spec)
    }
}

/// What a table's columns are.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvKeys {
    /// Column of the class: a number from 0, or a name.
    pub label: String,
    /// Columns of values, in the input's order; without it all that mean nothing else.
    pub columns: Option<Vec<String>>,
    /// Column that says to which recording or person a row belongs, where there is one.
    pub group: String,
    /// Column that says `train` or `test`, where there is one.
    pub split: String,
    /// Rows of a sample; without it as many as the input holds.
    pub window: Option<usize>,
    /// Rows from the start of a sample to the start of the next; without it a window.
    pub hop: Option<usize>,
    /// What separates cells.
    pub separator: char,
}

impl Default for CsvKeys {
    fn default() -> Self {
        CsvKeys {
            label: "label".into(),
            columns: None,
            group: "group".into(),
            split: "split".into(),
            window: None,
            hop: None,
            separator: ',',
        }
    }
}

impl DataSpec {
    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`DataError::Spec`] says what is wrong with it.
    pub fn read(path: &Path) -> Result<DataSpec, DataError> {
        let wrong = |reason: String| DataError::Spec { path: path.into(), reason };
        let text = std::fs::read_to_string(path).map_err(|e| wrong(e.to_string()))?;
        DataSpec::parse(&text).map_err(wrong)
    }

    /// Reads TOML.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<DataSpec, String> {
        let spec: DataSpec = toml::from_str(text).map_err(|e| e.to_string())?;
        spec.audio.spec().map_err(|e| format!("[audio]: {e}"))?;
        if spec.csv.window == Some(0) || spec.csv.hop == Some(0) {
            return Err("[csv]: window and hop must be 1 row at least".into());
        }
        if !spec.csv.separator.is_ascii() {
            return Err("[csv]: separator must be one ASCII character, such as \";\"".into());
        }
        if spec.csv.columns.as_ref().is_some_and(Vec::is_empty) {
            return Err("[csv]: columns is empty; name one at least, or leave it out".into());
        }
        if let Some(classes) = &spec.classes {
            super::classes::distinct(classes)?;
        }
        Ok(spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_take_the_place_of_defaults() {
        let text = "classes = [\"no\", \"yes\"]\n[image]\ncrop = \"centre\"\n[audio]\n\
                    rate = 8000\nframe = 200\nlog = \"db\"\nscale = \"slaney\"\nmfcc = 13\n\
                    [csv]\nlabel = \"activity\"\nwindow = 128\nhop = 64\n";
        let spec = DataSpec::parse(text).unwrap();
        assert_eq!(spec.image, ImageKeys { crop: Crop::Centre, filter: Filter::Auto });
        let audio = spec.audio.spec().unwrap();
        let base = AudioSpec::at(8_000);
        let (log, scale) = (LogUnit::Db, MelScale::Slaney);
        assert_eq!(audio, AudioSpec { frame: 200, fft: 256, log, scale, mfcc: 13, ..base });
        assert_eq!((spec.csv.window, spec.csv.hop), (Some(128), Some(64)));
        assert_eq!(DataSpec::parse("").unwrap(), DataSpec::default());
        assert_eq!(DataSpec::default().audio.spec().unwrap(), AudioSpec::at(16_000));
    }

    /// The README's example says what the defaults are.
    #[test]
    fn the_example_has_the_defaults() {
        let readme = include_str!("../../../README.md");
        let blocks = readme.split("```toml\n").skip(1).filter_map(|b| b.split("```").next());
        let example = blocks.into_iter().find(|block| block.contains("[audio]")).unwrap();
        let spec = DataSpec::parse(example).unwrap();
        assert_eq!(spec.audio.spec().unwrap(), AudioSpec::at(16_000));
        let named = CsvKeys { columns: None, window: None, hop: None, ..spec.csv };
        assert_eq!(named, CsvKeys::default());
        assert_eq!(spec.image.filter, Filter::default());
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, says) in [
            ("[audio]\nrat = 8000\n", "unknown field `rat`"),
            ("[audio]\nmfcc = 50\n", "40 at most"),
            ("[audio]\nlog = \"ln\"\n", "`natural`"),
            ("[csv]\nwindow = 0\n", "1 row at least"),
            ("[csv]\ncolumns = []\n", "name one"),
            ("classes = [\"a\", \"a\"]\n", "`a` twice"),
            ("nonsense", "expected"),
        ] {
            let error = DataSpec::parse(text).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
