//! How models are read and quantised, for the commands that take one.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use offshoot::import::Options;
use offshoot::ir::{Graph, Quant};
use offshoot::quantize::{is_real, quantize, Quantization, Samples, LEAST};
use offshoot_runtime::program::op::Shape;
use offshoot_runtime::program::Header;
use offshoot_simulator::data::{self, Split};

use super::output::say;
use super::samples::{normalization, options};

/// How a model is read.
#[derive(Debug, clap::Args)]
pub struct Reading {
    /// Keep BatchNormalization as layers of their own, whose scale and shift an update scheme can
    /// train, in place of folding them into the layers before.
    #[arg(long)]
    keep_batch_norm: bool,
}

impl Reading {
    /// As the importer takes it.
    pub fn options(&self) -> Options {
        Options { keep_batch_normalization: self.keep_batch_norm }
    }
}

/// Samples of the kind that the device will meet.
#[derive(Debug, clap::Args)]
pub struct Calibration {
    /// Samples that a float model is quantised by, and that an adapter starts from, in any form that
    /// `--data` takes; the training split is used.
    #[arg(long, value_name = "DATA")]
    calibrate: Option<PathBuf>,
    /// Map values to (v - MEAN) / STD before the model sees them.
    #[arg(long, value_name = "MEAN,STD", value_parser = normalization, allow_hyphen_values = true, requires = "calibrate")]
    normalize: Option<(f32, f32)>,
    /// What the files of samples do not say of themselves (TOML): features, columns, classes.
    #[arg(long, value_name = "FILE", requires = "calibrate")]
    data_spec: Option<PathBuf>,
}

impl Calibration {
    /// The int8 network of `graph`, read from `model`, and what was done where it was a float one.
    /// `otherwise`: whether samples are of use in any case.
    pub fn integers(
        &self,
        graph: Graph,
        model: &Path,
        otherwise: bool,
    ) -> Result<(Graph, Option<Quantization>)> {
        let name = model.display();
        let Some(path) = &self.calibrate else {
            anyhow::ensure!(
                !is_real(&graph),
                "{name} is a float model; give samples to quantise it by with --calibrate DATA"
            );
            return Ok((graph, None));
        };
        if otherwise && !is_real(&graph) {
            return Ok((graph, None));
        }
        anyhow::ensure!(
            is_real(&graph),
            "{name} is quantised already; leave out --calibrate, or give the float model"
        );
        let options = options(self.normalize, self.data_spec.as_deref())?;
        let (graph, done) = by_samples(&graph, model, path, &options)?;
        Ok((graph, Some(done)))
    }

    /// The samples as the int8 network `graph` reads them.
    pub fn samples(&self, graph: &Graph) -> Result<Split> {
        let path = self.calibrate.as_ref().context(
            "an adapter starts from what layers see on samples; give some with --calibrate DATA",
        )?;
        let [h, w, c] = input_shape(graph).map(|side| side as u16);
        let input = graph.input.map(|input| graph.tensor(input));
        let header = Header {
            input_shape: Shape { h, w, c },
            input_scale: input.map_or(1.0, |t| t.scale_of(0)),
            input_zero: input.map_or(0, |t| t.zero()) as i16,
            ..Header::default()
        };
        let options = options(self.normalize, self.data_spec.as_deref())?;
        Ok(data::load(path, &header, &options)?.train)
    }
}

/// The int8 network of the float one `graph`, read from `model`, by the training samples at `path`.
pub fn by_samples(
    graph: &Graph,
    model: &Path,
    path: &Path,
    options: &data::Options,
) -> Result<(Graph, Quantization)> {
    let reals = data::reals(path, input_shape(graph), options)?;
    let input = reals.input.map(|(scale, zero)| Quant::per_tensor(scale, zero));
    let samples = Samples { values: reals.samples, input };
    quantize(graph, &samples)
        .with_context(|| format!("cannot quantise {} by {}", model.display(), path.display()))
}

/// The int8 network of a float one, with scales that mean nothing.
pub fn placeholder(graph: Graph) -> Result<Graph> {
    if !is_real(&graph) {
        return Ok(graph);
    }
    let size: usize = input_shape(&graph).iter().product();
    let sample =
        |seed: usize| (0..size).map(move |i| ((i * 7 + seed * 13) % 17) as f32 / 8.0 - 1.0);
    let values = (0..LEAST).map(|seed| sample(seed).collect()).collect();
    Ok(quantize(&graph, &Samples { values, input: None })?.0)
}

/// Height, width and channels of the input.
fn input_shape(graph: &Graph) -> [usize; 3] {
    let shape = graph.input.map(|input| graph.tensor(input).shape.as_slice());
    match shape {
        Some(&[_, h, w, c]) => [h, w, c],
        _ => [0; 3],
    }
}

/// Prints what quantisation did.
pub fn print_quantization(done: &Quantization) {
    let Some(best) = done.candidates.first() else { return };
    let with = |on: bool, what: &'static str| if on { what } else { "" };
    say!(
        "\n  quantised from float by {} samples: {} ranges{}{}; {:.1} dB above its error on {} held out (worst of {} ways {:.1} dB)",
        done.calibrated,
        best.method.name(),
        with(best.equalized, ", layers equalised"),
        with(best.corrected, ", biases corrected"),
        best.signal_to_noise,
        done.held_out,
        done.candidates.len(),
        done.candidates.iter().map(|c| c.signal_to_noise).fold(f64::INFINITY, f64::min),
    );
}
