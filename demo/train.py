#!/usr/bin/env python3
"""Make the demo: a small digit network and the images a turned sensor sees.

One command rebuilds every data file in this directory:

    OMP_NUM_THREADS=1 python3 train.py

It needs Python 3 with numpy, scikit-learn (for the digits), PyTorch (for the
training), onnx and onnxruntime (to write and to check the int8 network); the
versions used are in README.md.  It takes some ten seconds on one core.  Nothing
is downloaded: the images come with scikit-learn.

    --out DIR   write somewhere else than next to this script
    --seed N    another split and another initialisation

What it does:

 1. splits the 1797 images, class by class, into 700 for the factory, about
    700 for the device to learn from and about 400 to test the device with;
 2. trains the factory network on the first 700, all upright;
 3. folds batch normalisation, calibrates on the same 700 images and writes
    the network as int8 QDQ ONNX;
 4. writes the device's images twice, upright and turned by 90 degrees;
 5. measures the float and the int8 network on both.

Neither the training nor the calibration sees a device image.
"""

import argparse
import math
import os
import random

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn as nn
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits

FACTORY, DEVICE_TRAIN = 700, 700  # the rest, 397 images, tests the device
EPOCHS, BATCH, LR = 90, 32, 0.05
CLASSES = np.array(
    ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
)

# The convolutions in order: name, inputs, outputs, kernel, stride, groups and
# activation.  The output of block1_pw is added to that of block2_project.
CONVS = [
    ("stem", 1, 16, 3, 1, 1, "relu"),
    ("block1_dw", 16, 16, 3, 2, 16, "relu"),
    ("block1_pw", 16, 32, 1, 1, 1, "relu"),
    ("block2_expand", 32, 96, 1, 1, 1, "relu6"),
    ("block2_dw", 96, 96, 3, 1, 96, "relu6"),
    ("block2_project", 96, 32, 1, 1, 1, None),
    ("last", 32, 64, 1, 1, 1, "relu"),
]
FEATURES = CONVS[-1][2]


# --------------------------------------------------------------------- data


def load():
    """All images as uint8 NHWC in 0..255, and their labels."""
    digits = load_digits()
    pixels = np.rint(digits.images * 255.0 / 16.0).astype(np.uint8)
    return pixels[..., None], digits.target.astype(np.uint8)


def stratified_split(labels, sizes, seed):
    """Index arrays of the given sizes, and one of the rest.

    Every part has each class in proportion, to within one image.
    """
    rng = np.random.RandomState(seed)
    # Shuffle within the classes, give each image its relative rank in its
    # class, and deal the images out in that order.
    rank = np.empty(len(labels))
    for c in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == c))
        rank[members] = (np.arange(len(members)) + rng.rand()) / len(members)
    order = np.argsort(rank, kind="stable")
    parts = np.split(order, np.cumsum(sizes))
    return [rng.permutation(p) for p in parts]


