//! The node cases of the `onnx` package, 1.15.0: single operators with recorded inputs and outputs,
//! evaluated in real numbers by the reference, and in integers by the kernels. What is left out,
//! and why, stands in `left_out.txt`; `OFFSHOOT_BLESS=1` rewrites it.

mod case;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use case::{Batch, Case, Network};
use offshoot::import::{import_bytes, ImportError, Problem};
use offshoot::ir::Graph;
use offshoot::quantize::{is_real, outputs, quantize, Samples};
use offshoot::reference::Values;
use offshoot_tests::skip;
use tract_onnx::pb::tensor_proto::DataType;

/// Operators whose cases are run.
const OPERATORS: &str = "Conv ConvTranspose MaxPool AveragePool GlobalAveragePool GlobalMaxPool \
    ReduceMean Gemm MatMul Add Sub Mul Div Concat Split Slice Pad Transpose Reshape Flatten \
    Squeeze Unsqueeze Identity Resize Upsample Relu Clip LeakyRelu PRelu Sigmoid HardSigmoid \
    HardSwish Tanh Gelu Elu Softmax LayerNormalization BatchNormalization LSTM GRU QuantizeLinear \
    DequantizeLinear QLinearConv QLinearMatMul";

/// Largest error of an integer result, as a share of the range of its values: a few steps of 255.
const INTEGER_ERROR: f64 = 0.03;

/// What became of a case.
enum Outcome {
    /// It gives what is recorded; in integers too, or why not.
    Passed(Result<(), String>),
    LeftOut(String),
    Wrong(String),
}

#[test]
fn node_cases_give_what_is_recorded() {
    let Some(folder) = case::folder() else {
        skip!("there are no ONNX node cases; `cargo xtask setup` fetches them")
    };
    let mut names: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let mut left_out = String::new();
    let mut wrong = Vec::new();
    // For each operator: cases, passed in real numbers, passed in integers.
    let mut table: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for case in names.iter().map(|path| Case::read(path)) {
        if !OPERATORS.split_whitespace().any(|op| op == case.op) {
            continue;
        }
        let row = table.entry(case.op.clone()).or_default();
        row[0] += 1;
        match run(&case) {
            Outcome::Passed(integers) => {
                row[1] += 1;
                if case.has_unread() {
                    writeln!(left_out, "{}: all results but the first", case.name).unwrap();
                }
                match integers {
                    Ok(()) => row[2] += 1,
                    Err(why) => writeln!(left_out, "{}, in integers: {why}", case.name).unwrap(),
                }
            }
            Outcome::LeftOut(why) => writeln!(left_out, "{}: {why}", case.name).unwrap(),
            Outcome::Wrong(why) => wrong.push(format!("{}: {why}", case.name)),
        }
    }
    println!("| operator | cases | real numbers | integers |\n|---|---|---|---|");
    let mut total = [0; 3];
    for (op, row) in &table {
        println!("| {op} | {} | {} | {} |", row[0], row[1], row[2]);
        total.iter_mut().zip(row).for_each(|(t, r)| *t += r);
    }
    println!("| all | {} | {} | {} |\n\nleft out:\n{left_out}", total[0], total[1], total[2]);
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/onnx_nodes/left_out.txt");
    if std::env::var_os("OFFSHOOT_BLESS").is_some_and(|v| v == "1") {
        std::fs::write(&path, &left_out).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap();
    assert!(known == left_out, "other cases are left out than {} says", path.display());
}

fn run(case: &Case) -> Outcome {
    let mut why = String::new();
    for batch in [Batch::Whole, Batch::Parts] {
        let networks = match case.networks(batch) {
            Ok(networks) => networks,
            Err(reason) => {
                why = if why.is_empty() { reason } else { why };
                continue;
            }
        };
        let graphs: Result<Vec<Graph>, ImportError> =
            networks.iter().map(|n| import_bytes("case", &n.bytes)).collect();
        match graphs {
            Ok(graphs) => return check(&graphs, &networks),
            Err(error) => why = reason(&error),
        }
    }
    Outcome::LeftOut(why)
}

/// The first problem of an import error.
fn reason(error: &ImportError) -> String {
    let text = match error {
        ImportError::Refused { nodes, .. } => match nodes.first() {
            Some(node) if matches!(node.problem, Problem::Operator) => {
                format!("{} is not read", node.op)
            }
            Some(node) => format!("{}: {}", node.op, node.problem),
            None => String::new(),
        },
        other => other.to_string(),
    };
    text.lines().collect::<Vec<_>>().join(" ")
}

fn check(graphs: &[Graph], networks: &[Network]) -> Outcome {
    let mut integers = Ok(());
    for (graph, network) in graphs.iter().zip(networks) {
        let samples = arranged(graph, network);
        let expected = expected(network);
        if !is_real(graph) {
            let found: Result<Vec<_>, _> =
                samples.iter().map(|s| exact(graph, s, network)).collect();
            match found {
                Ok(found) if found.iter().any(|f| agrees(f, &expected, |f, e| f == e)) => {}
                Ok(found) => return Outcome::Wrong(compared(&found[0], &expected)),
                Err(why) => return Outcome::Wrong(why),
            }
            continue;
        }
        let near = |f: &f64, e: &f64| (f - e).abs() <= 1e-3 * e.abs() + 1e-5;
        let found: Vec<Vec<f64>> = samples.iter().map(|s| evaluate(graph, s)).collect();
        let Some(at) = found.iter().position(|f| agrees(f, &expected, near)) else {
            return Outcome::Wrong(compared(&found[0], &expected));
        };
        if let (Ok(()), Err(why)) = (&integers, quantised(graph, &samples[at], &found[at])) {
            integers = Err(why);
        }
    }
    Outcome::Passed(integers)
}

/// The sample as the graph takes it: in the file's order, or with channels last; both where the
/// sizes do not tell.
fn arranged(graph: &Graph, network: &Network) -> Vec<Vec<f64>> {
    let shape = graph.input.map(|i| more_than_one(&graph.tensor(i).shape)).unwrap_or_default();
    let dims = more_than_one(&network.dims);
    let (last, moved) = channels_last(&dims, &network.sample);
    let all = [(dims, network.sample.clone()), (last, moved)];
    let fitting = all.into_iter().filter(|(dims, _)| *dims == shape || dims.len() < 2);
    let mut samples: Vec<Vec<f64>> = fitting.map(|(_, sample)| sample).collect();
    if samples.is_empty() {
        samples.push(network.sample.clone());
    }
    samples
}

/// What a network should give: results that do not come as a row have their channels last.
fn expected(network: &Network) -> Vec<f64> {
    match &network.result {
        Some(dims) if dims.len() > 2 && dims[0] == 1 => {
            channels_last(&dims[1..], &network.expected).1
        }
        _ => network.expected.clone(),
    }
}

fn more_than_one(dims: &[usize]) -> Vec<usize> {
    dims.iter().copied().filter(|&d| d != 1).collect()
}

/// Sizes and values with the first axis last.
fn channels_last(dims: &[usize], values: &[f64]) -> (Vec<usize>, Vec<f64>) {
    let channels = dims.first().copied().unwrap_or(1);
    let pixels = values.len() / channels.max(1);
    let moved = (0..values.len()).map(|at| values[at % channels * pixels + at / channels]);
    ([dims.get(1..).unwrap_or_default(), &[channels]].concat(), moved.collect())
}

/// Whether all results are near what is expected.
fn agrees(found: &[f64], expected: &[f64], near: impl Fn(&f64, &f64) -> bool) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| near(f, e))
}

