//! Graphs as text: one line a tensor, then one line a node, in execution order.
//!
//! ```text
//! graph "net" source 0x0
//! %0 "x" i8[1,2,2,1] scale 0.5 zero -3
//! %1 "w" i8[1,1,1,1] scale 0.1 zero 0 trained residual data [7]
//! %2 "b" i32[1] scale 0.05 zero 0 data [0]
//! %3 "y" i8[1,2,2,1] scale 0.5 zero -128
//! "conv" conv2d %0 %1 %2 -> %3 {kernel [1,1], stride [1,1], pad [0,0,0,0], groups [1]}
//! input %0
//! output %3
//! ```

use std::fmt::Write;

use offshoot_runtime::hash;
use offshoot_runtime::program::op::Precision;

use super::{attributes, Graph, Rule, Tensor, TensorId};

/// How constants are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constants {
    /// Every element: the text parses back to the same graph.
    Full,
    /// A hash in place of more than 16 elements: for people.
    Elided,
}

/// `graph` as text.
pub fn print(graph: &Graph, constants: Constants) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "graph {:?} source {:#x}", graph.name, graph.source_hash);
    for fold in &graph.folded {
        let _ = writeln!(text, "folded {:?} {} into {:?}", fold.node, fold.op, fold.into);
    }
    if let Some(energy) = graph.feature_energy {
        let _ = writeln!(text, "energy {energy:?}");
    }
    for (id, tensor) in graph.tensors() {
        let _ = writeln!(text, "{id} {}", describe(tensor, constants));
    }
    for (_, node) in graph.nodes() {
        let _ = write!(text, "{:?} {}", node.name, node.op.name());
        node.inputs.iter().for_each(|t| text.push_str(&format!(" {t}")));
        text.push_str(" ->");
        node.outputs.iter().for_each(|t| text.push_str(&format!(" {t}")));
        let attributes: Vec<String> = node
            .op
            .attributes()
            .iter()
            .map(|(name, values)| format!("{name} {}", attributes::list(values)))
            .collect();
        let _ = writeln!(text, " {{{}}}", attributes.join(", "));
    }
    let mut end = |word: &str, id: Option<TensorId>| {
        if let Some(id) = id {
            let _ = writeln!(text, "{word} {id}");
        }
    };
    end("input", graph.input);
    end("output", graph.output);
    text
}

fn describe(tensor: &Tensor, constants: Constants) -> String {
    let mut text = format!("{:?} {}{}", tensor.name, tensor.dtype.name(), list(&tensor.shape));
    if let Some(quant) = &tensor.quant {
        let _ = match quant.scale.as_slice() {
            [scale] if quant.axis == 0 => write!(text, " scale {scale:?}"),
            scales => {
                let scales: Vec<String> = scales.iter().map(|s| format!("{s:?}")).collect();
                write!(text, " scale [{}] axis {}", scales.join(","), quant.axis)
            }
        };
        let _ = write!(text, " zero {}", quant.zero);
    }
    if tensor.frozen {
        text.push_str(" frozen");
    }
    if tensor.adapter {
        text.push_str(" adapter");
    }
    if let Some(trained) = &tensor.trained {
        text.push_str(match trained.precision {
            Precision::Residual => " trained residual",
            Precision::Stochastic => " trained stochastic",
            Precision::Sign => " trained sign",
            Precision::Picked => " trained picked",
        });
        if !trained.picks.is_empty() {
            let _ = write!(text, " picks {}", list(&trained.picks));
        }
        if let Some(channels) = &trained.channels {
            let _ = write!(text, " channels {}", list(channels));
        }
        if trained.pace != 1.0 {
            let _ = write!(text, " pace {:?}", trained.pace);
        }
        let _ = match trained.rule {
            Rule::Plain => Ok(()),
            Rule::Normed { size, most } => write!(text, " normed [{size:?},{most:?}]"),
            Rule::Orthonormal { size, strength, columns } => {
                let which = if columns { "columns" } else { "rows" };
                write!(text, " orthonormal {which} [{size:?},{strength:?}]")
            }
        };
    }
    if let Some(data) = &tensor.data {
        if constants == Constants::Full || data.len() <= 16 {
            let _ = write!(text, " data {}", attributes::list(&data.iter().collect::<Vec<_>>()));
        } else {
            let _ = write!(text, " data #{:016x}", hash::fnv1a(hash::EMPTY, &data.to_bytes()));
        }
    }
    text
}

fn list<T: ToString>(values: &[T]) -> String {
    let values: Vec<String> = values.iter().map(T::to_string).collect();
    format!("[{}]", values.join(","))
}
