"""The network as ONNX, written node by node: the bytes depend on nothing but the weights and the metadata."""

import hashlib
import json

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from . import preprocessing

LARGEST = 400_000
SELF_TEST = [
    "http://www.wikipedia.org/wiki/Phishing", "https://www.python.org/downloads/", "http://www.bbc.co.uk/news",
    "http://192.0.2.7/paypal/cgi-bin/webscr/login.php?cmd=_login-run", "http://example.com/" + "a" * 300,
    "http://paypal.com.account-verify.example.net/signin/update/secure/login.php?session=9f8a7b", "", "http://bücher.example/ä",
]


def onnx_model(network, temperature: float, metadata: dict[str, str]) -> bytes:
    """Input `ids` int32 [N, 200], output `probability` float [N, 1], calibrated (the temperature is in the last layer)."""
    w, shape = network.weights, network.shape
    e, width, features = shape["embedding"], shape["width"], shape["features"]
    weights = {
        "embedding.weight": w["embedding"],
        "convolution.weight": w["convolution"].reshape(e, width, features).transpose(2, 0, 1), "convolution.bias": w["bias"],
        "hidden.weight": w["hidden"].T, "hidden.bias": w["hidden_bias"],
        "output.weight": w["output"].T / temperature, "output.bias": w["output_bias"] / temperature,
    }
    pads = {"pads": [shape["left"], 0]} if shape["left"] else {}
    nodes = [
        helper.make_node("Gather", ["embedding.weight", "ids"], ["embedded"], axis=0),
        helper.make_node("Transpose", ["embedded"], ["channels"], perm=[0, 2, 1]),
        helper.make_node("Conv", ["channels", "convolution.weight", "convolution.bias"], ["convolved"], kernel_shape=[width], **pads),
        helper.make_node("Relu", ["convolved"], ["active"]),
        helper.make_node("GlobalMaxPool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["found"], axis=1),
        helper.make_node("Gemm", ["found", "hidden.weight", "hidden.bias"], ["hidden"], transB=1),
        helper.make_node("Relu", ["hidden"], ["hidden.active"]),
        helper.make_node("Gemm", ["hidden.active", "output.weight", "output.bias"], ["logit"], transB=1),
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


def weights(content: bytes) -> dict[str, numpy.ndarray]:
    """The file's weights in the layout of `network.Network`; calibrated, since the temperature is in them."""
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load_model_from_string(content).graph.initializer}
    features, e, width = found["convolution.weight"].shape
    arranged = {
        "embedding": found["embedding.weight"], "convolution": found["convolution.weight"].transpose(1, 2, 0).reshape(e, width * features),
        "bias": found["convolution.bias"], "hidden": found["hidden.weight"].T, "hidden_bias": found["hidden.bias"],
        "output": found["output.weight"].T, "output_bias": found["output.bias"],
    }
    return {name: numpy.ascontiguousarray(value) for name, value in arranged.items()}


def shape(content: bytes) -> dict[str, int]:
    graph = onnx.load_model_from_string(content).graph
    sizes = {tensor.name: tensor.dims for tensor in graph.initializer}
    features, e, width = sizes["convolution.weight"]
    pads = next((list(a.ints) for node in graph.node if node.op_type == "Conv" for a in node.attribute if a.name == "pads"), [0, 0])
    return {"embedding": e, "width": width, "features": features, "hidden": sizes["hidden.weight"][0], "left": pads[0]}


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
