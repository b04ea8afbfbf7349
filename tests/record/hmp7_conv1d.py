"""Trains the 1-D network of the tests on wrist accelerometer windows, and writes it as ONNX.

    python hmp7_conv1d.py DATA [OUT]

DATA is the folder of shared data; OUT is ../vectors/hmp7_conv1d.onnx next to this script. Needs
tensorflow-cpu 2.15.1, onnx 1.15 and numpy < 2. Convolutions, BatchNormalization and the classifier
are written as PyTorch writes a 1-D network: channels first, nothing folded.
"""

import pathlib
import sys

import numpy as np
import onnx
import tensorflow as tf
from onnx import TensorProto, helper, numpy_helper

WIDTHS = (16, 24, 32)
STRIDES = (2, 2, 2)


def main():
    here = pathlib.Path(__file__).resolve().parent
    data = np.load(pathlib.Path(sys.argv[1]) / "signals/hmp7_accel.npz")
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else here.parent / "vectors/hmp7_conv1d.onnx"
    tf.keras.utils.set_random_seed(0)
    x = {split: data[f"x_{split}"].astype(np.float32) / 32 for split in ("train", "test")}
    y = {split: data[f"y_{split}"] for split in ("train", "test")}
    layers = tf.keras.layers
    model = tf.keras.Sequential([layers.Input(x["train"].shape[1:])])
    for width, stride in zip(WIDTHS, STRIDES):
        model.add(layers.ZeroPadding1D(2))
        model.add(layers.Conv1D(width, 5, strides=stride, use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    model.add(layers.GlobalAveragePooling1D())
    model.add(layers.Dense(int(y["train"].max()) + 1))
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf.keras.optimizers.Adam(2e-3), loss, metrics=["accuracy"])
    model.fit(x["train"], y["train"], batch_size=32, epochs=40, verbose=0)
    print("test accuracy", model.evaluate(x["test"], y["test"], verbose=0)[1])

    nodes, constants = [], []

    def constant(name, value):
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    now = "input"
    weights = iter(model.weights)
    by_layer = [layer.get_weights() for layer in model.layers if layer.get_weights()]
    for index in range(len(WIDTHS)):
        (kernel,), (gamma, beta, mean, variance) = by_layer[2 * index : 2 * index + 2]
        w = constant(f"conv{index}.weight", kernel.transpose(2, 1, 0))
        nodes.append(helper.make_node("Conv", [now, w], [f"conv{index}_out"], f"conv{index}",
                                      kernel_shape=[5], strides=[STRIDES[index]], pads=[2, 2]))
        params = [constant(f"norm{index}.{n}", v) for n, v in
                  (("weight", gamma), ("bias", beta), ("mean", mean), ("var", variance))]
        nodes.append(helper.make_node("BatchNormalization", [f"conv{index}_out", *params],
                                      [f"norm{index}_out"], f"norm{index}", epsilon=1e-3))
        now = f"relu{index}_out"
        nodes.append(helper.make_node("Relu", [f"norm{index}_out"], [now], f"relu{index}"))
    nodes.append(helper.make_node("GlobalAveragePool", [now], ["pool_out"], "pool"))
    nodes.append(helper.make_node("Flatten", ["pool_out"], ["flat_out"], "flat"))
    kernel, bias = by_layer[-1]
    dense = [constant("fc.weight", kernel.T), constant("fc.bias", bias)]
    nodes.append(helper.make_node("Gemm", ["flat_out", *dense], ["scores"], "fc", transB=1))
    length, channels = x["train"].shape[1:]
    shape = [1, channels, length]
    graph = helper.make_graph(nodes, "hmp7_conv1d",
                              [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, len(bias)])],
                              constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, out)

    import onnxruntime
    session = onnxruntime.InferenceSession(str(out))
    scores = [session.run(None, {"input": s.T[None]})[0][0] for s in x["test"]]
    print("as ONNX", float((np.argmax(scores, 1) == y["test"]).mean()), out.stat().st_size, "bytes")


main()
