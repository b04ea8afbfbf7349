"""Trains the networks of devices that are deployed without having seen what they are to adapt to.

    python deployed.py DATA [OUT]

DATA is the folder of shared data (signals/ inside it); OUT is the folder ../vectors next to this
script. Needs PyTorch 1.13 and numpy; set OMP_NUM_THREADS=1 for the same networks again. The bench
(bench/accuracy.toml) adapts them.

- hmp7_without_user0: the 1-D network of hmp7_conv1d.py, on windows of all users but the first.
- cwru10_autoencoder: reproduces the spectrum of a bearing with a fault of 0.014 inch in a ball, at
  loads 0 to 2.
"""

import pathlib
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

USER = 0
CLASS, LOAD = 2, 3
# As `audio` and `levels` of the bench's plan.
RATE, FRAME, BANDS, FLOOR, LEVELS = 12000, 512, 16, 1e-8, (-1.0, 14.0)


def fit(model, x, loss_of, epochs, rate, batch):
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(epochs):
        model.train()
        for part in torch.randperm(len(x)).split(batch):
            loss = loss_of(part)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def export(model, sample, path):
    torch.onnx.export(model, sample, str(path), opset_version=13, input_names=["input"],
                      output_names=["output"])
    print(path.name, path.stat().st_size, "bytes", flush=True)


def motions(data, out):
    def part(split, of_user):
        chosen = (data[f"user_{split}"] == USER) == of_user
        x = torch.tensor(data[f"x_{split}"][chosen].astype(np.float32) / 32).transpose(1, 2)
        return x, torch.tensor(data[f"y_{split}"][chosen].astype(np.int64))

    torch.manual_seed(0)
    layers, last = [], 3
    for width in (16, 24, 32):
        layers += [nn.Conv1d(last, width, 5, 2, 2, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
        last = width
    layers += [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(last, int(data["y_train"].max()) + 1)]
    model = nn.Sequential(*layers)
    x, y = part("train", False)
    fit(model, x, lambda part: F.cross_entropy(model(x[part]), y[part]), 40, 2e-3, 32)
    for of_user in (False, True):
        tx, ty = part("test", of_user)
        right = (model(tx).argmax(1) == ty).float().mean()
        print("the user" if of_user else "others", f"{float(right):.4f} of {len(ty)}")
    export(model, x[:1], out / "hmp7_without_user0.onnx")


def mel(hertz):
    return 2595 * np.log10(1 + hertz / 700)


def spectra(x):
    """Logarithms of mel bands, as `offshoot_runtime::features::audio` gives them, in int8 levels."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FRAME) / FRAME)
    power = np.abs(np.fft.rfft(x / 32768 * window, axis=1)) ** 2
    edges = 700 * (10 ** (np.linspace(0, mel(RATE / 2), BANDS + 2) / 2595) - 1)
    hertz = np.arange(FRAME // 2 + 1) * RATE / FRAME
    rise = (hertz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - hertz) / np.diff(edges)[1:, None]
    bands = power @ np.clip(np.minimum(rise, fall), 0, None).T
    levels = np.round((np.log(np.maximum(bands, FLOOR)) - LEVELS[0]) * LEVELS[1])
    return torch.tensor(np.clip(levels, -128, 127).astype(np.float32) / 32)


def vibrations(data, out):
    torch.manual_seed(0)
    x = spectra(data["x_train"][data["y_train"] == CLASS][..., 0].astype(np.float64))
    model = nn.Sequential(nn.Linear(BANDS, 32), nn.ReLU(), nn.Linear(32, 4), nn.ReLU(),
                          nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, BANDS))
    fit(model, x, lambda part: F.mse_loss(model(x[part]), x[part]), 150, 2e-3, 16)
    test = data["load_test"] == LOAD
    x, own = spectra(data["x_test"][test][..., 0].astype(np.float64)), data["y_test"][test] == CLASS
    with torch.no_grad():
        errors = ((model(x) - x) ** 2).mean(1).numpy()
    smaller = errors[own][:, None] < errors[~own][None]
    print(f"AUC at load {LOAD}: {smaller.mean():.4f}")
    export(model, x[:1], out / "cwru10_autoencoder.onnx")


def main():
    here = pathlib.Path(__file__).resolve().parent
    signals = pathlib.Path(sys.argv[1]) / "signals"
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else here.parent / "vectors"
    motions(np.load(signals / "hmp7_accel.npz"), out)
    vibrations(np.load(signals / "cwru10_vibration.npz"), out)


main()
