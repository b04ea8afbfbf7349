//! Layers with weights: convolutions of all kinds, and the fully connected layer.

use offshoot_runtime::fixed::Multiplier;
use offshoot_runtime::program::op::{
    ChannelScale, Conv, Depthwise, Geometry, Range, Shape, Weights, Window,
};
use offshoot_runtime::Slot;

use super::archive::Case;
use super::bench::{each_sample, Bench, Replayed};
use super::moves;

/// Dense and grouped convolutions, with weights of 8 or 4 bits.
pub fn convolution(case: &Case) -> Replayed {
    let geometry = geometry(case);
    let channels = case.find("FILTER_CH").map_or(geometry.x.c, |c| c as u16);
    let layer = Layer::of(case, geometry, channels);
    layer.replay(case, |bench, x| layer.conv(bench, x))
}

/// Depthwise convolutions: where an input channel has several outputs, as many groups as inputs.
pub fn depthwise(case: &Case) -> Replayed {
    let mut layer = Layer::of(case, geometry(case), 1);
    if case.int("CH_MULT") == 1 {
        return layer.replay(case, |bench, x| layer.depthwise(bench, x));
    }
    // From [taps][O] to [O][taps].
    let (w, outputs) = (&layer.weights, layer.outputs());
    layer.weights = (0..outputs).flat_map(|o| w[o..].iter().step_by(outputs)).copied().collect();
    layer.replay(case, |bench, x| layer.conv(bench, x))
}

/// Fully connected layers: a convolution of one pixel.
pub fn fully_connected(case: &Case) -> Replayed {
    let [inputs, outputs] = case.sizes(["ACCUMULATION_DEPTH", "OUT_CH"]);
    let one = [1, 1];
    let window = Window { kernel: one, stride: one, pad: [0, 0], dilation: one };
    let [x, y] = [inputs, outputs].map(|c| Shape { h: 1, w: 1, c });
    let layer = Layer::of(case, Geometry { x, y, window }, inputs);
    layer.replay(case, |bench, x| layer.conv(bench, x))
}

/// Transposed convolutions: pixels are set apart by zeros, and then meet the kernel turned round.
pub fn transposed(case: &Case) -> Replayed {
    let Geometry { x, y, window } = geometry(case);
    let [down, right] = window.stride;
    let apart = Shape { h: x.h * down, w: x.w * right, c: x.c };
    let pad = [0, 1].map(|axis| window.kernel[axis] - 1 - window.pad[axis]);
    let window = Window { stride: [1, 1], pad, ..window };
    let mut layer = Layer::of(case, Geometry { x: apart, y, window }, x.c);
    let channels = x.c as usize;
    let kernels = layer.weights.chunks_exact(window.taps() * channels);
    layer.weights =
        kernels.flat_map(|k| k.chunks_exact(channels).rev()).flatten().copied().collect();
    let steps = moves::steps([1, apart.h, apart.w, apart.c]);
    let to = [steps[0], steps[1] * i32::from(down), steps[2] * i32::from(right), steps[3]];
    let size = [1, x.h, x.w, x.c];
    let path = moves::path(size, moves::steps(size), 0, to);
    each_sample(case.int8(&["input"]), x.elements(), |bench, x| {
        let x = bench.moved(x, path, apart.elements(), layer.x_zero as i8);
        layer.conv(bench, x)
    })
}

fn geometry(case: &Case) -> Geometry {
    Geometry {
        x: case.shape(["INPUT_H", "INPUT_W", "IN_CH"]),
        y: case.shape(["OUTPUT_H", "OUTPUT_W", "OUT_CH"]),
        window: Window {
            kernel: case.sizes(["FILTER_Y", "FILTER_X"]),
            stride: case.sizes(["STRIDE_Y", "STRIDE_X"]),
            pad: case.sizes(["PAD_Y", "PAD_X"]),
            dilation: case.sizes(["DILATION_Y", "DILATION_X"]),
        },
    }
}

/// What a layer with weights is made of.
struct Layer {
    geometry: Geometry,
    /// Input channels that an output channel sees.
    channels: u16,
    weights: Vec<i8>,
    bias: Vec<i32>,
    scales: Vec<Multiplier>,
    x_zero: i16,
    range: Range,
}

impl Layer {
    fn of(case: &Case, geometry: Geometry, channels: u16) -> Layer {
        let outputs = geometry.y.c as usize;
        let count = outputs * geometry.window.taps() * channels as usize;
        let bias = case.int32(&["biases", "bias", "input_bias"]);
        let scales = match case.find("OUTPUT_MULTIPLIER") {
            Some(value) => vec![Multiplier { value, shift: case.int("OUTPUT_SHIFT") }; outputs],
            None => {
                let values = case.int32(&["output_mult", "output_multiplier"]).unwrap();
                let shifts = case.int32(&["output_shift"]).unwrap();
                let pairs = values.iter().zip(shifts);
                pairs.map(|(&value, &shift)| Multiplier { value, shift }).collect()
            }
        };
        Layer {
            geometry,
            channels,
            weights: unpacked(case.int8(&["weights", "input_weights"]), count),
            bias: bias.map_or_else(|| vec![0; outputs], <[i32]>::to_vec),
            scales,
            x_zero: case.zero("INPUT_OFFSET"),
            range: case.range(),
        }
    }

    fn outputs(&self) -> usize {
        self.geometry.y.c as usize
    }

    fn replay(&self, case: &Case, ops: impl Fn(&mut Bench, Slot) -> Slot) -> Replayed {
        each_sample(case.int8(&["input"]), self.geometry.x.elements(), ops)
    }

    fn conv(&self, bench: &mut Bench, input: Slot) -> Slot {
        let taps = self.geometry.window.taps() as u16;
        let output = bench.room(self.geometry.y.elements());
        let op = Conv {
            input,
            output,
            geometry: self.geometry,
            groups: self.geometry.x.c / self.channels,
            weights: self.matrix(bench, [self.geometry.y.c, taps, self.channels]),
            bias: bench.words(self.bias.iter().copied()),
            scale: self.scale(bench),
            x_zero: self.x_zero,
            range: self.range,
            ..Conv::default()
        };
        bench.then(op);
        output
    }

    fn depthwise(&self, bench: &mut Bench, input: Slot) -> Slot {
        let taps = self.geometry.window.taps() as u16;
        let output = bench.room(self.geometry.y.elements());
        let op = Depthwise {
            input,
            output,
            geometry: self.geometry,
            weights: self.matrix(bench, [taps, 1, self.geometry.y.c]),
            bias: bench.words(self.bias.iter().copied()),
            scale: self.scale(bench),
            x_zero: self.x_zero,
            range: self.range,
            ..Depthwise::default()
        };
        bench.then(op);
        output
    }

    fn matrix(&self, bench: &mut Bench, [rows, taps, channels]: [u16; 3]) -> Weights {
        let frozen = bench.constant(self.weights.iter().copied());
        Weights { frozen, rows, taps, channels, ..Weights::default() }
    }

    fn scale(&self, bench: &mut Bench) -> ChannelScale {
        ChannelScale {
            multiplier: bench.words(self.scales.iter().map(|m| m.value)),
            shift: bench.constant(self.scales.iter().map(|m| m.shift as i8)),
        }
    }
}

/// `count` weights: as they are, or two a byte, the lower half first.
fn unpacked(weights: &[i8], count: usize) -> Vec<i8> {
    if weights.len() == count {
        return weights.to_vec();
    }
    assert_eq!(weights.len(), count.div_ceil(2), "bytes of weights");
    weights.iter().flat_map(|&w| [w << 4 >> 4, w >> 4]).take(count).collect()
}
