//! What the tensors of a real network hold on the user's samples.

use super::histogram::Histogram;
use super::QuantizeError;
use crate::ir::Graph;
use crate::reference::Values;

/// What was seen of one tensor.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// All its values.
    pub values: Histogram,
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// Mean over samples of the sum of the squares of its values.
    pub energy: f64,
    /// Of the greatest values of each pixel, the least.
    pub least_peak: Option<f64>,
}

/// Runs `graph` on `samples`, and gives what was seen of each of its tensors (of constants,
/// nothing) and the outputs.
///
/// # Errors
/// A sample whose values run to infinity, or to what is no number.
pub fn observe(
    graph: &Graph,
    samples: &[Vec<f32>],
) -> Result<(Vec<Seen>, Vec<Vec<f32>>), QuantizeError> {
    let mut seen = vec![Seen::default(); graph.tensors().count()];
    let mut outputs = Vec::with_capacity(samples.len());
    let mut values = Values::<f32>::new(graph);
    let (Some(input), Some(output)) = (graph.input, graph.output) else {
        return Ok((seen, outputs));
    };
    for (index, sample) in samples.iter().enumerate() {
        values.set(input, sample.clone());
        values.run(0, graph.nodes().len());
        for (id, tensor) in graph.tensors().filter(|(_, t)| t.data.is_none()) {
            let found = values.get(id);
            if !found.iter().all(|v| v.is_finite()) {
                let tensor = tensor.name.clone();
                return Err(QuantizeError::NotFinite { sample: index, tensor });
            }
            let seen = &mut seen[id.index()];
            seen.values.add(found);
            let energy: f64 = found.iter().map(|&v| f64::from(v).powi(2)).sum();
            seen.energy += energy / samples.len() as f64;
            let channels = tensor.shape.last().copied().unwrap_or(1).max(1);
            seen.mean.resize(channels, 0.0);
            for pixel in found.chunks(channels) {
                let peak = pixel.iter().fold(f64::NEG_INFINITY, |most, &v| most.max(v.into()));
                seen.least_peak = Some(seen.least_peak.map_or(peak, |least| least.min(peak)));
            }
            let share = channels as f64 / (found.len().max(1) * samples.len()) as f64;
            for (at, &v) in found.iter().enumerate() {
                seen.mean[at % channels] += f64::from(v) * share;
            }
        }
        outputs.push(values.get(output).to_vec());
    }
    Ok((seen, outputs))
}
