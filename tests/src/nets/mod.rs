//! Networks built in code, with seeded weights: one op at a time, or whole families.
//!
//! Scales are chosen so that activations keep about the same size from layer to layer and reach
//! their clamps now and then; zero points are not 0, so that leaving one out shows.

mod ops;

use std::sync::Arc;

use offshoot::ir::{DType, Data, Graph, Quant, Tensor, TensorId};
use offshoot::ops::{Add, AvgPool, Clamp, Conv2d, Function, Requantize, Window};

use crate::random::Random;

pub use ops::{strides, FUNCTIONS};

/// Step of every activation: int8 spans about 6.
const STEP: f32 = 0.024;

/// A convolution to be built.
#[derive(Clone, Copy, Debug)]
pub struct Conv {
    /// Output channels.
    pub out: usize,
    /// Window.
    pub window: Window,
    /// Groups.
    pub groups: usize,
    /// Whether its activation clamps, from zero up.
    pub relu: bool,
}

impl Conv {
    /// A dense convolution with stride 1 that keeps the map's size, for odd kernels.
    pub fn same(out: usize, kernel: usize) -> Conv {
        let window =
            Window { kernel: [kernel; 2], stride: [1; 2], pad: [kernel / 2; 4], dilation: [1; 2] };
        Conv { out, window, groups: 1, relu: true }
    }

    /// With another stride.
    pub fn stride(mut self, stride: usize) -> Conv {
        self.window.stride = [stride; 2];
        self
    }

    /// With padding top, left, bottom, right.
    pub fn pad(mut self, pad: [usize; 4]) -> Conv {
        self.window.pad = pad;
        self
    }

    /// In groups.
    pub fn groups(mut self, groups: usize) -> Conv {
        self.groups = groups;
        self
    }

    /// Without an activation.
    pub fn linear(mut self) -> Conv {
        self.relu = false;
        self
    }
}

/// A network under construction.
#[derive(Debug)]
pub struct Net {
    /// So far.
    pub graph: Graph,
    random: Random,
}

impl Net {
    /// A network that takes `[height, width, channels]`, and its input.
    pub fn new(name: &str, seed: u64, hwc: [usize; 3]) -> (Net, TensorId) {
        let mut net = Net { graph: Graph::new(name, seed), random: Random::new(seed) };
        let x = net.activation("input", hwc, false).0;
        let x = net.graph.add_tensor(x);
        net.graph.input = Some(x);
        (net, x)
    }

    /// Height, width and channels of a tensor.
    pub fn hwc(&self, x: TensorId) -> [usize; 3] {
        let shape = &self.graph.tensor(x).shape;
        [shape[1], shape[2], shape[3]]
    }

    /// An activation with a zero point of its own, and the range that a ReLU has there.
    fn activation(&mut self, name: &str, hwc: [usize; 3], relu: bool) -> (Tensor, Option<Clamp>) {
        let zero = if relu { self.random.integer(-128, -90) } else { self.random.integer(5, 40) };
        let step = STEP * self.random.real(0.8, 1.25) as f32;
        let range = relu
            .then(|| Clamp::Steps([zero as i8, self.random.integer(zero + 100, zero + 190) as i8]));
        let [h, w, c] = hwc;
        let tensor = Tensor::computed(name, DType::I8, vec![1, h, w, c]);
        (tensor.quantized(Quant::per_tensor(step, zero)), range)
    }

    fn name(&self, op: &str) -> String {
        format!("{op}{}", self.graph.nodes().len())
    }

