"""Record what ONNX Runtime computes for quantised models, for the tests to come near.

    python qdq.py DATA [OUT]

DATA is the folder of shared data (models/ inside it); the demo's model is taken
from the project. OUT (default: ../vectors/onnxruntime.npz next to this script)
gets an int8 array [N, K] a model, named after it: the last quantised tensor, or
what a final softmax reads; and int32 [3] as NAME.shape: height, width and channels
of its inputs. Needs onnx, onnxruntime 1.17 and numpy < 2.

Graph optimisation is off, so that each node is computed as it stands in the
file. The optimised session, whose kernels are integer ones, runs on the same
inputs, and how far it is from the other is printed; nothing of it is stored.
Inputs are not stored: `inputs.py` says how they are made.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort

from inputs import generate

N = 24
MODELS = (
    "mcunetv3/mcunet-5fps_int8qdq",
    "mcunetv3/mbv2-w0.35_int8qdq",
    "mlperf_tiny/pretrainedResnet_quant",
    "mlperf_tiny/kws_ref_model",
    "mlperf_tiny/vww_96_int8",
    "mlperf_tiny/ad01_int8",
    "mlperf_tiny/str_ww_ref_model",
    "others/micro_speech_quantized",
)


def results(model, name, feeds, level):
    options = ort.SessionOptions()
    options.graph_optimization_level = level
    session = ort.InferenceSession(model.SerializeToString(), options)
    entry = session.get_inputs()[0].name
    return np.stack([session.run([name], {entry: x})[0].reshape(-1) for x in feeds])


def record(path):
    model = onnx.load(str(path))
    graph = model.graph
    constants = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    producers = {o: n for n in graph.node for o in n.output}
    # Back from the output to the last layer's QuantizeLinear.
    name = graph.output[0].name
    softmax = any(n.op_type == "Softmax" for n in graph.node)
    while producers[name].op_type != "QuantizeLinear" or softmax:
        softmax = softmax and producers[name].op_type != "Softmax"
        name = producers[name].input[0]
    node = producers[name]
    kind = constants[node.input[2]].dtype
    if name not in [o.name for o in graph.output]:
        element = onnx.helper.np_dtype_to_tensor_dtype(kind)
        graph.output.append(onnx.helper.make_tensor_value_info(name, element, None))
    entry = graph.input[0]
    shape = [d.dim_value or 1 for d in entry.type.tensor_type.shape.dim]
    is_map = entry.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    size = shape[2:] + shape[1:2] if is_map else [1] * (4 - len(shape)) + shape[1:]
    feeds = []
    for index in range(N):
        q = generate(index, *size)
        if is_map:
            quantize = next(n for n in graph.node if entry.name in n.input)
            scale, zero = (constants[i] for i in quantize.input[1:3])
            offset = 128 if zero.dtype == np.uint8 else 0
            x = ((q.astype(np.int32) + offset - int(zero)) * scale).astype(np.float32).transpose(2, 0, 1)[None]
        else:
            x = q.reshape(shape)
            if entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
                x = (x.astype(np.int16) + 128).astype(np.uint8)
        feeds.append(x)
    plain, fused = (results(model, name, feeds, level).astype(np.int16)
                    for level in (ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
                                  ort.GraphOptimizationLevel.ORT_ENABLE_ALL))
    apart = np.abs(plain - fused)
    print(f"{path.stem}: {plain.shape[1]} results, {len(np.unique(plain, axis=0))} distinct rows;"
          f" optimised: {100 * (apart == 0).mean():.2f} % equal, by at most {apart.max()}")
    plain = (plain - (128 if kind == np.uint8 else 0)).astype(np.int8)
    return {path.stem: plain, f"{path.stem}.shape": np.array(size, np.int32)}


def main():
    here = pathlib.Path(__file__).resolve().parent
    models = pathlib.Path(sys.argv[1]) / "models"
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else here.parent / "vectors/onnxruntime.npz"
    paths = [here.parent.parent / "demo/digits_int8qdq.onnx"]
    paths += [models / f"{name}.onnx" for name in MODELS]
    arrays = {}
    for path in paths:
        arrays |= record(path)
    np.savez_compressed(out, **arrays)
    print(f"{out.stat().st_size} bytes")


main()
