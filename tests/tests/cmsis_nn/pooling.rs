//! Averages and maxima over windows.

use offshoot_runtime::program::op::{AvgPool, Geometry, MaxPool, Range, Window};

use super::archive::Case;
use super::bench::{each_sample, Replayed};

/// Averages: input and output share scale and zero point, whatever it is, so that 0 serves.
pub fn average(case: &Case) -> Replayed {
    let geometry = geometry(case);
    let [min, max] = clamp(case);
    each_sample(case.int8(&["input_tensor"]), geometry.x.elements(), |bench, input| {
        let output = bench.room(geometry.y.elements());
        let range = Range { zero: 0, min, max };
        bench.then(AvgPool { input, output, geometry, range, ..AvgPool::default() });
        output
    })
}

pub fn max(case: &Case) -> Replayed {
    let geometry = geometry(case);
    assert_eq!(clamp(case), [i8::MIN, i8::MAX], "our op does not clamp");
    each_sample(case.int8(&["input_tensor"]), geometry.x.elements(), |bench, input| {
        let output = bench.room(geometry.y.elements());
        bench.then(MaxPool { input, output, geometry, ..MaxPool::default() });
        output
    })
}

fn clamp(case: &Case) -> [i8; 2] {
    ["ACTIVATION_MIN", "ACTIVATION_MAX"].map(|define| i8::try_from(case.int(define)).unwrap())
}

fn geometry(case: &Case) -> Geometry {
    Geometry {
        x: case.shape(["INPUT_H", "INPUT_W", "INPUT_C"]),
        y: case.shape(["OUTPUT_H", "OUTPUT_W", "OUTPUT_C"]),
        window: Window {
            kernel: case.sizes(["FILTER_H", "FILTER_W"]),
            stride: case.sizes(["STRIDE_H", "STRIDE_W"]),
            pad: case.sizes(["PADDING_H", "PADDING_W"]),
            dilation: [1, 1],
        },
    }
}