    /// Adds a convolution.
    pub fn conv(&mut self, x: TensorId, conv: Conv) -> TensorId {
        let [h, w, c] = self.hwc(x);
        let [kh, kw] = conv.window.kernel;
        let per_group = c / conv.groups;
        let fan_in = (kh * kw * per_group) as f64;
        let name = self.name("conv");
        // Uniform weights of +-127 steps have a deviation of 73 steps.
        let scale = |random: &mut Random| (random.real(0.9, 1.8) / fan_in.sqrt() / 73.0) as f32;
        let scales: Vec<f32> = (0..conv.out).map(|_| scale(&mut self.random)).collect();
        let s_x = self.graph.tensor(x).scale_of(0);
        let elements = conv.out * kh * kw * per_group;
        let data = (0..elements).map(|_| self.random.integer(-127, 127) as i8).collect();
        let weights = self.graph.add_tensor(Tensor::constant(
            format!("{name}.weights"),
            vec![conv.out, kh, kw, per_group],
            Data::I8(Arc::new(data)),
            Quant::per_axis(scales.clone(), 0),
        ));
        let scales: Vec<f32> = scales.iter().map(|s| s * s_x).collect();
        let data = scales.iter().map(|s| (self.random.real(-0.3, 0.5) / f64::from(*s)) as i32);
        let bias = self.graph.add_tensor(Tensor::constant(
            format!("{name}.bias"),
            vec![conv.out],
            Data::I32(Arc::new(data.collect())),
            Quant::per_axis(scales, 0),
        ));
        let [oh, ow] = conv.window.output(h, w).expect("a window that fits");
        let (y, clamp) = self.activation(&name, [oh, ow, conv.out], conv.relu);
        let op = Conv2d { window: conv.window, groups: conv.groups, clamp };
        self.graph.add_op(name, op.into(), vec![x, weights, bias], y)
    }

    /// Adds a depthwise convolution of 3x3.
    pub fn depthwise(&mut self, x: TensorId, stride: usize) -> TensorId {
        let [_, _, c] = self.hwc(x);
        self.conv(x, Conv::same(c, 3).stride(stride).groups(c))
    }

    /// Adds a scale and a shift of each channel, as LayerNorm has them after normalising.
    pub fn depthwise_scale(&mut self, x: TensorId) -> TensorId {
        let [_, _, c] = self.hwc(x);
        self.conv(x, Conv::same(c, 1).groups(c).linear())
    }

    /// Adds a sum.
    pub fn add(&mut self, a: TensorId, b: TensorId, relu: bool) -> TensorId {
        let name = self.name("add");
        let (y, clamp) = self.activation(&name, self.hwc(a), relu);
        self.graph.add_op(name, Add { clamp }.into(), vec![a, b], y)
    }

    /// Adds an average over windows.
    pub fn avg_pool(&mut self, x: TensorId, window: Window) -> TensorId {
        let [h, w, c] = self.hwc(x);
        let [oh, ow] = window.output(h, w).expect("a window that fits");
        let mut y = self.graph.tensor(x).clone();
        y.name = self.name("pool");
        y.shape = vec![1, oh, ow, c];
        self.graph.add_op(y.name.clone(), AvgPool { window }.into(), vec![x], y)
    }

    /// Adds a change of scale.
    pub fn requantize(&mut self, x: TensorId, relu: bool) -> TensorId {
        let name = self.name("requantize");
        let (y, clamp) = self.activation(&name, self.hwc(x), relu);
        self.graph.add_op(name, Requantize { clamp }.into(), vec![x], y)
    }

    /// Adds a mean over the whole map and a classifier, and ends there.
    pub fn classifier(mut self, x: TensorId, classes: usize) -> Graph {
        let [h, w, _] = self.hwc(x);
        let pooled = self.avg_pool(x, Window::whole(h, w));
        let scores = self.conv(pooled, Conv::same(classes, 1).linear());
        self.graph.output = Some(scores);
        self.graph
    }

    /// Adds a classifier with weights for every position of the map, and ends there.
    pub fn flat_classifier(mut self, x: TensorId, classes: usize) -> Graph {
        let [h, w, _] = self.hwc(x);
        let whole = Conv { out: classes, window: Window::whole(h, w), groups: 1, relu: false };
        self.graph.output = Some(self.conv(x, whole));
        self.graph
    }

