//! What exporters write out in several nodes, made the one node that it means, so that there is one
//! way to read each: GELU, the hard sigmoid and its swish, and normalisation over dimensions.
//!
//! A match needs its constants within a thousandth, and that nothing outside it reads what is inside.
//! What does not match stays as it is, to be read or refused node by node.

use std::collections::{HashMap, HashSet};
use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;

use super::constant::{Constant, Elements};
use super::{nodes, proto};
use crate::ir::Fold;

/// Nodes that one product may consist of; more are no pattern, or a cycle.
const MOST_FACTORS: usize = 8;

/// Elements of constants that patterns look at: numbers, and lists of dimensions.
const FEW: i64 = 8;

/// Of GELU by a hyperbolic tangent.
const CUBIC: f64 = 0.044715;

/// Puts one node in place of every pattern, and says which nodes became part of which.
pub fn replace(graph: &mut pb::GraphProto) -> Vec<Fold> {
    let Some(found) = Finder::new(graph).map(|finder| finder.all()) else { return Vec::new() };
    let (mut folds, mut dropped) = (Vec::new(), HashSet::new());
    for (root, found) in found {
        let into = name(&found.node).to_string();
        for &at in &found.inside {
            let node = &graph.node[at];
            let (node, op) = (name(node).into(), node.op_type.clone());
            folds.push(Fold { node, op, into: into.clone() });
        }
        dropped.extend(found.inside);
        graph.node[root] = found.node;
    }
    let mut at = 0..;
    graph.node.retain(|_| !dropped.contains(&at.next().unwrap_or_default()));
    folds
}

/// A node's name, or that of its result.
fn name(node: &pb::NodeProto) -> &str {
    let result = node.output.first().map_or("", String::as_str);
    if node.name.is_empty() {
        result
    } else {
        &node.name
    }
}

/// A pattern in the graph.
struct Found {
    /// The node that stands for it, in place of the pattern's last.
    node: pb::NodeProto,
    /// All other nodes of it.
    inside: Vec<usize>,
}

/// A graph, as patterns look at it.
struct Finder<'g> {
    nodes: &'g [pb::NodeProto],
    /// The node that computes each tensor.
    producers: HashMap<&'g str, usize>,
    /// How often each tensor is read; being the output counts.
    readers: HashMap<&'g str, usize>,
    /// Constants of a few elements.
    constants: HashMap<&'g str, Constant>,
}

/// A product of tensors and numbers.
struct Product<'g> {
    tensors: Vec<&'g str>,
    number: f64,
    nodes: Vec<usize>,
}

fn near(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-3 * expected.abs()
}

