"""Record what the TensorFlow Lite interpreter computes, for the tests to meet bit for bit.

    python tflite.py MODELS [OUT]

MODELS is the folder that holds the five int8 networks of MLPerf Tiny as .tflite
files. One archive a model, NAME.npz, is written to OUT (default: ../vectors next
to this script). Needs tensorflow-cpu 2.15.1 and numpy < 2.

The recording comes from the reference kernels. The optimised kernels and the
XNNPACK delegate are run on the same inputs, and the number of outputs in which
they differ from the reference is printed; nothing of theirs is stored.

The interpreter lets an addition overwrite one of its operands, also when it is
asked to preserve all tensors, and the operand then reads as the sum. So the
tensors are recorded from a copy of the model, made in memory, in which each
operator's output is also an output of the graph. That no two of them share
memory is asserted (a reshape and its operand hold the same bytes and may), and
so is that the untouched model computes the same scores.

Inputs are not stored: `inputs.py` says how they are made.

Arrays
------
Hashes are FNV-1a, 64 bits (offset basis 0xcbf29ce484222325, prime
0x100000001b3), over the int8 bytes of a tensor in NHWC order.

    model_hash   uint64 []           hash of the .tflite file
    input_shape  int32  [3]          height, width, channels
    input_hash   uint64 [N]          hash of each input
    layer_hash   uint64 [N, layers]  hash of each operator's output
    layer_names  bytes  [layers]     name of that output tensor in the model
    layer_ops    bytes  [layers]     operator, in execution order
"""

import pathlib
import sys

import numpy as np
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from inputs import KINDS, generate

MODELS = ("kws_ref_model", "pretrainedResnet_quant", "vww_96_int8", "ad01_int8", "str_ww_ref_model")
N = 240
Resolver = tf.lite.experimental.OpResolverType


def fnv1a(rows):
    """FNV-1a 64 of the bytes of each row; `rows` is one array whose first axis counts rows."""
    data = rows.reshape(len(rows), -1).view(np.uint8).T.astype(np.uint64, order="C")
    h = np.full(len(rows), 0xCBF29CE484222325, np.uint64)
    prime = np.uint64(0x100000001B3)
    for column in data:
        h ^= column
        h *= prime
    return h


def interpreter(model, resolver, preserve=False):
    it = tf.lite.Interpreter(
        model_content=model,
        experimental_op_resolver_type=resolver,
        experimental_preserve_all_tensors=preserve,
        num_threads=1,
    )
    it.allocate_tensors()
    return it


def exposed(model):
    """The model with each operator's output also an output of the graph, the last one last."""
    tree = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    (graph,) = tree.subgraphs
    graph.outputs = [int(t) for op in graph.operators for t in op.outputs]
    tree.signatureDefs = None  # they would name outputs by the old positions
    return bytes(flatbuffer_utils.convert_object_to_bytearray(tree))


def scores_of(model, resolver, inputs):
    it = interpreter(model, resolver)
    sink = it.get_output_details()[0]["index"]
    (source,) = it.get_input_details()
    out = []
    for x in inputs:
        it.set_tensor(source["index"], x.reshape(source["shape"]))
        it.invoke()
        out.append(it.get_tensor(sink)[0])
    return np.stack(out)


def record(path, out):
    model = path.read_bytes()
    it = interpreter(exposed(model), Resolver.BUILTIN_REF, preserve=True)
    source = it.get_input_details()[0]
    shape = [int(v) for v in source["shape"]]
    height, width, channels = [1] * (4 - len(shape)) + shape[1:]
    inputs = np.stack([generate(i, height, width, channels) for i in range(N)])

    # Operators of the interpreter, in execution order; each has one int8 output.
    ops = it._get_ops_details()
    assert all(len(op["outputs"]) == 1 for op in ops)
    tensors = [int(op["outputs"][0]) for op in ops]
    details = {t["index"]: t for t in it.get_tensor_details()}
    assert source["dtype"] == np.int8
    assert all(details[t]["dtype"] == np.int8 for t in tensors)
    assert tensors == [t["index"] for t in it.get_output_details()]
    reshaped = {int(op["outputs"][0]) for op in ops if op["op_name"] == "RESHAPE"}
    spots = [it.tensor(t)().ctypes.data for t in [source["index"], *tensors] if t not in reshaped]
    assert len(set(spots)) == len(spots)

    values = [[] for _ in tensors]
    for x in inputs:
        it.set_tensor(source["index"], x.reshape(source["shape"]))
        it.invoke()
        for kept, t in zip(values, tensors):
            kept.append(it.get_tensor(t)[0])
    values = [np.stack(v) for v in values]
    scores = values[-1]
    assert (scores_of(model, Resolver.BUILTIN_REF, inputs) == scores).all()

    arrays = {
        "model_hash": fnv1a(np.frombuffer(model, np.uint8)[None])[0],
        "input_shape": np.array([height, width, channels], np.int32),
        "input_hash": fnv1a(inputs),
        "layer_hash": np.stack([fnv1a(v) for v in values], axis=1),
        "layer_names": np.array([details[t]["name"].encode("ascii") for t in tensors]),
        "layer_ops": np.array([op["op_name"].encode("ascii") for op in ops]),
    }
    target = out / (path.stem + ".npz")
    np.savez_compressed(target, **arrays)

    print(f"{path.stem}: {N} inputs {height}x{width}x{channels}, {len(ops)} operators, "
          f"{target.stat().st_size} bytes")
    for k, kind in enumerate(KINDS):
        part = scores[k::len(KINDS)]
        print(f"  {kind}: {len(np.unique(part, axis=0))} distinct outputs of {len(part)}")
    print(f"  distinct hashes a layer: {[len(np.unique(h)) for h in arrays['layer_hash'].T]}")
    for name, resolver in (
        ("optimised kernels", Resolver.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
        ("XNNPACK", Resolver.BUILTIN),
    ):
        other = scores_of(model, resolver, inputs)
        apart = np.abs(other.astype(int) - scores)
        print(f"  {name}: {int((apart.max(axis=1) > 0).sum())} of {N} outputs differ"
              f" ({int((apart > 0).sum())} of {apart.size} elements, by at most {apart.max()})")


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: tflite.py MODELS [OUT]")
    models = pathlib.Path(sys.argv[1])
    out = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else pathlib.Path(__file__).resolve().parent.parent / "vectors"
    out.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        record(models / (name + ".tflite"), out)


if __name__ == "__main__":
    main()
