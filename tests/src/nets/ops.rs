//! Ops between activations: maxima, functions, products, moves, normalisation, attention.

use offshoot::ir::{DType, Quant, Tensor, TensorId};
use offshoot::ops::{
    Concat, Copy, Function, MatMul, MaxPool, Mul, Normalize, Softmax, Unary, Window,
};
use offshoot_runtime::program::op::{Path, Strides};

use super::{Conv, Net};

/// Every function, with parameters.
pub const FUNCTIONS: [Function; 10] = [
    Function::LeakyRelu(0.1),
    Function::Sigmoid,
    Function::HardSigmoid([0.2, 0.5]),
    Function::HardSwish,
    Function::Tanh,
    Function::Gelu,
    Function::GeluTanh,
    Function::Silu,
    Function::Elu(0.7),
    Function::Negate,
];

/// Steps of `[height, width, channels]`.
fn steps([_, w, c]: [usize; 3]) -> [i32; 3] {
    [(w * c) as i32, c as i32, 1]
}

/// How a matrix lies: where its first element does, and the steps of batch, row, column and inner loop.
pub fn strides(at: usize, step: [usize; 4]) -> Strides {
    Strides { at: at as u32, step: step.map(|n| n as u32) }
}

impl Net {
    /// Adds an op whose result has the scale of `x`.
    fn alike(&mut self, x: TensorId, name: String, hwc: [usize; 3]) -> Tensor {
        let [h, w, c] = hwc;
        Tensor { name, shape: vec![1, h, w, c], ..self.graph.tensor(x).clone() }
    }

    /// Adds a maximum over windows.
    pub fn max_pool(&mut self, x: TensorId, window: Window) -> TensorId {
        let ([h, w, c], name) = (self.hwc(x), self.name("max"));
        let [oh, ow] = window.output(h, w).expect("a window that fits");
        let y = self.alike(x, name.clone(), [oh, ow, c]);
        self.graph.add_op(name, MaxPool { window }.into(), vec![x], y)
    }

    /// Adds a function of each element.
    pub fn unary(&mut self, x: TensorId, function: Function) -> TensorId {
        let name = self.name("unary");
        let y = self.activation(&name, self.hwc(x), false).0;
        self.graph.add_op(name, Unary { function }.into(), vec![x], y)
    }

    /// Adds a product of two tensors.
    pub fn mul(&mut self, a: TensorId, b: TensorId) -> TensorId {
        let name = self.name("mul");
        let y = self.activation(&name, self.hwc(a), false).0;
        self.graph.add_op(name, Mul.into(), vec![a, b], y)
    }

    /// Adds moves along a path into a tensor of `[height, width, channels]`, 0.25 elsewhere.
    pub fn copy(&mut self, x: TensorId, shape: [usize; 3], path: Path) -> TensorId {
        let name = self.name("copy");
        let y = self.alike(x, name.clone(), shape);
        self.graph.add_op(name, Copy { shape, path, fill: 0.25 }.into(), vec![x], y)
    }

    /// Adds a change of shape: nothing moves.
    pub fn reshape(&mut self, x: TensorId, shape: [usize; 3]) -> TensorId {
        let (from, [h, w, c]) = (steps(shape), shape.map(|n| n as u16));
        let from = [0, 0, from[0], from[1], from[2]];
        let path = Path { size: [1, 1, h, w, c], from, to: from, ..Path::default() };
        self.copy(x, shape, path)
    }

    /// Adds a part of `size`, from `at` on, every `by`th element along each axis.
    pub fn slice(&mut self, x: TensorId, at: [usize; 3], by: usize, size: [usize; 3]) -> TensorId {
        let (from, to, [h, w, c]) = (steps(self.hwc(x)), steps(size), size.map(|n| n as u16));
        let from_at = at.iter().zip(from).map(|(&n, step)| n as u32 * step as u32).sum();
        let [fh, fw, fc] = from.map(|step| step * by as i32);
        let from = [0, 0, fh, fw, fc];
        let to = [0, 0, to[0], to[1], to[2]];
        let path = Path { size: [1, 1, h, w, c], from_at, from, to, to_at: 0 };
        self.copy(x, size, path)
    }

    /// Adds rows and columns around a map.
    pub fn pad(&mut self, x: TensorId, [top, left, bottom, right]: [usize; 4]) -> TensorId {
        let [h, w, c] = self.hwc(x);
        let shape = [h + top + bottom, w + left + right, c];
        let (from, to) = (steps([h, w, c]), steps(shape));
        let path = Path {
            size: [1, 1, h as u16, w as u16, c as u16],
            from_at: 0,
            from: [0, 0, from[0], from[1], from[2]],
            to_at: (top as i32 * to[0] + left as i32 * to[1]) as u32,
            to: [0, 0, to[0], to[1], to[2]],
        };
        self.copy(x, shape, path)
    }