    /// Ends where the network is, which reproduces its input.
    pub fn reproduction(mut self, x: TensorId) -> Graph {
        self.graph.output = Some(x);
        self.graph
    }

    /// A random op on `x`, of any kind that has a gradient.
    fn any(&mut self, x: TensorId) -> TensorId {
        let [h, w, c] = self.hwc(x);
        let overlapping =
            Window { kernel: [2; 2], stride: [1; 2], pad: [0, 0, 1, 1], dilation: [1; 2] };
        let uneven = Window { kernel: [3, 2], stride: [2, 1], pad: [1, 0, 2, 1], dilation: [1; 2] };
        match self.random.below(19) {
            0 => self.conv(x, Conv::same(4, 3)),
            1 => self.conv(x, Conv::same(6, 1)),
            2 if c % 2 == 0 => self.conv(x, Conv::same(4, 3).groups(2).linear()),
            3 if h > 2 => self.conv(x, Conv { out: 4, window: uneven, groups: 1, relu: true }),
            4 => self.depthwise(x, 1),
            5 => {
                let y = self.conv(x, Conv::same(c, 3).linear());
                let relu = self.random.below(2) == 0;
                self.add(x, y, relu)
            }
            6 if h > 1 && w > 1 => self.avg_pool(x, overlapping),
            7 => self.requantize(x, true),
            8 if h > 1 && w > 1 => self.max_pool(x, overlapping),
            9 => {
                let function = FUNCTIONS[self.random.below(FUNCTIONS.len())];
                self.unary(x, function)
            }
            10 => self.squeeze(x, 3, Function::Sigmoid),
            11 => {
                let y = self.conv(x, Conv::same(c, 3).linear());
                self.mul(x, y)
            }
            12 => {
                let (y, axis) = (self.conv(x, Conv::same(c, 1).linear()), 1 + self.random.below(3));
                self.concat(&[x, y], axis)
            }
            13 => self.transpose(x),
            14 if h > 1 && w > 1 => self.slice(x, [1, 0, 0], 1, [h - 1, w - 1, c]),
            15 => self.pad(x, [1, 0, 0, 2]),
            16 => {
                let y = self.conv(x, Conv::same(4, 1).linear());
                self.normalize(y, 1e-3)
            }
            17 => {
                // Similarities of all pixels, as shares.
                let pixels = h * w;
                let rows = [strides(0, [0, c, 0, 1]), strides(0, [0, 0, c, 1])];
                let y = self.matmul([x, x], [1, pixels, pixels, c], rows);
                self.softmax(y)
            }
            _ => self.add(x, x, false),
        }
    }
}

/// Two convolutions and a classifier with weights for every position.
pub fn flat(seed: u64) -> Graph {
    let (mut net, x) = Net::new("flat", seed, [12, 9, 1]);
    let x = net.conv(x, Conv::same(8, 3).stride(2));
    let x = net.conv(x, Conv::same(8, 3));
    net.flat_classifier(x, 4)
}

/// Dense layers through a narrow one, back to the shape of the input.
pub fn autoencoder(seed: u64) -> Graph {
    let (mut net, mut x) = Net::new("autoencoder", seed, [1, 1, 24]);
    for width in [16, 6, 16] {
        x = net.conv(x, Conv::same(width, 1));
    }
    let y = net.conv(x, Conv::same(24, 1).linear());
    net.reproduction(y)
}

/// Convolutions that keep the map, the last of which clamps.
pub fn denoiser(seed: u64) -> Graph {
    let (mut net, x) = Net::new("denoiser", seed, [5, 4, 3]);
    let y = net.conv(x, Conv::same(6, 3));
    let z = net.conv(y, Conv::same(6, 3).linear());
    let y = net.add(y, z, true);
    let y = net.conv(y, Conv::same(3, 3));
    net.reproduction(y)
}

/// A chain of random ops: another one for every seed.
pub fn any(seed: u64) -> Graph {
    any_on(seed, [5, 4, 3])
}

