//! Whether trained channels are the most important ones, worked out apart from the compiler.

use offshoot::ir::{Graph, TensorId};

/// Sum of absolute real weights of channel `channel` of weights `[O, kh, kw, I]`; of depthwise
/// weights `[C, kh, kw, 1]`.
fn importance(graph: &Graph, weights: TensorId, channel: usize) -> f64 {
    let tensor = graph.tensor(weights);
    let [o, kh, kw, i] = [0, 1, 2, 3].map(|axis| tensor.shape[axis]);
    let data = tensor.data.as_ref().expect("weights are constant");
    let mut sum = 0.0;
    for row in 0..o {
        for tap in 0..kh * kw {
            for column in 0..i {
                if channel == if i == 1 { row } else { column } {
                    let q = data.get((row * kh * kw + tap) * i + column);
                    sum += (q * f64::from(tensor.scale_of(row))).abs();
                }
            }
        }
    }
    sum
}

/// Trained rows are quantised anew once channels are chosen, so that what was nearly equal may change
/// places by as much.
const NEARLY_EQUAL: f64 = 0.99;

/// Whether no channel that is left out of training matters more than one that is trained.
///
/// # Errors
/// Such a pair of channels.
pub fn check(graph: &Graph, weights: TensorId) -> Result<(), String> {
    let tensor = graph.tensor(weights);
    let channels = tensor.trained.as_ref().and_then(|t| t.channels.clone());
    let Some(channels) = channels else { return Ok(()) };
    let chosen: Vec<usize> = channels.into_iter().map(usize::from).collect();
    let count = if tensor.shape[3] == 1 { tensor.shape[0] } else { tensor.shape[3] };
    for &trained in &chosen {
        for left in (0..count).filter(|c| !chosen.contains(c)) {
            let [a, b] = [trained, left].map(|c| importance(graph, weights, c));
            if a < NEARLY_EQUAL * b {
                return Err(format!("channel {trained} ({a}) is trained, {left} ({b}) is not"));
            }
        }
    }
    Ok(())
}
