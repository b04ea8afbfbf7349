//! A program without quantization-aware scaling.
//!
//! A parameter `p = s q` steps by `rate dL/dp / s` in units of its step `s`. Plain descent on `q`
//! steps by `rate dL/dq = rate s dL/dp`: `s^2` of the other. One rate for all is chosen for it such
//! that trained weights move as far in the geometric mean as they do with scaling.

use anyhow::{ensure, Context, Result};
use offshoot::ir::{DType, Tensor};
use offshoot::ops::Op as Node;
use offshoot::pipeline::Compiled;
use offshoot_runtime::program::{Memory, Op, Slot};
use offshoot_simulator::{AlignedBytes, ProgramFile};

/// The program of `compiled` without quantization-aware scaling.
pub fn unscaled(compiled: &Compiled) -> Result<ProgramFile> {
    let program = &compiled.program;
    let (mut updates, mut logarithms) = (Vec::new(), Vec::new());
    for (index, (op, name)) in program.ops.iter().zip(&compiled.placed.names).enumerate() {
        let is_update = matches!(
            op,
            Op::ConvUpdate(_) | Op::DepthwiseUpdate(_) | Op::BiasUpdate(_) | Op::HeadUpdate(_)
        );
        if !is_update {
            continue;
        }
        let parameter = parameter(compiled, name)
            .with_context(|| format!("no parameter belongs to update {name:?}"))?;
        let scales: Vec<f64> =
            (0..parameter.shape[0]).map(|row| f64::from(parameter.scale_of(row))).collect();
        ensure!(
            matches!(op, Op::BiasUpdate(_)) == (parameter.dtype == DType::I32),
            "update {name:?} is not of {:?}",
            parameter.name
        );
        if parameter.dtype != DType::I32 {
            let sound = scales.iter().filter(|&&s| s >= offshoot::lower::DEGENERATE_SCALE);
            logarithms.extend(sound.map(|s| s.ln()));
        }
        updates.push((index, scales));
    }
    let mean = (logarithms.iter().sum::<f64>() / logarithms.len().max(1) as f64).exp();
    let mut changed = program.clone();
    let mut constants = program.constants.as_ref().to_vec();
    for (index, scales) in updates {
        let plain = |factor: f32, scale: f64| (f64::from(factor) * (scale / mean).powi(2)) as f32;
        let slot = match &mut changed.ops[index] {
            Op::ConvUpdate(op) => &mut op.factor,
            Op::DepthwiseUpdate(op) => &mut op.factor,
            Op::BiasUpdate(op) => &mut op.factor,
            Op::HeadUpdate(op) => {
                op.factor = plain(op.factor, scales[0]);
                continue;
            }
            _ => continue,
        };
        let old = constants[slot.start()..slot.end()].to_vec();
        ensure!(old.len() == 4 * scales.len(), "update {index} has other channels");
        // Ops may share a table: each gets its own.
        constants.resize(constants.len().next_multiple_of(8), 0);
        *slot = Slot::new(Memory::Constant, constants.len() as u32, old.len() as u32);
        for (bytes, &scale) in old.chunks_exact(4).zip(&scales) {
            let factor = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            constants.extend(plain(factor, scale).to_le_bytes());
        }
    }
    changed.constants = AlignedBytes::copy_of(&constants);
    // Written and read back: verified.
    Ok(ProgramFile::decode(&changed.encode()?)?)
}

/// The parameter that the gradient node of that name belongs to.
fn parameter<'c>(compiled: &'c Compiled, gradient: &str) -> Option<&'c Tensor> {
    let graph = &compiled.graph;
    let producers = graph.producers();
    let named = |t: &offshoot::ir::TensorId| {
        producers[t.index()].is_some_and(|p| graph.node(p).name == gradient)
    };
    let sgd = graph.nodes().map(|(_, n)| n).filter(|n| matches!(n.op, Node::Sgd(_)));
    let mut found = sgd.filter(|n| named(&n.inputs[1])).map(|n| graph.tensor(n.inputs[0]));
    // Of two of one name neither is meant.
    found.next().filter(|_| found.next().is_none())
}

#[cfg(test)]
mod tests {
    use offshoot::adapt::HeadStart;
    use offshoot::scheme::Scheme;
    use offshoot::{import, pipeline};

    use super::*;
    use crate::plan::find;

    #[test]
    fn factors_lose_their_scales() {
        let graph = import::import(&find("demo/digits_int8qdq.onnx").unwrap()).unwrap();
        let scheme = Scheme::from_short("biases=all,block1_dw:1,block2_project:1,last:1").unwrap();
        let compiled = pipeline::compile(&graph, HeadStart::Classifier, &scheme).unwrap();
        let plain = unscaled(&compiled).unwrap();
        let factors = |file: &ProgramFile, slot: Slot| -> Vec<f64> {
            let bytes = file.constants.as_ref()[slot.start()..slot.end()].chunks_exact(4);
            bytes.map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect()
        };
        let mut seen = 0;
        for (old, new) in compiled.program.ops.iter().zip(&plain.ops) {
            let (old, new) = match (old, new) {
                (Op::ConvUpdate(a), Op::ConvUpdate(b)) => (a.factor, b.factor),
                (Op::DepthwiseUpdate(a), Op::DepthwiseUpdate(b)) => (a.factor, b.factor),
                (Op::BiasUpdate(a), Op::BiasUpdate(b)) => (a.factor, b.factor),
                (Op::HeadUpdate(_), Op::HeadUpdate(_)) => continue,
                (old, new) => {
                    assert_eq!(old, new);
                    continue;
                }
            };
            seen += 1;
            // Before x / s, after x s: the product is the same for all channels of a layer.
            let (old, new) = (factors(&compiled.program, old), factors(&plain, new));
            let products: Vec<f64> = old.iter().zip(&new).map(|(a, b)| a * b).collect();
            let most = products.iter().copied().fold(0.0, f64::max);
            let sound = products.iter().filter(|&&p| p != 0.0);
            assert!(sound.clone().all(|&p| (p / most - 1.0).abs() < 1e-4), "{products:?}");
            assert!(sound.count() > 1);
        }
        assert_eq!(seen, 3 + 8);
    }
}