impl<'g> Finder<'g> {
    /// None where two nodes give one tensor, which is refused elsewhere.
    fn new(graph: &'g pb::GraphProto) -> Option<Finder<'g>> {
        let mut finder = Finder {
            nodes: &graph.node,
            producers: HashMap::new(),
            readers: HashMap::new(),
            constants: HashMap::new(),
        };
        let few = |dims: &[i64]| {
            dims.iter().try_fold(1i64, |n, &d| n.checked_mul(d)).is_some_and(|n| n <= FEW)
        };
        for tensor in graph.initializer.iter().filter(|t| few(&t.dims)) {
            if let Ok(constant) = proto::constant(tensor, &tensor.name) {
                finder.constants.insert(&tensor.name, constant);
            }
        }
        for (at, node) in graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|o| !o.is_empty()) {
                if finder.producers.insert(output, at).is_some() {
                    return None;
                }
            }
            if node.op_type == "Constant" {
                if let (Ok(constant), Some(output)) = (nodes::constant(node), node.output.first()) {
                    finder.constants.insert(output, constant);
                }
            }
        }
        let read = graph.node.iter().flat_map(|n| &n.input);
        for tensor in read.chain(graph.output.iter().map(|o| &o.name)) {
            *finder.readers.entry(tensor).or_default() += 1;
        }
        Some(finder)
    }

    /// All patterns that share no node, by the node that they end in; later ones, which may hold
    /// earlier ones, come first.
    fn all(&self) -> Vec<(usize, Found)> {
        let mut taken = HashSet::new();
        let mut all = Vec::new();
        for root in (0..self.nodes.len()).rev() {
            let found = self.gelu(root).or_else(|| self.hard(root)).or_else(|| self.normal(root));
            let Some(found) = found.filter(|found| self.is_closed(root, &found.inside)) else {
                continue;
            };
            if found.inside.iter().chain([&root]).all(|at| !taken.contains(at)) {
                taken.extend(found.inside.iter().copied().chain([root]));
                all.push((root, found));
            }
        }
        all
    }

    /// Whether what nodes `inside` give is read by themselves and by `root` alone.
    fn is_closed(&self, root: usize, inside: &[usize]) -> bool {
        let all = || inside.iter().chain([&root]).map(|&at| &self.nodes[at]);
        let given = inside.iter().flat_map(|&at| &self.nodes[at].output);
        let own = |tensor: &String| all().flat_map(|n| &n.input).filter(|i| *i == tensor).count();
        !inside.contains(&root)
            && given.into_iter().all(|t| self.readers.get(t.as_str()) == Some(&own(t)))
    }

    /// The node that gives a tensor, where it is of this operator and has so many inputs.
    fn node<const N: usize>(&self, tensor: &str, op: &str) -> Option<(usize, [&'g str; N])> {
        let at = *self.producers.get(tensor)?;
        self.inputs(at, op).map(|inputs| (at, inputs))
    }

    fn inputs<const N: usize>(&self, at: usize, op: &str) -> Option<[&'g str; N]> {
        let node = self.nodes.get(at)?;
        let inputs: Vec<&str> = node.input.iter().map(String::as_str).collect();
        let own = node.domain.is_empty() || node.domain == "ai.onnx";
        let fits = own && node.op_type == op && node.output.len() == 1;
        fits.then(|| inputs.try_into().ok()).flatten()
    }

    /// A constant of one element.
    fn number(&self, tensor: &str) -> Option<f64> {
        match &self.constants.get(tensor)?.elements {
            Elements::Float(v) => v.first().copied().map(f64::from).filter(|_| v.len() == 1),
            Elements::Int(_, v) => v.first().map(|&v| v as f64).filter(|_| v.len() == 1),
        }
    }

    /// A tensor as a product: through all `Mul` and `Div` whose results nothing else reads.
    fn product(&self, tensor: &'g str) -> Product<'g> {
        let mut product = Product { tensors: Vec::new(), number: 1.0, nodes: Vec::new() };
        let mut open = vec![tensor];
        while let Some(next) = open.pop() {
            if let Some(number) = self.number(next) {
                product.number *= number;
                continue;
            }
            let inner = next == tensor || self.readers.get(next) == Some(&1);
            if inner && product.nodes.len() < MOST_FACTORS {
                if let Some((at, both)) = self.node::<2>(next, "Mul") {
                    product.nodes.push(at);
                    open.extend(both);
                    continue;
                }
                if let Some((at, [x, by])) = self.node(next, "Div") {
                    if let Some(number) = self.number(by) {
                        product.nodes.push(at);
                        product.number /= number;
                        open.push(x);
                        continue;
                    }
                }
            }
            product.tensors.push(next);
        }
        product
    }

    /// A tensor as the sum of another and a number.
    fn shifted(&self, tensor: &str) -> Option<(usize, &'g str, f64)> {
        let (at, [a, b]) = self.node(tensor, "Add")?;
        match (self.number(a), self.number(b)) {
            (None, Some(number)) => Some((at, a, number)),
            (Some(number), None) => Some((at, b, number)),
            _ => None,
        }
    }

    /// The nodes of a tensor that is power `n` of `x` times a number.
    fn power(&self, tensor: &'g str, x: &str, n: usize, number: f64) -> Option<Vec<usize>> {
        let mut product = self.product(tensor);
        if let [one] = product.tensors.as_slice() {
            let (at, [base, exponent]) = self.node(one, "Pow")?;
            product.nodes.push(at);
            return (base == x
                && self.number(exponent) == Some(n as f64)
                && near(product.number, number))
            .then_some(product.nodes);
        }
        let same = product.tensors.len() == n && product.tensors.iter().all(|&t| t == x);
        (same && near(product.number, number)).then_some(product.nodes)
    }

    /// `op` of `inputs` in place of node `root`.
    fn written(
        &self,
        root: usize,
        op: &str,
        input: &str,
        attribute: Vec<pb::AttributeProto>,
        mut inside: Vec<usize>,
    ) -> Found {
        inside.retain(|&at| at != root);
        inside.sort_unstable();
        inside.dedup();
        let input = vec![input.to_string()];
        let op_type = op.to_string();
        let node = &self.nodes[root];
        let (name, output) = (node.name.clone(), node.output.clone());
        Found {
            node: pb::NodeProto { name, op_type, input, output, attribute, ..Default::default() },
            inside,
        }
    }

    /// `x (1 + erf(x / sqrt 2)) / 2`, or with the hyperbolic tangent that comes near it.
    fn gelu(&self, root: usize) -> Option<Found> {
        let product = self.product(self.nodes[root].output.first()?);
        let &[a, b] = product.tensors.as_slice() else { return None };
        if !near(product.number, 0.5) || !product.nodes.contains(&root) {
            return None;
        }
        [(a, b), (b, a)].into_iter().find_map(|(x, sum)| {
            let (add, inner, one) = self.shifted(sum)?;
            let mut inside = [&product.nodes[..], &[add]].concat();
            if one != 1.0 {
                return None;
            }
            if let Some((erf, [scaled])) = self.node(inner, "Erf") {
                inside.push(erf);
                let scaled = self.product(scaled);
                inside.extend(scaled.nodes);
                let fits = scaled.tensors == [x] && near(scaled.number, FRAC_1_SQRT_2);
                return fits.then(|| self.written(root, "Gelu", x, vec![], inside));
            }
            let (tanh, [argument]) = self.node(inner, "Tanh")?;
            inside.push(tanh);
            inside.extend(self.cubic(argument, x)?);
            let approximate = pb::AttributeProto {
                name: "approximate".into(),
                s: b"tanh".to_vec(),
                r#type: AttributeType::String as i32,
                ..Default::default()
            };
            Some(self.written(root, "Gelu", x, vec![approximate], inside))
        })
    }

    /// The nodes of `sqrt(2 / pi) (x + 0.044715 x^3)`, or of `sqrt(2 / pi) x (1 + 0.044715 x^2)`.
    fn cubic(&self, tensor: &'g str, x: &str) -> Option<Vec<usize>> {
        let product = self.product(tensor);
        // sqrt(2 / pi) is 2 / sqrt(pi) times sqrt(1 / 2).
        if !near(product.number, FRAC_2_SQRT_PI * FRAC_1_SQRT_2) {
            return None;
        }
        let mut nodes = product.nodes;
        match *product.tensors.as_slice() {
            [sum] => {
                let (add, [a, b]) = self.node(sum, "Add")?;
                nodes.push(add);
                let cube = if a == x { b } else { a };
                nodes.extend((a == x || b == x).then(|| self.power(cube, x, 3, CUBIC))??);
            }
            [a, b] => {
                let (add, square, one) = self.shifted(if a == x { b } else { a })?;
                nodes.push(add);
                let fits = (a == x || b == x) && one == 1.0;
                nodes.extend(fits.then(|| self.power(square, x, 2, CUBIC))??);
            }
            _ => return None,
        }
        Some(nodes)
    }

    /// `Clip(x + 3, 0, 6) / 6`, and that times `x`.
    fn hard(&self, root: usize) -> Option<Found> {
        let product = self.product(self.nodes[root].output.first()?);
        if !near(product.number, 1.0 / 6.0) || !product.nodes.contains(&root) {
            return None;
        }
        let line = |clip: &str| {
            let at = *self.producers.get(clip)?;
            let mut nodes = vec![at];
            let mut clipped = self.clipped(at)?;
            // PyTorch writes its ReLU6 so.
            if let Some((relu, [x])) = self.node(clipped, "Relu") {
                nodes.push(relu);
                clipped = x;
            }
            let (add, x, three) = self.shifted(clipped)?;
            nodes.push(add);
            near(three, 3.0).then_some((x, nodes))
        };
        match *product.tensors.as_slice() {
            [clip] => {
                let (x, nodes) = line(clip)?;
                let float = |name: &str, f: f32| pb::AttributeProto {
                    name: name.into(),
                    f,
                    r#type: AttributeType::Float as i32,
                    ..Default::default()
                };
                let attributes = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
                let inside = [&product.nodes[..], &nodes].concat();
                Some(self.written(root, "HardSigmoid", x, attributes, inside))
            }
            [a, b] => [(a, b), (b, a)].into_iter().find_map(|(x, clip)| {
                let (inner, nodes) = line(clip)?;
                let inside = [&product.nodes[..], &nodes].concat();
                (inner == x).then(|| self.written(root, "HardSwish", x, vec![], inside))
            }),
            _ => None,
        }
    }

    /// What a `Clip` from 0 to 6 reads.
    fn clipped(&self, at: usize) -> Option<&'g str> {
        let node = &self.nodes[at];
        if let Some([x, low, high]) = self.inputs(at, "Clip") {
            let bounds = [self.number(low)?, self.number(high)?];
            return (bounds[0] == 0.0 && near(bounds[1], 6.0)).then_some(x);
        }
        let [x] = self.inputs(at, "Clip")?;
        let [low, high] = ["min", "max"].map(|name| proto::float(node, name).map(f64::from));
        (low == Some(0.0) && near(high?, 6.0)).then_some(x)
    }

    /// `(x - mean) / sqrt(variance + epsilon)` over some dimensions; scale and shift stay behind it.
    fn normal(&self, root: usize) -> Option<Found> {
        let mut inside = Vec::new();
        let (centred, deviation) = if let Some([centred, deviation]) = self.inputs(root, "Div") {
            (centred, deviation)
        } else {
            let [a, b] = self.inputs(root, "Mul")?;
            let inverse = |t: &str| self.node::<1>(t, "Reciprocal");
            let (centred, (at, [deviation])) = match (inverse(a), inverse(b)) {
                (None, Some(found)) => (a, found),
                (Some(found), None) => (b, found),
                _ => return None,
            };
            inside.push(at);
            (centred, deviation)
        };
        let (at, [sum]) = self.node(deviation, "Sqrt").or_else(|| {
            let (at, [sum, half]) = self.node(deviation, "Pow")?;
            (self.number(half) == Some(0.5)).then_some((at, [sum]))
        })?;
        inside.push(at);
        let (at, variance, epsilon) = self.shifted(sum)?;
        inside.push(at);
        let (at, square, axes) = self.mean(variance)?;
        inside.push(at);
        let other = match self.node(square, "Pow") {
            Some((at, [base, two])) if self.number(two) == Some(2.0) => {
                inside.push(at);
                base
            }
            _ => {
                let (at, [a, b]) = self.node(square, "Mul")?;
                inside.push(at);
                (a == b).then_some(a)?
            }
        };
        let mut x = None;
        for tensor in [centred, other] {
            let (at, [from, mean]) = self.node(tensor, "Sub")?;
            let (of, averaged, over) = self.mean(mean)?;
            inside.extend([at, of]);
            if averaged != from || over != axes || x.is_some_and(|x| x != from) {
                return None;
            }
            x = Some(from);
        }
        let attribute = |name: &str, f: f32, ints: Vec<i64>, kind: AttributeType| {
            let name = name.into();
            pb::AttributeProto { name, f, ints, r#type: kind as i32, ..Default::default() }
        };
        let attributes = vec![
            attribute("epsilon", epsilon as f32, vec![], AttributeType::Float),
            attribute("axes", 0.0, axes, AttributeType::Ints),
        ];
        Some(self.written(root, "LayerNormalization", x?, attributes, inside))
    }

    /// A `ReduceMean` that keeps its dimensions: what it reads, and over which dimensions it goes.
    fn mean(&self, tensor: &str) -> Option<(usize, &'g str, Vec<i64>)> {
        let (at, x, axes) = match self.node(tensor, "ReduceMean") {
            Some((at, [x])) => (at, x, proto::ints(&self.nodes[at], "axes")?.to_vec()),
            None => {
                let (at, [x, axes]) = self.node(tensor, "ReduceMean")?;
                (at, x, self.constants.get(axes)?.integers().ok()?.to_vec())
            }
        };
        let keeps = proto::int(&self.nodes[at], "keepdims", 1) != 0 && !axes.is_empty();
        keeps.then_some((at, x, axes))
    }
}
