"""Trains what `offshoot compile` writes as training.ir with PyTorch autograd, and records how.

    python autograd.py NAME=FOLDER ... [--out OUT]

FOLDER is what `offshoot compile` wrote. Of its training.ir only constants, the forward pass and what
is trained are read; the backward pass is autograd's, in float64. Needs PyTorch and numpy. The
vectors that are kept are of these networks:

    demo         demo/digits_int8qdq.onnx --update
                 biases=all,stem:1,block1_dw:1/2,block2_expand:1/2,block2_project:1,last:1,stochastic
    mcunet-49kb  models/mcunetv3/mcunet-5fps_int8qdq.onnx --classes 5 --update schemes/mcunet-49kb.toml

Sample i is `inputs.generate(i, ...)`, labelled i modulo the classes; every step takes the next of
SAMPLES samples at rate RATE. A weight moves by at most LIMIT steps of its scale, and not at all where
that is below DEGENERATE; biases are free.

OUT (default: autograd.npz in the folder ../vectors next to this script) holds, as float32, for every NAME

- NAME/loss: the loss of each step, before its update;
- NAME/TENSOR/gradient: of the first step's gradient of each trained tensor every k-th element of
  those that are trained, in order, k being the least that leaves at most KEPT;
- NAME/TENSOR/moved: what the same elements moved by in all steps.
"""

import argparse
import pathlib
import re

import numpy as np
import torch
from torch.nn import functional as F

import inputs

SAMPLES, STEPS, RATE = 6, 24, 2e-3
LIMIT, DEGENERATE, KEPT = 4.0, 1e-6, 200

TENSOR = re.compile(r'%(\d+) "([^"]*)" (\w+)\[([\d,]*)\](?: scale (\S+))?(?: zero (-?\d+))?(.*)')
NODE = re.compile(r'"([^"]*)" (\w+) ([%\d ]*?) ?-> ?([%\d ]*?) ?\{(.*)\}')


def numbers(text):
    return [float(v) for v in text.strip("[]").split(",")]


class Tensor:
    """A line of training.ir: a constant's real values, or an activation's scale and zero point."""

    def __init__(self, match):
        _, self.name, self.dtype, shape, scale, zero, rest = match.groups()
        self.shape = [int(v) for v in shape.split(",") if v]
        self.scale = np.array(numbers(scale)) if scale else np.ones(1)
        self.zero = int(zero or 0)
        self.trained = " trained" in rest
        channels = re.search(r"channels \[([\d,]*)\]", rest)
        self.channels = [int(v) for v in channels[1].split(",")] if channels else None
        data = re.search(r"data \[([-\d,]*)\]", rest)
        self.value = None
        if data:
            q = np.array(numbers(data[1])).reshape(self.shape)
            # A head's weights are 8.8 fixed point in units of the scale.
            real = self.steps() * (q - self.zero) / (256 if self.dtype == "i16" else 1)
            self.value = torch.tensor(real, dtype=torch.float64, requires_grad=self.trained)

    def steps(self):
        """The scale of each element's row, to be broadcast."""
        return self.scale.reshape([-1] + [1] * (len(self.shape) - 1))

    def chosen(self):
        """Indices of the trained elements, in order."""
        if self.channels is None:
            return np.arange(np.prod(self.shape))
        at = np.arange(np.prod(self.shape)).reshape(self.shape)
        depthwise = self.shape[-1] == 1
        return (at[self.channels] if depthwise else at[..., self.channels]).ravel()