    /// Adds a transpose of pixels and channels: `[h, w, c]` to `[1, c, h w]`.
    pub fn transpose(&mut self, x: TensorId) -> TensorId {
        let [h, w, c] = self.hwc(x);
        let path = Path {
            size: [1, 1, 1, c as u16, (h * w) as u16],
            from: [0, 0, 0, 1, c as i32],
            to: [0, 0, 0, (h * w) as i32, 1],
            ..Path::default()
        };
        self.copy(x, [1, c, h * w], path)
    }

    /// Adds an enlarged map: each pixel `n` by `n` times.
    pub fn repeat(&mut self, x: TensorId, n: usize) -> TensorId {
        let [h, w, c] = self.hwc(x);
        let shape = [h * n, w * n, c];
        let (from, to) = (steps([h, w, c]), steps(shape));
        let path = Path {
            size: [h, n, w, n, c].map(|n| n as u16),
            from: [from[0], 0, from[1], 0, 1],
            to: [to[0] * n as i32, to[0], to[1] * n as i32, to[1], 1],
            ..Path::default()
        };
        self.copy(x, shape, path)
    }

    /// Adds a concatenation along height (1), width (2) or channels (3).
    pub fn concat(&mut self, parts: &[TensorId], axis: usize) -> TensorId {
        let name = self.name("concat");
        let mut shape = self.hwc(parts[0]);
        shape[axis - 1] = parts.iter().map(|&x| self.hwc(x)[axis - 1]).sum();
        let y = self.activation(&name, shape, false).0;
        self.graph.add_op(name, Concat { axis }.into(), parts.to_vec(), y)
    }

    /// Adds a product of two activations over loops of `size`: batch, rows, columns, inner.
    pub fn matmul(
        &mut self,
        [a, b]: [TensorId; 2],
        size: [usize; 4],
        [a_strides, b_strides]: [Strides; 2],
    ) -> TensorId {
        let name = self.name("matmul");
        let [batch, rows, columns, _] = size;
        let y = self.activation(&name, [batch, rows, columns], false).0;
        let op = MatMul { size: size.map(|n| n as u16), a: a_strides, b: b_strides };
        self.graph.add_op(name, op.into(), vec![a, b], y)
    }

    /// Adds a normalisation over channels.
    pub fn normalize(&mut self, x: TensorId, epsilon: f32) -> TensorId {
        let name = self.name("normalize");
        let y = self.activation(&name, self.hwc(x), false).0;
        self.graph.add_op(name, Normalize { epsilon }.into(), vec![x], y)
    }

    /// Adds a softmax over channels.
    pub fn softmax(&mut self, x: TensorId) -> TensorId {
        let ([h, w, c], name) = (self.hwc(x), self.name("softmax"));
        let y = Tensor::computed(name.clone(), DType::I8, vec![1, h, w, c]);
        let y = y.quantized(Quant::per_tensor(1.0 / 256.0, -128));
        self.graph.add_op(name, Softmax.into(), vec![x], y)
    }

    /// Adds a gate on the channels of `x`: a mean of each, two layers, a sigmoid, a product.
    pub fn squeeze(&mut self, x: TensorId, hidden: usize, gate: Function) -> TensorId {
        let [h, w, c] = self.hwc(x);
        let mean = self.avg_pool(x, Window::whole(h, w));
        let y = self.conv(mean, Conv::same(hidden, 1));
        let y = self.conv(y, Conv::same(c, 1).linear());
        let y = self.unary(y, gate);
        self.mul(x, y)
    }

    /// Adds attention of the tokens of `x`, `[1, tokens, width]`, over each other. Queries, keys and
    /// values lie in the rows of one tensor, heads beside each other: nothing is moved before the
    /// products.
    pub fn attention(&mut self, x: TensorId, heads: usize) -> TensorId {
        let [_, tokens, width] = self.hwc(x);
        let (row, depth) = (3 * width, width / heads);
        let qkv = self.conv(x, Conv::same(row, 1).linear());
        let (queries, keys) = (strides(0, [depth, row, 0, 1]), strides(width, [depth, 0, row, 1]));
        let scores = self.matmul([qkv, qkv], [heads, tokens, tokens, depth], [queries, keys]);
        let shares = self.softmax(scores);
        // Token by token, so that the heads of one lie beside each other.
        let shares_strides = strides(0, [tokens, tokens * tokens, 0, 1]);
        let values = strides(2 * width, [0, depth, 1, row]);
        let size = [tokens, heads, depth, tokens];
        let mixed = self.matmul([shares, qkv], size, [shares_strides, values]);
        let mixed = self.reshape(mixed, [1, tokens, width]);
        self.conv(mixed, Conv::same(width, 1).linear())
    }
}
