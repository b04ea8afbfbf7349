//! Samples of a data set as a network reads them: resized, divided, and not more than asked.

mod archive;
mod divide;

use std::path::Path;

use anyhow::Result;
use offshoot::ir::Quant;
use offshoot::quantize::Samples;
use offshoot_runtime::hash;
use offshoot_runtime::program::op::Shape;
use offshoot_runtime::program::Header;
use offshoot_simulator::data::{self, Dataset, Split};

use crate::plan::{Data, Tier};

pub use divide::Parts;

/// Loads `data` from `path` for an input of `shape` (height, width, channels). Of what is learnt at
/// the device and tested it takes as much as `tier` does; what the network knew before is whole.
pub fn load(data: &Data, path: &Path, shape: [usize; 3], tier: &Tier) -> Result<Parts> {
    let Parts { base, round } = if data.resize || data.deployed.is_some() {
        divide::divide(&archive::read(data, path, shape)?, data)?
    } else {
        let [h, w, c] = shape.map(|size| size as u16);
        let classes = data.classes.unwrap_or(u16::MAX);
        let header = Header { input_shape: Shape { h, w, c }, classes, ..Header::default() };
        Parts { base: None, round: data::load(path, &header, &data::Options::default())? }
    };
    let some = |split: &Split, most: usize| split.select(&split.spread(most));
    let mut round =
        Dataset { train: some(&round.train, tier.train), test: some(&round.test, tier.test) };
    if let Some(normal) = data.deployed.as_ref().and_then(|deployed| deployed.normal) {
        round.test = divide::normal_or_not(&round.test, normal)?;
    }
    Ok(Parts { base, round })
}

/// FNV-1a of all samples and labels.
pub fn hash_of(data: &Dataset) -> u64 {
    let split = |hash: u64, split: &Split| {
        (0..split.len()).fold(hash, |hash, index| {
            let bytes: Vec<u8> = split.input(index).iter().map(|&q| q as u8).collect();
            hash::fnv1a(hash::fnv1a(hash, &bytes), &split.label(index).to_le_bytes())
        })
    };
    split(split(hash::EMPTY, &data.train), &data.test)
}

/// What a float network is quantised by: samples, mapped to `(v - mean) / std`.
pub fn calibration(data: &Data, split: &Split, [mean, std]: [f32; 2]) -> Samples {
    // Pixels were taken to int8 by subtracting 128.
    let zero = if data.features { 0.0 } else { 128.0 };
    let real = |&q: &i8| (f32::from(q) + zero - mean) / std;
    let values = (0..split.len()).map(|i| split.input(i).iter().map(real).collect()).collect();
    let middle = (mean - zero).round().clamp(-128.0, 127.0) as i32;
    Samples { values, input: Some(Quant::per_tensor(1.0 / std, middle)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calibration_undoes_the_centring() {
        let split = Split::new(vec![-128, 127], vec![0]).unwrap();
        let text = "name = 'x'\ntitle = 'x'\nfile = 'x'";
        let mut data: Data = toml::from_str(text).unwrap();
        let samples = calibration(&data, &split, [0.0, 1.0]);
        assert_eq!(samples.values, [[0.0, 255.0]]);
        assert_eq!(samples.input, Some(Quant::per_tensor(1.0, -128)));
        data.features = true;
        let samples = calibration(&data, &split, [0.0, 32.0]);
        assert_eq!(samples.values, [[-4.0, 127.0 / 32.0]]);
        assert_eq!(samples.input, Some(Quant::per_tensor(1.0 / 32.0, 0)));
    }
}
