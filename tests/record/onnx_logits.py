"""Record what ONNX Runtime computes for quantised models, for the import tests.

    python onnx_logits.py DATA [OUT]

DATA is the folder of shared data (models/ inside it); the demo's model is taken
from the project. OUT (default: ../vectors/import_logits.txt next to this script)
gets a line an input: model, index of the input, the classifier's int8 results.
Needs onnx, onnxruntime 1.17 and numpy < 2. Graph optimisation is off, so that
each node is computed as it stands in the file.

Inputs are made from integers: see `sample`, which the tests repeat.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import numpy_helper

INPUTS = 3


def sample(index, height, width, channels):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(channels), indexing="ij")
    t = (y * (2 + index) + x * (3 + 2 * index) + c * 41 + 29 * index) % 64
    wave = np.where(t < 32, t, 63 - t)
    return (wave * 8 + (y * 7 + x * 13 + c * 5) % 8 - 128).astype(np.int32)


def record(path, out):
    model = onnx.load(str(path))
    graph = model.graph
    constants = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    producers = {o: n for n in graph.node for o in n.output}
    # Back from the output to the last layer's QuantizeLinear.
    name = graph.output[0].name
    softmax = any(n.op_type == "Softmax" for n in graph.node)
    while producers[name].op_type != "QuantizeLinear" or softmax:
        softmax = softmax and producers[name].op_type != "Softmax"
        name = producers[name].input[0]
    graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.INT8, None))
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    entry = graph.input[0]
    shape = [d.dim_value or 1 for d in entry.type.tensor_type.shape.dim]
    for index in range(INPUTS):
        if entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT:
            node = next(n for n in graph.node if entry.name in n.input)
            scale, zero = constants[node.input[1]], constants[node.input[2]]
            q = sample(index, shape[2], shape[3], shape[1])
            x = ((q - int(zero)) * scale).astype(np.float32).transpose(2, 0, 1)[None]
        else:
            x = sample(index, *shape[1:]).astype(np.int8)[None]
        result = session.run([name], {entry.name: x})[0]
        out.write(" ".join(map(str, [path.stem, index, *result.reshape(-1).tolist()])) + "\n")


def main():
    here = pathlib.Path(__file__).resolve().parent
    models = pathlib.Path(sys.argv[1]) / "models"
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else here.parent / "vectors/import_logits.txt"
    with open(out, "w") as out:
        record(here.parent.parent / "demo/digits_int8qdq.onnx", out)
        for name in (
            "mcunetv3/mcunet-5fps_int8qdq",
            "mcunetv3/mbv2-w0.35_int8qdq",
            "mlperf_tiny/pretrainedResnet_quant",
            "mlperf_tiny/kws_ref_model",
        ):
            record(models / f"{name}.onnx", out)


main()