class Network:
    """The forward pass of a training.ir."""

    def __init__(self, path):
        self.tensors, self.nodes = {}, []
        for line in path.read_text().splitlines():
            if match := TENSOR.match(line):
                self.tensors[int(match[1])] = Tensor(match)
            elif match := NODE.match(line):
                name, op, reads, writes, attributes = match.groups()
                ids = lambda text: [int(v[1:]) for v in text.split()]
                keys = re.findall(r"(\w+) \[([-\d,]*)\]", attributes)
                keys = {k: [int(n) for n in v.split(",")] for k, v in keys}
                self.nodes.append((name, op, ids(reads), ids(writes), keys))
            elif line.startswith("input "):
                self.input = int(line.split("%")[1])
        loss = next(i for i, n in enumerate(self.nodes) if n[1] == "softmax_cross_entropy")
        self.nodes = self.nodes[: loss + 1]

    def parameters(self):
        return [t for t in self.tensors.values() if t.trained]

    def loss(self, sample, label):
        x = self.tensors[self.input]
        real = x.scale[0] * (sample.astype(np.float64) - x.zero)
        values = {self.input: torch.tensor(real).permute(2, 0, 1)[None]}
        value = lambda i: values[i] if i in values else self.tensors[i].value
        for name, op, reads, writes, keys in self.nodes:
            if op == "save_channels":
                continue
            a = [value(i) for i in reads]
            if op == "conv2d":
                top, left, bottom, right = keys["pad"]
                padded = F.pad(a[0], (left, right, top, bottom))
                weights = a[1].permute(0, 3, 1, 2)
                y = F.conv2d(padded, weights, a[2], tuple(keys["stride"]), groups=keys["groups"][0])
            elif op == "add":
                y = a[0] + a[1]
            elif op == "pool_mean":
                y = a[0].mean(dim=(2, 3))
            elif op == "head":
                y = F.linear(a[0], a[1], a[2])
            elif op == "softmax_cross_entropy":
                return F.cross_entropy(a[0], torch.tensor([label]))
            else:
                raise SystemExit(f"{name}: no PyTorch form of {op} here")
            if "clamp" in keys:
                out = self.tensors[writes[0]]
                low, high = (out.scale[0] * (q - out.zero) for q in keys["clamp"])
                y = y.clamp(low, high)
            values[writes[0]] = y


def record(name, folder):
    net = Network(pathlib.Path(folder) / "training.ir")
    height, width, channels = net.tensors[net.input].shape[1:]
    classes = net.tensors[net.nodes[-1][2][0]].shape[-1]
    samples = [inputs.generate(i, height, width, channels) for i in range(SAMPLES)]
    parameters, losses, arrays = net.parameters(), [], {}
    start = [t.value.detach().clone() for t in parameters]

    def kept(t, values):
        elements = values.detach().numpy().ravel()[t.chosen()]
        return elements[:: -(-len(elements) // KEPT)].astype(np.float32)

    for step in range(STEPS):
        index = step % SAMPLES
        loss = net.loss(samples[index], index % classes)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, [t.value for t in parameters])
        for t, g in zip(parameters, gradients):
            if step == 0:
                arrays[f"{name}/{t.name}/gradient"] = kept(t, g)
            move = RATE * g
            if t.dtype != "i32":
                most = torch.tensor(LIMIT * t.steps())
                move = torch.minimum(torch.maximum(move, -most), most)
                move = move * torch.tensor(t.steps() >= DEGENERATE)
            mask = np.zeros(int(np.prod(t.shape)))
            mask[t.chosen()] = 1.0
            with torch.no_grad():
                t.value -= move * torch.tensor(mask.reshape(t.shape))
    for t, before in zip(parameters, start):
        arrays[f"{name}/{t.name}/moved"] = kept(t, t.value - before)
    arrays[f"{name}/loss"] = np.array(losses, dtype=np.float32)
    print(name, len(parameters), "tensors, loss", losses[0], "->", losses[-1])
    return arrays


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="+", metavar="NAME=FOLDER")
    default = pathlib.Path(__file__).resolve().parent.parent / "vectors" / "autograd.npz"
    parser.add_argument("--out", default=default)
    args = parser.parse_args()
    arrays = {}
    for network in args.networks:
        arrays.update(record(*network.split("=", 1)))
    np.savez_compressed(args.out, **arrays)


main()
