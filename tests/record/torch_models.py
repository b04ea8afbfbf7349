"""Trains small networks with PyTorch on recorded signals, and writes them as ONNX as it exports them.

    python torch_models.py DATA [OUT]

DATA is the folder of shared data (signals/ inside it); OUT is the folder ../vectors next to this
script. Needs PyTorch 1.13 and numpy; set OMP_NUM_THREADS=1 for the same networks again.

Each network is written to NAME.onnx. Its logits for the first samples of the test split, as PyTorch
computes them, go to torch.npz: float32 [N, classes] as NAME.

- hmp7_transformer: patches, a class token, positions, one block of attention and GELU, exported with
  a free batch, so that shapes are computed in the file.
- hmp7_lstm: a convolution, an LSTM both ways, the states at the ends.
- wakeword6_gru: a GRU over the frames, the last of its results.
- wakeword6_mobile: max pool, hard swish written out, squeeze and excitation, two branches joined.
"""

import pathlib
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

RECORDED = 16


class Attention(nn.Module):
    """Several heads of attention, of queries, keys and values from one layer."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads, self.scale = heads, (width // heads) ** -0.5
        self.qkv, self.project = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x):
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        weights = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1)
        return self.project((weights @ v).transpose(1, 2).reshape(b, n, c))


class Transformer(nn.Module):
    def __init__(self, classes, channels=3, length=128, patch=8, width=32, heads=4):
        super().__init__()
        self.patches = nn.Conv1d(channels, width, patch, stride=patch)
        self.token = nn.Parameter(torch.randn(1, 1, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(1, length // patch + 1, width) * 0.02)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, heads)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.classify = nn.Linear(width, classes)

    def forward(self, x):
        x = self.patches(x).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.positions
        x = x + self.attention(self.norm1(x))
        x = x + self.narrow(F.gelu(self.wide(self.norm2(x))))
        return self.classify(self.norm3(x)[:, 0])


class Lstm(nn.Module):
    def __init__(self, classes, width=20):
        super().__init__()
        self.front = nn.Conv1d(3, 16, 5, stride=4, padding=2)
        self.lstm = nn.LSTM(16, width, batch_first=True, bidirectional=True)
        self.classify = nn.Linear(2 * width, classes)

    def forward(self, x):
        x = F.relu(self.front(x)).transpose(1, 2)
        _, (h, _) = self.lstm(x)
        return self.classify(torch.cat([h[0], h[1]], dim=1))


class Gru(nn.Module):
    def __init__(self, classes, features=10, width=32):
        super().__init__()
        self.gru = nn.GRU(features, width, batch_first=True)
        self.classify = nn.Linear(width, classes)

    def forward(self, x):
        y, _ = self.gru(x)
        return self.classify(y[:, -1])


def hard_swish(x):
    return x * F.relu6(x + 3.0) / 6.0


class Excite(nn.Module):
    def __init__(self, channels, reduced):
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, reduced, 1), nn.Conv2d(reduced, channels, 1)

    def forward(self, x):
        s = F.relu(self.squeeze(x.mean(dim=(2, 3), keepdim=True)))
        return x * F.hardsigmoid(self.excite(s))


class Mobile(nn.Module):
    def __init__(self, classes, width=16, wide=32):
        super().__init__()

        def conv(i, o, k, stride=1, groups=1):
            layers = nn.Conv2d(i, o, k, stride, k // 2, groups=groups, bias=False), nn.BatchNorm2d(o)
            return nn.Sequential(*layers)

        self.stem = conv(1, width, 3)
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.expand, self.depthwise = conv(width, wide, 1), conv(wide, wide, 5, 1, wide)
        self.excite, self.project = Excite(wide, 8), conv(wide, width, 1)
        self.left, self.right = conv(width, width, 3, 2), conv(width, width, 1, 2)
        self.last = conv(2 * width, 48, 1)
        self.classify = nn.Linear(48, classes)

    def forward(self, x):
        x = self.pool(hard_swish(self.stem(x)))
        y = hard_swish(self.depthwise(hard_swish(self.expand(x))))
        x = x + self.project(self.excite(y))
        x = torch.cat([F.relu(self.left(x)), self.right(x)], dim=1)
        x = hard_swish(self.last(x))
        return self.classify(F.adaptive_avg_pool2d(x, 1).flatten(1))


def train(model, x, y, epochs, rate):
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.02)
    batches = (len(x) + 63) // 64
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs * batches)
    for _ in range(epochs):
        model.train()
        for part in torch.randperm(len(x)).split(64):
            loss = F.cross_entropy(model(x[part]), y[part], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return model.eval()


def main():
    here = pathlib.Path(__file__).resolve().parent
    signals = pathlib.Path(sys.argv[1]) / "signals"
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else here.parent / "vectors"
    # name, data, network, view of a sample, operator set, whether the batch is free, epochs
    cases = [
        ("hmp7_transformer", "hmp7_accel", Transformer, lambda x: x.transpose(1, 2), 16, True, 40),
        ("hmp7_lstm", "hmp7_accel", Lstm, lambda x: x.transpose(1, 2), 13, False, 25),
        ("wakeword6_gru", "wakeword6_mfcc", Gru, lambda x: x, 14, True, 40),
        ("wakeword6_mobile", "wakeword6_mfcc", Mobile, lambda x: x[:, None], 13, False, 25),
    ]
    arrays = {}
    for name, data, network, view, opset, free, epochs in cases:
        data = np.load(signals / f"{data}.npz")
        x = {s: view(torch.tensor(data[f"x_{s}"].astype(np.float32) / 32)) for s in ("train", "test")}
        y = {s: torch.tensor(data[f"y_{s}"].astype(np.int64)) for s in ("train", "test")}
        torch.manual_seed(0)
        model = train(network(int(y["train"].max()) + 1), x["train"], y["train"], epochs, 4e-3)
        with torch.no_grad():
            logits = torch.cat([model(sample[None]) for sample in x["test"]])
        arrays[name] = logits[:RECORDED].numpy()
        path = out / f"{name}.onnx"
        axes = {"input": {0: "batch"}} if free else None
        torch.onnx.export(model, x["test"][:1], str(path), opset_version=opset, input_names=["input"],
                          output_names=["scores"], dynamic_axes=axes)
        right = (logits.argmax(1) == y["test"]).float().mean()
        print(f"{name}: test accuracy {float(right):.4f}, {path.stat().st_size} bytes", flush=True)
    np.savez_compressed(out / "torch.npz", **arrays)


main()