fn compared(found: &[f64], expected: &[f64]) -> String {
    let some = |v: &[f64]| format!("{} results {:.4?}", v.len(), &v[..v.len().min(12)]);
    format!("{}, not {}", some(found), some(expected))
}

fn evaluate(graph: &Graph, sample: &[f64]) -> Vec<f64> {
    let mut values = Values::<f64>::new(graph);
    let (Some(input), Some(output)) = (graph.input, graph.output) else { return Vec::new() };
    values.set(input, sample.to_vec());
    values.run(0, graph.nodes().len());
    values.get(output).to_vec()
}

/// Checks the integer network of a real one against what the real one gives.
fn quantised(graph: &Graph, sample: &[f64], expected: &[f64]) -> Result<(), String> {
    let sample: Vec<f32> = sample.iter().map(|&v| v as f32).collect();
    // The range is that of the sample itself.
    let samples = Samples { values: vec![sample.clone(); 8], input: None };
    let (integers, _) = quantize(graph, &samples).map_err(|e| e.to_string())?;
    let found = outputs(&integers, &[sample]).map_err(|e| e.to_string())?;
    let span = expected.iter().fold(0.0f64, |most, v| most.max(v.abs()));
    let worst = found.iter().flatten().zip(expected);
    let worst = worst.map(|(&f, &e)| (f64::from(f) - e).abs()).fold(0.0, f64::max);
    if worst <= INTEGER_ERROR * span.max(1e-6) {
        Ok(())
    } else {
        Err(format!("off by {:.1} % of the range", 100.0 * worst / span))
    }
}

/// What a network gives that is quantised already: steps, where steps are recorded.
fn exact(graph: &Graph, sample: &[f64], network: &Network) -> Result<Vec<f64>, String> {
    let (Some(input), Some(output)) = (graph.input, graph.output) else {
        return Err("no input or output".into());
    };
    let [input, output] = [graph.tensor(input), graph.tensor(output)];
    let offset = |kind| if kind == DataType::Uint8 { 128.0 } else { 0.0 };
    let (shift, zero) = (offset(network.kinds[0]), f64::from(input.zero()));
    let real = |&v: &f64| match network.kinds[0] {
        DataType::Float => v as f32,
        _ => (f64::from(input.scale_of(0)) * (v - shift - zero)) as f32,
    };
    let found = outputs(graph, &[sample.iter().map(real).collect()]).map_err(|e| e.to_string())?;
    let (shift, zero) = (offset(network.kinds[1]), f64::from(output.zero()));
    let step = |&v: &f32| match network.kinds[1] {
        DataType::Float => f64::from(v),
        _ => (f64::from(v) / f64::from(output.scale_of(0))).round() + zero + shift,
    };
    Ok(found.iter().flatten().map(step).collect())
}
