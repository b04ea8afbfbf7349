//! Gradients against central differences of the loss.
//!
//! For a parameter p the difference is `(L(p + h) - L(p - h)) / 2h` in `f64`, with h = 1e-5 of
//! the largest value of p's tensor (at least of 0.1). Three things separate it from the
//! gradient:
//!
//! * curvature: `h^2 L''' / 6`, relative to the gradient about 1e-10;
//! * rounding: the loss is about 1 and carries about 1e-15, so the difference carries about
//!   1e-15 / 2h, which is 1e-9 at most;
//! * kinks: where a value before a clamp crosses a bound between p - h and p + h, the loss has no
//!   derivative there and the difference means nothing. The same holds where another element of
//!   a window becomes the largest, and where a function is left by another of its corners. Such a
//!   parameter is found by comparing clamp masks, winners and sides of corners of both runs, and
//!   is left out. At most [`EXCLUDED`] of the parameters may be.
//!
//! So an agreement of [`RELATIVE`] and [`ABSOLUTE`] leaves two orders to spare, and any wrong
//! factor, index or missing term shows. Gradients too small to be told from rounding prove
//! nothing, so at least [`TELLING`] of them must be larger.

use std::collections::BTreeMap;

use offshoot::adapt::{adapt, HeadStart};
use offshoot::differentiate::differentiate;
use offshoot::ir::{verify, Graph, Node};
use offshoot::ops::Op;
use offshoot::prune::prune;
use offshoot::reference::Values;
use offshoot::scheme::Scheme;

use crate::gradients::{analytic, loss_node, parameters, start, Parameter, Sample};
use crate::random::Random;

/// Disagreement that is allowed, as a share of the gradient.
pub const RELATIVE: f64 = 1e-5;
/// Disagreement that is allowed in any case.
pub const ABSOLUTE: f64 = 1e-8;
/// Share of the parameters that kinks may exclude.
pub const EXCLUDED: f64 = 0.05;
/// Samples that are tried where kinks exclude more.
const SAMPLES: u64 = 4;
/// Share of the parameters whose gradient must be well above rounding.
pub const TELLING: f64 = 0.25;

/// What a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Parameters that were compared, by kind.
    pub checked: BTreeMap<&'static str, usize>,
    /// Parameters left out at kinks.
    pub excluded: usize,
    /// Parameters with a gradient well above rounding.
    pub telling: usize,
    /// Parameters that disagree.
    pub failures: Vec<String>,
}

impl Report {
    /// Number of parameters that were compared.
    pub fn total(&self) -> usize {
        self.checked.values().sum()
    }

    /// Whether the gradients are right, and the check was worth something.
    ///
    /// # Errors
    /// Why not.
    pub fn verdict(&self) -> Result<(), String> {
        let (total, failed) = (self.total(), self.failures.len());
        if failed > 0 {
            let some: Vec<&str> = self.failures.iter().take(5).map(String::as_str).collect();
            return Err(format!("{failed} of {total} gradients are wrong:\n{}", some.join("\n")));
        }
        if self.at_kinks() {
            return Err(format!("{} of {total} lie at kinks: too many", self.excluded));
        }
        if (self.telling as f64) < TELLING * total as f64 || total == 0 {
            return Err(format!("only {} of {total} gradients tell anything", self.telling));
        }
        Ok(())
    }

    /// Whether so many lie at kinks that the rest says little.
    pub fn at_kinks(&self) -> bool {
        self.excluded as f64 > EXCLUDED * (self.total() + self.excluded) as f64
    }

    /// Fails the test where the gradients are not right.
    ///
    /// # Panics
    /// With the [`Report::verdict`].
    pub fn pass(&self) {
        println!("{:?} checked, {} at kinks", self.checked, self.excluded);
        if let Err(why) = self.verdict() {
            panic!("{why}");
        }
    }
}

/// The pruned training graph of `graph`, with a head of its classifier, verified.
pub fn training(graph: &Graph, scheme: &str) -> Graph {
    training_with(graph, &Scheme::from_short(scheme).expect("a scheme"))
}

/// As [`training`], of any scheme.
pub fn training_with(graph: &Graph, scheme: &Scheme) -> Graph {
    let passed = |graph: Graph| match verify(&graph) {
        Ok(()) => graph,
        Err(error) => panic!("{}: {error}", graph.name),
    };
    let forward = passed(graph.clone());
    let adapted = passed(adapt(&forward, HeadStart::Classifier, scheme).expect("a classifier"));
    let whole = passed(differentiate(&adapted, scheme).expect("gradients"));
    passed(prune(&whole))
}

/// The scheme that trains everything in `graph`.
pub fn everything(graph: &Graph) -> String {
    let layers = offshoot::adapt::layers(graph).len();
    let weights: Vec<String> = (0..layers - 1).map(|layer| format!("{layer}:1")).collect();
    format!("biases=all,{}", weights.join(","))
}

