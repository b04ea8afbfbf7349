//! Post-training quantisation: a network of real numbers becomes one of int8, by what it computes
//! on the user's own samples.
//!
//! Weights are symmetric with a scale for each output channel, activations asymmetric with one
//! scale, biases int32. Several ways of choosing the ranges of activations, with and without
//! equalised layers and corrected biases, are tried; the integer program of each runs on samples
//! that were held out, and the one whose output is nearest to the real network's is taken.

mod calibrate;
mod equalize;
mod histogram;
mod integers;
mod saturate;

use offshoot_runtime::{Fault, Trainer};
use offshoot_simulator::{Memories, Simulation};

use crate::ir::{DType, Graph, Quant, VerifyError};
use crate::pipeline::{compile_inference, CompileError};
use calibrate::observe;
pub use histogram::Method;
pub(crate) use integers::convolution;
pub use integers::{constant, span};
use integers::{integers, Choice};

/// Most samples that ranges are taken from; more add nothing but time.
const MOST_CALIBRATED: usize = 128;

/// Most samples that are held out to judge by.
const MOST_HELD_OUT: usize = 48;

/// Samples to quantise by.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Real values, NHWC.
    pub values: Vec<Vec<f32>>,
    /// Quantisation of the input, where the form of the samples fixes it.
    pub input: Option<Quant>,
}

/// A network cannot be quantised.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// Not enough samples.
    #[error("{found} samples are too few to quantise by; give at least {LEAST}, of all classes")]
    Few {
        /// How many there are.
        found: usize,
    },
    /// A sample of another size than the network's input.
    #[error("calibration sample {sample} has {found} values, the network reads {expected}")]
    Size {
        /// Which sample.
        sample: usize,
        /// Values it has.
        found: usize,
        /// Values it should have.
        expected: usize,
    },
    /// Values that are no numbers.
    #[error("calibration sample {sample}: tensor {tensor:?} holds NaN or infinite values; check the sample, its normalisation, and the network's weights")]
    NotFinite {
        /// Which sample.
        sample: usize,
        /// The tensor.
        tensor: String,
    },
    /// The integer network breaks a rule of the IR.
    #[error("internal error in quantisation: {0}; please report it with the model")]
    Invalid(#[from] VerifyError),
    /// The integer network does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The integer network does not run.
    #[error("internal error in the quantised program: {0:?}; please report it with the model")]
    Run(Fault),
}

/// Fewest samples that ranges and a verdict on them can come from.
pub const LEAST: usize = 8;

/// One way of quantising, and how near it came.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Candidate {
    /// How ranges were chosen.
    pub method: Method,
    /// Whether layers were equalised.
    pub equalized: bool,
    /// Whether biases were corrected.
    pub corrected: bool,
    /// Power of the real network's output over that of its difference to the integer network's,
    /// both on samples held out, dB.
    pub signal_to_noise: f64,
}

/// What quantisation did.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Quantization {
    /// All that was tried, the best first.
    pub candidates: Vec<Candidate>,
    /// Samples that ranges came from.
    pub calibrated: usize,
    /// Samples that candidates were judged by.
    pub held_out: usize,
}

/// Whether a network is one of real numbers.
pub fn is_real(graph: &Graph) -> bool {
    graph.input.is_some_and(|input| graph.tensor(input).dtype == DType::F32)
}

/// Quantises `graph` by `samples`, every fourth of which is held out.
///
/// # Errors
/// Samples that do not serve.
pub fn quantize(graph: &Graph, samples: &Samples) -> Result<(Graph, Quantization), QuantizeError> {
    let (calibration, held_out) = split(graph, &samples.values)?;
    let (_, expected) = observe(graph, &held_out)?;
    let (equalized, pairs) = equalize::equalize(graph);
    let mut found: Vec<(Candidate, Graph)> = Vec::new();
    for (equal, graph) in [(false, graph), (true, &equalized)] {
        if equal && pairs == 0 {
            continue;
        }
        let (seen, _) = observe(graph, &calibration)?;
        for method in [Method::MinMax, Method::Percentile, Method::SquareError] {
            for correct in [false, true] {
                let choice = Choice { method, correct };
                let result = integers(graph, &seen, samples.input.as_ref(), choice);
                crate::ir::verify(&result)?;
                let signal_to_noise = judge(&result, &held_out, &expected)?;
                let (equalized, corrected) = (equal, correct);
                let candidate = Candidate { method, equalized, corrected, signal_to_noise };
                found.push((candidate, result));
            }
        }
    }
    // Stable: of equals, the simplest, which was tried first.
    found.sort_by(|(a, _), (b, _)| b.signal_to_noise.total_cmp(&a.signal_to_noise));
    let best = found.first().map(|(_, graph)| graph.clone()).unwrap_or_default();
    let report = Quantization {
        candidates: found.into_iter().map(|(candidate, _)| candidate).collect(),
        calibrated: calibration.len(),
        held_out: held_out.len(),
    };
    Ok((best, report))
}

