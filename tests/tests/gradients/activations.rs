//! Ops between activations, one at a time.

use offshoot::ops::{Function, Window};
use offshoot_tests::nets::{strides, Conv, Net, FUNCTIONS};

use super::{after_a_convolution, all};

#[test]
fn maxima_of_windows() {
    let window = |kernel, stride, pad, dilation| Window { kernel, stride, pad, dilation };
    for (seed, window) in [
        window([2, 2], [2, 2], [0; 4], [1, 1]),
        window([3, 3], [1, 1], [1; 4], [1, 1]),
        window([3, 2], [2, 1], [1, 0, 1, 1], [1, 1]),
        window([2, 2], [1, 1], [0, 1, 0, 0], [2, 3]),
        Window::whole(6, 5),
    ]
    .into_iter()
    .enumerate()
    {
        after_a_convolution(200 + seed as u64, |net, x| net.max_pool(x, window));
    }
}

#[test]
fn a_maximum_beside_a_sum() {
    let same = Window { kernel: [3; 2], stride: [1; 2], pad: [1; 4], dilation: [1; 2] };
    after_a_convolution(210, |net, x| {
        let y = net.max_pool(x, same);
        net.add(x, y, true)
    });
}

#[test]
fn functions_of_each_element() {
    for (seed, function) in FUNCTIONS.into_iter().enumerate() {
        println!("{function:?}");
        after_a_convolution(220 + seed as u64, |net, x| {
            // Both signs, and both sides of every corner.
            let y = net.conv(x, Conv::same(4, 3).linear());
            net.unary(y, function)
        });
    }
}

#[test]
fn products_in_all_broadcasts() {
    let whole = Window::whole(6, 5);
    after_a_convolution(240, |net, x| {
        let y = net.conv(x, Conv::same(4, 1).linear());
        net.mul(x, y)
    });
    // One factor for each channel, for each pixel, for all.
    after_a_convolution(241, |net, x| {
        let y = net.avg_pool(x, whole);
        let y = net.conv(y, Conv::same(4, 1).linear());
        net.mul(x, y)
    });
    after_a_convolution(242, |net, x| {
        let y = net.conv(x, Conv::same(1, 3).linear());
        net.mul(x, y)
    });
    after_a_convolution(243, |net, x| {
        let y = net.avg_pool(x, whole);
        let y = net.conv(y, Conv::same(1, 1).linear());
        net.mul(x, y)
    });
}

#[test]
fn a_tensor_times_itself() {
    after_a_convolution(244, |net, x| {
        let y = net.conv(x, Conv::same(4, 1).linear());
        net.mul(y, y)
    });
}

#[test]
fn moves() {
    after_a_convolution(250, |net, x| net.slice(x, [1, 2, 1], 1, [4, 3, 2]));
    after_a_convolution(251, |net, x| net.slice(x, [1, 0, 0], 2, [2, 3, 2]));
    after_a_convolution(252, |net, x| net.pad(x, [1, 0, 2, 3]));
    after_a_convolution(253, |net, x| net.transpose(x));
    after_a_convolution(254, |net, x| net.repeat(x, 3));
    after_a_convolution(255, |net, x| net.reshape(x, [1, 30, 4]));
    // Only part of a map is read, and by two.
    after_a_convolution(256, |net, x| {
        let [a, b] = [[0, 0, 0], [2, 1, 0]].map(|at| net.slice(x, at, 1, [4, 4, 4]));
        net.add(a, b, true)
    });
}

#[test]
fn concatenations() {
    for axis in 1..=3 {
        after_a_convolution(260 + axis as u64, |net, x| {
            let y = net.conv(x, Conv::same(4, 1).linear());
            // One tensor twice.
            net.concat(&[x, y, x], axis)
        });
    }
    after_a_convolution(264, |net, x| {
        let [a, b] = [3, 1].map(|n| net.conv(x, Conv::same(n, 1).linear()));
        net.concat(&[a, b], 3)
    });
}

#[test]
fn products_of_activations() {
    // Rows of a map of 30 pixels by 4 channels with those of another, and with its own.
    let rows = [strides(0, [0, 4, 0, 1]), strides(0, [0, 0, 4, 1])];
    after_a_convolution(270, |net, x| {
        let y = net.conv(x, Conv::same(4, 1).linear());
        net.matmul([x, y], [1, 30, 30, 4], rows)
    });
    after_a_convolution(271, |net, x| net.matmul([x, x], [1, 30, 30, 4], rows));
    // Transposed: channels with channels.
    let columns = [strides(0, [0, 1, 0, 4]), strides(0, [0, 0, 1, 4])];
    after_a_convolution(272, |net, x| {
        let y = net.conv(x, Conv::same(4, 1).linear());
        net.matmul([x, y], [1, 4, 4, 30], columns)
    });
    after_a_convolution(273, |net, x| net.matmul([x, x], [1, 4, 4, 30], columns));
    // Two heads of two channels.
    let heads = [strides(0, [2, 4, 0, 1]), strides(0, [2, 0, 4, 1])];
    after_a_convolution(284, |net, x| {
        let y = net.conv(x, Conv::same(4, 1).linear());
        net.matmul([x, y], [2, 30, 30, 2], heads)
    });
    after_a_convolution(275, |net, x| net.matmul([x, x], [2, 30, 30, 2], heads));
    // A factor that all batches share, and of which a part is read.
    let shared = [strides(4, [20, 4, 0, 1]), strides(8, [0, 0, 4, 1])];
    after_a_convolution(278, |net, x| {
        let y = net.conv(x, Conv::same(4, 1).linear());
        net.matmul([x, y], [5, 4, 7, 4], shared)
    });
}

#[test]
fn normalisation() {
    for (seed, epsilon) in [(280, 1e-5), (281, 1.0)] {
        after_a_convolution(seed, |net, x| {
            let y = net.conv(x, Conv::same(5, 3).linear());
            let y = net.normalize(y, epsilon);
            net.depthwise_scale(y)
        });
    }
    after_a_convolution(282, |net, x| {
        let y = net.conv(x, Conv::same(4, 1).linear());
        let z = net.normalize(y, 1e-5);
        net.add(y, z, true)
    });
}

#[test]
fn softmax_in_the_middle() {
    after_a_convolution(290, |net, x| {
        let y = net.conv(x, Conv::same(4, 3).linear());
        let y = net.softmax(y);
        net.mul(x, y)
    });
}

#[test]
fn attention_in_one_head_and_two() {
    for heads in [1, 2] {
        let (mut net, x) = Net::new("attention", 300, [1, 7, 3]);
        let x = net.conv(x, Conv::same(4, 1).linear());
        let y = net.attention(x, heads);
        let x = net.add(x, y, false);
        all(&net.classifier(x, 3));
    }
}

#[test]
fn a_gate() {
    after_a_convolution(310, |net, x| net.squeeze(x, 3, Function::HardSigmoid([0.2, 0.5])));
}
