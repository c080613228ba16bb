"""Writes a graph of another shape than the shipped ones, `d2` of the compared models, untrained and small: two convolutions, one with
strides and one dilated, and two ways of pooling. `PYTHONPATH=training python tests/model/d2.py tests/model/d2.onnx` in the environment
of training/requirements.lock; its `self_test` is what onnxruntime answers."""

import json
import sys
from pathlib import Path

import phishing  # noqa: F401  before numpy: it sets the threads
import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper

from phishing import export, preprocessing

EMBEDDING, FEATURES, HIDDEN = 8, 12, 8
TOLD = {"name": "d2", "version": "fixture", "split": "none", "preprocessing": preprocessing.VERSION}

chance = numpy.random.Generator(numpy.random.PCG64(7))
# Between what tells no URL from another and what drives the hyperbolic tangent to its ends, where they are one too.
weights = {name: chance.uniform(-0.7, 0.7, shape).astype(numpy.float32) for name, shape in {
    "embedding": (preprocessing.VOCABULARY, EMBEDDING), "first": (FEATURES, EMBEDDING, 6), "first.bias": (FEATURES,),
    "second": (FEATURES, FEATURES, 3), "second.bias": (FEATURES,), "hidden": (HIDDEN, 2 * FEATURES), "hidden.bias": (HIDDEN,),
    "output": (1, HIDDEN), "output.bias": (1,)}.items()}
nodes = [
    helper.make_node("Gather", ["embedding", "ids"], ["embedded"], axis=0),
    helper.make_node("Transpose", ["embedded"], ["channels"], perm=[0, 2, 1]),
    helper.make_node("Conv", ["channels", "first", "first.bias"], ["strided"], kernel_shape=[6], strides=[2], pads=[2, 2]),
    helper.make_node("Relu", ["strided"], ["strided.active"]),
    helper.make_node("Conv", ["strided.active", "second", "second.bias"], ["dilated"], kernel_shape=[3], dilations=[2], pads=[2, 2]),
    helper.make_node("Relu", ["dilated"], ["dilated.active"]),
    helper.make_node("GlobalMaxPool", ["dilated.active"], ["most"]),
    helper.make_node("GlobalAveragePool", ["dilated.active"], ["mean"]),
    helper.make_node("Concat", ["most", "mean"], ["pooled"], axis=1),
    helper.make_node("Flatten", ["pooled"], ["found"], axis=1),
    helper.make_node("Gemm", ["found", "hidden", "hidden.bias"], ["hidden.sum"], transB=1),
    helper.make_node("Tanh", ["hidden.sum"], ["hidden.active"]),
    helper.make_node("Gemm", ["hidden.active", "output", "output.bias"], ["logit"], transB=1),
    helper.make_node("Sigmoid", ["logit"], ["probability"]),
]
graph = helper.make_graph(
    nodes, "d2", [helper.make_tensor_value_info("ids", TensorProto.INT32, ["N", preprocessing.POSITIONS])],
    [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 1])],
    [numpy_helper.from_array(value, name) for name, value in weights.items()])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="provision")
answers = export.probabilities(model.SerializeToString(), export.SELF_TEST)
known = [{"url": url, "probability": round(float(p), 7)} for url, p in zip(export.SELF_TEST, answers)]
helper.set_model_props(model, {**TOLD, "self_test": json.dumps(known)})
onnx.checker.check_model(model, full_check=True)
Path(sys.argv[1]).write_bytes(model.SerializeToString(deterministic=True))