/// Samples spread over all there are: to take ranges from, and to hold out.
#[allow(clippy::type_complexity)]
fn split(
    graph: &Graph,
    samples: &[Vec<f32>],
) -> Result<(Vec<Vec<f32>>, Vec<Vec<f32>>), QuantizeError> {
    if samples.len() < LEAST {
        return Err(QuantizeError::Few { found: samples.len() });
    }
    let expected = graph.input.map_or(0, |input| graph.tensor(input).elements());
    if let Some(sample) = samples.iter().position(|s| s.len() != expected) {
        let found = samples[sample].len();
        return Err(QuantizeError::Size { sample, found, expected });
    }
    let spread = |of: Vec<&Vec<f32>>, most: usize| -> Vec<Vec<f32>> {
        let count = of.len().min(most);
        (0..count).map(|i| of[i * of.len() / count].clone()).collect()
    };
    let part = |held: bool| {
        let chosen = samples.iter().enumerate().filter(move |(i, _)| (i % 4 == 3) == held);
        chosen.map(|(_, sample)| sample).collect()
    };
    Ok((spread(part(false), MOST_CALIBRATED), spread(part(true), MOST_HELD_OUT)))
}

/// How near the integer program of `graph` comes to the `expected` outputs, dB.
fn judge(graph: &Graph, samples: &[Vec<f32>], expected: &[Vec<f32>]) -> Result<f64, QuantizeError> {
    let (mut signal, mut noise) = (0.0, 0.0);
    for (found, expected) in outputs(graph, samples)?.iter().zip(expected) {
        for (&found, &expected) in found.iter().zip(expected) {
            signal += f64::from(expected).powi(2);
            noise += (f64::from(expected) - f64::from(found)).powi(2);
        }
    }
    // Exact outputs, as of a network that gives 0 throughout, count as very near.
    Ok(10.0 * (signal.max(1e-30) / noise.max(1e-30)).log10())
}

/// What the integer program of `graph` gives for real samples, in real numbers.
///
/// # Errors
/// A network that does not compile or run.
pub fn outputs(graph: &Graph, samples: &[Vec<f32>]) -> Result<Vec<Vec<f32>>, QuantizeError> {
    let (Some(input), Some(output)) = (graph.input, graph.output) else { return Ok(Vec::new()) };
    let [input, output] = [graph.tensor(input), graph.tensor(output)];
    let compiled = compile_inference(graph)?;
    let program = compiled.program.program();
    let mut memories = Memories::of(&program);
    let slot = program.header.output;
    let forward = program.header.forward as usize;
    let mut simulation = Simulation::new(program, &mut memories).map_err(QuantizeError::Run)?;
    let interpreter = simulation.interpreter();
    let mut results = Vec::with_capacity(samples.len());
    for sample in samples {
        let (scale, zero) = (input.scale_of(0), input.zero() as f32);
        let target = interpreter.input();
        for (q, &v) in target.iter_mut().zip(sample) {
            *q = ((v / scale).round_ties_even() + zero).clamp(-128.0, 127.0) as i8;
        }
        interpreter.run(0, forward).map_err(QuantizeError::Run)?;
        let ([scores], []) =
            interpreter.machine().arena.split([slot], []).map_err(QuantizeError::Run)?;
        let real = |&q: &u8| output.scale_of(0) * (f32::from(q as i8) - output.zero() as f32);
        results.push(scores.iter().map(real).collect());
    }
    Ok(results)
}