def to_input(images):
    """uint8 NHWC to the network's float NCHW input, in units of pixel/255."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)).astype(np.float32) / 255


# ------------------------------------------------------------------ network


class ConvBn(nn.Module):
    def __init__(self, cin, cout, k, stride, groups, act):
        super().__init__()
        self.conv = nn.Conv2d(cin, cout, k, stride, k // 2, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)
        self.act = {"relu": F.relu, "relu6": F.relu6, None: lambda x: x}[act]

    def forward(self, x):
        return self.act(self.bn(self.conv(x)))

    def folded(self):
        """Weight and bias of the one convolution that equals both."""
        scale = self.bn.weight / torch.sqrt(self.bn.running_var + self.bn.eps)
        weight = self.conv.weight * scale[:, None, None, None]
        bias = self.bn.bias - self.bn.running_mean * scale
        return weight.detach().numpy(), bias.detach().numpy()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleDict({c[0]: ConvBn(*c[1:]) for c in CONVS})
        self.classifier = nn.Linear(FEATURES, len(CLASSES))

    def forward(self, x):
        for name, layer in self.layers.items():
            y = layer(x)
            if name == "block1_pw":
                shortcut = y
            if name == "block2_project":
                y = y + shortcut
            x = y
        return self.classifier(x.mean((2, 3)))


def shifted(x):
    """Every image moved by up to one pixel each way, zeros moving in."""
    n, _, h, w = x.shape
    padded = F.pad(x, (1, 1, 1, 1))
    out = torch.empty_like(x)
    for i, (dy, dx) in enumerate(torch.randint(0, 3, (n, 2)).tolist()):
        out[i] = padded[i, :, dy : dy + h, dx : dx + w]
    return out


def train(x, y):
    x, y = torch.from_numpy(x), torch.from_numpy(y.astype(np.int64))
    net = Net()
    opt = torch.optim.SGD(
        net.parameters(), LR, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    steps = math.ceil(len(x) / BATCH) * EPOCHS
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, steps)
    net.train()
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in torch.randperm(len(x)).split(BATCH):
            # Half the images stay where they are.
            batch = x[rows]
            moved = torch.rand(len(rows), 1, 1, 1) < 0.5
            batch = torch.where(moved, shifted(batch), batch)
            loss = F.cross_entropy(net(batch), y[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
            schedule.step()
            total += loss.item() * len(rows)
        if (epoch + 1) % 15 == 0:
            print(f"  epoch {epoch + 1:3d}  loss {total / len(x):.4f}")
    return net.eval()


def fold(net):
    """All weights and biases as numpy, without batch normalisation."""
    params = {name: layer.folded() for name, layer in net.layers.items()}
    params["classifier"] = (
        net.classifier.weight.detach().numpy(),
        net.classifier.bias.detach().numpy(),
    )
    return params


@torch.no_grad()
def run_folded(params, x):
    """Every intermediate tensor of the folded network, by name."""
    out = {"input": torch.from_numpy(x)}
    cur = out["input"]
    for name, _, _, k, stride, groups, act in CONVS:
        w, b = (torch.from_numpy(p) for p in params[name])
        cur = F.conv2d(cur, w, b, stride, k // 2, groups=groups)
        if act == "relu":
            cur = F.relu(cur)
        elif act == "relu6":
            cur = F.relu6(cur)
        out[name] = cur
        if name == "block2_project":
            cur = cur + out["block1_pw"]
            out["block2_add"] = cur
    out["pool"] = cur.mean((2, 3), keepdim=True)
    w, b = (torch.from_numpy(p) for p in params["classifier"])
    out["classifier"] = F.linear(out["pool"].flatten(1), w, b)
    return {name: t.numpy() for name, t in out.items()}


# ------------------------------------------------------------- quantisation


def activation_quant(params, x):
    """Scale and zero point of every activation, asymmetric and per tensor."""
    seen = run_folded(params, x)
    acts = {c[0]: c[6] for c in CONVS}
    quant = {"input": (np.float32(1 / 255), -128)}
    for name, t in seen.items():
        if name in ("input", "pool"):
            continue
        lo, hi = min(0.0, float(t.min())), max(0.0, float(t.max()))
        if acts.get(name) == "relu6":
            lo, hi = 0.0, 6.0
        scale = np.float32((hi - lo) / 255)
        quant[name] = (scale, int(np.clip(np.rint(-128 - lo / scale), -128, 127)))
    # An average never leaves the range of what it averages: same scale.
    quant["pool"] = quant["flatten"] = quant["last"]
    return quant


class Graph:
    """Collects the nodes and initialisers of the QDQ network."""

    def __init__(self, params, quant):
        self.params, self.quant = params, quant
        self.nodes, self.inits = [], []

    def const(self, name, value):
        # asarray with an order, since ascontiguousarray would turn scalars into [1].
        value = np.asarray(value, order="C")
        self.inits.append(numpy_helper.from_array(value, name))
        return name

    def node(self, op, name, inputs, output, **attrs):
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attrs))
        return output

    def qdq(self, tensor, name, output=None):
        """Quantise `tensor` with the range of layer `name`, and undo it."""
        scale, zero = self.quant[name]
        s = self.const(f"{name}_scale", np.float32(scale))
        z = self.const(f"{name}_zero", np.int8(zero))
        q = self.node("QuantizeLinear", f"{name}_quantize", [tensor, s, z], f"{name}_q")
        return self.node(
            "DequantizeLinear", f"{name}_dequantize", [q, s, z], output or f"{name}_dq"
        )

    def weights(self, name, source):
        """Per-channel int8 weight, and int32 bias at s_x * s_w[o]."""
        w, b = self.params[name]
        flat = np.abs(w.reshape(len(w), -1)).max(1)
        scale = (np.maximum(flat, 1e-6) / 127).astype(np.float32)
        shaped = scale.reshape((-1,) + (1,) * (w.ndim - 1))
        w8 = np.clip(np.rint(w / shaped), -127, 127).astype(np.int8)
        bias_scale = (self.quant[source][0] * scale).astype(np.float32)
        limit = 2**31 - 1
        b32 = np.clip(np.rint(b.astype(np.float64) / bias_scale), -limit, limit)
        result = []
        for kind, value, s, dtype in (
            ("weight", w8, scale, np.int8),
            ("bias", b32.astype(np.int32), bias_scale, np.int32),
        ):
            base = f"{name}_{kind}"
            inputs = [
                self.const(f"{base}_q", value),
                self.const(f"{base}_scale", s),
                self.const(f"{base}_zero", np.zeros(len(s), dtype)),
            ]
            result.append(
                self.node(
                    "DequantizeLinear", f"{base}_dequantize", inputs, f"{base}_dq", axis=0
                )
            )
        return result


def build_onnx(params, quant):
    g = Graph(params, quant)
    cur, source = g.qdq("input", "input"), "input"
    for name, _, _, k, stride, groups, act in CONVS:
        w, b = g.weights(name, source)
        y = g.node(
            "Conv",
            name,
            [cur, w, b],
            f"{name}_out",
            kernel_shape=[k, k],
            strides=[stride, stride],
            pads=[k // 2] * 4,
            dilations=[1, 1],
            group=groups,
        )
        if act == "relu":
            y = g.node("Relu", f"{name}_relu", [y], f"{name}_act")
        elif act == "relu6":
            lo = g.const(f"{name}_min", np.float32(0))
            hi = g.const(f"{name}_max", np.float32(6))
            y = g.node("Clip", f"{name}_relu6", [y, lo, hi], f"{name}_act")
        cur, source = g.qdq(y, name), name
        if name == "block1_pw":
            shortcut = cur
        if name == "block2_project":
            y = g.node("Add", "block2_add", [shortcut, cur], "block2_add_out")
            cur, source = g.qdq(y, "block2_add"), "block2_add"
    cur = g.qdq(g.node("GlobalAveragePool", "pool", [cur], "pool_out"), "pool")
    cur = g.qdq(g.node("Flatten", "flatten", [cur], "flatten_out", axis=1), "flatten")
    w, b = g.weights("classifier", "flatten")
    y = g.node(
        "Gemm", "classifier", [cur, w, b], "classifier_out", alpha=1.0, beta=1.0, transB=1
    )
    g.qdq(y, "classifier", "logits")

    graph = helper.make_graph(
        g.nodes,
        "digits",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, len(CLASSES)])],
        g.inits,
    )
    model = helper.make_model(
        graph,
        producer_name="offshoot demo/train.py",
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


# -------------------------------------------------------------- measurement


def accuracy(logits, y):
    return 100.0 * float((np.argmax(logits, 1) == y).mean())


def run_onnx(model, x, optimise):
    """Logits of the int8 network, image by image.

    Without optimisation onnxruntime computes every node as it is written,
    in float; with it, it fuses those QDQ groups it knows into integer kernels.
    Logits of the two may differ by a step of the last scale.
    """
    opts = onnxruntime.SessionOptions()
    opts.intra_op_num_threads = opts.inter_op_num_threads = 1
    level = onnxruntime.GraphOptimizationLevel
    opts.graph_optimization_level = (
        level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    )
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), opts, providers=["CPUExecutionProvider"]
    )
    return np.concatenate([session.run(None, {"input": r[None]})[0] for r in x])


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="Rebuild the demo's data files.")
    parser.add_argument("--out", default=here)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    os.makedirs(args.out, exist_ok=True)

    random.seed(args.seed)
    np.random.seed(args.seed)
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)

    images, labels = load()
    factory, dev_train, dev_test = stratified_split(
        labels, [FACTORY, DEVICE_TRAIN], args.seed
    )
    print(f"images: factory {len(factory)}, device {len(dev_train)} + {len(dev_test)}")

    # The sensor is a quarter turn off: images turn by 90 degrees, counter-
    # clockwise as they are printed.
    turned = np.ascontiguousarray(np.rot90(images, 1, axes=(1, 2)))

    x_factory = to_input(images[factory])
    net = train(x_factory, labels[factory])
    params = fold(net)
    count = sum(w.size + b.size for w, b in params.values())
    print(f"parameters (folded): {count}")

    model = build_onnx(params, activation_quant(params, x_factory))
    onnx.save(model, os.path.join(args.out, "digits_int8qdq.onnx"))
    for name, source in (("digits_upright", images), ("digits_rotated", turned)):
        np.savez_compressed(
            os.path.join(args.out, name + ".npz"),
            x_train=source[dev_train],
            y_train=labels[dev_train],
            x_test=source[dev_test],
            y_test=labels[dev_test],
            classes=CLASSES,
        )

    # Folding must not change the network.
    with torch.no_grad():
        direct = net(torch.from_numpy(x_factory)).numpy()
    folded = run_folded(params, x_factory)["classifier"]
    print(f"largest change of a logit by folding: {np.abs(direct - folded).max():.1e}")

    print("\naccuracy in percent     float    int8  int8 (fused)")
    y = labels[dev_test]
    for title, source in (("upright", images), ("rotated", turned)):
        x = to_input(source[dev_test])
        print(
            f"device test, {title}  {accuracy(run_folded(params, x)['classifier'], y):6.2f}"
            f"  {accuracy(run_onnx(model, x, False), y):6.2f}"
            f"        {accuracy(run_onnx(model, x, True), y):6.2f}"
        )
    print()
    for name in ("digits_int8qdq.onnx", "digits_rotated.npz", "digits_upright.npz"):
        print(f"{os.path.getsize(os.path.join(args.out, name)):7d}  {name}")


if __name__ == "__main__":
    main()
