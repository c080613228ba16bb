"""The network as ONNX, written node by node: the bytes depend on nothing but the weights and the metadata."""

import hashlib
import json

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from . import preprocessing
from .network import Ensemble, Network

LARGEST = 400_000
SELF_TEST = [
    "http://www.wikipedia.org/wiki/Phishing", "https://www.python.org/downloads/", "http://www.bbc.co.uk/news",
    "http://192.0.2.7/paypal/cgi-bin/webscr/login.php?cmd=_login-run", "http://example.com/" + "a" * 300,
    "http://paypal.com.account-verify.example.net/signin/update/secure/login.php?session=9f8a7b", "", "http://bücher.example/ä",
]


def onnx_model(network: Ensemble, temperature: float, metadata: dict[str, str]) -> bytes:
    """Input `ids` int32 [N, 200], output `probability` float [N, 1], calibrated (the temperature is in the last layer, and so is the mean
    of the members, which the groups of the convolutions keep apart)."""
    shape, members = network.shape, network.shape["members"]
    e, width, features = shape["embedding"], shape["width"], shape["features"]

    def beside(name: str, arranged, axis: int = 0) -> numpy.ndarray:
        return numpy.concatenate([arranged(member.weights[name]) for member in network.members], axis)

    weights = {
        "embedding.weight": beside("embedding", lambda w: w, 1),
        "convolution.weight": beside("convolution", lambda w: w.reshape(e, width, features).transpose(2, 0, 1)), "convolution.bias": beside("bias", lambda w: w),
        "hidden.weight": beside("hidden", lambda w: w.T[:, :, None]), "hidden.bias": beside("hidden_bias", lambda w: w),
        "output.weight": beside("output", lambda w: w.T / (members * temperature), 1),
        "output.bias": beside("output_bias", lambda w: w[:, None], 1).mean(axis=1) / temperature,
    }
    pads = {"pads": [shape["left"], 0]} if shape["left"] else {}
    nodes = [
        helper.make_node("Gather", ["embedding.weight", "ids"], ["embedded"], axis=0),
        helper.make_node("Transpose", ["embedded"], ["channels"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["channels", "convolution.weight", "convolution.bias"], ["convolved"], group=members, kernel_shape=[width], **pads),
        helper.make_node("Relu", ["convolved"], ["active"]),
        helper.make_node("GlobalMaxPool", ["active"], ["pooled"]),
        helper.make_node("Conv", ["pooled", "hidden.weight", "hidden.bias"], ["hidden"], group=members, kernel_shape=[1]),
        helper.make_node("Relu", ["hidden"], ["hidden.active"]),
        helper.make_node("Flatten", ["hidden.active"], ["found"], axis=1),
        helper.make_node("Gemm", ["found", "output.weight", "output.bias"], ["logit"], transB=1),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes, "phishing-url",
        [helper.make_tensor_value_info("ids", TensorProto.INT32, ["N", preprocessing.POSITIONS])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N", 1])],
        [numpy_helper.from_array(numpy.ascontiguousarray(value, numpy.float32), name) for name, value in sorted(weights.items())])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="provision")
    known = [{"url": url, "probability": round(float(p), 7)} for url, p in zip(SELF_TEST, probabilities(model.SerializeToString(), SELF_TEST))]
    helper.set_model_props(model, {**metadata, "temperature": f"{temperature:.9g}", "preprocessing": preprocessing.VERSION, "self_test": json.dumps(known)})
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString(deterministic=True)
    if len(content) > LARGEST:
        raise SystemExit(f"the model has {len(content)} bytes, more than {LARGEST}")
    return content


def told(content: bytes) -> dict[str, str]:
    """What the file says of itself."""
    return {entry.key: entry.value for entry in onnx.load_model_from_string(content).metadata_props}


def ensemble(content: bytes) -> Ensemble:
    """The file's networks; calibrated, since the temperature is in their weights."""
    graph = onnx.load_model_from_string(content).graph
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    told = {attribute.name: attribute for attribute in next(node for node in graph.node if node.op_type == "Conv").attribute}
    members, left = told["group"].i, told["pads"].ints[0] if "pads" in told else 0
    features, e, width = found["convolution.weight"].shape
    shape = {"embedding": e, "width": width, "features": features // members, "hidden": len(found["hidden.bias"]) // members, "left": left}
    parts = {name: numpy.split(value, members, axis=1 if name in ("embedding.weight", "output.weight") else 0)
             for name, value in found.items() if name != "output.bias"}
    return Ensemble([Network(shape, {name: numpy.ascontiguousarray(value, numpy.float32) for name, value in {
        "embedding": parts["embedding.weight"][place],
        "convolution": parts["convolution.weight"][place].transpose(1, 2, 0).reshape(e, width * shape["features"]), "bias": parts["convolution.bias"][place],
        "hidden": parts["hidden.weight"][place][:, :, 0].T, "hidden_bias": parts["hidden.bias"][place],
        "output": parts["output.weight"][place].T * members, "output_bias": found["output.bias"],
    }.items()}) for place in range(members)])


def probabilities(model: bytes, urls: list[str]) -> numpy.ndarray:
    """What onnxruntime says of the URLs, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    parts = [urls[start:start + 256] for start in range(0, len(urls), 256)]
    return numpy.concatenate([session.run(None, {"ids": preprocessing.matrix(part).astype(numpy.int32)})[0][:, 0] for part in parts])


def model_id(model: bytes) -> str:
    """The model's id: the SHA-256 of its file."""
    return hashlib.sha256(model).hexdigest()
