//! A layer that an adapter is put to, and what it sees and gives on the user's samples.

use nalgebra::DMatrix;
use offshoot_simulator::data::Split;

use super::linear::Random;
use crate::adapt::layers;
use crate::ir::{Graph, NodeId, TensorId};
use crate::ops::{Clamp, Op, Window};
use crate::reference::Values;

/// Most samples that a layer is looked at with.
const MOST_SAMPLES: usize = 64;

/// Rows that are kept of each layer, over all samples.
const ROWS: usize = 1024;

/// A layer: a convolution, or a fully connected layer.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its node.
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// Its input, `[1,h,w,I]`.
    pub x: TensorId,
    /// Its result, `[1,oh,ow,O]`.
    pub y: TensorId,
    /// Kernel, stride, padding.
    pub window: Window,
    /// Channel groups.
    pub groups: usize,
    /// Range that its activation clamps to.
    pub clamp: Option<Clamp>,
    /// Its weights in real numbers, a row an output channel: `[O, kh * kw * I/groups]`.
    pub weights: DMatrix<f64>,
    /// What the window saw at some pixels of the samples, a row each: `[n, kh * kw * I]`; of a grouped
    /// convolution, nothing.
    pub seen: DMatrix<f64>,
    /// What the layer gave there: `[n, O]`.
    pub given: DMatrix<f64>,
    /// Mean of what it gave over its map, a row a sample: `[samples, O]`.
    pub means: DMatrix<f64>,
    /// Mean gradient of the loss for its weights, where the recipe asks for it, up to a factor.
    pub gradient: DMatrix<f64>,
    /// Height and width of its result.
    pub map: [usize; 2],
}

impl Site {
    /// Whether its weights are one matrix.
    pub fn is_dense(&self) -> bool {
        self.groups == 1
    }

    /// Whether its kernel covers one pixel, and its result has as many as its input.
    pub fn is_pointwise(&self) -> bool {
        let Window { kernel, stride, pad, .. } = self.window;
        (kernel, stride, pad) == ([1; 2], [1; 2], [0; 4])
    }

    /// Positions of its kernel, and channels that it sees at each.
    pub fn taps_and_channels(&self) -> [usize; 2] {
        let taps = self.window.kernel[0] * self.window.kernel[1];
        [taps, self.weights.ncols() / taps.max(1)]
    }

    /// Rows and columns of its weights.
    pub fn shape(&self) -> (usize, usize) {
        self.weights.shape()
    }

    /// Largest norm of a row of its weights.
    pub fn reach(&self) -> f64 {
        self.weights.row_iter().map(|row| row.norm()).fold(0.0, f64::max)
    }

    /// Random numbers for a factor, the same for every layer of this name.
    pub fn random(&self, factor: &str) -> Random {
        Random::new(&format!("{}.{factor}", self.name))
    }
}

/// The layers before the classifier `head`, in execution order.
pub fn sites(graph: &Graph, head: Option<NodeId>) -> Vec<Site> {
    let nodes: Vec<TensorId> = layers(graph).iter().map(|n| n.outputs[0]).collect();
    let before = |id: NodeId| head.is_none_or(|head| id < head);
    let found = graph.nodes().filter(|(id, n)| before(*id) && nodes.contains(&n.outputs[0]));
    found
        .filter_map(|(id, node)| {
            let Op::Conv2d(conv) = &node.op else { return None };
            let tensor = graph.tensor(node.inputs[1]);
            let rows = tensor.shape[0];
            let columns = tensor.elements() / rows.max(1);
            Some(Site {
                node: id,
                name: node.name.clone(),
                x: node.inputs[0],
                y: node.outputs[0],
                window: conv.window,
                groups: conv.groups,
                clamp: conv.clamp,
                weights: DMatrix::from_row_iterator(rows, columns, tensor.reals()),
                seen: DMatrix::zeros(0, if conv.groups == 1 { columns } else { 0 }),
                given: DMatrix::zeros(0, rows),
                means: DMatrix::zeros(0, rows),
                gradient: DMatrix::zeros(rows, columns),
                map: <[usize; 2]>::try_from(graph.tensor(node.outputs[0]).shape.get(1..3)?).ok()?,
            })
        })
        .collect()
}

/// The samples that layers are looked at with: spread over all there are, so that classes in order are all
/// there.
pub fn spread(samples: &Split) -> Vec<usize> {
    let count = samples.len().min(MOST_SAMPLES);
    (0..count).map(|i| i * samples.len() / count).collect()
}

/// Sample `index` in the real numbers that `graph` reads.
pub fn presented(graph: &Graph, samples: &Split, index: usize) -> Vec<f32> {
    let input = graph.input.map(|input| graph.tensor(input));
    let (scale, zero) = input.map_or((1.0, 0), |input| (input.scale_of(0), input.zero()));
    let real = |&q: &i8| scale * (i32::from(q) - zero) as f32;
    samples.input(index).iter().map(real).collect()
}

/// Notes what `sites` see and give on `samples`, spread over all there are and over their maps.
pub fn observe(graph: &Graph, sites: &mut [Site], samples: &Split) {
    let (Some(input), Some(last)) = (graph.input, sites.iter().map(|s| s.node).max()) else {
        return;
    };
    let chosen = spread(samples);
    let each = ROWS.div_ceil(chosen.len().max(1));
    let mut values = Values::<f32>::new(graph);
    let mut rows: Vec<[Vec<f64>; 3]> = vec![Default::default(); sites.len()];
    for index in chosen {
        values.set(input, presented(graph, samples, index));
        values.run(0, last.index() + 1);
        for (site, [seen, given, means]) in sites.iter().zip(&mut rows) {
            let ([h, w, i], [oh, ow, o]) = (values.hwc(site.x), values.hwc(site.y));
            let (x, y) = (values.get(site.x), values.get(site.y));
            let pixels = oh * ow;
            let mean = |c| (0..pixels).map(|at| f64::from(y[at * o + c])).sum::<f64>();
            means.extend((0..o).map(|c| mean(c) / pixels as f64));
            // An odd stride, so that other columns are seen in each row of the map.
            let step = (pixels / each.min(pixels)).max(1) | 1;
            for at in (index % step..pixels).step_by(step) {
                given.extend(y[at * o..][..o].iter().map(|&v| f64::from(v)));
                if !site.is_dense() {
                    continue;
                }
                let start = seen.len();
                seen.resize(start + site.weights.ncols(), 0.0);
                for (iy, ky) in site.window.taps(0, at / ow, h) {
                    for (ix, kx) in site.window.taps(1, at % ow, w) {
                        let to = start + (ky * site.window.kernel[1] + kx) * i;
                        let from = &x[(iy * w + ix) * i..][..i];
                        for (to, &v) in seen[to..].iter_mut().zip(from) {
                            *to = f64::from(v);
                        }
                    }
                }
            }
        }
    }
    for (site, [seen, given, means]) in sites.iter_mut().zip(rows) {
        let matrix = |values: Vec<f64>, columns: usize| {
            DMatrix::from_row_iterator(values.len() / columns.max(1), columns, values)
        };
        site.given = matrix(given, site.weights.nrows());
        site.means = matrix(means, site.weights.nrows());
        site.seen = matrix(seen, site.seen.ncols());
    }
}