/// As [`any`], on an input of `[height, width, channels]`, each at least 3.
pub fn any_on(seed: u64, hwc: [usize; 3]) -> Graph {
    let (mut net, x) = Net::new("any", seed, hwc);
    let mut x = net.conv(x, Conv::same(4, 3));
    for _ in 0..3 + net.random.below(3) {
        x = net.any(x);
    }
    net.classifier(x, 3)
}

/// Inverted bottlenecks with residual sums, as MobileNetV2 has them.
pub fn residual(seed: u64) -> Graph {
    let (mut net, x) = Net::new("residual", seed, [6, 6, 2]);
    let mut x = net.conv(x, Conv::same(4, 3));
    for _ in 0..2 {
        let wide = net.conv(x, Conv::same(6, 1));
        let wide = net.depthwise(wide, 1);
        let narrow = net.conv(wide, Conv::same(4, 1).linear());
        x = net.add(x, narrow, false);
    }
    net.classifier(x, 4)
}

/// Depthwise and pointwise convolutions in turn, as MobileNetV1 has them.
pub fn separable(seed: u64, size: usize, width: usize, blocks: usize) -> Graph {
    let (mut net, x) = Net::new("separable", seed, [size, size, 3]);
    let mut x = net.conv(x, Conv::same(width, 3).stride(2));
    for block in 0..blocks {
        let stride = 1 + block % 2;
        x = net.depthwise(x, stride);
        let channels = net.hwc(x)[2] * stride;
        x = net.conv(x, Conv::same(channels, 1));
    }
    net.classifier(x, 5)
}

/// Two residual blocks, the second with a strided convolution as its shortcut.
pub fn resnet(seed: u64, size: usize, width: usize) -> Graph {
    let (mut net, x) = Net::new("resnet", seed, [size, size, 3]);
    let x = net.conv(x, Conv::same(width, 3));
    let y = net.conv(x, Conv::same(width, 3));
    let y = net.conv(y, Conv::same(width, 3).linear());
    let x = net.add(x, y, true);
    let y = net.conv(x, Conv::same(2 * width, 3).stride(2).pad([0, 0, 1, 1]));
    let y = net.conv(y, Conv::same(2 * width, 3).linear());
    let shortcut = net.conv(x, Conv::same(2 * width, 1).stride(2).linear());
    let x = net.add(shortcut, y, true);
    net.classifier(x, 4)
}

/// A tall strided first convolution with uneven padding, then separable ones: keyword spotting.
pub fn ds_cnn(seed: u64) -> Graph {
    let (mut net, x) = Net::new("ds_cnn", seed, [13, 6, 1]);
    let window = Window { kernel: [10, 4], stride: [2, 2], pad: [4, 1, 5, 1], dilation: [1; 2] };
    let mut x = net.conv(x, Conv { out: 4, window, groups: 1, relu: true });
    for _ in 0..2 {
        x = net.depthwise(x, 1);
        x = net.conv(x, Conv::same(4, 1));
    }
    net.classifier(x, 4)
}

/// One tensor with readers of every kind: a convolution, an activation, a sum with a tensor that
/// gets no gradient and one with a tensor that does; and a sum of two tensors that both clamp.
pub fn tangled(seed: u64) -> Graph {
    let (mut net, input) = Net::new("tangled", seed, [4, 4, 3]);
    let scaled = net.requantize(input, false);
    let x = net.conv(input, Conv::same(3, 3).linear());
    let other = net.conv(input, Conv::same(3, 1).linear());
    let activated = net.requantize(x, true);
    let a = net.conv(activated, Conv::same(4, 1));
    let y = net.add(x, scaled, false);
    let [b, c] = [1, 3].map(|kernel| net.conv(y, Conv::same(4, kernel).linear()));
    let z = net.add(x, other, false);
    let d = net.conv(z, Conv::same(4, 1));
    let e = net.conv(x, Conv::same(4, 3));
    let [bc, de] = [(b, c), (d, e)].map(|(p, q)| net.add(p, q, false));
    let abc = net.add(a, bc, true);
    let sum = net.add(abc, de, false);
    net.classifier(sum, 4)
}