/// Checks a whole network under `scheme`: all trained parameters, or a seeded sample of `most` of
/// each kind.
pub fn check_network(graph: &Graph, scheme: &str, most: Option<usize>) -> Report {
    check_scheme(graph, &Scheme::from_short(scheme).expect("a scheme"), most)
}

/// As [`check_network`], under any scheme.
pub fn check_scheme(graph: &Graph, scheme: &Scheme, most: Option<usize>) -> Report {
    let training = training_with(graph, scheme);
    let report = |which: u64| {
        let sample = Sample::random(&training, graph.source_hash + which);
        compare(&training, &sample, &analytic(&training, &sample), most)
    };
    // Where one sample lies at too many kinks, another may not; wrong gradients are wrong at any.
    let tells = |report: &Report| !report.failures.is_empty() || !report.at_kinks();
    (2..=SAMPLES).fold(report(1), |found, which| if tells(&found) { found } else { report(which) })
}

/// Compares `gradients`, one for each of the graph's parameters, with differences of its loss.
pub fn compare(
    graph: &Graph,
    sample: &Sample,
    gradients: &[Vec<f64>],
    most: Option<usize>,
) -> Report {
    let parameters = parameters(graph);
    let mut report = Report::default();
    let mut values = start(graph, sample);
    let loss = loss_node(graph);
    values.run(0, loss + 1);
    for (which, chosen) in chosen(&parameters, most).into_iter().enumerate() {
        let parameter = &parameters[which];
        let largest = values.get(parameter.id).iter().fold(0.1f64, |m, v| m.max(v.abs()));
        let h = 1e-5 * largest;
        for index in chosen {
            let analytic = gradients[which][index];
            let at = parameter.elements[index];
            let [high, low] = [h, -h].map(|h| nudged(&mut values, parameter, at, h, loss));
            if high.sides != low.sides {
                report.excluded += 1;
                continue;
            }
            let numeric = (high.loss - low.loss) / (2.0 * h);
            *report.checked.entry(parameter.kind).or_default() += 1;
            report.telling += usize::from(numeric.abs() > 100.0 * ABSOLUTE);
            let allowed = RELATIVE * analytic.abs().max(numeric.abs()) + ABSOLUTE;
            // Written so that a NaN fails.
            if (analytic - numeric).abs() <= allowed {
                continue;
            }
            let name = &graph.tensor(parameter.id).name;
            let failure = format!("{name}[{at}]: gradient {analytic:e}, difference {numeric:e}");
            report.failures.push(failure);
        }
        values.run(parameter.reader, loss + 1);
    }
    report
}

/// For each parameter, the elements of its gradient that are checked.
fn chosen(parameters: &[Parameter], most: Option<usize>) -> Vec<Vec<usize>> {
    let mut by_kind: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
    for (which, parameter) in parameters.iter().enumerate() {
        let of_kind = by_kind.entry(parameter.kind).or_default();
        of_kind.extend((0..parameter.elements.len()).map(|index| (which, index)));
    }
    let mut chosen = vec![Vec::new(); parameters.len()];
    let mut random = Random::new(1);
    for all in by_kind.values() {
        for at in random.sample(all.len(), most.unwrap_or(all.len())) {
            chosen[all[at].0].push(all[at].1);
        }
    }
    chosen
}

/// What a run with one parameter moved gives.
struct Nudged {
    loss: f64,
    /// On which side of every kink.
    sides: Vec<usize>,
}

fn nudged(
    values: &mut Values<'_, f64>,
    parameter: &Parameter,
    at: usize,
    h: f64,
    loss: usize,
) -> Nudged {
    let before = values.get(parameter.id)[at];
    values.change(parameter.id, |p| p[at] = before + h);
    values.run(parameter.reader, loss + 1);
    values.change(parameter.id, |p| p[at] = before);
    let sides = values.graph().nodes().flat_map(|(_, node)| sides(values, node)).collect();
    Nudged { loss: values.step.loss, sides }
}

/// On which side of its kinks a node's values lie: bits of its clamp mask, winners of its windows,
/// corners of its function below each value.
fn sides(values: &Values<'_, f64>, node: &Node) -> Vec<usize> {
    match &node.op {
        Op::Unary(op) => {
            let corners = op.function.corners();
            let below = |x: &f64| corners.iter().filter(|c| **c <= *x).count();
            values.get(node.inputs[0]).iter().map(below).collect()
        }
        Op::MaxPool(_) => kept(values, node),
        op if op.clamp().is_some() => kept(values, node),
        _ => Vec::new(),
    }
}

/// What a node keeps for its backward pass; nothing where no gradient passes it.
fn kept(values: &Values<'_, f64>, node: &Node) -> Vec<usize> {
    let kept = node.outputs.get(1).map_or(&[][..], |&kept| values.get(kept));
    kept.iter().map(|&v| v as usize).collect()
}
