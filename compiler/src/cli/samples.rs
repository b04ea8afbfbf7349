//! Samples in files, for the commands that read some.

use std::path::{Path, PathBuf};

use anyhow::Result;
use offshoot_runtime::program::Header;
use offshoot_simulator::data;

/// Where they lie, and what is made of them.
#[derive(Debug, clap::Args)]
pub struct Samples {
    /// Samples: an .npz archive, a .csv table, or a folder of arrays, images or .wav files.
    #[arg(long)]
    pub data: PathBuf,
    /// What the files of samples do not say of themselves (TOML): features, columns, classes.
    #[arg(long, value_name = "FILE")]
    data_spec: Option<PathBuf>,
    /// Map values to (v - MEAN) / STD before they are quantised.
    #[arg(long, value_name = "MEAN,STD", value_parser = normalization, allow_hyphen_values = true)]
    normalize: Option<(f32, f32)>,
}

impl Samples {
    /// How they are read.
    pub fn options(&self) -> Result<data::Options> {
        options(self.normalize, self.data_spec.as_deref())
    }

    /// Reads them as a program of this header wants them.
    pub fn load(&self, header: &Header) -> Result<data::Dataset> {
        Ok(data::load(&self.data, header, &self.options()?)?)
    }
}

/// Reads `--normalize`.
pub fn normalization(text: &str) -> Result<(f32, f32), String> {
    let numbers = text
        .split_once(',')
        .and_then(|(mean, std)| Some((mean.trim().parse().ok()?, std.trim().parse().ok()?)));
    match numbers {
        Some((mean, std)) if f32::is_finite(mean) && std > 0.0 && f32::is_finite(std) => {
            Ok((mean, std))
        }
        _ => Err("write MEAN,STD with a positive STD, for example 127.5,127.5".into()),
    }
}

/// How samples are read.
pub fn options(normalize: Option<(f32, f32)>, spec: Option<&Path>) -> Result<data::Options> {
    let spec = spec.map(data::DataSpec::read).transpose()?.unwrap_or_default();
    Ok(data::Options { normalize, spec })
}