/// Convolutions whose channels are gated by what their maps hold as a whole, as in MobileNetV3.
pub fn squeeze_excitation(seed: u64) -> Graph {
    let (mut net, x) = Net::new("squeeze_excitation", seed, [8, 8, 3]);
    let mut x = net.conv(x, Conv::same(8, 3).stride(2));
    for gate in [Function::HardSigmoid([1.0 / 6.0, 0.5]), Function::Sigmoid] {
        let y = net.depthwise(x, 1);
        let y = net.squeeze(y, 4, gate);
        let y = net.conv(y, Conv::same(8, 1).linear());
        let y = net.add(x, y, false);
        x = net.unary(y, Function::HardSwish);
    }
    net.classifier(x, 4)
}

/// One transformer block over the pixels of a small map: attention of two heads and two layers with
/// GELU between them, each after a normalisation and beside a residual.
pub fn transformer(seed: u64) -> Graph {
    let (mut net, x) = Net::new("transformer", seed, [6, 6, 3]);
    let x = net.conv(x, Conv::same(8, 2).stride(2).pad([0; 4]).linear());
    let x = net.reshape(x, [1, 9, 8]);
    let y = net.normalize(x, 1e-5);
    let y = net.depthwise_scale(y);
    let y = net.attention(y, 2);
    let x = net.add(x, y, false);
    let y = net.normalize(x, 1e-5);
    let y = net.depthwise_scale(y);
    let y = net.conv(y, Conv::same(16, 1).linear());
    let y = net.unary(y, Function::Gelu);
    let y = net.conv(y, Conv::same(8, 1).linear());
    let x = net.add(x, y, false);
    net.classifier(x, 4)
}

/// Branches of several kernel sizes and a maximum, side by side in channels, as Inception has them.
pub fn inception(seed: u64) -> Graph {
    let (mut net, x) = Net::new("inception", seed, [10, 10, 3]);
    let two = Window { kernel: [2; 2], stride: [2; 2], pad: [0; 4], dilation: [1; 2] };
    let same = Window { kernel: [3; 2], stride: [1; 2], pad: [1; 4], dilation: [1; 2] };
    let x = net.conv(x, Conv::same(6, 3));
    let x = net.max_pool(x, two);
    let a = net.conv(x, Conv::same(4, 1));
    let b = net.conv(x, Conv::same(4, 3));
    let c = net.max_pool(x, same);
    let c = net.conv(c, Conv::same(4, 1));
    let x = net.concat(&[a, b, c], 3);
    let x = net.conv(x, Conv::same(8, 3));
    net.classifier(x, 4)
}

/// Every op that moves, multiplies or normalises activations, in one small network.
pub fn mixed(seed: u64) -> Graph {
    let (mut net, x) = Net::new("mixed", seed, [6, 6, 2]);
    let same = Window { kernel: [3; 2], stride: [1; 2], pad: [1; 4], dilation: [1; 2] };
    let x = net.conv(x, Conv::same(8, 3));
    let y = net.max_pool(x, same);
    let y = net.squeeze(y, 4, Function::Sigmoid);
    let x = net.concat(&[x, y], 3);
    let x = net.conv(x, Conv::same(8, 3).stride(2).linear());
    let x = net.unary(x, Function::Silu);
    let wide = net.repeat(x, 2);
    let wide = net.pad(wide, [0, 0, 1, 1]);
    let x = net.slice(wide, [1, 1, 0], 2, [3, 3, 8]);
    let x = net.reshape(x, [1, 9, 8]);
    let y = net.normalize(x, 1e-5);
    let y = net.attention(y, 2);
    let x = net.add(x, y, false);
    net.classifier(x, 4)
}
